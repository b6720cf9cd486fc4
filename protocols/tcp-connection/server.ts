/**
 * The serving side of `tcp-connection`: check, resolve, check each address, dial, and only then
 * accept the pipe.
 *
 * Enforces: the allow-list, `connectTimeoutMs` for resolving and dialling together,
 * `maxConnections` per trunk, and a descriptor for each of those that all trunks share.
 */
import { accountOf, NO_DESCRIPTOR } from '../../src/runtime/budgets.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { defineProtocol } from '../../src/contracts/protocol.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { addressPolicy } from '../tcp/policy.ts'
import type { PipeRequest, Protocol } from '../../src/contracts/types.ts'
import { join } from '../tcp/bridge.ts'
import { unwrap } from '../internal/decoded.ts'
import { perTrunk } from '../internal/per-trunk.ts'
import type { Lookup } from '../tcp/resolve.ts'
import { Slots } from '../tcp/slots.ts'
import { addressesOf } from '../tcp/tcp-fields.ts'
import type { Attempts } from './attempt.ts'
import { dialAllowed } from './dial-allowed.ts'
import { decodeRequest, encodeReply, NAME, type ConnectRequest } from './messages.ts'

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
  /** @default the machine's monotonic clock */
  clock?: Clock
}

type Settings = Required<Omit<TcpConnectionOptions, 'allow' | 'lookup' | 'maxConnections'>> & {
  readonly lookup: Lookup | undefined
  readonly policy: ReturnType<typeof addressPolicy>
  readonly attempts: Attempts | undefined
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
  const settings: Settings = {
    policy: addressPolicy(options.allow),
    connectTimeoutMs: requireInteger('connectTimeoutMs', options.connectTimeoutMs ?? 10_000, 1, 2 ** 31 - 1),
    lookup: options.lookup,
    clock: options.clock ?? systemClock,
    attempts,
  }
  const maxConnections = requireInteger('maxConnections', options.maxConnections ?? 256, 1, 100_000)
  const slotsOf = perTrunk((trunk) => new Slots(maxConnections, accountOf(trunk).descriptors))
  return defineProtocol<ConnectRequest>({
    name: NAME,
    // what the other end of a connection sent before it was cut is delivered first
    readBeforeReset: true,
    parse: (params) => unwrap(decodeRequest(params)),
    async handle(request) {
      const slots = slotsOf(request.trunk)
      if (!slots.take()) {
        const why = slots.full ? `this trunk has its ${slots.max} connections` : NO_DESCRIPTOR
        throw new TrunkError('ERR_CONNECTION_LIMIT', why)
      }
      try {
        await carry(request, settings)
      } finally {
        slots.release()
      }
    },
  })
}

async function carry(request: PipeRequest<ConnectRequest>, settings: Settings): Promise<void> {
  const connection = await dialAllowed(request.params, request.signal, {
    ...settings,
    lookups: accountOf(request.trunk).lookups,
  })
  try {
    const pipe = request.accept(encodeReply(addressesOf(connection)))
    await join(pipe, connection, settings.clock).over
  } finally {
    // Harmless after the bridge; where the pipe could not be had, the connection is not left
    // hanging.
    connection.reset()
  }
}
