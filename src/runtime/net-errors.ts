/**
 * The operating system's network errors as trunkline's: one table for every transport and for the
 * TCP protocols.
 *
 * Promises: the code is decided by `error.code` (never by a message), the original is the `cause`,
 * and the sentence names only the target that the caller gave, so it may travel to a peer. Imports
 * nothing of Node.
 */
import type { ErrorScope, KnownCode } from '../contracts/errors.ts'
import { TrunkError } from '../contracts/errors.ts'

type Row = readonly [code: KnownCode, what: string]

/** Dialling. ENOENT is a unix socket that is not there: nobody listens, as with ECONNREFUSED. */
const CONNECT: ReadonlyMap<string, Row> = new Map<string, Row>([
  ['ECONNREFUSED', ['ERR_CONNECT_REFUSED', 'nobody listens there']],
  ['ECONNRESET', ['ERR_CONNECT_REFUSED', 'it hung up at once']],
  ['EPIPE', ['ERR_CONNECT_REFUSED', 'it hung up at once']],
  ['ENOENT', ['ERR_CONNECT_REFUSED', 'there is no such socket']],
  ['ENOTSOCK', ['ERR_CONNECT_REFUSED', 'that is no socket']],
  ['ENOTDIR', ['ERR_CONNECT_REFUSED', 'a part of the path is no folder']],
  ['EPROTOTYPE', ['ERR_CONNECT_REFUSED', 'that is a socket of another kind']],
  ['EAGAIN', ['ERR_CONNECT_REFUSED', 'its backlog is full']],
  ['EHOSTUNREACH', ['ERR_CONNECT_UNREACHABLE', 'no route to the host']],
  ['ENETUNREACH', ['ERR_CONNECT_UNREACHABLE', 'no route to the network']],
  ['EHOSTDOWN', ['ERR_CONNECT_UNREACHABLE', 'the host is down']],
  ['ENETDOWN', ['ERR_CONNECT_UNREACHABLE', 'the network is down']],
  ['ENODEV', ['ERR_CONNECT_UNREACHABLE', 'there is no device for it']],
  ['EADDRNOTAVAIL', ['ERR_ADDRESS_UNAVAILABLE', 'the address cannot be used here']],
  ['EINVAL', ['ERR_ADDRESS_UNAVAILABLE', 'the address cannot be used here']],
  ['EAFNOSUPPORT', ['ERR_ADDRESS_UNAVAILABLE', 'this kind of address is not supported here']],
  ['ETIMEDOUT', ['ERR_CONNECT_TIMEOUT', 'no answer in time']],
  ['ERR_SOCKET_CONNECTION_TIMEOUT', ['ERR_CONNECT_TIMEOUT', 'no answer in time']],
  ['ENOTFOUND', ['ERR_NAME_NOT_FOUND', 'the name is not known']],
  ['EACCES', ['ERR_DENIED', 'permission denied']],
  ['EPERM', ['ERR_DENIED', 'permission denied']],
])

/** Binding and listening. */
const LISTEN: ReadonlyMap<string, Row> = new Map<string, Row>([
  ['EADDRINUSE', ['ERR_ADDRESS_IN_USE', 'the address is in use']],
  ['EEXIST', ['ERR_ADDRESS_IN_USE', 'the address is in use']],
  ['EADDRNOTAVAIL', ['ERR_ADDRESS_UNAVAILABLE', 'no interface here has that address']],
  ['EAFNOSUPPORT', ['ERR_ADDRESS_UNAVAILABLE', 'this kind of address is not supported here']],
  ['EINVAL', ['ERR_ADDRESS_UNAVAILABLE', 'the address cannot be bound']],
  ['ENOENT', ['ERR_ADDRESS_UNAVAILABLE', 'the folder does not exist']],
  ['ENOTDIR', ['ERR_ADDRESS_UNAVAILABLE', 'a part of the path is no folder']],
  ['ENOTFOUND', ['ERR_NAME_NOT_FOUND', 'the name is not known']],
  ['EACCES', ['ERR_BIND_DENIED', 'permission denied']],
  ['EPERM', ['ERR_BIND_DENIED', 'permission denied']],
  ['EROFS', ['ERR_BIND_DENIED', 'the file system is read-only']],
  ['ENOSPC', ['ERR_NO_SPACE', 'no space left']],
  ['EDQUOT', ['ERR_QUOTA', 'disk quota exceeded']],
])

