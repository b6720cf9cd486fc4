/**
 * Calls of what a program brings along: transports, listeners, links. They may throw anything, give
 * anything, and never settle. Promises: what comes out is what was asked for, or a `TrunkError`, in
 * time; nothing of a call that was given up is left, also where it answers later.
 */
import type { Clock, Timer } from '../runtime/clock.ts'
import { toTrunkError, TrunkError, type ErrorCode } from '../contracts/errors.ts'
import { onAbort } from '../runtime/on-abort.ts'

/**
 * What a call that was told to give up has to do so: whoever keeps to its contract says by itself
 * why, and leaves nothing.
 */
export const GIVING_UP_MS = 1000

/**
 * The part of it before it is told: what keeps the time itself knows better what it waited for ("no
 * such device") than we do.
 */
const OWN_WORDS_MS = GIVING_UP_MS / 2

/** What {@link callInTime} is given. */
export interface ForeignCall<T> {
  /** Makes the call. */
  readonly call: (signal: AbortSignal) => Promise<T> | T
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly timeoutMs: number
  /** What is said when the time is over. */
  readonly timedOut: () => TrunkError
  /** What an error without a code is said to be. */
  readonly failed: string
  /** Lets go of what comes when nobody waits for it any more. May not throw. */
  readonly late: (value: T) => void
}

/**
 * Resolves with what the call gives. Rejects with its own `TrunkError`, with ERR_LINK_FAILED for
 * any other, with the reason of `signal`, or with `timedOut()`; in the last two cases the call is
 * told first, by its signal, and has {@link GIVING_UP_MS} to end by itself. A call that keeps
 * `timeoutMs` itself ends before it is told.
 */
export function callInTime<T>(foreign: ForeignCall<T>): Promise<T> {
  const { call, signal, clock, timeoutMs, timedOut, failed, late } = foreign
  const own = new AbortController()
  return new Promise<T>((resolve, reject) => {
    let timer: Timer | undefined
    let over = false
    const end = (): void => {
      over = true
      timer?.cancel()
      unsubscribe()
    }
    const fail = (thrown: unknown): void => {
      end()
      if (signal.aborted) reject(signal.reason as Error)
      else reject(toTrunkError(thrown, 'ERR_LINK_FAILED', failed))
    }
    const giveUp = (reason: unknown, leftMs: number): void => {
      if (own.signal.aborted) return
      timer?.cancel()
      // held, as the wait before it: whoever awaits us is to be answered, also where nothing else
      // keeps the process alive
      timer = clock.after(
        leftMs,
        () => {
          fail(reason)
        },
        true,
      )
      own.abort(reason)
    }
    timer = clock.after(
      timeoutMs + OWN_WORDS_MS,
      () => {
        giveUp(timedOut(), GIVING_UP_MS - OWN_WORDS_MS)
      },
      true,
    )
    let unsubscribe = (): void => undefined
    unsubscribe = onAbort(signal, () => {
      giveUp(signal.reason, GIVING_UP_MS)
    })
    // through a function of ours, so that one that throws at once has rejected
    void (async () => await call(own.signal))().then(
      (value) => {
        if (own.signal.aborted || over) {
          late(value)
          if (!over) fail(own.signal.reason)
          return
        }
        end()
        resolve(value)
      },
      (thrown: unknown) => {
        if (!over) fail(thrown)
      },
    )
  })
}

/**
 * What a link or a listener threw, as what ends a session: an error about an argument is about a
 * call inside of it.
 */
export function linkFailure(thrown: unknown, message: string): TrunkError {
  const coded = thrown instanceof TrunkError && thrown.scope !== 'argument'
  return coded ? thrown : new TrunkError('ERR_LINK_FAILED', message, { cause: thrown })
}

/** What `call` gives; what it throws is a `TrunkError`. */
export function callNow<T>(call: () => T, code: ErrorCode, failed: string): T {
  try {
    return call()
  } catch (thrown) {
    throw toTrunkError(thrown, code, failed)
  }
}

/**
 * Waits for something to close, `timeoutMs` and a moment to say so. Resolves with undefined when it
 * has, else with why it has not: ERR_CLOSE_TIMEOUT, or what it threw. Never rejects.
 */
export function closeInTime(
  close: () => Promise<void>,
  { clock, timeoutMs, what }: { readonly clock: Clock; readonly timeoutMs: number; readonly what: string },
): Promise<TrunkError | undefined> {
  return new Promise((resolve) => {
    const timer = clock.after(
      timeoutMs + GIVING_UP_MS,
      () => {
        resolve(new TrunkError('ERR_CLOSE_TIMEOUT', `${what} has not closed within ${timeoutMs} ms`, { scope: 'link' }))
      },
      true,
    )
    void (async () => {
      await close()
    })().then(
      () => {
        timer.cancel()
        resolve(undefined)
      },
      (thrown: unknown) => {
        timer.cancel()
        resolve(toTrunkError(thrown, 'ERR_LINK_FAILED', `${what} could not be closed`))
      },
    )
  })
}
