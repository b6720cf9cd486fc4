/**
 * Paths on the command line: `:path` means the peer's, `NAME:path` that of the peer of this name,
 * `-` standard input or output. As with scp and rsync the colon counts before the first slash only,
 * and a local file with one is written `./a:b`. Byte strings throughout.
 */
import { byteString, type ByteString } from '../runtime/byte-string.ts'
import { printable } from '../runtime/printable.ts'
import { usageError } from './failure.ts'
import { isPeerName, isScheme } from './peer-name.ts'

/** A path of a peer. */
export interface Remote {
  /** Its name in the configuration; undefined for the peer of the command. */
  readonly peer: string | undefined
  readonly path: ByteString
}

/** One side of a copy. */
export type Endpoint =
  | ({ readonly type: 'remote' } & Remote)
  | { readonly type: 'local'; readonly path: ByteString }
  | { readonly type: 'standard' }

/**
 * What an argument names. A local file with a colon in its name, or that is `-`, is written with
 * `./` before it.
 */
export function parseEndpoint(text: string): Endpoint {
  if (text === '-') return { type: 'standard' }
  if (text === '') throw usageError('a path cannot be empty')
  const remote = remoteIn(text)
  return remote === undefined ? { type: 'local', path: byteString(text) } : { type: 'remote', ...remote }
}

/** The peer's path that `text` names; wrong usage where it has no colon. */
export function remotePath(text: string): Remote {
  const remote = remoteIn(text)
  if (remote !== undefined) return remote
  if (text.startsWith('@')) throw usageError(`a path of ${printable(text)} is written ${printable(text.slice(1))}:PATH`)
  throw usageError(`a path of the peer starts with a colon: :${printable(text)}`)
}

function remoteIn(text: string): Remote | undefined {
  const [, name, path = ''] = /^([^/:]*):(.*)$/s.exec(text) ?? []
  if (name === undefined) return undefined
  if (name === '') return { peer: undefined, path: byteString(path) }
  if (isPeerName(name)) return { peer: name, path: byteString(path) }
  if (process.platform === 'win32' && /^[a-z]$/i.test(name)) return undefined
  if (isScheme(name)) throw usageError(`${printable(text)} is an address, not a path: addresses go to --to`)
  const rule = `${printable(JSON.stringify(name))} before the colon is no name of a peer`
  throw usageError(`${rule}; a local file is written ./${printable(text)}`)
}

/**
 * How a path of a peer is shown: with its colon, and nothing in it that a terminal would obey.
 */
export function shownRemote({ peer = '', path }: Remote): string {
  return `${peer}:${printable(path)}`
}
