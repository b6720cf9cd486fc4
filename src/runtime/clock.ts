/**
 * Time, as an injected thing. The core never reads the machine's clock: it is told the time and
 * says when it wants to be told again. Everything else in trunkline that waits takes a
 * {@link Clock}, so that a test can turn it by hand.
 */
import type { Clock, Timer } from '../contracts/types.ts'

export type { Clock, Timer }

/** Longest delay that Node's timers keep: above it `setTimeout` fires after 1 ms. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * The machine's monotonic clock. A timer's callback comes after what had arrived by then has been
 * read: a process that was suspended finds its timers run out and the answers that they wait for
 * side by side, and Node looks at its timers first.
 */
export const systemClock: Clock = {
  // Not performance.now(): its first use loads eleven modules of Node, 2 % of what a command takes
  // to start.
  now() {
    const [seconds, nanoseconds] = process.hrtime()
    return seconds * 1000 + nanoseconds / 1e6
  },
  after(delayMs, callback, hold = false) {
    let turn: NodeJS.Immediate | undefined
    const timer = setTimeout(
      () => {
        turn = setImmediate(callback)
      },
      Math.min(Math.max(0, delayMs), MAX_TIMER_MS),
    )
    if (!hold) timer.unref()
    return {
      cancel() {
        clearTimeout(timer)
        clearImmediate(turn)
      },
    }
  },
}

/**
 * Waits, and keeps the process alive meanwhile. Rejects with the signal's reason as soon as it
 * aborts; either way nothing is left of the wait.
 */
export async function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      timer.cancel()
      reject(signal.reason as Error)
    }
    const timer = clock.after(
      delayMs,
      () => {
        signal.removeEventListener('abort', stop)
        resolve()
      },
      true,
    )
    signal.addEventListener('abort', stop, { once: true })
  })
}
