/**
 * How long this process keeps its event loop from the next turn: the time that passed between two
 * turns, or its own processor time where that is less. So what other processes take from a busy
 * machine is not held against it, and neither is what passes while nothing is sampled
 * (`monitorEventLoopDelay` counts both).
 */
import { createHistogram, performance, type RecordableHistogram } from 'node:perf_hooks'

/** How often the loop is asked. */
const SAMPLE_MS = 5

export class LoopDelay {
  /** In microseconds. */
  #delays: RecordableHistogram = createHistogram()
  #timer: NodeJS.Timeout | undefined

  /** Samples from here on, besides what was sampled before. */
  start(): void {
    let last = performance.now()
    let used = process.cpuUsage()
    this.#timer = setInterval(() => {
      const now = performance.now()
      const { user, system } = process.cpuUsage(used)
      this.#delays.record(Math.max(1, Math.round(Math.min((now - last) * 1000, user + system))))
      last = now
      used = process.cpuUsage()
    }, SAMPLE_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  reset(): void {
    this.#delays = createHistogram()
  }

  /** In milliseconds. */
  get p99(): number {
    return this.#delays.percentile(99) / 1000
  }

  get max(): number {
    return this.#delays.max / 1000
  }

  get samples(): number {
    return this.#delays.count
  }
}
