/**
 * Work that may take so long and no longer. Promises: nothing is left of the wait when the work has
 * ended. Assumes that the work ends by its signal; {@link within} is for what takes none.
 */
import type { Clock } from './clock.ts'
import { onAbort } from './on-abort.ts'

/** How long work may take. */
export interface Deadline {
  readonly clock: Clock
  readonly ms: number
  /** Ends the work earlier, with its own reason. */
  readonly signal?: AbortSignal
  /** Why the work ends when its time is over. */
  readonly timedOut: () => Error
}

/**
 * The outcome of `work`, which is given a signal that aborts with `signal`, or when the time is
 * over. The wait keeps no process alive: the work does.
 */
export async function withDeadline<T>(
  { clock, ms, signal, timedOut }: Deadline,
  work: (limit: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController()
  const unsubscribe = signal && onAbort(signal, () => limit.abort(signal.reason))
  const timer = clock.after(ms, () => limit.abort(timedOut()))
  try {
    return await work(limit.signal)
  } finally {
    timer.cancel()
    unsubscribe?.()
  }
}

/**
 * The outcome of `promise`, or undefined after `ms`; its outcome is dropped then.
 * @param hold whether the wait keeps the process alive. @default false
 */
export function within<T>(promise: Promise<T>, ms: number, clock: Clock, hold = false): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(ms, () => resolve(undefined), hold)
    promise.finally(() => timer.cancel()).then(resolve, reject)
  })
}
