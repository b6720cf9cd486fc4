/**
 * A bound on what runs at a time: callers wait in order. A client of files keeps below the number
 * of handles that the server grants by it, so that a thousand writes at once are a queue and not
 * nine hundred refusals.
 */
import { abortError } from '../contracts/errors.ts'
import { onAbort } from './on-abort.ts'

export class Semaphore {
  #atATime: number
  #taken = 0
  /**
   * Those who wait; as many as the program has started calls. A Set keeps their order and lets any
   * of them leave.
   */
  readonly #waiting = new Set<() => void>()

  constructor(atATime: number) {
    this.#atATime = atATime
  }

  /** Changes how many there are; what runs goes on where there are fewer now. */
  set atATime(value: number) {
    this.#atATime = value
    this.#pass()
  }

  /**
   * Waits for a turn; the function it gives ends the turn (once counts). Rejects when `signal`
   * aborts first.
   */
  async take(signal?: AbortSignal): Promise<() => void> {
    if (signal?.aborted === true) throw abortError(signal)
    if (this.#taken < this.#atATime) this.#taken++
    else await this.#wait(signal)
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#taken--
      this.#pass()
    }
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const unsubscribe =
        signal &&
        onAbort(signal, () => {
          this.#waiting.delete(go)
          reject(abortError(signal))
        })
      const go = (): void => {
        unsubscribe?.()
        resolve()
      }
      this.#waiting.add(go)
    })
  }

  /** Hands turns to those who wait, who never see them free. */
  #pass(): void {
    for (const next of this.#waiting) {
      if (this.#taken >= this.#atATime) return
      this.#taken++
      this.#waiting.delete(next)
      next()
    }
  }
}
