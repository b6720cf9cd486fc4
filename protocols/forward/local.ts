/**
 * Forwards where this machine listens and the peer connects. The local connection is there before
 * the peer has answered: nothing is read from it until then, and where the peer refuses it is
 * reset, which tells its client the truth. A connection that comes while there is no session waits
 * for one, for as long as connecting may take.
 */
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe, Trunk } from '../../src/contracts/types.ts'
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import { proxyThroughPeer } from '../proxy/through-peer.ts'
import type { Connection } from '../tcp/connection.ts'
import { tcpConnect, type TcpTarget } from '../tcp-connection/client.ts'
import { connectInTurn } from '../tcp-connection/in-turn.ts'
import { decodeRequest } from '../tcp-connection/messages.ts'
import { printableAddress, requireAddress } from '../unix/address.ts'
import { unixConnect, type UnixTarget } from '../unix/connection-client.ts'
import { carry, type Carrying } from './carry.ts'
import { listenHere } from './listen-here.ts'
import type { Forward, ForwardLocalOptions, ProxyLocalOptions } from './types.ts'

/**
 * Listens at `listen` on this machine; for each connection the peer, which serves `tcp-connection`,
 * connects to `to`. `ssh -L`.
 *
 * A connection that the peer cannot make is reset here and told to `onFailure`. Where the peer has
 * as many as it allows (ERR_CONNECTION_LIMIT), and where there is no session at the moment, a
 * connection waits up to 10 seconds. Rejects with ERR_BAD_ARGUMENT before anything is bound, with
 * ERR_ADDRESS_IN_USE, ERR_BIND_DENIED, ERR_ADDRESS_UNAVAILABLE or ERR_NAME_NOT_FOUND.
 *
 * @example
 * ```ts
 * await using forward = await forwardLocal(trunk, {
 *   listen: { port: 5432 },
 *   to: { host: 'db.internal', port: 5432 },
 *   onFailure: ({ error }) => console.error(error.code, error.message),
 * })
 * console.log(forward.description) // 127.0.0.1:5432 -> db.internal:5432
 * ```
 */
export async function forwardLocal(trunk: Trunk, options: ForwardLocalOptions): Promise<Forward> {
  const { to, connect } = targetOf(trunk, options.to)
  return await listenHere(trunk, options, {
    to,
    serve: (connection, carrying) => forwardOne(trunk, connection, connect, carrying),
  })
}

/**
 * How messages name a target, and how the peer is asked for it. Throws ERR_BAD_ARGUMENT for what
 * can be none.
 */
function targetOf(trunk: Trunk, target: TcpTarget | UnixTarget): { readonly to: string; readonly connect: Connect } {
  if ('path' in target) {
    const { path } = target
    const to = printableAddress(requireAddress(path))
    return { to, connect: (signal) => unixConnect(trunk, { path }, { signal }) }
  }
  const { host, port } = target
  const checked = decodeRequest({ host, port })
  if (!checked.ok) throw badArgument(`not a target of a forward: ${checked.error.message}`)
  return { to: formatHostPort(host, port), connect: (signal) => tcpConnect(trunk, { host, port }, { signal }) }
}

type Connect = (signal: AbortSignal) => Promise<Pipe>

async function forwardOne(trunk: Trunk, connection: Connection, connect: Connect, carrying: Carrying): Promise<void> {
  const { broken, clock } = carrying
  const stop = new AbortController()
  const client = { left: false }
  // A client that gives up while the peer still dials gives its pipe back.
  connection.onGone(() => {
    client.left = true
    stop.abort(new TrunkError('ERR_CONNECTION_RESET', 'the client has left'))
  })
  // later the bridge is told, which resets both
  const unsubscribe = onAbort(broken, () => stop.abort(broken.reason))
  try {
    const pipe = await connectInTurn(trunk, connect, { stop, clock })
    unsubscribe()
    await carry(pipe, connection, carrying)
  } catch (error) {
    const { left } = client
    connection.reset()
    if (!left) throw error
  } finally {
    unsubscribe()
  }
}

/**
 * Listens at `listen` on this machine as a proxy (SOCKS5, SOCKS4a, HTTP CONNECT): each client says
 * where it wants to go, and the peer, which serves `tcp-connection`, connects there. `ssh -D`.
 *
 * Whoever reaches the port can use it: listen beyond loopback with a `login` only. Rejects as
 * {@link forwardLocal} does.
 *
 * @example
 * ```ts
 * await using proxy = await proxyLocal(trunk, { listen: { port: 1080 } })
 * // curl --proxy socks5h://127.0.0.1:1080 http://inside.example/
 * ```
 */
export async function proxyLocal(trunk: Trunk, options: ProxyLocalOptions): Promise<Forward> {
  const { http = false, login } = options
  const handshake = login === undefined ? { http } : { http, login }
  return await listenHere(trunk, options, {
    to: 'proxy, the peer connects',
    serve: (connection, { broken, clock }) =>
      proxyThroughPeer(trunk, connection, { ...handshake, signal: broken, clock }),
  })
}
