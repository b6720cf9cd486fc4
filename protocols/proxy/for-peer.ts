/**
 * The proxy whose clients are at the peer: each says where it wants to go, and we connect, where
 * the rules allow it.
 */
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { toTrunkError, TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe, Trunk } from '../../src/contracts/types.ts'
import { accountOf, NO_DESCRIPTOR } from '../../src/runtime/budgets.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import type { Share } from '../../src/runtime/fair-budget.ts'
import { notify } from '../../src/runtime/notify.ts'
import { join } from '../tcp/bridge.ts'
import type { Connection } from '../tcp/connection.ts'
import { addressPolicy, type AddressPolicy } from '../tcp/policy.ts'
import { type Lookup } from '../tcp/resolve.ts'
import { dialAllowed } from '../tcp-connection/dial-allowed.ts'
import type { Attempts } from '../tcp-connection/attempt.ts'
import { ask } from './client.ts'
import { ClientPipe } from './client-pipe.ts'
import { failureReply, successReply, type HandshakeOptions, type ProxyRequest } from './handshake.ts'

/** Options of {@link proxyConnections}. */
export interface ProxyOptions extends HandshakeOptions {
  /**
   * What may be connected to: the rules of `tcp-connection`, decided on the address that is
   * dialled. An empty list denies everything.
   */
  allow: readonly string[]
  /** Time for resolving and dialling together, in milliseconds. @default 10000 */
  connectTimeoutMs?: number
  /** Connections at a time; the next one is not taken before one has ended. @default 256 */
  maxConnections?: number
  /**
   * Whose share of descriptors and lookups the connections take (`budgets`). A server gives the
   * trunk of the peer that listens.
   * @default nobody's
   */
  trunk?: Trunk
  /** How names are resolved. @default the system's resolver */
  lookup?: Lookup
  /** Told of each client that was refused, or could not be connected. */
  onRefused?: (error: TrunkError) => void
  /** The clock of all time limits. @default the machine's monotonic clock */
  clock?: Clock
}

/** What {@link ProxyOptions} are made into. */
interface Settings {
  readonly handshake: HandshakeOptions
  readonly policy: AddressPolicy
  readonly connectTimeoutMs: number
  readonly lookup: Lookup | undefined
  readonly clock: Clock
  readonly attempts: Attempts | undefined
  readonly descriptors: Share | undefined
  readonly lookups: Share | undefined
}

/**
 * Serves one client on a pipe, which it owns. Resolves when the connection has ended both ways;
 * rejects when the client was told why there is none.
 */
export type ServePipe = (pipe: Pipe) => Promise<void>

/**
 * Takes the connections that the peer accepts (a `tcpListen`), reads what each wants (SOCKS5,
 * SOCKS4a, HTTP), connects there from here and carries the connection. Resolves when `connections`
 * end and none is left; rejects as they do. What goes wrong with one ends that one, and is told to
 * `onRefused`.
 *
 * Rejects with ERR_BAD_ARGUMENT for a bad rule or number before anything is taken.
 *
 * @example
 * ```ts
 * const listening = await tcpListen(trunk, { host: '127.0.0.1', port: 1080 })
 * await proxyConnections(listening, { allow: ['*.example.com:443'] })
 * ```
 */
export async function proxyConnections(connections: AsyncIterable<Pipe>, options: ProxyOptions): Promise<void> {
  const maxConnections = requireInteger('maxConnections', options.maxConnections ?? 256, 1, 100_000)
  const { onRefused } = options
  const serve = proxyFor(options)
  const running = new Set<Promise<void>>()
  let wake: (() => void) | undefined
  for await (const pipe of connections) {
    const one = serve(pipe)
      .catch((error: unknown) => notify(onRefused, toTrunkError(error, 'ERR_HANDLER_FAILED', 'the proxy has failed')))
      .finally(() => {
        running.delete(one)
        wake?.()
      })
    running.add(one)
    // no race: what it hangs on the connections that go on would stay with them
    while (running.size >= maxConnections) await new Promise<void>((resolve) => (wake = resolve))
  }
  await Promise.all(running)
}

/**
 * What {@link proxyConnections} does with each pipe.
 * @param attempts how one address is dialled. Default: the system's
 */
export function proxyFor(options: ProxyOptions, attempts?: Attempts): ServePipe {
  const { allow, connectTimeoutMs = 10_000, lookup, clock = systemClock } = options
  const settings: Settings = {
    handshake: options,
    policy: addressPolicy(allow),
    connectTimeoutMs: requireInteger('connectTimeoutMs', connectTimeoutMs, 1, 2 ** 31 - 1),
    lookup,
    clock,
    attempts,
    descriptors: options.trunk && accountOf(options.trunk).descriptors,
    lookups: options.trunk && accountOf(options.trunk).lookups,
  }
  return (pipe) => serveOne(pipe, settings)
}

async function serveOne(pipe: Pipe, settings: Settings): Promise<void> {
  const { clock } = settings
  const client = new ClientPipe(pipe, clock)
  const asked = await ask(client, clock, settings.handshake)
  if (asked === undefined) return
  const { request } = asked
  const connection = await connectFor(client, request, settings)
  if (connection === undefined) return
  try {
    const reply = successReply(request, connection.local)
    if (reply.byteLength > 0) await client.send(reply)
    await join(client.joined(asked), connection, clock).over
    await pipe.close()
  } catch (error) {
    // One of the two ends has cut it, and the other one sees that: it is their affair.
    pipe.abort(toTrunkError(error, 'ERR_CONNECTION_RESET', 'the connection was cut'))
  } finally {
    // harmless after the bridge
    connection.reset()
    settings.descriptors?.give(1)
  }
}

/** False where there is none for this peer. */
function takeDescriptor({ descriptors }: Settings): boolean {
  return descriptors?.takeOrRefuse(1) !== false
}

/** The connection that the client wants; undefined where it has left. */
async function connectFor(
  client: ClientPipe,
  request: ProxyRequest,
  settings: Settings,
): Promise<Connection | undefined> {
  try {
    if (!takeDescriptor(settings)) throw new TrunkError('ERR_CONNECTION_LIMIT', NO_DESCRIPTOR)
    try {
      return await dialAllowed(request.to, client.gone, settings)
    } catch (error) {
      settings.descriptors?.give(1)
      throw error
    }
  } catch (error) {
    if (client.gone.aborted) return undefined
    const { host, port } = request.to
    const failure = toTrunkError(error, 'ERR_HANDLER_FAILED', `connecting to ${formatHostPort(host, port)} failed`)
    await client.leave(failureReply(request, failure))
    throw failure
  }
}
