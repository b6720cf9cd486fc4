/**
 * What this side has put into the stream of a session that outlives its links, and what of it the
 * peer has not confirmed yet. A copy of each byte lies here until then, so a link may be lost at
 * any of them and the next one goes on where the peer stands.
 *
 * Promises: the bytes of [acknowledged, end) are there, exactly as they were added, whatever their
 * owners do with theirs. Bound: its user adds nothing while {@link retained} is above its limit.
 */

/** Size of a block: what is retained lies in as few as it needs. */
const BLOCK_BYTES = 64 * 1024
/** Blocks that are kept to be filled again. */
const MAX_FREE = 4

export class SentLog {
  /** Stream offset of the first byte that is retained: the peer has all before it. */
  acknowledged = 0
  /** Stream offset behind the last byte. */
  end = 0
  /** Stream offset of the next byte for the link. */
  next = 0
  /** Bytes that were given to a link once more. */
  resentBytes = 0
  readonly #blocks: Uint8Array[] = []
  readonly #free: Uint8Array[] = []
  /** Stream offset of the first block's first byte. */
  #start = 0
  /** How far a link has been given bytes already. */
  #given = 0

  /** Bytes that the peer has not confirmed. */
  get retained(): number {
    return this.end - this.acknowledged
  }

  /** True where the link has yet to get what was added for an earlier one. */
  get isBehind(): boolean {
    return this.next < this.end
  }

  /** Adds a copy of `piece`. */
  add(piece: Uint8Array): void {
    for (let at = 0; at < piece.byteLength;) {
      const position = (this.end - this.#start) % BLOCK_BYTES
      if (this.end - this.#start === this.#blocks.length * BLOCK_BYTES)
        this.#blocks.push(this.#free.pop() ?? new Uint8Array(BLOCK_BYTES))
      const taken = Math.min(BLOCK_BYTES - position, piece.byteLength - at)
      const part = taken === piece.byteLength ? piece : piece.subarray(at, at + taken)
      this.#blocks.at(-1)?.set(part, position)
      this.end += taken
      at += taken
    }
  }

  /**
   * Gives the link what follows, at most `maxBytes`. The pieces are views: good until the peer has
   * confirmed them.
   */
  take(maxBytes: number): Uint8Array[] {
    const pieces: Uint8Array[] = []
    const until = Math.min(this.end, this.next + maxBytes)
    this.resentBytes += Math.max(0, Math.min(until, this.#given) - this.next)
    while (this.next < until) {
      const offset = this.next - this.#start
      const from = offset % BLOCK_BYTES
      const to = Math.min(BLOCK_BYTES, from + until - this.next)
      const block = this.#blocks[Math.floor(offset / BLOCK_BYTES)]
      if (block === undefined) throw new RangeError(`no byte ${this.next} is retained`)
      pieces.push(block.subarray(from, to))
      this.next += to - from
    }
    this.#given = Math.max(this.#given, this.next)
    return pieces
  }

  /** True where the peer can have that much, and what is missing behind it is retained. */
  has(offset: number): boolean {
    return offset >= this.acknowledged && offset <= this.end
  }

  /** The peer has everything before `offset`. */
  acknowledge(offset: number): void {
    if (offset <= this.acknowledged) return
    this.acknowledged = offset
    this.next = Math.max(this.next, offset)
    while (this.acknowledged - this.#start >= BLOCK_BYTES) {
      const block = this.#blocks.shift()
      if (block === undefined) break
      this.#start += BLOCK_BYTES
      if (this.#free.length < MAX_FREE) this.#free.push(block)
    }
  }

  /** Another link goes on where the peer stands. */
  rewind(offset: number): void {
    if (!this.has(offset)) throw new RangeError(`byte ${offset} is not within ${this.acknowledged} to ${this.end}`)
    this.acknowledge(offset)
    this.next = offset
  }

  /** Lets go of everything. */
  clear(): void {
    this.#blocks.length = 0
    this.#free.length = 0
    this.#start = this.acknowledged = this.next = this.end
  }
}
