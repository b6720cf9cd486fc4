/**
 * The operating system's network errors as trunkline's, for every transport and for the TCP
 * protocols; system-errors.ts has the table.
 *
 * Promises: the code is decided by `error.code` (never by a message), the original is the `cause`,
 * and the sentence names only the target that the caller gave, so it may travel to a peer. Imports
 * nothing of Node.
 */
import type { ErrorScope } from '../contracts/errors.ts'
import { TrunkError } from '../contracts/errors.ts'
import { errnoOf, meaningOf, type Meaning } from './system-errors.ts'

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
  const row = meaningOf(error, 'connect') ?? resolverRow(error) ?? ['ERR_CONNECT_UNREACHABLE', 'it failed']
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
  const row = meaningOf(error, 'listen') ?? resolverRow(error) ?? ['ERR_ADDRESS_UNAVAILABLE', 'it failed']
  return new TrunkError(row[0], `cannot listen at ${target}: ${row[1]}`, { cause: error, scope })
}

/**
 * Why a line that stood has failed, always of scope `link`: ERR_LINK_RESET where the peer cut it,
 * ERR_LINK_LOST where it can no longer be reached, else ERR_LINK_FAILED. A `TrunkError` comes back
 * as it is.
 */
export function linkError(error: unknown): TrunkError {
  if (error instanceof TrunkError) return error
  const row = meaningOf(error, 'link') ?? ['ERR_LINK_FAILED', 'the line failed']
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
  return OF_ONE_CONNECTION.has(errnoOf(error) ?? '')
}

/** The resolver's own failures are a family of codes, EAI_AGAIN and others. */
function resolverRow(error: unknown): Meaning | undefined {
  return errnoOf(error)?.startsWith('EAI_') === true
    ? ['ERR_NAME_NOT_FOUND', 'the name could not be looked up']
    : undefined
}
