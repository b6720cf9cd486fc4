/**
 * What the kernel knows of a socket of Node's and libuv has not told: a reset that comes together
 * with the last bytes looks like an end.
 */
import type { Socket } from 'node:net'
import { loadNative } from './load.ts'

/** Node has no public name for it; where it is missing one day, nobody can be asked. */
export function descriptorOf(socket: Socket): number | undefined {
  const fd = (socket as { _handle?: { fd?: unknown } })._handle?.fd
  return typeof fd === 'number' && fd >= 0 ? fd : undefined
}

/**
 * The error behind an 'end' that is being told, as the system has it; undefined where the end is
 * one, or only the native addon could tell. EPIPE is none: the end did come, and a reset after it.
 */
export function errorBehindEnd(socket: Socket): NodeJS.ErrnoException | undefined {
  const fd = descriptorOf(socket)
  const native = fd === undefined ? undefined : loadNative()
  if (fd === undefined || native === undefined) return undefined
  let code: string | undefined
  try {
    code = native.socketError(fd)
  } catch {
    // no socket (a pipe or a terminal of a child's): it has no resets
    return undefined
  }
  return code === undefined || code === 'EPIPE' ? undefined : Object.assign(new Error(`read ${code}`), { code })
}
