/**
 * A `net.Socket` on a descriptor that its constructor refuses (ERR_INVALID_FD_TYPE), and that
 * libuv's pipe handle drives all the same: reads, gathered writes, back-pressure, half-close. The
 * one place that knows the trick, which uses public API alone.
 */
import { Socket } from 'node:net'
import type { OnReadOpts, SocketConstructorOpts } from 'node:net'
import type { NativeDescriptors, NativeSwap } from '../../src/native/load.ts'

/** A socket, and the number of its descriptor: good for as long as the socket is not destroyed. */
export interface Adopted {
  readonly socket: Socket
  readonly fd: number
}

/**
 * Makes the socket. `fd` is taken over: it is the socket's, or closed where this throws. Half-open
 * is allowed.
 *
 * The socket is made on a placeholder, a unix socket, and within this call the descriptor is put
 * under the placeholder's number. libuv tells the kernel what to poll only when the event loop next
 * waits, so what it registers is the real one. It must not block (libuv sets that on the
 * placeholder only).
 */
export function adopt(native: NativeDescriptors & NativeSwap, fd: number, onread?: OnReadOpts): Adopted {
  let placeholder: number | undefined
  let socket: Socket | undefined
  try {
    placeholder = native.placeholder()
    // the constructor takes `onread` as connect does; Node's types know it for connect only
    const made: SocketConstructorOpts & { onread?: OnReadOpts } = { fd: placeholder, allowHalfOpen: true }
    if (onread !== undefined) made.onread = onread
    socket = new Socket(made)
    native.replace(placeholder, fd)
    return { socket, fd: placeholder }
  } catch (error) {
    if (socket !== undefined) socket.destroy()
    else if (placeholder !== undefined) native.close(placeholder)
    native.close(fd)
    throw error
  }
}
