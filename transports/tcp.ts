/**
 * TCP: `tcp://HOST:PORT`, a name, an IPv4 address or an IPv6 address in brackets; without a host
 * 127.0.0.1.
 *
 * Promises: never listens on more than the address that was written (no wildcard by default), sends
 * without delay (no Nagle), half-close either way, and a reset on `abort` that the peer sees as
 * ERR_LINK_RESET. Bounds: `limits.connectTimeoutMs` for dialling with the name's lookup,
 * `limits.closeTimeoutMs` for `close`, 128 links that wait to be taken.
 */
import { connect, createServer, isIP } from 'node:net'
import type { Socket } from 'node:net'
import { badArgument, TrunkError } from '../src/contracts/errors.ts'
import { formatHostPort } from '../src/runtime/host-port.ts'
import { loadNative, type NativeAddress } from '../src/native/load.ts'
import { listenError } from '../src/runtime/net-errors.ts'
import { requireInteger } from '../src/contracts/limits.ts'
import type { Link, Listener, Transport, TransportOptions, TransportTraits } from '../src/contracts/types.ts'
import { readPooled } from './internal/accepted.ts'
import { dialDuplex } from './internal/dial-duplex.ts'
import { PooledReader } from './internal/pooled-reader.ts'
import { socketLink } from './internal/socket-link.ts'
import { serveNative } from './internal/serve-native.ts'
import { serveSockets } from './internal/serve-sockets.ts'
import { isHost, parseTcpAddress } from './internal/tcp-address.ts'

/** Where to dial or listen. */
export interface TcpOptions {
  /** Name, IPv4 address, or IPv6 address without brackets. @default '127.0.0.1' */
  host?: string
  /** 0 to 65535; 0 only for listening: the kernel chooses. */
  port: number
}

const TRAITS: TransportTraits = { lossless: true, connected: true, preferredFrameBytes: 64 * 1024 }

/**
 * A TCP transport. Throws ERR_ADDRESS_INVALID for an address that is none, ERR_BAD_ARGUMENT for bad
 * options.
 * @example connect(tcp({ host: '::1', port: 7000 }))
 */
export function tcp(address: string | TcpOptions): Transport {
  const { host, port } = typeof address === 'string' ? parseTcpAddress(address) : checkOptions(address)
  const written = `tcp://${formatHostPort(host, port)}`
  return {
    scheme: 'tcp',
    address: written,
    traits: TRAITS,
    connect: (options) => dial(host, port, written, options),
    listen: (options) => listen(host, port, written, options),
  }
}

/**
 * Through the addon where it is there and the address is one literal: `::` means both families to
 * Node, and one to the kernel's socket.
 */
async function listen(host: string, port: number, written: string, options: TransportOptions): Promise<Listener> {
  const native = host !== '::' && isIP(host) !== 0 ? loadNative() : undefined
  if (native === undefined) return await listenByServer(host, port, written, options)
  options.signal.throwIfAborted()
  try {
    const toLink = (socket: Socket, reader: PooledReader): Link => linkOf(socket, options, reader)
    const toAddress = (bound: NativeAddress): string => `tcp://${formatHostPort(bound.address, bound.port)}`
    return serveNative(native, { host, port }, toAddress, toLink, options)
  } catch (error) {
    throw listenError(error, written, 'link')
  }
}

function listenByServer(host: string, port: number, written: string, options: TransportOptions): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true })
  return serveSockets(
    {
      server,
      listen: { host, port },
      target: written,
      address() {
        const bound = server.address()
        if (bound === null || typeof bound === 'string') throw new Error('the server has no address')
        return `tcp://${formatHostPort(bound.address, bound.port)}`
      },
      toLink(accepted) {
        const { socket, reader } = readPooled(accepted)
        return linkOf(socket, options, reader)
      },
    },
    options,
  )
}

function checkOptions(options: TcpOptions): { host: string; port: number } {
  const host: unknown = options.host ?? '127.0.0.1'
  // typeof: an object here would reach net.connect as something else than a host.
  if (typeof host !== 'string' || !isHost(host))
    throw badArgument(`host must be a name or an address, not ${String(host)}`)
  return { host, port: requireInteger('port', options.port, 0, 65_535) }
}

async function dial(host: string, port: number, written: string, options: TransportOptions): Promise<Link> {
  options.signal.throwIfAborted()
  if (port === 0) throw new TrunkError('ERR_ADDRESS_INVALID', `${written}: port 0 is only for listening`)
  const reader = new PooledReader()
  const open = (): Socket => connect({ host, port, allowHalfOpen: true, noDelay: true, onread: reader.onread })
  const toLink = (socket: Socket): Link => {
    // TCP connects a free port of the local range with itself when dialled from that very port:
    // nobody listens there.
    if (socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress) {
      throw new TrunkError('ERR_CONNECT_REFUSED', `cannot connect to ${written}: nobody listens there`, {
        scope: 'link',
      })
    }
    return linkOf(socket, options, reader)
  }
  return dialDuplex({ open, target: written, toLink }, options)
}

function linkOf(socket: Socket, { clock, limits }: TransportOptions, reader?: PooledReader): Link {
  const { remoteAddress, remotePort } = socket
  return socketLink({
    readable: socket,
    writable: socket,
    ...(reader === undefined ? {} : { reader }),
    clock,
    closeTimeoutMs: limits.closeTimeoutMs,
    cut() {
      // Pending bytes are dropped and the peer sees a reset, not an end; on a destroyed socket it
      // would raise an error.
      if (socket.destroyed) return
      // libuv refuses a reset while the shutdown of `end()` is under way, and Node would then never
      // free the handle: the process would spin in its exit. The session has no goodbye, so its
      // peer takes the plain close for what it is.
      if (socket.writableEnded && !socket.writableFinished) socket.destroy()
      // eslint-disable-next-line no-restricted-properties -- no shutdown is under way
      else socket.resetAndDestroy()
    },
    ...(remoteAddress === undefined || remotePort === undefined
      ? {}
      : { peer: formatHostPort(remoteAddress, remotePort) }),
  })
}
