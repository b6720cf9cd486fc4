/** A bounded queue of bytes. Promises: never holds more than its size, and gives out copies. */
export class RingBuffer {
  readonly #bytes: Uint8Array
  #start = 0
  #length = 0

  constructor(size: number) {
    this.#bytes = new Uint8Array(size)
  }

  /** Bytes that wait. */
  get length(): number {
    return this.#length
  }

  /** Copies as much of `chunk` as fits; how much that was. */
  put(chunk: Uint8Array): number {
    const size = this.#bytes.byteLength
    const taken = Math.min(chunk.byteLength, size - this.#length)
    const at = (this.#start + this.#length) % size
    const first = Math.min(taken, size - at)
    this.#bytes.set(chunk.subarray(0, first), at)
    this.#bytes.set(chunk.subarray(first, taken), 0)
    this.#length += taken
    return taken
  }

  /** Everything, copied out. */
  takeAll(): Uint8Array {
    const out = new Uint8Array(this.#length)
    const first = Math.min(this.#length, this.#bytes.byteLength - this.#start)
    out.set(this.#bytes.subarray(this.#start, this.#start + first))
    out.set(this.#bytes.subarray(0, this.#length - first), first)
    this.#start = 0
    this.#length = 0
    return out
  }
}
