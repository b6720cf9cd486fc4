/**
 * What a command has started, and what it could not take back. Whatever lives longer than one call
 * (a session, a server, a forward, a child) is handed over in the moment in which it is there. When
 * the command is over, however that came about, the owner ends all of it: the last one first, each
 * whatever becomes of the others.
 */

/** Ends something. Further calls wait for the same end. */
export type End = () => Promise<void>

/** See the head of this file. */
export class Owner {
  readonly #ends = new Set<End>()
  readonly #left = new Set<Promise<unknown>>()

  /** Takes over what `end` ends. The function that it gives ends it before the command does. */
  own(end: () => Promise<void> | void): End {
    let ending: Promise<void> | undefined
    const once = (): Promise<void> => {
      this.#ends.delete(once)
      ending ??= Promise.resolve().then(end)
      return ending
    }
    this.#ends.add(once)
    return once
  }

  /**
   * Ends all that is still there. Never rejects: what goes wrong with an end changes nothing about
   * what the command did.
   */
  async end(): Promise<void> {
    for (const end of [...this.#ends].reverse()) await end().catch(() => undefined)
  }

  /**
   * Nobody waits for `work` any more, and nothing stops it: a read or an open in the thread pool.
   * The process ends in spite of it.
   */
  leave(work: Promise<unknown>): void {
    const over = (): void => void this.#left.delete(work)
    this.#left.add(work)
    work.then(over, over)
  }

  /** True while something goes on that was left. */
  get hasLeft(): boolean {
    return this.#left.size > 0
  }
}
