/**
 * What is measured: each workload runs on a session of its own for a given time and counts whole
 * operations, or the bytes that the reader got. The clock stops when the last byte has been read
 * and its end has come back, so bytes that lie in somebody's buffer are no gain.
 */
import { performance } from 'node:perf_hooks'
import type { BenchSession, BenchStream } from './contender.ts'
import { ECHO, memoryInUse, type Behaviour, type FarEnd } from './far-end.ts'

/** What one run gives, by the figure's name. */
export type Figures = Readonly<Record<string, number>>

/** Where a workload runs. */
export interface Place {
  readonly session: BenchSession
  readonly far: FarEnd
}

type Run = (place: Place, seconds: number) => Promise<Figures>

export interface Workload {
  readonly id: string
  readonly behaviour?: Behaviour
  readonly run: Run
  /** A bare socket has no streams of its own: it carries the same bytes over one connection. */
  readonly runBare?: Run
  /** False: nothing is gained from a run before the one that counts. */
  readonly warms?: boolean
}

const MIB = 1024 * 1024
const GIB = 1024 * MIB

const ignore = (): void => undefined

/**
 * Says yes until `until`. Looks at the clock once per 16 KiB (a look costs as much as a small
 * write), and says yes at least once.
 */
function lasting(until: number, chunkBytes: number): { more: () => boolean; written: () => number } {
  const every = Math.min(256, Math.max(1, Math.floor(16_384 / chunkBytes)))
  let left = every
  let count = 0
  return {
    more() {
      if (left === 0) {
        if (performance.now() >= until) return false
        left = every
      }
      left--
      count++
      return true
    },
    written: () => count * chunkBytes,
  }
}

/** `pipes` streams, at most a hundred opened at a time. */
async function openStreams(session: BenchSession, pipes: number): Promise<BenchStream[]> {
  const streams: BenchStream[] = []
  let left = pipes
  const worker = async (): Promise<void> => {
    while (left-- > 0) streams.push(await session.open())
  }
  await Promise.all(Array.from({ length: Math.min(pipes, 100) }, worker))
  return streams
}

/** Writes to all of `streams` at once, to the end of each; gives the bytes that were written. */
async function saturate(streams: readonly BenchStream[], chunkBytes: number, seconds: number): Promise<number> {
  const chunk = new Uint8Array(chunkBytes)
  // one end for all: a writer that is never made to wait keeps the others from beginning, and would
  // make the run as long as all of them one after the other
  const until = performance.now() + seconds * 1000
  const written = await Promise.all(
    streams.map(async (stream) => {
      const { more, written } = lasting(until, chunkBytes)
      await Promise.all([stream.send(chunk, more), stream.read(ignore)])
      return written()
    }),
  )
  return sum(written)
}

/** Bytes over `pipes` streams at once. */
function bulk(pipes: number, chunkBytes: number): Run {
  return async ({ session, far }, seconds) => {
    const streams = await openStreams(session, pipes)
    await far.take()
    const usage = process.cpuUsage()
    const started = performance.now()
    const written = await saturate(streams, chunkBytes, seconds)
    const elapsed = (performance.now() - started) / 1000
    const { user, system } = process.cpuUsage(usage)
    const { bytes, cpuMicros } = await far.take()
    const got = bytes.filter((count) => count > 0)
    if (sum(got) !== written) throw new Error(`${sum(got)} of ${written} bytes arrived`)
    const mean = written / pipes
    return {
      rate: written / MIB / elapsed,
      cpu: (user + system + cpuMicros) / 1e6 / (written / GIB),
      least: Math.min(...got) / mean,
      most: Math.max(...got) / mean,
    }
  }
}

/** One message at a time on `stream` for `seconds`: the round trips in microseconds. */
async function roundTrips(stream: BenchStream, seconds: number): Promise<number[]> {
  const message = new Uint8Array(64).fill(ECHO)
  const times: number[] = []
  const until = performance.now() + seconds * 1000
  let got = 0
  let sentAt = 0
  await new Promise<void>((resolve, reject) => {
    const send = (): void => {
      sentAt = performance.now()
      void stream.write(message)
    }
    stream
      .read((bytes) => {
        got += bytes.byteLength
        if (got < message.byteLength) return
        got = 0
        const now = performance.now()
        times.push((now - sentAt) * 1000)
        if (now < until) send()
        else {
          void stream.end()
          resolve()
        }
      })
      .then(() => reject(new Error('the echo has ended')), reject)
    send()
  })
  return times
}

async function pingPong({ session }: Place, seconds: number): Promise<Figures> {
  return summary(await roundTrips(await session.open(), seconds))
}

/** The same beside a stream that takes all it can. */
async function pingPongBesideBulk({ session }: Place, seconds: number): Promise<Figures> {
  const busy = await session.open()
  const stream = await session.open()
  const started = performance.now()
  const [{ written, elapsed }, times] = await Promise.all([
    saturate([busy], 65_536, seconds).then((written) => ({ written, elapsed: (performance.now() - started) / 1000 })),
    roundTrips(stream, seconds),
  ])
  return { ...summary(times), rate: written / MIB / elapsed }
}

