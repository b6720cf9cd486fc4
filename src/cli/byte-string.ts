/**
 * File names are bytes, JavaScript strings are not. Inside the command line every path is a *byte
 * string*: the UTF-8 text where the bytes are UTF-8, and one lone surrogate (U+DC80 to U+DCFF) for
 * each byte that is not, as Python does it. Both ways are exact, so a name that is not UTF-8
 * survives the journey from a directory to the peer and back. The type is not a string for the
 * compiler: Node would encode it as text and name another file, a template would print it.
 */
import { readFileSync } from 'node:fs'
import { badArgument } from '../contracts/errors.ts'

declare const isBytes: unique symbol

/**
 * See the head of this file. `===` and the keys of a map compare names as they should be compared.
 */
export interface ByteString {
  readonly [isBytes]: true
}

/** What a byte 0x80 to 0xFF that is not part of UTF-8 becomes: this plus the byte. */
const ESCAPE_BASE = 0xdc00
const ESCAPED = /[\uDC80-\uDCFF]/u
const ESCAPED_EACH = /[\uDC80-\uDCFF]/gu

/** Length of the UTF-8 sequence that begins with `lead`; 0 where none does. */
function sequenceLength(lead: number): number {
  if (lead < 0x80) return 1
  if (lead >= 0xc2 && lead <= 0xdf) return 2
  if (lead >= 0xe0 && lead <= 0xef) return 3
  return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0
}

/** An argument of the command line, as {@link rawArguments} gives it, or text of our own. */
export function byteString(text: string): ByteString {
  return text as unknown as ByteString
}

/**
 * The escapes and the text, for code that cuts and joins byte strings, and for what goes through
 * {@link byteString} again.
 */
export function escapedText(bytes: ByteString): string {
  return bytes as unknown as string
}

/** The byte string of `bytes`. */
export function fromBytes(bytes: Uint8Array): ByteString {
  return byteString(escaped(bytes))
}

function escaped(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString('utf8')
  if (!text.includes('\uFFFD') || Buffer.from(text, 'utf8').equals(buffer)) return text
  let result = ''
  for (let at = 0; at < buffer.length;) {
    const lead = buffer.readUInt8(at)
    const length = sequenceLength(lead)
    const piece = buffer.subarray(at, at + length)
    const decoded = piece.toString('utf8')
    if (length > 0 && Buffer.from(decoded, 'utf8').equals(piece)) {
      result += decoded
      at += length
    } else {
      result += String.fromCharCode(ESCAPE_BASE + lead)
      at += 1
    }
  }
  return result
}

/** The bytes of a byte string: what Node's functions for files take. */
export function toBytes(path: ByteString): Buffer {
  const text = escapedText(path)
  if (!ESCAPED.test(text)) return Buffer.from(text, 'utf8')
  const parts: Buffer[] = []
  let from = 0
  for (const match of text.matchAll(ESCAPED_EACH)) {
    parts.push(Buffer.from(text.slice(from, match.index), 'utf8'))
    parts.push(Buffer.of(match[0].charCodeAt(0) - ESCAPE_BASE))
    from = match.index + 1
  }
  parts.push(Buffer.from(text.slice(from), 'utf8'))
  return Buffer.concat(parts)
}

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

/**
 * The process's arguments with escapes in them. Node decodes them as UTF-8 and loses what is not;
 * Linux keeps the bytes in /proc. Where nobody keeps them, an argument that may have lost some is
 * refused: it could name another file.
 */
export function rawArguments(args: readonly string[]): string[] {
  if (!args.some(isLossy)) return [...args]
  const raw = (entriesOf('/proc/self/cmdline') ?? []).slice(-args.length).map(escaped)
  if (raw.length === args.length && raw.every((text, i) => decoded(text) === args[i])) return raw
  throw badArgument(
    `an argument holds bytes that are not UTF-8, and this system does not tell which: ${args.find(isLossy)}`,
  )
}

/** The environment, with the variables of trunkline as {@link rawArguments} gives arguments. */
export function rawEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const lossy = Object.entries(env).filter(([name, value]) => name.startsWith('TRUNKLINE_') && isLossy(value ?? ''))
  if (lossy.length === 0) return env
  const entries = (entriesOf('/proc/self/environ') ?? []).map(escaped)
  const raw = { ...env }
  for (const [name, value] of lossy) {
    const entry = entries.find((text) => text.startsWith(`${name}=`))?.slice(name.length + 1)
    // U+DCBD stands for no byte of UTF-8 text: what takes the variable refuses it, or finds no such
    // file
    raw[name] = entry !== undefined && decoded(entry) === value ? entry : value?.replaceAll('\uFFFD', '\uDCBD')
  }
  return raw
}

/** Whether it may have lost bytes when Node decoded it. */
function isLossy(text: string): boolean {
  return text.includes('\uFFFD')
}

/** What Node makes of the bytes. */
function decoded(text: string): string {
  return toBytes(byteString(text)).toString('utf8')
}

function entriesOf(file: '/proc/self/cmdline' | '/proc/self/environ'): Buffer[] | undefined {
  try {
    return splitAtZero(readFileSync(file))
  } catch {
    return undefined // no /proc: nobody keeps the bytes
  }
}

function splitAtZero(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let from = 0; from < bytes.length;) {
    const zero = bytes.indexOf(0, from)
    const to = zero === -1 ? bytes.length : zero
    parts.push(bytes.subarray(from, to))
    from = to + 1
  }
  return parts
}
