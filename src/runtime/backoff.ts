/**
 * How long to wait before trying again: each wait is twice the last one, from `minMs` to `maxMs`,
 * and differs by up to 20 % either way, so that what failed together does not come back together.
 *
 * Promises: one wait at a time and no timer between waits; an abort ends a wait at once. A wait
 * keeps the process alive: what is tried again goes on. Does no I/O: time is the injected clock.
 */
import { pause, type Clock } from './clock.ts'
import type { Limits } from '../contracts/limits.ts'

/** How far a wait may differ from its figure, either way. */
const JITTER = 0.2

/** What {@link Backoff} is made of. */
export interface BackoffOptions {
  /** Gives `reconnectMinMs` and `reconnectMaxMs`; where the first is larger, the second holds. */
  readonly limits: Readonly<Pick<Limits, 'reconnectMinMs' | 'reconnectMaxMs'>>
  readonly clock: Clock
  /** From 0 up to, not including, 1. @default Math.random */
  readonly random?: () => number
}

export class Backoff {
  readonly #minMs: number
  readonly #maxMs: number
  readonly #clock: Clock
  readonly #random: () => number
  #figureMs: number

  constructor({ limits, clock, random = Math.random }: BackoffOptions) {
    this.#minMs = Math.min(limits.reconnectMinMs, limits.reconnectMaxMs)
    this.#maxMs = limits.reconnectMaxMs
    this.#clock = clock
    this.#random = random
    this.#figureMs = this.#minMs
  }

  /** The next wait in milliseconds; the one after it is twice as long. */
  next(): number {
    const figureMs = this.#figureMs
    this.#figureMs = Math.min(this.#maxMs, figureMs * 2)
    return figureMs * (1 - JITTER + 2 * JITTER * this.#random())
  }

  /** It worked: the next wait is the shortest again. */
  reset(): void {
    this.#figureMs = this.#minMs
  }

  /**
   * Waits for {@link next}, and keeps the process alive meanwhile; rejects with the signal's reason
   * as soon as it aborts.
   * @param atMostMs cuts the wait short, for what has a deadline
   */
  async wait(signal: AbortSignal, atMostMs: number = Infinity): Promise<void> {
    signal.throwIfAborted()
    await pause(this.#clock, Math.min(this.next(), atMostMs), signal)
  }
}
