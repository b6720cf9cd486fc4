/**
 * What runs at a time, with fewer at a time where the peer has too few descriptors for that. An
 * operation that is refused with ERR_HANDLE_LIMIT, before any data flowed, waits for another one of
 * ours to end, and is tried again; one that ran alone is refused for good. Listings are not waited
 * for: whoever reads one may do so only as fast as what it reads for goes on. Bounds: `max` at a
 * time; a wait for another one ends by its signal, or after a time without progress.
 */
import type { Clock } from '../../src/runtime/clock.ts'
import { abortError, TrunkError } from '../../src/contracts/errors.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import { Semaphore } from '../../src/runtime/semaphore.ts'

/** Good ends after which one more is tried at a time: a refusal costs a round trip. */
const ENDS_TO_GROW = 100

/** How an operation enters. */
export interface Entrance {
  readonly signal?: AbortSignal | undefined
  /** It ends when its reader has had enough, and not by itself. @default false */
  readonly pulled?: boolean
  readonly clock: Clock
  /** How long a refused one waits while none of the others ends. */
  readonly patienceMs: number
}

/** An operation that runs: what its attempt gave, and its end (once counts). */
export interface Entered<T> {
  readonly value: T
  readonly leave: () => void
}

export class Crowd {
  readonly #max: number
  readonly #wide: Semaphore
  /** Those that end by themselves: as many as the peer seems to have room for. */
  readonly #narrow: Semaphore
  #limit: number
  #goodEnds = 0
  /** Of those that end by themselves: how many run, and how many ever began. */
  #running = 0
  #begun = 0
  /** Refused ones, in order, each with what tells it that another one has ended. */
  readonly #refused = new Set<() => void>()

  constructor(max: number) {
    this.#max = max
    this.#limit = max
    this.#wide = new Semaphore(max)
    this.#narrow = new Semaphore(max)
  }

  /** Makes the attempt when there is room for it, and again where there was none after all. */
  async enter<T>(entrance: Entrance, attempt: () => Promise<T>): Promise<Entered<T>> {
    for (;;) {
      const run = await this.#begin(entrance)
      try {
        return { value: await attempt(), leave: () => run.end(true) }
      } catch (error) {
        if (!isRefusal(error) || !run.hadCompany()) {
          run.end(false)
          throw error
        }
        this.#shrink()
        run.stepBack()
        if (this.#running > 0 && !(await this.#anotherEnds(entrance))) throw error
      }
    }
  }

  async #begin({ signal, pulled = false }: Entrance): Promise<Run> {
    const turns = [await this.#wide.take(signal)]
    const giveBack = (): void => {
      for (const turn of turns) turn()
    }
    const own = pulled ? 0 : 1
    try {
      if (!pulled) turns.push(await this.#narrow.take(signal))
    } catch (error) {
      giveBack()
      throw error
    }
    const others = this.#running
    this.#running += own
    this.#begun += own
    const begun = this.#begun
    let over = false
    const leave = (): boolean => {
      if (over) return false
      over = true
      this.#running -= own
      giveBack()
      return true
    }
    return {
      hadCompany: () => others > 0 || this.#begun > begun,
      end: (well) => {
        if (!leave()) return
        if (well) this.#grow()
        const [next] = this.#refused
        next?.()
      },
      stepBack: () => void leave(),
    }
  }

  /** False where none has for the time that is waited. */
  #anotherEnds({ signal, clock, patienceMs }: Entrance): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        timer.cancel()
        unsubscribe?.()
        this.#refused.delete(go)
      }
      const go = (): void => {
        done()
        resolve(true)
      }
      const timer = clock.after(
        patienceMs,
        () => {
          done()
          resolve(false)
        },
        true,
      )
      this.#refused.add(go)
      const unsubscribe =
        signal &&
        onAbort(signal, () => {
          done()
          reject(abortError(signal))
        })
    })
  }

  #shrink(): void {
    this.#goodEnds = 0
    this.#limit = Math.max(1, Math.min(this.#limit, this.#running) - 1)
    this.#narrow.atATime = this.#limit
  }

  #grow(): void {
    this.#goodEnds++
    if (this.#limit === this.#max || this.#goodEnds < ENDS_TO_GROW) return
    this.#goodEnds = 0
    this.#limit++
    this.#narrow.atATime = this.#limit
  }
}

interface Run {
  /** True where another one ran at any time since it began. */
  readonly hadCompany: () => boolean
  readonly end: (well: boolean) => void
  /** Leaves, to be tried again: nothing of the peer's came free. */
  readonly stepBack: () => void
}

/** True where the peer says that it has no descriptor left. */
export function isRefusal(error: unknown): boolean {
  return error instanceof TrunkError && error.origin === 'remote' && error.code === 'ERR_HANDLE_LIMIT'
}
