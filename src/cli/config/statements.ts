/**
 * Where the statements of a TOML text are: which lines say a key, so that a mistake is found again
 * and a section can be taken out with everything else left as it is. It assumes a text that the
 * parser has taken, or its beginning; of any other text it says something, and never fails.
 */
import { parse } from 'smol-toml'

/** A header, or a key with its value. */
export interface Statement {
  /** From the top of the file; undefined where the parser takes no such key. */
  readonly path: readonly string[] | undefined
  /** From 1. */
  readonly line: number
  /** Its first character, the start of a line. */
  readonly from: number
  /** Behind its last line. */
  readonly to: number
}

const BLANK = /[ \t\r\n\uFEFF]/

/** The statements of `text`, in their order. */
export function statementsOf(text: string): Statement[] {
  const found: Statement[] = []
  let section: readonly string[] = []
  let line = 1
  let counted = 0
  for (let at = 0; at < text.length;) {
    if (BLANK.test(text.charAt(at))) at++
    else if (text.charAt(at) === '#') at = lineEnd(text, at)
    else {
      const isHeader = text.charAt(at) === '['
      const key = endOfKey(text, at)
      const to = isHeader ? lineEnd(text, key) : endOfValue(text, key)
      const path = pathOf(text.slice(at, key).replaceAll(/^\[+|\]+$/g, ''))
      for (; counted < at; counted++) if (text.charAt(counted) === '\n') line++
      if (isHeader) section = path ?? []
      const whole = isHeader ? path : path && [...section, ...path]
      found.push({ path: whole, line, from: text.lastIndexOf('\n', at) + 1, to })
      at = to
    }
  }
  return found
}

/** Behind the line's end, or the text's. */
function lineEnd(text: string, at: number): number {
  const end = text.indexOf('\n', at)
  return end < 0 ? text.length : end + 1
}

/** Behind the string that begins at `at`. */
function endOfString(text: string, at: number): number {
  const quote = text.charAt(at)
  const mark = text.startsWith(quote.repeat(3), at) ? quote.repeat(3) : quote
  for (let i = at + mark.length; i < text.length; i++) {
    if (quote === '"' && text.charAt(i) === '\\') i++
    else if (text.startsWith(mark, i)) {
      let end = i + mark.length
      // the last of four or five quotes end it, the others are its own
      while (mark.length === 3 && text.charAt(end) === quote) end++
      return end
    }
  }
  return text.length
}

/** At the `=` of a key, behind the brackets of a header, or where the line ends before. */
function endOfKey(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    const character = text.charAt(at)
    if (character === '=' || character === '\n' || character === '#') return at
    if (character === ']') return text.charAt(at + 1) === ']' ? at + 2 : at + 1
    if (character === '"' || character === "'") at = endOfString(text, at) - 1
  }
  return text.length
}

/** Behind the line that the value ends in. */
function endOfValue(text: string, from: number): number {
  let depth = 0
  for (let at = from; at < text.length; at++) {
    const character = text.charAt(at)
    if (character === '"' || character === "'") at = endOfString(text, at) - 1
    else if (character === '[' || character === '{') depth++
    else if (character === ']' || character === '}') depth--
    else if (character === '#' || character === '\n') {
      const end = lineEnd(text, at)
      if (depth <= 0) return end
      at = end - 1
    }
  }
  return text.length
}

/** The names of a dotted key, read by the parser itself. */
function pathOf(text: string): string[] | undefined {
  const key = text.trim()
  if (/^[\w-]+$/.test(key)) return [key]
  const path: string[] = []
  try {
    let inner: unknown = parse(`${key} = 0`)
    while (typeof inner === 'object' && inner !== null) {
      const [entry] = Object.entries(inner)
      if (entry === undefined) break
      path.push(entry[0])
      inner = entry[1]
    }
  } catch {
    return undefined // the parser has said what is wrong with it, or will
  }
  return path
}

/** The line that says `path`; that of what it is in where it has none of its own. */
export function lineOf(statements: readonly Statement[], path: readonly string[]): number {
  const begins = (whole: readonly string[], start: readonly string[]): boolean =>
    start.every((name, i) => name === whole[i])
  let best: Statement | undefined
  for (const statement of statements) {
    if (statement.path === undefined || !begins(path, statement.path)) continue
    if (best?.path === undefined || statement.path.length > best.path.length) best = statement
  }
  if (best?.path?.length === path.length) return best.line
  // a section that is named only by what is in it
  const below = statements.find((statement) => statement.path !== undefined && begins(statement.path, path))
  return (below ?? best)?.line ?? 1
}
