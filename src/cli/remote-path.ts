/** Paths on the command line: a leading colon means the peer's, `-` means standard input or output. Byte strings throughout. */
import { printable, toBytes } from './byte-string.ts'
import { usageError } from './failure.ts'

/** One side of a copy. */
export type Endpoint =
  | { readonly type: 'remote'; readonly path: string }
  | { readonly type: 'local'; readonly path: string }
  | { readonly type: 'standard' }

/** What an argument names. A local file whose name starts with a colon, or is `-`, is written with `./` before it. */
export function parseEndpoint(text: string): Endpoint {
  if (text === '-') return { type: 'standard' }
  if (text.startsWith(':')) return { type: 'remote', path: text.slice(1) }
  if (text === '') throw usageError('a path cannot be empty')
  return { type: 'local', path: text }
}

/** The peer's path that `text` names, without its colon; wrong usage where it has none. */
export function remotePath(text: string): string {
  if (text.startsWith(':')) return text.slice(1)
  throw usageError(`a path of the peer starts with a colon: :${printable(text)}`)
}

/** `dir/`, `dir/.` and `.` are directories, whatever is there. */
export function saysFolder(path: string): boolean {
  return /(^|\/)\.?$/.test(path)
}

/** A path as the filesystem client takes it: from the root, `''` being the root itself; bytes where it is not UTF-8. */
export function wirePath(path: string): string | Uint8Array {
  const names = path.split('/').filter((part) => part !== '' && part !== '.')
  // The client sees to it that what ends with a slash is a directory.
  const trimmed = names.join('/') + (names.length > 0 && saysFolder(path) ? '/' : '')
  const bytes = toBytes(trimmed)
  return bytes.toString('utf8') === trimmed ? trimmed : bytes
}

/** How a path of the peer is shown: with its colon, and nothing in it that a terminal would obey. */
export function shownRemote(path: string): string {
  return `:${printable(path)}`
}

/** Last part of a path; empty for a root, and `.` where the contents are meant (`dir/.`, `.`). */
export function lastPart(path: string): string {
  const parts = path.split('/').filter((part) => part !== '')
  return parts.at(-1) ?? ''
}

/** `name` below `directory`. */
export function joinPath(directory: string, name: string): string {
  if (directory === '') return name
  return directory.endsWith('/') ? `${directory}${name}` : `${directory}/${name}`
}

/** True where `name`, sent by the peer, is one name: it cannot lead anywhere but into the directory it is joined to. */
export function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0')
}