/** Open, one byte there and back, close both ways; `width` at a time. */
function openClose(width: number): Run {
  return async ({ session }, seconds) => {
    const byte = new Uint8Array(1).fill(ECHO)
    const started = performance.now()
    const until = started + seconds * 1000
    let done = 0
    const worker = async (): Promise<void> => {
      do {
        const stream = await session.open()
        let got = 0
        const reading = stream.read((bytes) => {
          got += bytes.byteLength
        })
        let left = 1
        await stream.send(byte, () => left-- > 0)
        await reading
        if (got !== 1) throw new Error(`${got} bytes came back for one`)
        done++
      } while (performance.now() < until)
    }
    await Promise.all(Array.from({ length: width }, worker))
    return { rate: done / ((performance.now() - started) / 1000) }
  }
}

/**
 * Memory for each of `pipes` streams that stand and do nothing; both ends in this process, so half
 * of what it gains.
 */
function idle(pipes: number): Run {
  return async ({ session, far }) => {
    const first = await session.open() // what the first one loads and sets up is not counted
    await come(far, 1)
    const before = await memoryInUse()
    const streams = await openStreams(session, pipes)
    await come(far, pipes)
    const after = await memoryInUse()
    streams.push(first)
    return { bytes: (after - before) / 2 / (streams.length - 1) }
  }
}

/**
 * Waits until the server has seen `pipes` streams more: some contenders call a stream open before
 * the other side knows of it.
 */
async function come(far: FarEnd, pipes: number): Promise<void> {
  const until = performance.now() + COME_MS
  for (let missing = pipes; missing > 0;) {
    missing -= (await far.take()).streams
    if (performance.now() > until) throw new Error(`the server saw ${pipes - missing} of ${pipes} streams`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

const COME_MS = 10_000
/** Whoever has taken so much without making its writer wait has no bound. */
export const UNREAD_LIMIT: number = 64 * MIB
/**
 * A writer that is slow and was not made to wait until then has proved nothing: its figure is a
 * least one.
 */
const unreadSeconds = (seconds: number): number => Math.max(1, 5 * seconds)
const STALLED_MS = 500

/**
 * What a writer can hand over to a stream whose reader never reads, before it has to wait, and what
 * the receiving process gains by that.
 */
function unread(chunkBytes: number): Run {
  return async ({ session, far }, seconds) => {
    const chunk = new Uint8Array(chunkBytes)
    const stream = await session.open()
    const before = await far.memory()
    const clock = lasting(performance.now() + unreadSeconds(seconds) * 1000, chunkBytes)
    const writer = { over: false }
    const more = (): boolean => {
      writer.over ||= clock.written() >= UNREAD_LIMIT || !clock.more()
      return !writer.over
    }
    void stream.send(chunk, more).catch(ignore) // it waits until the session is closed
    let movedAt = performance.now()
    for (let seen = -1; !writer.over && performance.now() - movedAt < STALLED_MS;) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      if (clock.written() !== seen) movedAt = performance.now()
      seen = clock.written()
    }
    const waited = writer.over ? 0 : 1
    writer.over = true
    await new Promise((resolve) => setTimeout(resolve, STALLED_MS)) // what is under way arrives
    return { handed: clock.written(), waited, gained: (await far.memory()) - before }
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** Of the sorted values, the one that `share` of them do not exceed. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function summary(times: readonly number[]): Figures {
  const sorted = [...times].sort((a, b) => a - b)
  return { median: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), moment: byTime(sorted) }
}

/**
 * Half of the time went by in round trips up to this long. One that takes the whole run is a single
 * one among thousands, but most moments lie in it.
 */
function byTime(sorted: readonly number[]): number {
  let left = sum(sorted) / 2
  return sorted.find((time) => (left -= time) <= 0) ?? Number.NaN
}

/** How many pipes, and how large writes: the points of the growth plots. */
export const GROWTH_PIPES: readonly number[] = [1, 10, 100, 1000, 10_000]
export const GROWTH_PAYLOADS: readonly number[] = [1, 8, 64, 512, 4096, 16_384, 65_536, 262_144, MIB]
/**
 * Written at a time by each of many pipes: 10,000 of them hold 160 MiB before the first is served.
 */
const GROWTH_CHUNK_BYTES = 16_384
/**
 * A socket for each pipe, and both ends in one process: more than these are not to be had under the
 * usual limit of descriptors.
 */
export const GROWTH_MAX_SOCKETS = 1000

export const WORKLOADS: readonly Workload[] = [
  { id: 'bulk-1', run: bulk(1, 65_536) },
  { id: 'bulk-100', run: bulk(100, 65_536), runBare: bulk(1, 65_536) },
  { id: 'small', run: bulk(1, 64) },
  { id: 'ping', run: pingPong },
  { id: 'beside', run: pingPongBesideBulk },
  { id: 'open-100', run: openClose(100) },
  { id: 'open-1', run: openClose(1) },
  { id: 'idle', behaviour: 'hold', warms: false, run: idle(10_000) },
  { id: 'idle-few', behaviour: 'hold', warms: false, run: idle(2000) },
  { id: 'idle-fewest', behaviour: 'hold', warms: false, run: idle(1000) },
  { id: 'unread-large', behaviour: 'hold', warms: false, run: unread(65_536) },
  { id: 'unread-small', behaviour: 'hold', warms: false, run: unread(1) },
  ...GROWTH_PIPES.map((pipes) => ({ id: `pipes-${pipes}`, run: bulk(pipes, GROWTH_CHUNK_BYTES) })),
  ...GROWTH_PAYLOADS.map((payload) => ({ id: `payload-${payload}`, run: bulk(1, payload) })),
]
