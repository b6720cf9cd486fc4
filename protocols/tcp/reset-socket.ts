/**
 * Cutting a TCP connection so that its other end sees a reset (ECONNRESET) and never a clean end.
 */
import type { Socket } from 'node:net'

/**
 * Resets `socket` at once and frees it; harmless when repeated. Where its end was just written, the
 * reset follows as soon as the kernel has taken that, in the next turn of the event loop: libuv
 * refuses a reset during a shutdown, and Node then neither frees the descriptor nor comes to the
 * end of its process, which spins. An end that waits behind bytes which the other side does not
 * take has begun no shutdown yet.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return
  if (socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished) {
    socket.once('finish', () => {
      resetSocket(socket)
    })
    return
  }
  try {
    // eslint-disable-next-line no-restricted-properties -- no shutdown is under way
    socket.resetAndDestroy()
  } catch {
    // Not a TCP socket (ERR_INVALID_HANDLE_TYPE): such a line has no reset, and closing it is all
    // there is.
    socket.destroy()
  }
}
