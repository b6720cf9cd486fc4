/**
 * The first and the last bytes of an output, up to a bound: what is between is counted and dropped.
 */
export class KeptOutput {
  readonly #half: number
  #head: Uint8Array[] = []
  #headBytes = 0
  #tail: Uint8Array[] = []
  #tailBytes = 0
  dropped = 0

  constructor(maxBytes: number) {
    this.#half = Math.ceil(maxBytes / 2)
  }

  /** True where nothing was dropped so far, or will have to be. */
  get isWhole(): boolean {
    return this.dropped === 0 && this.#tailBytes <= this.#half
  }

  push(chunk: Uint8Array): void {
    const room = this.#half - this.#headBytes
    if (room > 0) {
      const first = chunk.subarray(0, room)
      this.#head.push(first)
      this.#headBytes += first.byteLength
      if (this.#head.length > MAX_PIECES) this.#head = [Buffer.concat(this.#head)]
    }
    if (chunk.byteLength <= room) return
    const rest = chunk.subarray(Math.max(0, room))
    this.#tail.push(rest)
    this.#tailBytes += rest.byteLength
    // seldom: what is copied is at most as much as has come since
    if (this.#tailBytes > 2 * this.#half || this.#tail.length > MAX_PIECES) this.#trim()
  }

  bytes(): Uint8Array {
    this.#trim()
    return Buffer.concat([...this.#head, ...this.#tail])
  }

  #trim(): void {
    const all = Buffer.concat(this.#tail)
    const excess = Math.max(0, all.byteLength - this.#half)
    this.dropped += excess
    this.#tail = [Buffer.from(all.subarray(excess))]
    this.#tailBytes = all.byteLength - excess
  }
}

const MAX_PIECES = 1024
