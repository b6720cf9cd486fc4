/**
 * Waits for calls of the system that take no signal and may never return: those of the thread pool,
 * where a FIFO without a writer or a disk that is gone waits for ever.
 */
import { abortError } from '../contracts/errors.ts'
import type { Clock, Timer } from './clock.ts'
import { onAbort } from './on-abort.ts'

/**
 * How long closing what is left of something that was aborted may take: a moment, unless a disk or
 * a reader is stuck.
 */
const TIDY_MS = 500

/** Who waits. */
export interface Waiter {
  readonly signal: AbortSignal
  readonly clock: Clock
  /** Is given work that nobody waits for any more, and that nothing stops. */
  readonly abandon: (work: Promise<unknown>) => void
}

/**
 * The outcome of `work`, unless the signal aborts first: then it rejects with the signal's reason
 * at once.
 * @param discard gives back an outcome that comes too late; what it promises is abandoned with
 * `work`
 */
export function raced<T>(
  { signal, abandon }: Waiter,
  work: Promise<T>,
  discard: (outcome: T) => unknown = () => undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const unsubscribe = onAbort(signal, () => {
      abandon(work.then(discard))
      reject(abortError(signal))
    })
    work.then(resolve, reject).finally(() => unsubscribe())
  })
}

/** Waits for the end of something that is done with; not for ever once the signal has aborted. */
export async function tidied({ signal, clock, abandon }: Waiter, work: Promise<unknown>): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let timer: Timer | undefined
    const unsubscribe = onAbort(signal, () => {
      timer = clock.after(
        TIDY_MS,
        () => {
          abandon(work)
          resolve()
        },
        true,
      )
    })
    const over = (): void => {
      unsubscribe()
      timer?.cancel()
    }
    work.finally(over).then(() => resolve(), reject)
  })
}
