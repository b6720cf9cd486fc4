/**
 * Text for a terminal: nothing in it that a terminal would obey. A peer chooses names and
 * sentences.
 */
import { ESCAPE_BASE, escapedText, type ByteString } from './byte-string.ts'

// Control characters (C0, DEL, C1), what turns the direction of writing or shows nothing, and the
// escapes above: what must not reach a terminal as it is.
// eslint-disable-next-line no-control-regex -- these characters are what it looks for
const UNPRINTABLE = /[\u0000-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF\uDC80-\uDCFF]/gu

/**
 * `value` as one line of JSON for programs, which says the same and holds nothing that a terminal
 * would obey: JSON itself escapes no more than C0.
 */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(UNPRINTABLE, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/**
 * `text` for a person's eyes: one line, and nothing in it that a terminal would obey. A peer
 * chooses names and sentences.
 */
export function printable(text: string | ByteString): string {
  return escapedText(text as ByteString).replace(UNPRINTABLE, (character) => {
    if (character === '\n') return '\\n'
    if (character === '\t') return '\\t'
    const code = character.charCodeAt(0)
    if (code > 0xff && code < ESCAPE_BASE) return `\\u${code.toString(16)}`
    return `\\x${(code & 0xff).toString(16).padStart(2, '0')}`
  })
}

/** Colours and weights, which are ours, and ends of lines. */
// eslint-disable-next-line no-control-regex -- the escape character begins them
const OURS = /(\n|\u001B\[[0-9;]*m)/u

/**
 * Lines as they are printed: what a terminal would obey is escaped, but for colours. Whoever puts a
 * peer's word into a line makes it {@link printable}; this is for the place where that was
 * forgotten.
 */
export function printableLines(text: string): string {
  const parts = text.split(OURS)
  // every second part is what it was split at
  return parts.map((part, index) => (index % 2 === 1 ? part : printable(part))).join('')
}
