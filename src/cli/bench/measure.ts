/**
 * What `trunkline bench` measures: the round trip of a still line, then the rate each way, with
 * samples of it over time and the round trip meanwhile. One measurement after the other, so that
 * none takes the line from another.
 */
import { benchClient } from '../../../protocols/bench.ts'
import type { BenchResult } from '../../../protocols/bench.ts'
import type { Trunk } from '../../index.ts'
import { pause } from '../context.ts'
import type { Context } from '../context.ts'

/** Round trips in milliseconds. */
export interface RoundTrips {
  readonly count: number
  readonly medianMs: number
  /** 99 of 100 took no longer. */
  readonly p99Ms: number
}

/** One direction. */
export interface RateOverTime extends BenchResult {
  /**
   * What the line carried in each of equal parts of the time, in bytes per second: framing and the
   * pings included.
   */
  readonly samples: readonly number[]
  /** How long a small message took beside the bulk; no field where none came back in the time. */
  readonly roundTrip?: RoundTrips
}

/** More round trips than this say nothing new. */
const MAX_ROUND_TRIPS = 10_000
/** Columns of the sparkline: each is one sample. */
const SAMPLES = 32
/**
 * Between two pings beside the bulk: often enough for a percentile, seldom enough to cost the bulk
 * nothing.
 */
const PING_PAUSE_MS = 5

/** Round trips one after the other, for `seconds`; at least one. */
export async function measureRoundTrips(
  { clock, signal }: Context,
  trunk: Trunk,
  seconds: number,
): Promise<RoundTrips> {
  const until = clock.now() + seconds * 1000
  const times: number[] = []
  do times.push(await trunk.ping({ signal }))
  while (times.length < MAX_ROUND_TRIPS && clock.now() < until)
  return summarised(times)
}

/** The rate from the peer (`read`) or to it (`write`), over `seconds`. */
export async function measureRate(
  context: Context,
  trunk: Trunk,
  direction: 'read' | 'write',
  seconds: number,
): Promise<RateOverTime> {
  const over = new AbortController()
  const signal = AbortSignal.any([context.signal, over.signal])
  const watched = { context: { ...context, signal }, trunk }
  const beside = [
    sampled(watched, direction === 'read' ? 'bytesRead' : 'bytesWritten', (seconds * 1000) / SAMPLES),
    pinged(watched),
  ] as const
  try {
    const { clock } = context
    const result = await benchClient(trunk, { clock }).measure({ direction, seconds, signal: context.signal })
    over.abort()
    const [samples, times] = await Promise.all(beside)
    return { ...result, samples, ...(times.length === 0 ? {} : { roundTrip: summarised(times) }) }
  } finally {
    over.abort()
    await Promise.all(beside)
  }
}

interface Watched {
  readonly context: Context
  readonly trunk: Trunk
}

/**
 * Until the signal aborts. Never rejects: what goes wrong with the trunk is told by the
 * measurement.
 */
async function pinged({ context, trunk }: Watched): Promise<number[]> {
  const times: number[] = []
  try {
    while (times.length < MAX_ROUND_TRIPS) {
      await pause(context, PING_PAUSE_MS)
      times.push(await trunk.ping({ signal: context.signal }))
    }
  } catch {
    // The end of the measurement, or of the trunk: either way these are the round trips that there
    // were.
  }
  return times
}

/** As {@link pinged}: bytes per second of each `stepMs`, at most {@link SAMPLES}. */
async function sampled(
  { context, trunk }: Watched,
  counter: 'bytesRead' | 'bytesWritten',
  stepMs: number,
): Promise<number[]> {
  const samples: number[] = []
  const { clock } = context
  let last = { at: clock.now(), bytes: trunk.status()[counter] }
  try {
    while (samples.length < SAMPLES) {
      await pause(context, stepMs)
      const now = { at: clock.now(), bytes: trunk.status()[counter] }
      samples.push(((now.bytes - last.bytes) * 1000) / Math.max(now.at - last.at, Number.EPSILON))
      last = now
    }
  } catch {
    // The end of the measurement: a sample that is not whole says nothing.
  }
  return samples
}

function summarised(times: number[]): RoundTrips {
  const sorted = times.toSorted((one, other) => one - other)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { count: sorted.length, medianMs: at(0.5), p99Ms: at(0.99) }
}
