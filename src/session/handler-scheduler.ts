/**
 * When the handlers of pipes start: at once, unless one read of the line has brought very many.
 * What peers open is started in portions, a turn of the event loop for each, so that whoever opens
 * all of its pipes in one go does not keep everybody else waiting. Holds no more than the session
 * has pipes.
 */

/**
 * Handlers that start for what one read has brought, and in each turn after it. More than an honest
 * opener has under way by default (`maxWaitingPipes`), so only whoever ignores that meets it: 1,700
 * opens in one chunk had kept the event loop for 50 to 130 ms.
 */
export const MAX_STARTS = 256

export class HandlerScheduler<Pipe> {
  readonly #start: (pipe: Pipe) => void
  /** Of what the read that is being parsed has brought. */
  #started = 0
  #waiting: Pipe[] = []

  /** @param start may not throw */
  constructor(start: (pipe: Pipe) => void) {
    this.#start = start
  }

  /** Starts the handler of `pipe`, now or in a later turn; in order. */
  add(pipe: Pipe): void {
    if (this.#started === 0) queueMicrotask(this.#over)
    if (this.#started < MAX_STARTS && this.#waiting.length === 0) {
      this.#started++
      this.#start(pipe)
    } else if (this.#waiting.push(pipe) === 1) setImmediate(this.#next)
  }

  /** The read is parsed. */
  readonly #over = (): void => {
    this.#started = 0
  }

  readonly #next = (): void => {
    const portion = this.#waiting.slice(0, MAX_STARTS)
    for (const pipe of portion) this.#start(pipe)
    // only now: what is opened meanwhile waits behind them
    this.#waiting = this.#waiting.slice(portion.length)
    if (this.#waiting.length > 0) setImmediate(this.#next)
  }
}
