/**
 * Waiting for what another process, or the kernel, does in its own time. Polls between turns of the
 * event loop; never a fixed sleep.
 */
import { performance } from 'node:perf_hooks'

/**
 * Keeps the process from ending until the result is called: an in-process line holds nothing that
 * the event loop would wait for.
 */
export function stayAlive(): () => void {
  const timer = setInterval(() => undefined, 1_000)
  return () => clearInterval(timer)
}

/** Runs `use` in a process that does not end meanwhile. */
export async function keptAlive(use: () => Promise<void>): Promise<void> {
  const over = stayAlive()
  try {
    await use()
  } finally {
    over()
  }
}

/** Resolves when `check` gives true; rejects with `what` after `timeoutMs`. */
export async function eventually(check: () => boolean, what: string, timeoutMs = 5_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!check()) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/**
 * Resolves with the value of `read` when it has not changed for `quietMs`: how a stopped writer is
 * told from a slow one.
 */
export async function steady(read: () => number, quietMs = 150): Promise<number> {
  let value = read()
  let since = performance.now()
  while (performance.now() - since < quietMs) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    if (read() !== value) {
      value = read()
      since = performance.now()
    }
  }
  return value
}
