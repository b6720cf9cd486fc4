/**
 * The serving side of `tcp-connection`: check, resolve, check each address, dial, and only then
 * accept the pipe.
 *
 * Enforces: the allow-list, `connectTimeoutMs` for resolving and dialling together,
 * `maxConnections` per trunk, and a descriptor for each of those that all trunks share.
 */
import { accountOf } from '../../src/runtime/budgets.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { addressPolicy } from '../tcp/policy.ts'
import type { Protocol } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import type { Lookup } from '../tcp/resolve.ts'
import { addressesOf } from '../tcp/tcp-fields.ts'
import type { Attempts } from './attempt.ts'
import { dialAllowed } from './dial-allowed.ts'
import { decodeRequest, encodeReply, NAME, type ConnectRequest } from './messages.ts'
import { connectionProtocol } from './serving.ts'

/** Options of {@link tcpConnection}. */
export interface TcpConnectionOptions {
  /**
   * What the peer may have dialled: `127.0.0.1:5432`, `10.0.0.0/8:*`, `[::1]:80`,
   * `example.com:443`, `any`. An empty list denies everything. The rules are those of
   * protocols/tcp/policy.ts.
   */
  allow: readonly string[]
  /** Time for resolving and dialling together, in milliseconds. @default 10000 */
  connectTimeoutMs?: number
  /** Connections that one trunk may have at a time, those being dialled included. @default 256 */
  maxConnections?: number
  /** How names are resolved. @default the system's resolver */
  lookup?: Lookup
  /** The clock of all time limits. @default the machine's monotonic clock */
  clock?: Clock
}

/**
 * Lets the peer dial TCP connections through us. Throws ERR_BAD_ARGUMENT at once for a bad rule or
 * number.
 *
 * It refuses with ERR_PARAMS_INVALID, ERR_DENIED, ERR_NAME_NOT_FOUND, ERR_CONNECT_REFUSED,
 * ERR_CONNECT_UNREACHABLE, ERR_CONNECT_TIMEOUT, ERR_ADDRESS_UNAVAILABLE and ERR_CONNECTION_LIMIT.
 *
 * @example
 * ```ts
 * const protocols = [tcpConnection({ allow: ['127.0.0.1:5432'] })]
 * const server = await serve(address, { protocols })
 * ```
 */
export function tcpConnection(options: TcpConnectionOptions): Protocol {
  return connectionsOver(options)
}

/**
 * {@link tcpConnection} by a chosen way of dialling. @param attempts default: the system's, looked
 * for at the first dial
 */
export function connectionsOver(options: TcpConnectionOptions, attempts?: Attempts): Protocol {
  const settings = {
    policy: addressPolicy(options.allow),
    connectTimeoutMs: requireInteger('connectTimeoutMs', options.connectTimeoutMs ?? 10_000, 1, 2 ** 31 - 1),
    lookup: options.lookup,
    clock: options.clock ?? systemClock,
    attempts,
  }
  return connectionProtocol<ConnectRequest>({
    name: NAME,
    maxConnections: requireInteger('maxConnections', options.maxConnections ?? 256, 1, 100_000),
    clock: settings.clock,
    parse: (params) => unwrap(decodeRequest(params)),
    connect: ({ params, signal, trunk }) =>
      dialAllowed(params, signal, { ...settings, lookups: accountOf(trunk).lookups }),
    replyOf: (connection) => encodeReply(addressesOf(connection)),
  })
}
