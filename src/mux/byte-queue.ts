/**
 * Bytes of one direction of one pipe, waiting. Small pieces are gathered by copy into a tail that grows with what is queued, so
 * a queue of one-byte pieces holds at most about twice its bytes (design: invariant 4; the field's muxers held 370 times).
 */

/** Smallest and largest tail. */
const MIN_TAIL_BYTES = 64
const MAX_TAIL_BYTES = 64 * 1024

export class ByteQueue {
  /** Bytes queued. */
  length = 0
  #chunks: Uint8Array[] = []
  #head = 0
  #tail: Uint8Array | undefined
  #tailStart = 0
  #tailEnd = 0

  /** Queues `bytes` as they are: the queue holds their whole buffer. Not empty. */
  append(bytes: Uint8Array): void {
    this.#seal()
    this.#chunks.push(bytes)
    this.length += bytes.byteLength
  }

  /** Queues a copy. */
  appendCopy(bytes: Uint8Array): void {
    const length = bytes.byteLength
    if (this.#tail === undefined || this.#tail.byteLength - this.#tailEnd < length) {
      this.#seal()
      const wanted = Math.min(MAX_TAIL_BYTES, Math.max(MIN_TAIL_BYTES, this.length))
      this.#tail = new Uint8Array(Math.max(wanted, length))
      this.#tailStart = 0
      this.#tailEnd = 0
    }
    this.#tail.set(bytes, this.#tailEnd)
    this.#tailEnd += length
    this.length += length
  }

  /** The next piece, of at most `maxBytes`; the queue is not empty. It belongs to the caller. */
  shift(maxBytes: number): Uint8Array {
    if (this.#head === this.#chunks.length) this.#seal()
    const chunk = this.#chunks[this.#head]
    if (chunk === undefined) throw new RangeError('the queue is empty')
    let piece = chunk
    if (chunk.byteLength > maxBytes) {
      piece = chunk.subarray(0, maxBytes)
      this.#chunks[this.#head] = chunk.subarray(maxBytes)
    } else {
      this.#advance()
    }
    this.length -= piece.byteLength
    if (this.length === 0) this.clear()
    return piece
  }

  /** Adds the buffers that the queued pieces are views of. */
  collectChunks(into: Set<ArrayBufferLike>): void {
    for (let at = this.#head; at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at]
      if (chunk !== undefined) into.add(chunk.buffer)
    }
  }

  /** Copies everything into one buffer of its own: whatever the pieces were views of is let go. */
  compact(): void {
    if (this.length === 0) return
    const copy = new Uint8Array(this.length)
    for (let at = 0; at < copy.byteLength;) {
      const piece = this.shift(copy.byteLength)
      copy.set(piece, at)
      at += piece.byteLength
    }
    this.append(copy)
  }

  /** Forgets everything, buffers included. */
  clear(): void {
    this.length = 0
    if (this.#chunks.length > 0) this.#chunks = []
    this.#head = 0
    this.#tail = undefined
    this.#tailStart = 0
    this.#tailEnd = 0
  }

  #advance(): void {
    this.#head++
    // a consumed prefix is dropped now and then, so that neither memory nor time grows with what went through
    if (this.#head >= 64 && this.#head * 2 >= this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#head)
      this.#head = 0
    } else {
      this.#chunks[this.#head - 1] = EMPTY
    }
  }

  #seal(): void {
    if (this.#tail === undefined || this.#tailEnd === this.#tailStart) return
    this.#chunks.push(this.#tail.subarray(this.#tailStart, this.#tailEnd))
    this.#tailStart = this.#tailEnd
  }
}

const EMPTY = new Uint8Array(0)
