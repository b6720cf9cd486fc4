/**
 * Tells a true end of a TCP connection from a reset in disguise. When a reset arrives together with
 * the last data, libuv reports a clean end (POLLHUP after a short read, uv__stream_io); taken at
 * its word, a cut answer would look complete.
 */
import type { Socket } from 'node:net'
import { loadNative } from '../../src/native/load.ts'
import { descriptorOf } from '../../src/native/pending-error.ts'

/**
 * The system's code of the error behind an 'end' that has just been emitted; undefined where the
 * end is one.
 *
 * With the native addon the kernel is asked. Without it, an empty write finds out, which works only
 * while our own side is open and nothing is queued on it.
 */
export async function hiddenReset(socket: Socket, isUnix: boolean = false): Promise<string | undefined> {
  if (socket.destroyed) return undefined
  const native = loadNative()
  const fd = descriptorOf(socket)
  if (native !== undefined && fd !== undefined) {
    const code = native.socketError(fd)
    // EPIPE: its end did come, and a reset after it. The end is true, and writing will tell of the
    // rest.
    return code === 'EPIPE' ? undefined : code
  }
  // a unix socket that was closed, well or not, takes no write
  if (isUnix || socket.writableEnded || socket.writableLength > 0) return undefined
  return await new Promise((resolve) => {
    socket.write('', (error) => {
      resolve(
        error === null || error === undefined ? undefined : ((error as NodeJS.ErrnoException).code ?? 'ECONNRESET'),
      )
    })
  })
}

/**
 * Bytes, and an end, that the other side's system has not acknowledged; undefined where only the
 * native addon could tell.
 */
export function unacknowledgedOf(socket: Socket): number | undefined {
  const fd = descriptorOf(socket)
  return fd === undefined ? undefined : loadNative()?.unacknowledged(fd)
}
