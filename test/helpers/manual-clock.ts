/** A clock that stands still until it is turned by hand. Part of `trunkline/testing`. */
import { badArgument } from '../../src/contracts/errors.ts'
import type { Clock, Timer } from '../../src/runtime/clock.ts'

/** See {@link manualClock}. */
export interface ManualClock extends Clock {
  /** Timers that have been started and have neither fired nor been cancelled. */
  readonly pending: number
  /**
   * Moves on by `ms` milliseconds, 0 or more; else ERR_BAD_ARGUMENT. Timers that fall due fire in
   * order, each at its own time, before it returns; what they throw is thrown, and the time stays
   * where it was thrown.
   */
  advance(ms: number): void
}

/**
 * A clock for one test: give it as `clock` to `connect`, `serve`, `overLink` and `memoryPair`. It
 * starts at 0. It holds no process alive.
 *
 * @example
 * ```ts
 * const clock = manualClock()
 * const [near, far] = await trunkPair({ clock }, { clock })
 * clock.advance(15_000) // the keepalive asks
 * ```
 */
export function manualClock(): ManualClock {
  let now = 0
  const timers = new Set<{ readonly at: number; readonly callback: () => void }>()
  return {
    now: () => now,
    after(delayMs, callback): Timer {
      const timer = { at: now + Math.max(0, delayMs), callback }
      timers.add(timer)
      return {
        cancel() {
          timers.delete(timer)
        },
      }
    },
    get pending() {
      return timers.size
    },
    advance(ms) {
      if (typeof ms !== 'number' || !Number.isFinite(ms) || ms < 0)
        throw badArgument(`advance takes milliseconds, 0 or more, not ${String(ms)}`)
      const end = now + ms
      for (;;) {
        const due = [...timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0]
        if (due === undefined) break
        timers.delete(due)
        now = Math.max(now, due.at)
        due.callback()
      }
      now = end
    },
  }
}