/** A line that stood. */
const LINK: ReadonlyMap<string, Row> = new Map<string, Row>([
  ['ECONNRESET', ['ERR_LINK_RESET', 'the peer reset the line']],
  ['EPIPE', ['ERR_LINK_RESET', 'the peer no longer reads']],
  ['ECONNABORTED', ['ERR_LINK_RESET', 'the line was aborted']],
  ['ETIMEDOUT', ['ERR_LINK_LOST', 'the peer no longer answers']],
  ['EHOSTUNREACH', ['ERR_LINK_LOST', 'the peer can no longer be reached']],
  ['ENETUNREACH', ['ERR_LINK_LOST', 'the peer can no longer be reached']],
  ['ENETDOWN', ['ERR_LINK_LOST', 'the network is down']],
  ['ENOTCONN', ['ERR_LINK_LOST', 'the line is gone']],
])

/**
 * Why dialling `target` failed. ERR_CONNECT_REFUSED, _UNREACHABLE, _TIMEOUT, ERR_NAME_NOT_FOUND,
 * ERR_ADDRESS_UNAVAILABLE or ERR_DENIED; what the table does not know is ERR_CONNECT_UNREACHABLE
 * with its cause. A `TrunkError` comes back as it is.
 * @param scope what the failure ends. @default 'pipe', which is what a protocol's refusal needs;
 * transports say 'link'
 *
 * @example
 * ```ts
 * socket.once('error', (error) => reject(connectError(error, 'vm-3:22', 'link')))
 * ```
 */
export function connectError(error: unknown, target: string, scope: ErrorScope = 'pipe'): TrunkError {
  if (error instanceof TrunkError) return error
  const row = CONNECT.get(codeOf(error)) ?? resolverRow(error) ?? ['ERR_CONNECT_UNREACHABLE', 'it failed']
  return new TrunkError(row[0], `cannot connect to ${target}: ${row[1]}`, { cause: error, scope })
}

/**
 * Why listening at `target` failed. ERR_ADDRESS_IN_USE, ERR_ADDRESS_UNAVAILABLE, ERR_BIND_DENIED or
 * ERR_NAME_NOT_FOUND; what the table does not know is ERR_ADDRESS_UNAVAILABLE with its cause. A
 * `TrunkError` comes back as it is.
 * @param scope what the failure ends. @default 'pipe'
 *
 * @example
 * ```ts
 * server.once('error', (error) => reject(listenError(error, '127.0.0.1:22', 'link')))
 * ```
 */
export function listenError(error: unknown, target: string, scope: ErrorScope = 'pipe'): TrunkError {
  if (error instanceof TrunkError) return error
  const row = LISTEN.get(codeOf(error)) ?? resolverRow(error) ?? ['ERR_ADDRESS_UNAVAILABLE', 'it failed']
  return new TrunkError(row[0], `cannot listen at ${target}: ${row[1]}`, { cause: error, scope })
}

/**
 * Why a line that stood has failed, always of scope `link`: ERR_LINK_RESET where the peer cut it,
 * ERR_LINK_LOST where it can no longer be reached, else ERR_LINK_FAILED. A `TrunkError` comes back
 * as it is.
 */
export function linkError(error: unknown): TrunkError {
  if (error instanceof TrunkError) return error
  const row = LINK.get(codeOf(error)) ?? ['ERR_LINK_FAILED', 'the line failed']
  return new TrunkError(row[0], row[1], { cause: error, scope: 'link' })
}

/**
 * Errors of accept(2) that belong to the one connection that was taken from the queue: the next may
 * be fine at once.
 */
const OF_ONE_CONNECTION: ReadonlySet<string> = new Set([
  'ECONNABORTED',
  'EPROTO',
  'ENOPROTOOPT',
  'EOPNOTSUPP',
  'EPERM',
  'ENETDOWN',
  'ENETUNREACH',
  'ENONET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ETIMEDOUT',
])

/** True where accepting failed for one connection only, and can be asked again at once. */
export function ofOneConnection(error: unknown): boolean {
  return OF_ONE_CONNECTION.has(codeOf(error))
}

/**
 * The `code` of a system error, '' where there is none. Several attempts (AggregateError) count as
 * their first.
 */
function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  if ('code' in error && typeof error.code === 'string') return error.code
  return error instanceof AggregateError && error.errors.length > 0 ? codeOf(error.errors[0]) : ''
}

/** The resolver's own failures are a family of codes, EAI_AGAIN and others. */
function resolverRow(error: unknown): Row | undefined {
  return codeOf(error).startsWith('EAI_') ? ['ERR_NAME_NOT_FOUND', 'the name could not be looked up'] : undefined
}
