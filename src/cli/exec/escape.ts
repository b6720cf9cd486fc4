/**
 * The escape character of a terminal's session, as ssh has it: at the start of a line it begins a
 * word to us. No other key is held back, and inside of a line it is a character like any other.
 */

/** What the user wants of us. */
export type Wish = 'leave' | 'detach' | 'suspend' | 'help'

/** What is to be done with what was typed, in this order. */
export type Typed = { readonly keys: Uint8Array } | { readonly wish: Wish }

const LINE_FEED = 0x0a
const RETURN = 0x0d
const WISHES: ReadonlyMap<number, Wish> = new Map([
  [0x2e, 'leave'], // .
  [0x64, 'detach'], // d
  [0x1a, 'suspend'], // Ctrl-Z
  [0x3f, 'help'], // ?
])

export class EscapeKeys {
  readonly #escape: number | undefined
  #isAtStart = true
  #isHeld = false

  /** @param escape the character; undefined: there is none */
  constructor(escape: number | undefined) {
    this.#escape = escape
  }

  /** Sorts what was typed. */
  push(bytes: Uint8Array): Typed[] {
    const sorted: Typed[] = []
    let keys: number[] = []
    for (const byte of bytes) {
      if (this.#isHeld) {
        this.#isHeld = false
        const wish = WISHES.get(byte)
        if (wish !== undefined) {
          if (keys.length > 0) sorted.push({ keys: Uint8Array.from(keys) })
          keys = []
          sorted.push({ wish })
          this.#isAtStart = true
          continue
        }
        // twice is once; before anything else it is itself
        if (byte !== this.#escape) keys.push(this.#escape ?? byte)
      } else if (this.#isAtStart && byte === this.#escape) {
        this.#isHeld = true
        continue
      }
      keys.push(byte)
      this.#isAtStart = byte === LINE_FEED || byte === RETURN
    }
    if (keys.length > 0) sorted.push({ keys: Uint8Array.from(keys) })
    return sorted
  }
}
