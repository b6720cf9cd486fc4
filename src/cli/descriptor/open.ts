/**
 * Opening what the user named, whatever it is. No open waits in the thread pool, where nothing
 * could take it back: a FIFO is opened without blocking, and its other end is waited for by the
 * event loop.
 */
import { close, constants, open } from 'node:fs'
import { pause } from '../../runtime/clock.ts'
import { raced } from '../context.ts'
import type { Context } from '../context.ts'
import { errnoOf } from '../../runtime/system-errors.ts'

const { O_NOCTTY, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants
/** Before a FIFO that nobody reads is tried again: there is no event to wait for. */
const AGAIN_MS = 50

/** Opens `path` for reading. The caller closes it. */
export function openToRead(context: Context, path: Buffer): Promise<number> {
  return opened(context, path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
}

/**
 * Opens what is at `path` for writing as it is. A FIFO is waited for until somebody reads it. The
 * caller closes it.
 */
export async function openToWrite(context: Context, path: Buffer, isFifo: boolean): Promise<number> {
  for (;;) {
    try {
      return await opened(context, path, O_WRONLY | O_NONBLOCK | O_NOCTTY)
    } catch (error) {
      if (!isFifo || errnoOf(error) !== 'ENXIO') throw error
      await pause(context.clock, AGAIN_MS, context.signal)
    }
  }
}

function opened(context: Context, path: Buffer, flags: number): Promise<number> {
  const opening = new Promise<number>((resolve, reject) => {
    open(path, flags, (error, fd) => {
      if (error) reject(error)
      else resolve(fd)
    })
  })
  return raced(context, opening, (fd) => close(fd, () => undefined))
}
