/**
 * Listening for TCP through the native addon, where it is there: accepted sockets can then be read into slabs like dialled ones (Node takes
 * `onread` when it makes a socket, and its server makes its own). Otherwise the same as serve-sockets.ts, which is used without the addon.
 * Promises: a listener that stands, or the system's error; nothing is left after either. Bounds: a kernel backlog of 128, 128 untaken links.
 */
import { isIPv6, Socket } from 'node:net'
import type { OnReadOpts, SocketConstructorOpts } from 'node:net'
import type { Timer } from '../../src/clock.ts'
import type { NativeAddress, NativeDescriptors } from '../../src/native/load.ts'
import { linkError, ofOneConnection } from '../../src/net-errors.ts'
import type { Link, TransportOptions } from '../../src/types.ts'
import { LinkListener, MAX_UNTAKEN_LINKS } from './link-listener.ts'
import { SlabReader } from './slab-reader.ts'

/** Pause after an error of accept(2) that stays until a descriptor is closed somewhere (EMFILE): asking again at once would spin. */
const PAUSE_MS = 100
/** Connections taken in one go: the others get a turn of the event loop between. */
const MAX_AT_ONCE = 64

/** Listens at a literal address. Throws the system's error. */
export function serveNative(
  native: NativeDescriptors,
  at: { readonly host: string; readonly port: number },
  toAddress: (bound: NativeAddress) => string,
  toLink: (socket: Socket, reader: SlabReader) => Link,
  options: TransportOptions,
): LinkListener {
  const family = isIPv6(at.host) ? 'ipv6' : 'ipv4'
  const fd = native.listen({ family, address: at.host, port: at.port }, MAX_UNTAKEN_LINKS)
  let pause: Timer | undefined
  try {
    const watch = native.watch(fd, (error) => {
      if (error !== undefined) listener.finish(linkError(Object.assign(new Error(error), { code: error })))
      else if (!takeAll(native, fd, toLink, listener)) {
        watch.stop()
        pause = options.clock.after(PAUSE_MS, () => {
          watch.start()
        })
      }
    })
    const listener = new LinkListener(toAddress(native.localAddress(fd)), () => {
      pause?.cancel()
      watch.close()
      native.close(fd)
    })
    watch.start()
    return listener
  } catch (error) {
    native.close(fd)
    throw error
  }
}

/** Takes what waits; false where accepting fails for now. */
function takeAll(
  native: NativeDescriptors,
  fd: number,
  toLink: (socket: Socket, reader: SlabReader) => Link,
  listener: LinkListener,
): boolean {
  for (let taken = 0; taken < MAX_AT_ONCE; taken++) {
    try {
      const accepted = native.accept(fd)
      if (accepted === undefined) return true
      listener.push(toLink(...adopt(native, accepted.fd)))
    } catch (error) {
      if (!ofOneConnection(error)) return false
    }
  }
  return true
}

/** A socket of ours around a descriptor, which is closed where that fails. */
function adopt(native: NativeDescriptors, fd: number): [Socket, SlabReader] {
  const reader = new SlabReader()
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
