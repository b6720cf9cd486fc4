/** Cutting a TCP connection so that its other end sees a reset (ECONNRESET) and never a clean end. */
import type { Socket } from 'node:net'

/**
 * Resets `socket` at once and frees it; harmless when repeated. Where its end was just written, the reset follows as soon as the
 * kernel has taken that: libuv refuses a reset during a shutdown and Node would then leak the descriptor.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return
  if (socket.writableEnded && !socket.writableFinished) {
    socket.once('finish', () => {
      resetSocket(socket)
    })
    return
  }
  try {
    socket.resetAndDestroy()
  } catch {
    // Not a TCP socket (ERR_INVALID_HANDLE_TYPE): such a line has no reset, and closing it is all there is.
    socket.destroy()
  }
}
