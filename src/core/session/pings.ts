/** Pings that are under way, and what their answers tell: the round trip. Time is told. */
import { readU64, writeU64 } from '../frame/numbers.ts'

/** Payload of PING: a number and its sender's clock. */
export const PING_BYTES = 16
/** Payload of PONG: both, and the answerer's clock. */
export const PONG_BYTES = 24

/** While data flow the round trip is measured this often. */
const MEASURE_MS = 2000

export class Pings {
  /** Smoothed, in milliseconds; undefined before the first answer. */
  roundTripMs: number | undefined
  /** The shortest one: what the line needs when nothing else is on it. */
  leastMs: number | undefined
  /** By number: when it was sent, and behind how many bytes of data frames. */
  readonly #sent = new Map<number, { readonly at: number; readonly behind: number }>()
  #id = 0
  #wanted = false
  #measuredAt: number
  /**
   * First answers that shared the line with the hello burst: how long they took says nothing of a
   * line that is empty.
   */
  #warmUpSamples: number

  constructor(now: number, warmUpSamples = 0) {
    this.#measuredAt = now
    this.#warmUpSamples = warmUpSamples
  }

  /**
   * Goes on with the numbers of the link before: a later answer counts for what was asked there.
   */
  goOnFrom(before: Pings): void {
    this.#id = before.#id
  }

  /** The number of the ping that goes out next: asking again before it has gives the same. */
  want(): number {
    if (!this.#wanted) {
      this.#wanted = true
      this.#id++
    }
    return this.#id
  }

  /** True where the last measurement is old, and none is under way. */
  isDue(now: number): boolean {
    return now - this.#measuredAt > MEASURE_MS && this.#sent.size === 0
  }

  /** The payload of the ping that was wanted, once; it goes behind so many bytes of data frames. */
  take(now: number, behind = 0): Uint8Array | undefined {
    if (!this.#wanted) return undefined
    this.#wanted = false
    this.#sent.set(this.#id, { at: now, behind })
    const payload = new Uint8Array(PING_BYTES)
    writeU64(payload, 0, this.#id)
    writeU64(payload, 8, Math.round(now * 1000))
    return payload
  }

  /**
   * An answer: its number, its round trip, and how many bytes of data frames the peer has parsed
   * for sure; undefined where nothing was asked.
   */
  answered(payload: Uint8Array, now: number): { id: number; roundTripMs: number; parsed: number } | undefined {
    const id = readU64(payload, 0)
    const sent = this.#sent.get(id)
    if (sent === undefined) return undefined
    const sample = Math.max(0, now - sent.at)
    if (this.#warmUpSamples > 0) this.#warmUpSamples--
    else {
      this.leastMs = Math.min(this.leastMs ?? Infinity, sample)
      this.roundTripMs = this.roundTripMs === undefined ? sample : this.roundTripMs * 0.875 + sample * 0.125
    }
    this.#measuredAt = now
    // answers coalesce: this one answers all pings before it too
    for (const earlier of this.#sent.keys()) if (earlier <= id) this.#sent.delete(earlier)
    return { id, roundTripMs: sample, parsed: sent.behind }
  }

  /** The answer to a ping of the peer. */
  static answer(ping: Uint8Array, now: number): Uint8Array {
    const payload = new Uint8Array(PONG_BYTES)
    payload.set(ping)
    writeU64(payload, PING_BYTES, Math.round(now * 1000))
    return payload
  }

  clear(): void {
    this.#sent.clear()
  }
}
