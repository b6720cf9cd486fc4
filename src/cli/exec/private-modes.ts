/**
 * The modes of a terminal that a program at the peer has set, seen in what it writes: where it
 * cannot put them back itself any more, exactly these are. Anything else of its output is none of
 * our business. What is held is one unfinished sequence, of a bounded length.
 */

/** Those that are on by default: their undoing sets them. */
const ON: ReadonlySet<number> = new Set([7, 25])
/** Those that are off by default. */
const OFF: ReadonlySet<number> = new Set([
  1, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1047, 1049, 2004, 2026,
])
const ESCAPE = '\u001B'
const LONGEST = 64
/** A control sequence, or a short one: parameters and its last characters. */
// eslint-disable-next-line no-control-regex -- it is what it looks for
const SEQUENCE = /\u001B(?:\[([0-?]*)([ -/]*[@-~])|([=>c]))/g
/** The beginning of one. */
// eslint-disable-next-line no-control-regex -- it is what it looks for
const UNFINISHED = /\u001B(?:\[[0-?]*[ -/]*)?$/

export class PrivateModes {
  readonly #changed = new Set<number>()
  #keyboards = 0
  #hasCursorShape = false
  #hasKeypad = false
  #held = ''

  /** What was shown. */
  push(bytes: Uint8Array): void {
    // most of what is shown has none
    if (this.#held === '' && !bytes.includes(0x1b)) return
    const text = this.#held + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
    for (const [, parameters = '', end = '', short] of text.matchAll(SEQUENCE)) this.#sequence(parameters, end, short)
    const unfinished = UNFINISHED.exec(text)?.[0] ?? ''
    this.#held = unfinished.length <= LONGEST ? unfinished : ''
  }

  /** What sets the terminal back; empty where nothing was changed. */
  undo(): string {
    const modes = [...this.#changed].map((mode) => `${ESCAPE}[?${mode}${ON.has(mode) ? 'h' : 'l'}`)
    const keyboards = `${ESCAPE}[<u`.repeat(this.#keyboards)
    const shape = this.#hasCursorShape ? `${ESCAPE}[0 q` : ''
    return modes.join('') + keyboards + shape + (this.#hasKeypad ? `${ESCAPE}>` : '')
  }

  #sequence(parameters: string, end: string, short: string | undefined): void {
    if (short !== undefined) {
      if (short === 'c') this.#reset()
      else this.#hasKeypad = short === '='
    } else if (parameters.startsWith('?') && (end === 'h' || end === 'l')) {
      for (const text of parameters.slice(1).split(';')) this.#mode(Number(text), end === 'h')
    } else if (end === 'u' && parameters.startsWith('>')) this.#keyboards = Math.min(this.#keyboards + 1, LONGEST)
    else if (end === 'u' && parameters.startsWith('<')) {
      this.#keyboards = Math.max(0, this.#keyboards - Number(parameters.slice(1) || 1))
    } else if (end === ' q') this.#hasCursorShape = parameters !== '' && parameters !== '0'
  }

  #mode(mode: number, isSet: boolean): void {
    if (!ON.has(mode) && !OFF.has(mode)) return
    if (isSet === ON.has(mode)) this.#changed.delete(mode)
    else this.#changed.add(mode)
  }

  #reset(): void {
    this.#changed.clear()
    this.#keyboards = 0
    this.#hasCursorShape = this.#hasKeypad = false
  }
}
