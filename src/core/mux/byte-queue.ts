/**
 * Bytes of one direction of one pipe, waiting. A small piece that finds the queue empty is copied
 * as it is; more of them are gathered into tails, each twice as large as the last, so a queue of
 * one-byte pieces holds at most about twice its bytes (invariant 4 of docs/internals/catalogue.md;
 * the field's muxers held 370 times).
 */
import type { BufferPool } from './buffer-pool.ts'

/** Tails above this size are buffers of the pool. */
const POOL_FROM_BYTES = 2 * 1024
/** Smallest and largest tail. */
const MIN_TAIL_BYTES = 64
const MAX_TAIL_BYTES = 64 * 1024

export class ByteQueue {
  /** Bytes queued. */
  length = 0
  /** The next piece, and those behind it: most queues hold one, and need no list. */
  #first: Uint8Array | undefined
  #rest: Uint8Array[] | undefined
  /** How many of the rest are taken. */
  #taken = 0
  /** What small pieces are gathered in; from `#tailStart` on it is not yet among the pieces. */
  #tail: Uint8Array | undefined
  #tailStart = 0
  #tailEnd = 0
  readonly #pool: BufferPool | undefined
  #pooled = false

  /** @param pool buffers for many small pieces; only for a queue whose pieces go into batches */
  constructor(pool?: BufferPool) {
    this.#pool = pool
  }

  /** Queues `bytes` as they are: the queue holds their whole buffer. Not empty. */
  append(bytes: Uint8Array): void {
    if (this.#tailEnd > this.#tailStart) this.#seal()
    this.#push(bytes)
    this.length += bytes.byteLength
  }

  /** Queues a copy. */
  appendCopy(bytes: Uint8Array): void {
    const length = bytes.byteLength
    if (this.length === 0) {
      this.#first = new Uint8Array(bytes)
    } else {
      if (this.#tail === undefined || this.#tail.byteLength - this.#tailEnd < length) this.#newTail(length)
      this.#tail?.set(bytes, this.#tailEnd)
      this.#tailEnd += length
    }
    this.length += length
  }

  /** The next piece, of at most `maxBytes`; the queue is not empty. It belongs to the caller. */
  shift(maxBytes: number): Uint8Array {
    if (this.#first === undefined) this.#seal()
    const chunk = this.#first
    if (chunk === undefined) throw new RangeError('the queue is empty')
    let piece = chunk
    if (chunk.byteLength > maxBytes) {
      piece = chunk.subarray(0, maxBytes)
      this.#first = chunk.subarray(maxBytes)
    } else {
      this.#advance()
    }
    this.length -= piece.byteLength
    if (this.length === 0) {
      if (this.#pooled && this.#tail !== undefined) this.#pool?.spent(this.#tail)
      this.clear()
    }
    return piece
  }

  /** Adds the buffers that the queued pieces are views of. */
  collectChunks(into: Set<ArrayBufferLike>): void {
    if (this.#first !== undefined) into.add(this.#first.buffer)
    for (const chunk of this.#rest?.slice(this.#taken) ?? []) into.add(chunk.buffer)
  }

  /**
   * Copies everything into one buffer of its own; `release` gets the pieces, which nobody looks at
   * any more.
   */
  compact(release: (piece: Uint8Array) => void): void {
    if (this.length === 0) return
    const copy = new Uint8Array(this.length)
    for (let at = 0; at < copy.byteLength;) {
      const piece = this.shift(copy.byteLength)
      copy.set(piece, at)
      release(piece)
      at += piece.byteLength
    }
    this.append(copy)
  }

  /** Forgets everything, buffers included. */
  clear(): void {
    this.length = 0
    this.#first = undefined
    this.#rest = undefined
    this.#taken = 0
    this.#tail = undefined
    this.#tailStart = 0
    this.#tailEnd = 0
    this.#pooled = false
  }

  #push(bytes: Uint8Array): void {
    if (this.#first === undefined) this.#first = bytes
    else (this.#rest ??= []).push(bytes)
  }

  #advance(): void {
    const rest = this.#rest
    if (rest === undefined) {
      this.#first = undefined
      return
    }
    this.#first = rest[this.#taken]
    rest[this.#taken] = NOTHING
    this.#taken++
    if (this.#taken === rest.length) {
      this.#rest = undefined
      this.#taken = 0
    } else if (this.#taken >= 64 && this.#taken * 2 >= rest.length) {
      // what was taken is dropped now and then, so that neither memory nor time grows with what
      // went through
      this.#rest = rest.slice(this.#taken)
      this.#taken = 0
    }
  }

  #newTail(bytes: number): void {
    this.#seal()
    // twice the one that is full: how much else is queued says nothing about how many small pieces
    // will follow
    const twice = this.#tail === undefined ? MIN_TAIL_BYTES : this.#tail.byteLength * 2
    this.#pooled = this.#pool !== undefined && twice > POOL_FROM_BYTES
    this.#tail = this.#pooled ? this.#pool?.take() : new Uint8Array(Math.max(bytes, Math.min(MAX_TAIL_BYTES, twice)))
    this.#tailStart = 0
    this.#tailEnd = 0
  }

  #seal(): void {
    if (this.#tail === undefined || this.#tailEnd === this.#tailStart) return
    this.#push(this.#tail.subarray(this.#tailStart, this.#tailEnd))
    this.#tailStart = this.#tailEnd
  }
}

const NOTHING = new Uint8Array(0)
