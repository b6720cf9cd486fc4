/**
 * Where the body of a request ends: what comes behind it is another request, perhaps to another
 * server, and no business of this one's. Holds a few numbers.
 */
import type { BodyLength } from './http-head.ts'

/** Digits of a chunk's size that a number can hold. */
const MAX_SIZE_DIGITS = 13
const [CR, LF] = [13, 10] as const

type State =
  | 'size'
  | 'extension'
  | 'size end'
  | 'data'
  | 'data end'
  | 'data end LF'
  | 'line'
  | 'in line'
  | 'line LF'
  | 'last LF'

/** See the top of the file. */
export class BodyMeter {
  #left: number
  #state: State
  #digits = 0
  #over: boolean
  #malformed = false

  constructor(length: BodyLength) {
    this.#left = length === 'chunked' ? 0 : length
    this.#state = length === 'chunked' ? 'size' : 'data'
    this.#chunked = length === 'chunked'
    this.#over = length === 0
  }

  readonly #chunked: boolean

  /** True where the body's chunks are none: nothing that follows can be believed. */
  get malformed(): boolean {
    return this.#malformed
  }

  /** How many of the bytes belong to the body, from the first on. */
  take(bytes: Uint8Array): number {
    let at = 0
    while (at < bytes.byteLength && !this.#over && !this.#malformed) {
      if (this.#state === 'data') {
        const part = Math.min(this.#left, bytes.byteLength - at)
        at += part
        this.#left -= part
        if (this.#left > 0) continue
        if (this.#chunked) this.#state = 'data end'
        else this.#over = true
      } else {
        this.#step(bytes[at] ?? 0)
        at += 1
      }
    }
    return at
  }

  #step(byte: number): void {
    switch (this.#state) {
      case 'size':
        this.#size(byte)
        return
      case 'extension':
        if (byte === CR) this.#state = 'size end'
        else this.#malformed = byte === LF
        return
      case 'size end':
        this.#next(byte === LF, this.#left > 0 ? 'data' : 'line')
        return
      case 'data end':
        this.#next(byte === CR, 'data end LF')
        return
      case 'data end LF':
        this.#digits = 0
        this.#next(byte === LF, 'size')
        return
      // behind the last chunk: fields, then an empty line
      case 'line':
        this.#next(byte !== LF, byte === CR ? 'last LF' : 'in line')
        return
      case 'in line':
        this.#next(byte !== LF, byte === CR ? 'line LF' : 'in line')
        return
      case 'line LF':
        this.#next(byte === LF, 'line')
        return
      case 'last LF':
        this.#over = byte === LF
        this.#malformed = !this.#over
        return
      case 'data':
        return
    }
  }

  #size(byte: number): void {
    const digit = Number.parseInt(String.fromCharCode(byte), 16)
    if (!Number.isNaN(digit)) {
      this.#digits += 1
      this.#left = this.#left * 16 + digit
      this.#malformed = this.#digits > MAX_SIZE_DIGITS
      return
    }
    // blanks before an extension are allowed, and nothing else
    const isExtension = byte === 0x3b || byte === 0x20 || byte === 0x09
    this.#next(this.#digits > 0 && (byte === CR || isExtension), byte === CR ? 'size end' : 'extension')
  }

  #next(right: boolean, state: State): void {
    if (right) this.#state = state
    else this.#malformed = true
  }
}
