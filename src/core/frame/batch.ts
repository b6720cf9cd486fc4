/**
 * Frames to bytes: one batch of frames for one write of the link. Headers, control frames and small
 * payloads are copied one behind the other into a scratch buffer that is used again for the next
 * batch; large payloads go by reference between them. So a batch is a few pieces, whatever the
 * number of its frames. The owner must not `reset` before the link has let go of the last batch.
 */
import { HEADER_BYTES } from './constants.ts'
import { writeU24, writeU32, writeU64 } from './numbers.ts'

/** What frames are written into: plain ({@link FrameBatch}), or checked. */
export interface Batch {
  /** Bytes in the batch. */
  readonly bytes: number
  /** False when no further frame should be added. */
  readonly hasRoom: boolean
  /**
   * A header; its payload of `length` bytes follows by {@link payload}, in any number of pieces.
   */
  header(type: number, flags: number, pipe: number, length: number): void
  payload(piece: Uint8Array): void
  /** A whole frame. */
  frame(type: number, flags: number, pipe: number, payload: Uint8Array): void
  /** A frame whose payload is one u64. */
  offsetFrame(type: number, pipe: number, offset: number): void
}

/**
 * Size of the scratch buffer, and so of what one batch can copy: small until a batch was full, so
 * that a stranger who says nothing costs little.
 */
const MIN_SCRATCH_BYTES = 16 * 1024
const SCRATCH_BYTES = 128 * 1024
/**
 * Room that the scratch buffer keeps: no frame but DATA and the hello's copies more than a header
 * and this.
 */
const SCRATCH_RESERVE = 4 * 1024
/**
 * Room that payloads leave: for the headers and numbers of what may follow the last payload that
 * was let in (an END, a DONE, a goodbye's header).
 */
const TRAILER_BYTES = 1024
/**
 * Payloads up to here are copied behind their header: cheaper than a piece of their own in the
 * link's writev.
 */
const COPY_BYTES = 2 * 1024

export class FrameBatch implements Batch {
  #scratch = new Uint8Array(MIN_SCRATCH_BYTES)
  #parts: Uint8Array[] = []
  #runStart = 0
  #position = 0
  #bytes = 0

  /** Bytes in the batch. */
  get bytes(): number {
    return this.#bytes
  }

  /** False when no further frame should be added. */
  get hasRoom(): boolean {
    return this.#position + SCRATCH_RESERVE <= this.#scratch.byteLength
  }

  /** Empties the batch: its scratch buffer is written again. */
  reset(): void {
    if (!this.hasRoom && this.#scratch.byteLength < SCRATCH_BYTES) this.#scratch = new Uint8Array(SCRATCH_BYTES)
    this.#parts = []
    this.#runStart = 0
    this.#position = 0
    this.#bytes = 0
  }

  /** Bytes that are no frame (the sync word), copied. */
  raw(bytes: Uint8Array): void {
    this.#scratch.set(bytes, this.#position)
    this.#position += bytes.byteLength
    this.#bytes += bytes.byteLength
  }

  /** A header; the payload of `length` bytes follows by {@link payload}. */
  header(type: number, flags: number, pipe: number, length: number): void {
    const scratch = this.#scratch
    const at = this.#position
    scratch[at] = type
    writeU24(scratch, at + 1, length)
    writeU32(scratch, at + 4, pipe)
    scratch[at + 8] = flags
    this.#position = at + HEADER_BYTES
    this.#bytes += HEADER_BYTES
  }

  /**
   * A piece of payload: copied if small, else by reference until the link has let go of the batch.
   */
  payload(piece: Uint8Array): void {
    const length = piece.byteLength
    if (length <= COPY_BYTES && this.#position + length + TRAILER_BYTES <= this.#scratch.byteLength) {
      this.#scratch.set(piece, this.#position)
      this.#position += length
    } else {
      this.#endRun()
      this.#parts.push(piece)
    }
    this.#bytes += length
  }

  /** A whole frame. */
  frame(type: number, flags: number, pipe: number, payload: Uint8Array): void {
    this.header(type, flags, pipe, payload.byteLength)
    this.payload(payload)
  }

  /** A frame whose payload is one u64. */
  offsetFrame(type: number, pipe: number, offset: number): void {
    this.header(type, 0, pipe, 8)
    writeU64(this.#scratch, this.#position, offset)
    this.#position += 8
    this.#bytes += 8
  }

  /** The batch's pieces in order. */
  finish(): readonly Uint8Array[] {
    this.#endRun()
    return this.#parts
  }

  #endRun(): void {
    if (this.#position > this.#runStart) this.#parts.push(this.#scratch.subarray(this.#runStart, this.#position))
    this.#runStart = this.#position
  }
}
