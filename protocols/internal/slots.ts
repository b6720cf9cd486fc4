/**
 * A bounded number of places, each held by one live connection. Enforces `maxConnections` of the TCP protocols: dialling
 * refuses when none is free, accepting waits for one.
 */
export class Slots {
  readonly max: number
  #used = 0
  readonly #waiting = new Set<() => void>()

  constructor(max: number) {
    this.max = max
  }

  /** Takes a place; false when all are taken. */
  take(): boolean {
    if (this.#used >= this.max) return false
    this.#used += 1
    return true
  }

  /** Gives a place back and wakes whoever waits, the longest waiting first. */
  release(): void {
    this.#used -= 1
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  /** Calls `wake` once, at the next release. Repeating it changes nothing. */
  onRelease(wake: () => void): void {
    this.#waiting.add(wake)
  }

  /** Takes {@link onRelease} back. */
  forget(wake: () => void): void {
    this.#waiting.delete(wake)
  }
}
