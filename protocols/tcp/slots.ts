/**
 * A bounded number of places, each held by one live connection, and a descriptor of those that all
 * trunks share. Enforces `maxConnections` of the TCP protocols: dialling refuses when none is free,
 * accepting waits for one.
 */
import type { Share } from '../../src/runtime/fair-budget.ts'

export class Slots {
  readonly max: number
  #used = 0
  readonly #waiting = new Set<() => void>()
  readonly #descriptors: Share | undefined
  /** Waits for a descriptor that another trunk gives back, while a place is free. */
  #awaited: AbortController | undefined

  /** @param descriptors where they are taken from, for a trunk of a peer's */
  constructor(max: number, descriptors?: Share) {
    this.max = max
    this.#descriptors = descriptors
  }

  /** True where all are taken; then it is not for want of a descriptor. */
  get full(): boolean {
    return this.#used >= this.max
  }

  /** Takes a place; false when all are taken, or when there is no descriptor. */
  take(): boolean {
    if (this.full || this.#descriptors?.takeOrRefuse(1) === false) return false
    this.#used += 1
    return true
  }

  /** Gives a place back and wakes whoever waits, the longest waiting first. */
  release(): void {
    this.#used -= 1
    this.#descriptors?.give(1)
    this.#wake()
  }

  #wake(): void {
    this.#awaited?.abort()
    this.#awaited = undefined
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  /** Calls `wake` once, when there may be a place again. Repeating it changes nothing. */
  onRelease(wake: () => void): void {
    this.#waiting.add(wake)
    if (this.#descriptors !== undefined && !this.full && this.#awaited === undefined)
      void this.#await(this.#descriptors)
  }

  /** The trunk has its places, and others have the descriptors. Never rejects. */
  async #await(descriptors: Share): Promise<void> {
    const awaited = new AbortController()
    this.#awaited = awaited
    try {
      await descriptors.wait(1, awaited.signal)
      descriptors.give(1)
    } catch {
      // it has ended, or its time is over: then it asks again
      if (descriptors.isOver) return
    }
    // this trunk's own release came first, also where there was a descriptor by then
    if (this.#awaited !== awaited) return
    this.#awaited = undefined
    this.#wake()
  }

  /** Takes {@link onRelease} back. */
  forget(wake: () => void): void {
    this.#waiting.delete(wake)
    if (this.#waiting.size > 0) return
    this.#awaited?.abort()
    this.#awaited = undefined
  }
}
