/**
 * File names are bytes, JavaScript strings are not. Where local paths are cut and joined, a path is
 * a *byte string*: the UTF-8 text where the bytes are UTF-8, and one lone surrogate (U+DC80 to
 * U+DCFF) for each byte that is not, as Python does it. Both ways are exact, so a name that is not
 * UTF-8 survives the journey from a directory to the peer and back. The type is not a string for
 * the compiler: Node would encode it as text and name another file, a template would print it.
 */
declare const isBytes: unique symbol

/**
 * See the head of this file. `===` and the keys of a map compare names as they should be compared.
 */
export interface ByteString {
  readonly [isBytes]: true
}

/** What a byte 0x80 to 0xFF that is not part of UTF-8 becomes: this plus the byte. */
export const ESCAPE_BASE = 0xdc00
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
