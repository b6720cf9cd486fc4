/**
 * `unix:///PATH`: an absolute path, percent-encoded where it holds `%`, `?` or `#`. Where a socket
 * is made there, `?mode=` and `?group=` say who may connect. Throws ERR_ADDRESS_INVALID for a bad
 * address. Bound: 107 bytes, what `sockaddr_un` holds beside its final zero.
 */
import { resolve } from 'node:path'
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import { accessIn, ACCESS_NAMES, formatAccess, type SocketAccess } from './socket-access.ts'

/** What `sockaddr_un.sun_path` holds on Linux, without the final zero. */
export const MAX_SOCKET_PATH_BYTES = 107

/**
 * The path of `address`.
 * @param shown what messages show. @default `address`
 */
export function parseUnixAddress(address: string, shown: string = address): string {
  const invalid = (what: string): TrunkError =>
    new TrunkError('ERR_ADDRESS_INVALID', `${JSON.stringify(shown)} is no unix address: ${what}`)
  if (!address.startsWith('unix:///')) throw invalid('it must be unix:///PATH')
  const encoded = address.slice('unix://'.length)
  if (/[?#]/.test(encoded)) throw invalid('? and # in a path are written %3F and %23')
  const path = decode(encoded)
  if (path === undefined) throw invalid('a percent sign in a path is written %25')
  const reason = refusal(path)
  if (reason !== undefined) throw invalid(reason)
  return resolve(path)
}

/** A path, and who may connect to the socket that is made there. */
export interface ListenPath {
  readonly path: string
  readonly access: SocketAccess
}

/** The parts of `unix:///PATH?mode=0660&group=NAME`. */
export function parseListenPath(address: string): ListenPath {
  const [place = '', ...queries] = address.split('?')
  const path = parseUnixAddress(place, address)
  if (queries.length === 0) return { path, access: {} }
  const query = readQuery(queries.join('?'), ACCESS_NAMES)
  const access = typeof query === 'string' ? query : accessIn(query)
  if (typeof access !== 'string') return { path, access }
  throw new TrunkError('ERR_ADDRESS_INVALID', `${JSON.stringify(address)} is no unix address: ${access}`)
}

/**
 * `?NAME=VALUE&NAME`, without the question mark, where each name is known and given once; gives
 * what is wrong as a sentence.
 */
export function readQuery(query: string, known: ReadonlySet<string>): ReadonlyMap<string, string> | string {
  const found = new Map<string, string>()
  for (const part of query.split('&')) {
    const [name = '', ...values] = part.split('=')
    if (!known.has(name)) return `${JSON.stringify(name)} is no option; there are ${[...known].join(', ')}`
    if (found.has(name)) return `${name} is given twice`
    found.set(name, values.join('='))
  }
  return found
}

/**
 * A path given as an option, absolute or relative to the current folder; ERR_BAD_ARGUMENT where it
 * cannot be one.
 */
export function checkSocketPath(path: unknown): string {
  if (typeof path !== 'string') throw badArgument(`path must be a string, not ${String(path)}`)
  const absolute = path === '' ? '' : resolve(path)
  const reason = refusal(absolute)
  if (reason !== undefined) throw badArgument(`path ${JSON.stringify(path)} is no socket path: ${reason}`)
  return absolute
}

/** How a user would write it. */
export function formatUnixAddress(path: string, access: SocketAccess = {}): string {
  const query = formatAccess(access).join('&')
  return `unix://${path.replace(/[%?#]/g, encodeURIComponent)}${query === '' ? '' : `?${query}`}`
}

function refusal(path: string): string | undefined {
  // no text: Node would name another socket
  if (/\p{Surrogate}/u.test(path)) return 'it holds bytes that are not UTF-8'
  if (path.includes('\0')) return 'it holds a NUL'
  if (path === '' || path.endsWith('/')) return 'it names no file'
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) return `it is longer than ${String(MAX_SOCKET_PATH_BYTES)} bytes`
  return undefined
}

function decode(encoded: string): string | undefined {
  try {
    return decodeURIComponent(encoded)
  } catch {
    // Malformed escapes are all that it throws for; the caller names the address.
    return undefined
  }
}
