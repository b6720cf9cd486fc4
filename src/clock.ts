/**
 * Time, as an injected thing. The core never reads the machine's clock: it is told the time and says when it wants to
 * be told again. Everything else in trunkline that waits takes a {@link Clock}, so that a test can turn it by hand.
 */

/** A timer that was started; `cancel()` is harmless after it fired. */
export interface Timer {
  cancel(): void
}

/** A monotonic clock. Wall-clock changes must not move it. */
export interface Clock {
  /** Milliseconds since an arbitrary start, never running backwards. */
  now(): number
  /** Calls `callback` once, `delayMs` from now. A pending timer does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer
}

/** Longest delay that Node's timers keep: above it `setTimeout` fires after 1 ms. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** The machine's monotonic clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(0, delayMs), MAX_TIMER_MS))
    timer.unref()
    return {
      cancel() {
        clearTimeout(timer)
      },
    }
  },
}
