/** Standard input as the source of a copy: one chunk at a time, and never in the way of an end. */
import { addAbortListener } from 'node:events'
import type { Context } from '../context.ts'
import { asError } from '../context.ts'

/**
 * The bytes of standard input. Closing it early, or the user's interrupt, closes standard input at once, even while a read of
 * it waits: a generator would first wait for that read.
 */
export function standardInput(context: Context): AsyncIterableIterator<Uint8Array> {
  const { stdin, signal } = context
  const chunks = stdin[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  // Its iterator is told; where no read waits at the moment, the error would otherwise have nowhere to go and end the process.
  stdin.on('error', () => undefined)
  const listening = addAbortListener(signal, () => stdin.destroy(asError(signal.reason)))
  const stop = (): void => {
    listening[Symbol.dispose]()
    stdin.destroy()
  }
  return {
    async next() {
      try {
        const next = await chunks.next()
        if (next.done === true) stop()
        return next
      } catch (error) {
        stop()
        throw signal.aborted ? asError(signal.reason) : error
      }
    },
    return() {
      stop()
      return Promise.resolve({ done: true, value: undefined })
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
