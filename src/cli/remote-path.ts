/**
 * Paths on the command line: a leading colon means the peer's, `-` means standard input or output.
 * Byte strings throughout.
 */
import { byteString, type ByteString } from '../runtime/byte-string.ts'
import { printable } from '../runtime/printable.ts'
import { usageError } from './failure.ts'

/** One side of a copy. */
export type Endpoint =
  | { readonly type: 'remote'; readonly path: ByteString }
  | { readonly type: 'local'; readonly path: ByteString }
  | { readonly type: 'standard' }

/**
 * What an argument names. A local file whose name starts with a colon, or is `-`, is written with
 * `./` before it.
 */
export function parseEndpoint(text: string): Endpoint {
  if (text === '-') return { type: 'standard' }
  if (text.startsWith(':')) return { type: 'remote', path: byteString(text.slice(1)) }
  if (text === '') throw usageError('a path cannot be empty')
  return { type: 'local', path: byteString(text) }
}

/** The peer's path that `text` names, without its colon; wrong usage where it has none. */
export function remotePath(text: string): ByteString {
  if (text.startsWith(':')) return byteString(text.slice(1))
  throw usageError(`a path of the peer starts with a colon: :${printable(text)}`)
}

/**
 * How a path of the peer is shown: with its colon, and nothing in it that a terminal would obey.
 */
export function shownRemote(path: ByteString): string {
  return `:${printable(path)}`
}
