/**
 * Checked frames to bytes: one batch in one piece, since each payload is looked through and summed
 * up before it leaves. Payloads are copied: such lines carry tens of megabytes a second at best.
 * The owner must not `reset` before the link has let go of the last batch.
 */
import type { Batch } from '../frame/batch.ts'
import { FrameType, HEADER_BYTES } from '../frame/constants.ts'
import {
  CHECK_BYTES,
  CHECKSUM_BYTES,
  stuff,
  STUFFED,
  stuffedLength,
  writeCheck,
  writeChecksum,
  type ChecksumTools,
} from './checks.ts'
import { writeU24, writeU32, writeU64 } from '../frame/numbers.ts'

const FIRST_SCRATCH_BYTES = 4 * 1024
/** Above this no further frame is added. */
const FULL_BYTES = 96 * 1024

export class CheckedBatch implements Batch {
  /** Checksum of all sequenced frames so far; set when the peer is known. */
  runningCrc = 0
  readonly #tools: ChecksumTools
  #scratch = new Uint8Array(FIRST_SCRATCH_BYTES)
  #position = 0
  /** Where the frame under way begins, and what its payload still lacks. */
  #start = 0
  #missing = 0
  readonly #offset = new Uint8Array(8)

  constructor(tools: ChecksumTools) {
    this.#tools = tools
  }

  get bytes(): number {
    return this.#position
  }

  get hasRoom(): boolean {
    return this.#position < FULL_BYTES
  }

  /** Empties the batch: its bytes are written again. */
  reset(): void {
    this.#position = 0
  }

  /** Bytes that are no frame: the sync word, the probe. */
  raw(bytes: Uint8Array): void {
    this.#need(bytes.byteLength)
    this.#scratch.set(bytes, this.#position)
    this.#position += bytes.byteLength
  }

  header(type: number, flags: number, pipe: number, length: number): void {
    this.#need(HEADER_BYTES + CHECK_BYTES + stuffedLength(length) + CHECKSUM_BYTES)
    const at = this.#position
    this.#start = at
    this.#scratch[at] = type
    writeU24(this.#scratch, at + 1, length)
    writeU32(this.#scratch, at + 4, pipe)
    this.#scratch[at + 8] = flags
    this.#position = at + HEADER_BYTES + CHECK_BYTES
    this.#missing = length
    if (length === 0) this.#seal()
  }

  payload(piece: Uint8Array): void {
    this.#scratch.set(piece, this.#position)
    this.#position += piece.byteLength
    this.#missing -= piece.byteLength
    if (this.#missing === 0) this.#seal()
  }

  frame(type: number, flags: number, pipe: number, payload: Uint8Array): void {
    this.header(type, flags, pipe, payload.byteLength)
    if (payload.byteLength > 0) this.payload(payload)
  }

  offsetFrame(type: number, pipe: number, offset: number): void {
    writeU64(this.#offset, 0, offset)
    this.frame(type, 0, pipe, this.#offset)
  }

  /** The batch, in one piece. */
  finish(): readonly Uint8Array[] {
    return [this.#scratch.subarray(0, this.#position)]
  }

  /** The frame is complete: stuffs it where it has to be, sums it up. */
  #seal(): void {
    const scratch = this.#scratch
    const start = this.#start
    const body = start + HEADER_BYTES + CHECK_BYTES
    const stuffed = stuff(scratch.subarray(body, this.#position), this.#tools)
    if (stuffed !== undefined) {
      writeU24(scratch, start + 1, stuffed.byteLength)
      scratch[start + 8] = (scratch[start + 8] ?? 0) | STUFFED
      scratch.set(stuffed, body)
      this.#position = body + stuffed.byteLength
    }
    const type = scratch[start]
    // what establishes the session stands outside its running CRC: it may be repeated, and lost
    const sequenced = type !== FrameType.HELLO && type !== FrameType.READY
    const headerSum = this.#tools.crc32(scratch.subarray(start, start + HEADER_BYTES), sequenced ? this.runningCrc : 0)
    writeCheck(scratch, start + HEADER_BYTES, headerSum)
    const sum = this.#tools.crc32(scratch.subarray(body, this.#position), headerSum)
    writeChecksum(scratch, this.#position, sum)
    this.#position += CHECKSUM_BYTES
    if (sequenced) this.runningCrc = sum
  }

  #need(bytes: number): void {
    const least = this.#position + bytes
    if (least <= this.#scratch.byteLength) return
    const larger = new Uint8Array(Math.max(least, this.#scratch.byteLength * 2))
    larger.set(this.#scratch.subarray(0, this.#position))
    this.#scratch = larger
  }
}
