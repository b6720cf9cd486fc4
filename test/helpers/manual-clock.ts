/** A clock that stands still until it is turned by hand. */
import type { Clock, Timer } from '../../src/runtime/clock.ts'

/** See {@link manualClock}. */
export interface ManualClock extends Clock {
  /** Timers that have been started and have neither fired nor been cancelled. */
  readonly pending: number
  /** Moves on by `ms`; timers that fall due fire in order, each at its own time. */
  advance(ms: number): void
}

/** A clock for one test. */
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
