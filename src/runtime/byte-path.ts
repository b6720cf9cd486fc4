/** Paths as byte strings: what cuts and joins them. */
import { byteString, escapedText, toBytes, type ByteString } from './byte-string.ts'

/** The start of a path that joining begins with: where it is, or the top of a tree. */
export const HERE: ByteString = byteString('')

/** `dir/`, `dir/.` and `.` are directories, whatever is there. */
export function saysFolder(path: ByteString): boolean {
  return /(^|\/)\.?$/.test(escapedText(path))
}

/**
 * A path as the filesystem client takes it: from the root, `''` being the root itself; bytes where
 * it is not UTF-8.
 */
export function wirePath(path: ByteString): string | Uint8Array {
  const names = escapedText(path)
    .split('/')
    .filter((part) => part !== '' && part !== '.')
  // The client sees to it that what ends with a slash is a directory.
  const trimmed = names.join('/') + (names.length > 0 && saysFolder(path) ? '/' : '')
  const bytes = toBytes(byteString(trimmed))
  return bytes.toString('utf8') === trimmed ? trimmed : bytes
}

/** Last part of a path; empty for a root, and `.` where the contents are meant (`dir/.`, `.`). */
export function lastPart(path: ByteString): ByteString {
  const parts = escapedText(path)
    .split('/')
    .filter((part) => part !== '')
  return byteString(parts.at(-1) ?? '')
}

/**
 * True for a last part that is the name of something: not that of a root, nor of what is meant by
 * its contents.
 */
export function isName(part: ByteString): boolean {
  return !['', '.', '..'].includes(escapedText(part))
}

/** What `path` is in, without its slash; {@link HERE} for a name alone. */
export function parentOf(path: ByteString): ByteString {
  const text = escapedText(path)
  return byteString(text.slice(0, Math.max(0, text.lastIndexOf('/'))))
}

/** Names in a path of a tree: 0 for its top. */
export function depthOf(relative: ByteString): number {
  return relative === HERE ? 0 : escapedText(relative).split('/').length
}

/** The folder of a local path, with its slash; {@link HERE} for a name alone. */
export function folderPrefix(path: ByteString): ByteString {
  const text = escapedText(path)
  return byteString(text.slice(0, text.lastIndexOf('/') + 1))
}

/** `name` below `directory`. */
export function joinPath(directory: ByteString, name: ByteString): ByteString {
  if (directory === HERE) return name
  const [above, below] = [escapedText(directory), escapedText(name)]
  return byteString(above.endsWith('/') ? `${above}${below}` : `${above}/${below}`)
}

/**
 * True where `name`, sent by the peer, is one name: it cannot lead anywhere but into the directory
 * it is joined to.
 */
export function isPlainName(name: ByteString): boolean {
  const text = escapedText(name)
  return isName(name) && !text.includes('/') && !text.includes('\0')
}
