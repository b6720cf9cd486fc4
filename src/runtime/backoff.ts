/**
 * How long to wait before trying again: each wait is twice the last one. Those of {@link Backoff}
 * differ by up to 20 % either way, so that what failed together does not come back together; those
 * of {@link Doubling} concern this machine alone and do not.
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

/** Waits of which each is twice the last one, from `minMs` to `maxMs`, to the millisecond. */
export class Doubling {
  readonly #minMs: number
  readonly #maxMs: number
  #nextMs: number

  constructor(minMs: number, maxMs: number) {
    this.#minMs = Math.min(minMs, maxMs)
    this.#maxMs = maxMs
    this.#nextMs = this.#minMs
  }

  /** The next wait in milliseconds; the one after it is twice as long. */
  next(): number {
    const ms = this.#nextMs
    this.#nextMs = Math.min(this.#maxMs, ms * 2)
    return ms
  }

  /** The next wait is the shortest again. */
  reset(): void {
    this.#nextMs = this.#minMs
  }
}

export class Backoff {
  readonly #waits: Doubling
  readonly #clock: Clock
  readonly #random: () => number

  constructor({ limits, clock, random = Math.random }: BackoffOptions) {
    this.#waits = new Doubling(limits.reconnectMinMs, limits.reconnectMaxMs)
    this.#clock = clock
    this.#random = random
  }

  /** The next wait in milliseconds; the one after it is about twice as long. */
  next(): number {
    return this.#waits.next() * (1 - JITTER + 2 * JITTER * this.#random())
  }

  /** It worked: the next wait is the shortest again. */
  reset(): void {
    this.#waits.reset()
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
