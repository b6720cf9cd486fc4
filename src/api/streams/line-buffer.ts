/**
 * The bytes of one line until it is complete: copies, in memory that is used again, and never more
 * than the longest line.
 */
import { TrunkError } from '../../contracts/errors.ts'

const FIRST_BYTES = 256
const CARRIAGE_RETURN = 13

export class LineBuffer {
  readonly #maxBytes: number
  #bytes = new Uint8Array(FIRST_BYTES)
  #length = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes of the line so far. */
  get length(): number {
    return this.#length
  }

  /** Adds a part of the line; ERR_MESSAGE_INVALID where it is too long with it. */
  append(part: Uint8Array): void {
    const length = this.#length + part.byteLength
    if (length > this.#maxBytes) {
      throw new TrunkError('ERR_MESSAGE_INVALID', `a line is longer than ${this.#maxBytes} bytes`)
    }
    if (length > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(length, Math.min(this.#maxBytes, 2 * this.#bytes.byteLength)))
      larger.set(this.#bytes.subarray(0, this.#length))
      this.#bytes = larger
    }
    this.#bytes.set(part, this.#length)
    this.#length = length
  }

  /**
   * The line, which is complete, without a carriage return at its end. Good until the next
   * {@link append}.
   */
  take(): Uint8Array {
    const end = this.#bytes[this.#length - 1] === CARRIAGE_RETURN ? this.#length - 1 : this.#length
    this.#length = 0
    return this.#bytes.subarray(0, Math.max(0, end))
  }
}
