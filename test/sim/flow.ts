import { SYNC_WORD } from '../../src/core/frame/constants.ts'

/**
 * One direction of one simulated pipe, seen from outside both muxers: what the writer's application
 * wrote and how it ended, what the reader's application got. The contents follow from the key and
 * the offset, so every byte that is read can be checked.
 */
export class Flow {
  readonly #key: number
  written = 0
  read = 0
  /** The writer has ended its side; nothing is written after that. */
  ended = false
  /** The reader saw a clean end. */
  sawEnd = false
  /** The reader gave up, or either side reset: what is missing is nobody's fault. */
  abandoned = false

  constructor(key: number) {
    this.#key = key
  }

  /** The next `length` bytes to write. */
  produce(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) bytes[i] = this.#byteAt(this.written + i)
    this.written += length
    return bytes
  }

  /**
   * Takes what was read; returns what is wrong with it, if anything (I1: a prefix of what was
   * written).
   */
  consume(bytes: Uint8Array): string | undefined {
    if (this.read + bytes.byteLength > this.written)
      return `read ${this.read + bytes.byteLength} of ${this.written} bytes written`
    for (let i = 0; i < bytes.byteLength; i++) {
      if (bytes[i] !== this.#byteAt(this.read + i)) return `wrong byte at offset ${this.read + i}`
    }
    this.read += bytes.byteLength
    return undefined
  }

  #byteAt(offset: number): number {
    // some flows are made of pieces of the sync word: what may not occur with checked framing has
    // to be asked for
    if (this.#key % 3 === 0) {
      const kind = (Math.imul((offset >> 2) + this.#key, 0x85ebca6b) >>> 29) & 3
      if (kind < 3) return SYNC_WORD[(offset & 3) + (kind === 2 ? 4 : 0)] ?? 0
    }
    return (Math.imul(offset + this.#key, 0x9e3779b1) >>> 24) & 0xff
  }
}
