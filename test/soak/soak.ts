/**
 * Seeded chaos with real processes on a TCP line and on pseudo-terminals. A server and a client
 * that live from the beginning to the end (steady), each with peers that are killed, stopped and
 * started again at random while pipes, files and forwarded connections go on. Every now and then
 * everybody is still for a moment, and the steady ones tell what they hold: what was taken for all
 * that has come and gone must have been given back.
 */
import { readdirSync, mkdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '../helpers/loopback.ts'
import { ptyPair } from '../helpers/pty.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { Random } from '../sim/random.ts'
import { Party, type Witness } from './crew.ts'
import type { Holding, PartyConfig } from './party.ts'
import { onlyGrows, slopeOf, type Sample } from './slopes.ts'

export interface SoakOptions {
  readonly minutes: number
  readonly seed: number
  /**
   * Fitted growth of a steady process's heap that is too much, in bytes for each ten minutes (or
   * for the run, where that is shorter).
   */
  readonly heapBytes: number
  /** Told what goes on, in lines. */
  readonly log?: (line: string) => void
}

/** How one steady process did. Slopes are per minute. */
export interface SteadyReport {
  readonly name: string
  readonly samples: number
  readonly heapSlope: number
  readonly bufferSlope: number
  readonly rssSlope: number
  readonly descriptorSlope: number
  readonly handleSlope: number
  readonly first: Holding
  readonly last: Holding
}

export interface SoakReport {
  /** What was done, by name and outcome, and what was done to processes. */
  readonly counts: ReadonlyMap<string, number>
  readonly steady: readonly SteadyReport[]
  /** What must not be. Empty: passed. */
  readonly faults: readonly string[]
}

/**
 * Share of a run after which what is held is looked at: code is compiled and pools are filled until
 * then.
 */
const WARM_UP = 0.25
/**
 * What pools may take at any time of a run: the chunks that transfers of files leave for the next
 * one.
 */
const POOL_BYTES = 4 * 2 ** 20
/** Descriptors and handles of what is just being closed when everybody is still. */
const LATE = 2
/** Samples of a run. */
const SAMPLES = 24
const MIN_SAMPLE_MS = 1_500

/**
 * Runs it. Rejects only where it could not begin; what goes wrong in it is a fault of the report.
 */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { minutes, seed, log = () => undefined } = options
  const counts = new Map<string, number>()
  const faults: string[] = []
  const record: Witness = {
    did(name: string, outcome: string) {
      const key = `${name}: ${outcome}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    },
    fault(text: string) {
      faults.push(text)
      log(`FAULT ${text}`)
    },
  }
  const stage = await makeStage(seed)
  const steady = stage.steady.map((config) => new Party(config, record))
  const mortal = stage.mortal.map((config) => new Party(config, record))
  const everybody = [...steady, ...mortal]
  const samples = new Map(steady.map(({ name }) => [name, [] as (Holding & { minute: number })[]]))
  try {
    await Promise.all(everybody.map((party) => party.start()))
    await Promise.all(everybody.map((party) => party.ask('ready')))
    log('all lines stand')
    const begin = performance.now()
    const minute = (): number => (performance.now() - begin) / 60_000
    const chaos = mortal.map((party, index) => new Chaos(party, new Random(seed + index), minutes, record))
    const everyMs = Math.max(MIN_SAMPLE_MS, (minutes * 60_000) / SAMPLES)
    while (minute() < minutes && faults.length < 20) {
      const stop = new AbortController()
      const raging = chaos.map((one) => one.rage(stop.signal))
      await pause(everyMs)
      stop.abort()
      await Promise.all(raging)
      // stillness: everybody lives, every line stands, nothing is under way
      const workers = everybody.filter(({ works }) => works)
      await Promise.all(mortal.map((party) => party.ask('ready')))
      await Promise.all(workers.map((party) => party.ask('pause')))
      for (const party of steady) {
        const held = await party.ask('hold')
        if (held === null || held === undefined) continue
        samples.get(party.name)?.push({ ...held, minute: minute() })
        log(`${minute().toFixed(1)} min ${party.name}: ${describe(held)}`)
      }
      await Promise.all(workers.map((party) => party.ask('resume')))
    }
    await Promise.all(everybody.filter(({ works }) => works).map((party) => party.finish()))
    await Promise.all(everybody.filter(({ works }) => !works).map((party) => party.finish()))
    for (const name of unfinished(stage.steadyRoot)) record.fault(`the steady server has left ${name}`)
  } finally {
    await Promise.all(everybody.map((party) => party.kill()))
    await stage.close()
  }
  const reports = [...samples].flatMap(([name, all]) =>
    reportOf(
      name,
      all.filter((one) => one.minute >= minutes * WARM_UP),
    ),
  )
  for (const report of reports) for (const fault of faultsOf(report, options)) record.fault(fault)
  if (reports.length < steady.length) record.fault('too few samples')
  return { counts, steady: reports.map(({ report }) => report), faults }
}

/** What is done to one process that may die. */
class Chaos {
  readonly #party: Party
  readonly #random: Random
  readonly #longestStopMs: number
  readonly #record: Witness

  constructor(party: Party, random: Random, minutes: number, record: Witness) {
    this.#party = party
    this.#random = random
    // in a long run some are stopped for so long that their peers give them up
    this.#longestStopMs = minutes >= 3 ? 30_000 : 2_000
    this.#record = record
  }

  /** Until `signal` aborts; the process lives and runs when this resolves. */
  async rage(signal: AbortSignal): Promise<void> {
    const wait = (ms: number): Promise<unknown> => pause(ms, undefined, { signal }).catch(() => undefined)
    for (;;) {
      await wait(this.#random.scale(200, 10_000))
      if (signal.aborted) return
      if (this.#random.chance(0.6)) {
        await this.#party.kill()
        await wait(this.#random.integer(0, 1_000))
        await this.#party.start()
        this.#record.did('process', 'killed')
      } else {
        this.#party.signal('SIGSTOP')
        await wait(this.#random.scale(50, this.#longestStopMs))
        this.#party.signal('SIGCONT')
        this.#record.did('process', 'stopped')
      }
    }
  }
}

interface Stage {
  readonly steady: readonly PartyConfig[]
  readonly mortal: readonly PartyConfig[]
  readonly steadyRoot: string
  close(): Promise<void>
}

/** The lines, and who is at their ends. */
async function makeStage(seed: number): Promise<Stage> {
  const folder = temporaryFolder()
  const root = (name: string): string => {
    mkdirSync(join(folder, name))
    return join(folder, name)
  }
  const [served, dialled] = await Promise.all([ptyPair(), ptyPair()])
  const echo = createServer({ allowHalfOpen: true }, (socket) => {
    // whoever forwards it may be killed
    socket.on('error', () => undefined)
    socket.pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  const echoPort = (echo.address() as AddressInfo).port
  const tcp = { steady: `tcp://127.0.0.1:${await freePort()}`, mortal: `tcp://127.0.0.1:${await freePort()}` }
  const party = (name: string, part: Partial<PartyConfig>): PartyConfig => ({
    name,
    serve: [],
    connect: [],
    root: folder,
    echoPort,
    seed: seed + name.length * 104_729,
    ...part,
  })
  const steadyRoot = root('steady')
  return {
    steadyRoot,
    steady: [
      party('steady server', { serve: [tcp.steady, `serial://${served.far}`], root: steadyRoot }),
      party('steady client', { connect: [tcp.mortal, `serial://${dialled.near}`] }),
    ],
    mortal: [
      party('client on tcp', { connect: [tcp.steady] }),
      party('client on a pty', { connect: [`serial://${served.near}`] }),
      party('server on tcp', { serve: [tcp.mortal], root: root('mortal-tcp') }),
      party('server on a pty', { serve: [`serial://${dialled.far}`], root: root('mortal-pty') }),
    ],
    async close() {
      echo.close()
      await Promise.all([served.close(), dialled.close()])
    },
  }
}

function unfinished(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('.'))
}

interface Judged {
  readonly report: SteadyReport
  readonly samples: readonly (Holding & { minute: number })[]
}

function reportOf(name: string, samples: readonly (Holding & { minute: number })[]): Judged[] {
  const [first, last] = [samples[0], samples.at(-1)]
  if (first === undefined || last === undefined || samples.length < 3) return []
  const slope = (key: keyof Holding): number => slopeOf(series(samples, key))
  const report = {
    name,
    samples: samples.length,
    heapSlope: slope('heapBytes'),
    bufferSlope: slope('bufferBytes'),
    rssSlope: slope('rssBytes'),
    descriptorSlope: slope('descriptors'),
    handleSlope: slope('handles'),
    first,
    last,
  }
  return [{ report, samples }]
}

function series(samples: readonly (Holding & { minute: number })[], key: keyof Holding): Sample[] {
  return samples.map((sample) => ({ minute: sample.minute, value: sample[key] }))
}

function faultsOf({ report, samples }: Judged, { heapBytes }: SoakOptions): string[] {
  const span = Math.min(10, (samples.at(-1)?.minute ?? 0) - (samples[0]?.minute ?? 0))
  const faults: string[] = []
  const grown = [
    { what: 'heap', bytes: report.heapSlope * span, most: heapBytes },
    { what: 'buffers', bytes: report.bufferSlope * span, most: heapBytes + POOL_BYTES },
  ]
  for (const { what, bytes, most } of grown) {
    if (bytes > most)
      faults.push(`the ${what} of the ${report.name} grow by ${mib(bytes)} in ${span.toFixed(1)} minutes`)
  }
  for (const key of ['descriptors', 'handles'] as const) {
    if (!onlyGrows(series(samples, key), LATE)) continue
    faults.push(`the ${key} of the ${report.name} grow: ${samples.map((sample) => sample[key]).join(' ')}`)
  }
  return faults
}

function describe({ rssBytes, heapBytes, bufferBytes, descriptors, handles }: Holding): string {
  return `rss ${mib(rssBytes)}, heap ${mib(heapBytes)}, buffers ${mib(bufferBytes)}, ${descriptors} descriptors, ${handles} handles`
}

/** Bytes for people. */
export function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(3)} MiB`
}
