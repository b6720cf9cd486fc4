/**
 * Listening for TCP through the native addon, where it is there: accepted sockets can then be read
 * into read buffers like dialled ones (Node takes `onread` when it makes a socket, and its server
 * makes its own). Otherwise the same as serve-sockets.ts, which is used without the addon.
 * Promises: a listener that stands, or the system's error; nothing is left after either. Bounds: a
 * kernel backlog of 512, 128 untaken links.
 */
import { isIPv6, Socket } from 'node:net'
import type { OnReadOpts, SocketConstructorOpts } from 'node:net'
import type { NativeAddress, NativeDescriptors } from '../../src/native/load.ts'
import type { Link, TransportOptions } from '../../src/contracts/types.ts'
import { acceptLoop } from './accept-loop.ts'
import { KERNEL_BACKLOG, LinkListener } from './link-listener.ts'
import { PooledReader } from './pooled-reader.ts'

/** Listens at a literal address. Throws the system's error. */
export function serveNative(
  native: NativeDescriptors,
  at: { readonly host: string; readonly port: number },
  toAddress: (bound: NativeAddress) => string,
  toLink: (socket: Socket, reader: PooledReader) => Link,
  { clock }: TransportOptions,
): LinkListener {
  const family = isIPv6(at.host) ? 'ipv6' : 'ipv4'
  const fd = native.listen({ family, address: at.host, port: at.port }, KERNEL_BACKLOG)
  const listener = new LinkListener(addressOf(native, fd, toAddress), () => {
    stop()
  })
  const stop = acceptLoop(native, fd, {
    clock,
    take: (connection) => {
      listener.push(toLink(...adopt(native, connection.fd)))
    },
    fail: (error) => {
      listener.finish(error)
    },
  })
  return listener
}

function addressOf(native: NativeDescriptors, fd: number, toAddress: (bound: NativeAddress) => string): string {
  try {
    return toAddress(native.localAddress(fd))
  } catch (error) {
    native.close(fd)
    throw error
  }
}

/** A socket of ours around a descriptor, which is closed where that fails. */
function adopt(native: NativeDescriptors, fd: number): [Socket, PooledReader] {
  const reader = new PooledReader()
  try {
    // the constructor takes `onread` as connect does; Node's types know it for connect only
    const made: SocketConstructorOpts & { onread: OnReadOpts } = { fd, allowHalfOpen: true, onread: reader.onread }
    const socket = new Socket(made)
    socket.setNoDelay(true)
    return [socket, reader]
  } catch (error) {
    native.close(fd)
    throw error
  }
}
