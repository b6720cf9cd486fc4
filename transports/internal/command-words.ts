/**
 * A command line in words, as a shell would cut it but without one: quotes and backslashes group,
 * nothing is expanded. Throws ERR_ADDRESS_INVALID for an open quote, a final backslash, a NUL, or
 * no word at all.
 */
import { TrunkError } from '../../src/contracts/errors.ts'

/**
 * One word: runs of plain characters, `\x`, `'…'` and `"…"` (where `\` protects only `"` and `\`).
 */
const WORD = /(?:[^\s'"\\]|\\[\s\S]|'[^']*'|"(?:[^"\\]|\\[\s\S])*")+/y
const PIECE = /\\([\s\S])|'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"/g
const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/

/**
 * The words of `line`.
 * @param shown what messages show. @default `line`
 */
export function splitWords(line: string, shown: string = line): string[] {
  const invalid = (what: string): TrunkError =>
    new TrunkError('ERR_ADDRESS_INVALID', `${JSON.stringify(shown)} is no command: ${what}`)
  if (line.includes('\0')) throw invalid('it holds a NUL')
  const words: string[] = []
  for (let at = skipBlanks(line, 0); at < line.length; at = skipBlanks(line, at)) {
    WORD.lastIndex = at
    const match = WORD.exec(line)
    if (match === null) throw invalid('a quote is not closed, or a backslash is the last character')
    words.push(match[0].replace(PIECE, unquote))
    at += match[0].length
    if (at < line.length && !/\s/.test(line.charAt(at))) throw invalid('a quote is not closed')
  }
  if (words.length === 0) throw invalid('it is empty')
  return words
}

/** The reverse: a line that {@link splitWords} cuts into `words`. */
export function joinWords(words: readonly string[]): string {
  return words.map((word) => (PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ')
}

function unquote(_piece: string, escaped?: string, single?: string, double?: string): string {
  return escaped ?? single ?? (double ?? '').replace(/\\(["\\])/g, '$1')
}

function skipBlanks(line: string, at: number): number {
  let index = at
  while (index < line.length && /\s/.test(line.charAt(index))) index++
  return index
}
