/**
 * Bytes to frames. Promises upward: each header is shown before a byte of its payload is kept; the
 * payload of a frame that is taken in pieces is handed on as it lies in the link's chunks, without
 * reassembly; every other payload is handed on whole. Assumes below: chunks in order, not changed
 * afterwards. Enforces: the size and type rules that its handler throws.
 */
import { HEADER_BYTES } from './constants.ts'
import { readU24, readU32 } from './numbers.ts'

/**
 * What a {@link FrameDecoder} calls. Anything it throws ends the decoding and reaches the caller of
 * `push`.
 */
export interface FrameHandler {
  /**
   * A header. Throws where the frame is not to be had; returns true to take the payload in pieces.
   */
  header(type: number, flags: number, pipe: number, length: number): boolean
  /** Part of a payload taken in pieces; `last` with the one that completes it. Never empty. */
  piece(bytes: Uint8Array, last: boolean): void
  /** A whole frame. `payload` is valid during the call only. */
  frame(type: number, flags: number, pipe: number, payload: Uint8Array): void
}

/** A frame that has begun and is not whole. */
export interface PartialFrame {
  readonly type: number
  readonly headerBytes: number
  /** Bytes of the payload that have not come; undefined while the header is not whole. */
  readonly missing: number | undefined
}

const NOTHING = new Uint8Array(0)

export class FrameDecoder {
  readonly #handler: FrameHandler
  readonly #header = new Uint8Array(HEADER_BYTES)
  #headerBytes = 0
  #type = 0
  #flags = 0
  #pipe = 0
  #missing = 0
  #inPieces = false
  /** Payload under assembly: only for a whole frame that came in several chunks. */
  #body: Uint8Array | undefined
  #bodyBytes = 0

  constructor(handler: FrameHandler) {
    this.#handler = handler
  }

  /** True between two frames: an end of the link here cuts nothing. */
  get atBoundary(): boolean {
    return this.#headerBytes === 0
  }

  /** The frame within which the bytes end; undefined between two frames. */
  get partial(): PartialFrame | undefined {
    const headerBytes = this.#headerBytes
    if (headerBytes === 0) return undefined
    if (headerBytes < HEADER_BYTES) return { type: this.#header[0] ?? 0, headerBytes, missing: undefined }
    return { type: this.#type, headerBytes, missing: this.#missing }
  }

  /** Between two frames: goes on within the frame in which another decoder's bytes have ended. */
  goOnFrom(other: FrameDecoder): void {
    this.#header.set(other.#header)
    this.#headerBytes = other.#headerBytes
    this.#type = other.#type
    this.#flags = other.#flags
    this.#pipe = other.#pipe
    this.#missing = other.#missing
    this.#inPieces = other.#inPieces
    this.#body = other.#body
    this.#bodyBytes = other.#bodyBytes
  }

  /** Decodes `chunk`; the last frame may go on in the next one. */
  push(chunk: Uint8Array): void {
    let at = 0
    const end = chunk.byteLength
    while (at < end) {
      if (this.#headerBytes < HEADER_BYTES) {
        at = this.#readHeader(chunk, at, end)
        continue
      }
      at = this.#inPieces ? this.#readPiece(chunk, at, end) : this.#readBody(chunk, at, end)
    }
  }

  #readHeader(chunk: Uint8Array, at: number, end: number): number {
    if (this.#headerBytes === 0 && end - at >= HEADER_BYTES) {
      this.#begin(chunk, at)
      return at + HEADER_BYTES
    }
    const taken = Math.min(HEADER_BYTES - this.#headerBytes, end - at)
    this.#header.set(chunk.subarray(at, at + taken), this.#headerBytes)
    this.#headerBytes += taken
    if (this.#headerBytes === HEADER_BYTES) this.#begin(this.#header, 0)
    return at + taken
  }

  #begin(bytes: Uint8Array, at: number): void {
    this.#headerBytes = HEADER_BYTES
    this.#type = bytes[at] ?? 0
    this.#missing = readU24(bytes, at + 1)
    this.#pipe = readU32(bytes, at + 4)
    this.#flags = bytes[at + 8] ?? 0
    this.#inPieces = this.#handler.header(this.#type, this.#flags, this.#pipe, this.#missing)
    if (this.#missing === 0) this.#complete(NOTHING)
  }

  #readPiece(chunk: Uint8Array, at: number, end: number): number {
    const taken = Math.min(this.#missing, end - at)
    this.#missing -= taken
    const last = this.#missing === 0
    if (last) this.#headerBytes = 0
    this.#handler.piece(chunk.subarray(at, at + taken), last)
    return at + taken
  }

  #readBody(chunk: Uint8Array, at: number, end: number): number {
    const taken = Math.min(this.#missing, end - at)
    if (this.#body === undefined && taken === this.#missing) {
      this.#complete(chunk.subarray(at, at + taken))
      return at + taken
    }
    // the length was checked against a limit in header(): this allocates at most that
    this.#body ??= new Uint8Array(this.#missing)
    this.#body.set(chunk.subarray(at, at + taken), this.#bodyBytes)
    this.#bodyBytes += taken
    this.#missing -= taken
    if (this.#missing === 0) this.#complete(this.#body)
    return at + taken
  }

  #complete(payload: Uint8Array): void {
    this.#headerBytes = 0
    this.#body = undefined
    this.#bodyBytes = 0
    this.#missing = 0
    this.#handler.frame(this.#type, this.#flags, this.#pipe, payload)
  }
}
