/** Forwards where the peer listens and this machine connects. */
import { toTrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import type { Pipe, Trunk } from '../../src/contracts/types.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { connectError } from '../../src/runtime/net-errors.ts'
import { onAbort, unlessAborted } from '../../src/runtime/on-abort.ts'
import { proxyFor } from '../proxy/for-peer.ts'
import type { Connection } from '../tcp/connection.ts'
import { literalsOf } from '../tcp/resolve.ts'
import type { TcpTarget } from '../tcp-connection/client.ts'
import { dial } from '../tcp-connection/dial.ts'
import { printableAddress, requireAddress } from '../unix/address.ts'
import { connectUnix } from '../unix/connect.ts'
import type { UnixTarget } from '../unix/connection-client.ts'
import { carry, type Carrying } from './carry.ts'
import { listenThere } from './listen-there.ts'
import type { Forward, ForwardRemoteOptions, ProxyRemoteOptions } from './types.ts'

/** How long a unix socket whose backlog is full is asked again. */
const FULL_BACKLOG_MS = 10_000

/**
 * Has the peer, which serves `tcp-listener`, listen at `listen`; for each of its connections this
 * machine connects to `to`. `ssh -R`.
 *
 * On a `ReconnectingTrunk` the forward outlives the session: the peer is asked to listen again, at
 * the same port, until it does; what it answers meanwhile is told to `onFailure`. A connection that
 * cannot be made from here is reset at the peer and told as well. Rejects with ERR_BAD_ARGUMENT
 * before anything is sent, and with the peer's refusal: ERR_DENIED, ERR_ADDRESS_IN_USE,
 * ERR_BIND_DENIED, ERR_ADDRESS_UNAVAILABLE, ERR_NAME_NOT_FOUND, ERR_LISTENER_LIMIT,
 * ERR_PROTOCOL_UNKNOWN.
 *
 * @example
 * ```ts
 * const trunk = await connect('vsock://3:7000', { reconnect: true })
 * const forward = await forwardRemote(trunk, {
 *   listen: { port: 8080 },
 *   to: { host: '127.0.0.1', port: 3000 },
 * })
 * for await (const { state, connections } of forward.watch()) console.log(state, connections)
 * ```
 */
export async function forwardRemote(trunk: Trunk, options: ForwardRemoteOptions): Promise<Forward> {
  const { to, connect } = targetOf(options.to)
  return await listenThere(trunk, options, {
    to,
    serve: (pipe, carrying) => forwardOne(pipe, connect, carrying),
  })
}

type Connect = (signal: AbortSignal, carrying: Carrying) => Promise<Connection>

/**
 * How messages name a target, and how it is connected to. Throws ERR_BAD_ARGUMENT for what can be
 * none.
 */
function targetOf(target: TcpTarget | UnixTarget): { readonly to: string; readonly connect: Connect } {
  if ('path' in target) {
    const address = requireAddress(target.path)
    // this machine's own user has named it
    const connect: Connect = (signal, { clock }) =>
      connectUnix(address, { policy: undefined, signal, clock, timeoutMs: FULL_BACKLOG_MS })
    return { to: printableAddress(address), connect }
  }
  const { host, port } = target
  requireInteger('to.port', port, 1, 65_535)
  return {
    to: formatHostPort(host, port),
    connect: (signal, carrying) => connectTo({ host, port }, signal, carrying),
  }
}

async function forwardOne(pipe: Pipe, connect: Connect, carrying: Carrying): Promise<void> {
  const { broken } = carrying
  const unsubscribe = onAbort(broken, () => pipe.abort(toTrunkError(broken.reason, 'ERR_ABORTED', 'aborted')))
  let connection: Connection
  try {
    connection = await connect(pipe.signal, carrying)
  } catch (error) {
    pipe.abort(toTrunkError(error, 'ERR_CONNECT_UNREACHABLE', 'the connection could not be made'))
    throw error
  } finally {
    unsubscribe()
  }
  await carry(pipe, connection, carrying)
}

async function connectTo({ host, port }: TcpTarget, signal: AbortSignal, { clock }: Carrying): Promise<Connection> {
  const target = formatHostPort(host, port)
  try {
    return await dial(await unlessAborted(literalsOf(host), signal), port, { target, signal, clock })
  } catch (error) {
    throw connectError(error, target)
  }
}

/**
 * Has the peer, which serves `tcp-listener`, listen at `listen` as a proxy: each client there says
 * where it wants to go (SOCKS5, SOCKS4a, HTTP CONNECT), and this machine connects, where `allow`
 * lets it. `ssh -R PORT`, with rules.
 *
 * Outlives the session as {@link forwardRemote} does, and rejects as that does.
 *
 * @example
 * ```ts
 * await using proxy = await proxyRemote(trunk, {
 *   listen: { port: 1080 },
 *   allow: ['*.example.com:443'],
 * })
 * await proxy.closed
 * ```
 */
export async function proxyRemote(trunk: Trunk, options: ProxyRemoteOptions): Promise<Forward> {
  const { allow, http = false, login, connectTimeoutMs, lookup, clock = systemClock } = options
  const serve = proxyFor({
    // whose share of the lookups and descriptors of this process its clients use
    trunk,
    allow,
    http,
    clock,
    ...(login !== undefined && { login }),
    ...(connectTimeoutMs !== undefined && { connectTimeoutMs }),
    ...(lookup && { lookup }),
  })
  return await listenThere(trunk, options, {
    to: 'proxy, connected from here',
    async serve(pipe, { broken }) {
      const unsubscribe = onAbort(broken, () => pipe.abort(toTrunkError(broken.reason, 'ERR_ABORTED', 'aborted')))
      try {
        await serve(pipe)
      } finally {
        unsubscribe()
      }
    },
  })
}
