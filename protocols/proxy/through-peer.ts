/** The proxy whose clients are here: each says where it wants to go, and the peer connects. */
import { formatHostPort } from '../../src/runtime/host-port.ts'
import type { Socket } from 'node:net'
import { abortError, toTrunkError } from '../../src/contracts/errors.ts'
import type { Trunk } from '../../src/contracts/types.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import type { Connection } from '../tcp/connection.ts'
import { join } from '../tcp/bridge.ts'
import { netConnection } from '../tcp/net-connection.ts'
import type { TcpPipe } from '../tcp-connection/client.ts'
import { tcpConnect } from '../tcp-connection/client.ts'
import { connectInTurn } from '../tcp-connection/in-turn.ts'
import { ask, type Asked } from './client.ts'
import { ClientConnection } from './client-connection.ts'
import { failureReply, successReply, type HandshakeOptions, type ProxyRequest } from './handshake.ts'

/** Options of {@link proxySocket}. */
export interface ProxySocketOptions extends HandshakeOptions {
  /** Aborting it resets the client, and the connection that the peer has made for it. */
  signal?: AbortSignal
  /** The clock of all time limits. @default the machine's monotonic clock */
  clock?: Clock
}

/**
 * Serves one client of a proxy: reads what it wants (SOCKS5, SOCKS4a, HTTP), has the peer connect
 * there by `tcp-connection`, and carries the connection. Names are the peer's to resolve. Resolves
 * when the connection is over, however it ended, or the client has left; rejects, when the client
 * was told and the socket is closed, with why there was none.
 * @param socket a TCP connection, connected; nobody else may read or write it from the call on
 *
 * @example
 * ```ts
 * createServer((socket) => {
 *   proxySocket(trunk, socket).catch((error) => console.error(error.message))
 * }).listen(1080, '127.0.0.1')
 * ```
 */
export async function proxySocket(trunk: Trunk, socket: Socket, options: ProxySocketOptions = {}): Promise<void> {
  await proxyThroughPeer(trunk, netConnection(socket), options)
}

/** {@link proxySocket} for any connection. */
export async function proxyThroughPeer(
  trunk: Trunk,
  connection: Connection,
  options: ProxySocketOptions,
): Promise<void> {
  const { signal, clock = systemClock } = options
  let reset = (): void => connection.reset()
  const unsubscribe = signal && onAbort(signal, () => reset())
  try {
    const client = new ClientConnection(connection, clock)
    const asked = await ask(client, clock, options)
    if (asked === undefined) return
    const pipe = await connectFor(client, asked.request, trunk, clock)
    if (pipe === undefined) return
    reset = () => {
      if (signal !== undefined) pipe.abort(abortError(signal))
      connection.reset()
    }
    await carry(client, asked, pipe, clock)
  } finally {
    unsubscribe?.()
  }
}

async function carry(client: ClientConnection, asked: Asked, pipe: TcpPipe, clock: Clock): Promise<void> {
  const { request } = asked
  try {
    await client.send(successReply(request, { address: pipe.reply.localAddress, port: pipe.reply.localPort }))
    await join(pipe, client.joined(asked), clock).over
    await pipe.close()
  } catch (error) {
    // One of the two ends has cut it, and the other one sees that: it is their affair.
    pipe.abort(toTrunkError(error, 'ERR_CONNECTION_RESET', 'the connection was cut'))
    await client.leave(new Uint8Array(0))
  }
}

/** The connection that the client wants; undefined where it has left. */
async function connectFor(
  client: ClientConnection,
  request: ProxyRequest,
  trunk: Trunk,
  clock: Clock,
): Promise<TcpPipe | undefined> {
  const stop = new AbortController()
  // A client that gives up while the peer still dials gives its pipe back; later a reset may not
  // overtake what came before it.
  const unsubscribe = onAbort(client.gone, () => stop.abort(client.gone.reason))
  try {
    return await connectInTurn(trunk, (signal) => tcpConnect(trunk, request.to, { signal }), { stop, clock })
  } catch (error) {
    if (client.gone.aborted) return undefined
    const { host, port } = request.to
    const failure = toTrunkError(error, 'ERR_HANDLER_FAILED', `connecting to ${formatHostPort(host, port)} failed`)
    await client.leave(failureReply(request, failure))
    throw failure
  } finally {
    unsubscribe()
  }
}
