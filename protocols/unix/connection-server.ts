/**
 * The serving side of `unix-connection`: check, walk to the socket, connect, and only then accept
 * the pipe.
 *
 * Enforces: the allow-list, `connectTimeoutMs`, `maxConnections` per trunk, and a descriptor for
 * each of those that all trunks share.
 */
import { requireInteger } from '../../src/contracts/limits.ts'
import type { PipeRequest, Protocol } from '../../src/contracts/types.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { unwrap } from '../internal/decoded.ts'
import { connectionProtocol } from '../tcp-connection/serving.ts'
import type { UnixPath } from './address.ts'
import { connectUnix } from './connect.ts'
import type { UnixDial } from './dial.ts'
import { CONNECTION, decodeConnect, type ConnectRequest } from './messages.ts'
import { socketPolicy } from './policy.ts'

/** Options of {@link unixConnection}. */
export interface UnixConnectionOptions {
  /**
   * What the peer may have connected: `/run/docker.sock`, `/run/user/1000/app/*.sock`,
   * `/srv/sockets/` (everything below it), `@name`. An empty list denies everything. The rules are
   * those of protocols/unix/policy.ts.
   */
  allow: readonly UnixPath[]
  /** How long a socket whose backlog is full is waited for, in milliseconds. @default 10000 */
  connectTimeoutMs?: number
  /** Connections that one trunk may have at a time, those being connected included. @default 256 */
  maxConnections?: number
  /** The clock of all time limits. @default the machine's monotonic clock */
  clock?: Clock
}

/**
 * Lets the peer connect to unix sockets through us. Throws ERR_BAD_ARGUMENT at once for a bad rule
 * or number.
 *
 * It refuses with ERR_PARAMS_INVALID, ERR_DENIED, ERR_CONNECT_REFUSED, ERR_CONNECT_UNREACHABLE,
 * ERR_ADDRESS_UNAVAILABLE and ERR_CONNECTION_LIMIT.
 *
 * @example
 * ```ts
 * const protocols = [unixConnection({ allow: ['/run/docker.sock'] })]
 * const server = await serve(address, { protocols })
 * ```
 */
export function unixConnection(options: UnixConnectionOptions): Protocol {
  return unixConnectionsOver(options)
}

/**
 * {@link unixConnection} by a chosen way of connecting. @param dial default: the system's, looked
 * for at the first connection
 */
export function unixConnectionsOver(options: UnixConnectionOptions, dial?: UnixDial): Protocol {
  const policy = socketPolicy(options.allow)
  const timeoutMs = requireInteger('connectTimeoutMs', options.connectTimeoutMs ?? 10_000, 1, 2 ** 31 - 1)
  const clock = options.clock ?? systemClock
  return connectionProtocol<ConnectRequest>({
    name: CONNECTION,
    maxConnections: requireInteger('maxConnections', options.maxConnections ?? 256, 1, 100_000),
    clock,
    parse: (params) => unwrap(decodeConnect(params)),
    connect: ({ params, signal }: PipeRequest<ConnectRequest>) =>
      connectUnix(params.address, { policy, clock, signal, timeoutMs, dial }),
    replyOf: () => undefined,
  })
}
