/**
 * Tells a dead peer from a silent one: a peer that was silent is asked for a sign of life, and has
 * a while to give it. Time is told. Time in which we ourselves were suspended proves nothing about
 * the peer.
 */
import { TrunkError } from '../../contracts/errors.ts'

/** How long a peer may be silent, and how long it may take to answer. */
export interface KeepaliveTimes {
  readonly keepaliveMs: number
  readonly keepaliveTimeoutMs: number
}

export class Keepalive {
  readonly #times: KeepaliveTimes
  #heardAt: number
  #askedAt = -1

  constructor(times: KeepaliveTimes, now: number) {
    this.#times = times
    this.#heardAt = now
  }

  /** The peer gave a sign of life: any byte is one. */
  heard(now: number): void {
    this.#heardAt = now
    this.#askedAt = -1
  }

  /** We were suspended: the peer gets a fresh interval. */
  suspended(now: number): void {
    if (this.#askedAt >= 0) this.#askedAt = now
  }

  /** When {@link check} has something to say. */
  deadline(): number {
    return this.#askedAt >= 0 ? this.#askedAt + this.#times.keepaliveTimeoutMs : this.#heardAt + this.#times.keepaliveMs
  }

  /** `ask`: ask the peer for a sign of life. An error: it has given none. */
  check(now: number): 'ask' | TrunkError | undefined {
    if (now < this.deadline()) return undefined
    if (this.#askedAt < 0) {
      this.#askedAt = now
      return 'ask'
    }
    const silentMs = Math.round(now - this.#heardAt)
    return new TrunkError('ERR_KEEPALIVE_TIMEOUT', `the peer has been silent for ${silentMs} ms`)
  }
}
