/**
 * Runs simulated sessions on all processors: `npm run sim -- --seeds 10000`,
 * `npm run sim -- --seed 17` for one of them in detail, `npm run sim:nightly` for a million. Every
 * eighth seed plays a connectionless link, where programs are killed and started again and bytes
 * are damaged; `--bare` plays only those, `--plain` none. Ends with status 1 when a run broke an
 * invariant, after printing the command that replays it.
 */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { simulateBare } from './bare-world.ts'
import { simulate } from './world.ts'

/** Of so many seeds one is a connectionless link: it takes twenty times as long. */
const BARE_EVERY = 8
/** What a process is given at a time. */
const CHUNK = 80
const MAX_FAILED = 20
/**
 * A core that never returns is no run that fails: whoever does not answer in this time is ended,
 * and its seeds are played one by one.
 */
const limitMs = ({ count }: Chunk): number => 60_000 + count * 1000
/** Lines of progress in a run, about. */
const PROGRESS_LINES = 20

/** Seeds from `first` on, and what is played with them. */
interface Chunk {
  readonly first: number
  readonly count: number
  readonly worlds: 'both' | 'bare' | 'plain'
}

/** What came of a chunk. */
interface Totals {
  bare: number
  events: number
  virtualMs: number
  /** A sentence or more for each seed that failed. */
  failed: string[]
}

function isBare(seed: number, worlds: Chunk['worlds']): boolean {
  return worlds === 'both' ? seed % BARE_EVERY === 0 : worlds === 'bare'
}

function play({ first, count, worlds }: Chunk): Totals {
  const totals: Totals = { bare: 0, events: 0, virtualMs: 0, failed: [] }
  for (let seed = first; seed < first + count; seed++) {
    const bare = isBare(seed, worlds)
    const { faults, cut, events, virtualMs } = bare ? simulateBare(seed) : simulate(seed)
    if (bare) totals.bare++
    totals.events += events
    totals.virtualMs += virtualMs
    if (faults.length === 0) continue
    const replay = `npm run sim -- ${bare ? '--bare' : '--plain'} --seed ${seed}`
    totals.failed.push(`seed ${seed} failed (cut: ${cut}):\n  ${faults.join('\n  ')}\n  replay: ${replay}`)
  }
  return totals
}

/** In a process of its own: plays what it is given until its parent hangs up. */
function serveChunks(): void {
  process.on('message', (chunk: Chunk) => {
    process.send?.(play(chunk))
  })
}

async function playAll(whole: Chunk, processes: number): Promise<Totals> {
  const all: Totals = { bare: 0, events: 0, virtualMs: 0, failed: [] }
  const end = whole.first + whole.count
  const startedAt = performance.now()
  let next = whole.first
  let done = 0
  let toldAt = 0
  /** Seeds of processes that did not answer. */
  const again: Chunk[] = []
  const hand = (): Chunk | undefined => {
    const single = again.shift()
    if (single !== undefined || next >= end || all.failed.length >= MAX_FAILED) return single
    const chunk = { ...whole, first: next, count: Math.min(CHUNK, end - next) }
    next += chunk.count
    return chunk
  }
  const hangs = ({ first, count, worlds }: Chunk): void => {
    if (count > 1) {
      console.log(`seeds ${first} to ${first + count - 1} take too long: one by one`)
      for (let seed = first; seed < first + count; seed++) again.push({ first: seed, count: 1, worlds })
      return
    }
    const replay = `npm run sim -- ${isBare(first, worlds) ? '--bare' : '--plain'} --seed ${first}`
    told({ bare: 0, events: 0, virtualMs: 0, failed: [`seed ${first} does not return\n  replay: ${replay}`] }, 1)
  }
  const told = (totals: Totals, count: number): void => {
    all.bare += totals.bare
    all.events += totals.events
    all.virtualMs += totals.virtualMs
    all.failed.push(...totals.failed)
    for (const sentence of totals.failed) console.log(sentence)
    done += count
    if (done - toldAt < whole.count / PROGRESS_LINES) return
    toldAt = done
    const seconds = (performance.now() - startedAt) / 1000
    console.log(`${done} of ${whole.count} seeds, ${all.failed.length} failed, ${seconds.toFixed(0)} s`)
  }
  const worker = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(fileURLToPath(import.meta.url), ['--serve'], { execArgv: process.execArgv })
      let given: Chunk | undefined
      let timer: NodeJS.Timeout | undefined
      let late = false
      const give = (): void => {
        clearTimeout(timer)
        given = hand()
        if (given === undefined) {
          child.disconnect()
          return
        }
        child.send(given)
        // eslint-disable-next-line no-restricted-globals -- a watch over processes, not a wait
        timer = setTimeout(() => {
          late = true
          child.kill('SIGKILL')
        }, limitMs(given))
      }
      child.on('message', (totals: Totals) => {
        told(totals, given?.count ?? 0)
        give()
      })
      child.on('error', reject)
      child.on('exit', (code, signal) => {
        clearTimeout(timer)
        if (given === undefined) resolve()
        else if (late) {
          hangs(given)
          worker().then(resolve, reject)
        } else {
          const last = given.first + given.count - 1
          reject(new Error(`a process ended (${signal ?? code}) in seeds ${given.first} to ${last}`))
        }
      })
      give()
    })
  await Promise.all(Array.from({ length: processes }, worker))
  return all
}

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    /** The first seed; `random` for one that nobody has seen. */
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    bare: { type: 'boolean', default: false },
    plain: { type: 'boolean', default: false },
    processes: { type: 'string', default: String(availableParallelism()) },
    serve: { type: 'boolean', default: false },
  },
})

if (values.serve) serveChunks()
else if (values.seed !== undefined) {
  const seed = Number(values.seed)
  const outcome = isBare(seed, values.bare ? 'bare' : values.plain ? 'plain' : 'both')
    ? simulateBare(seed)
    : simulate(seed)
  console.log(outcome)
  process.exitCode = outcome.faults.length > 0 ? 1 : 0
} else {
  const first = values.from === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(values.from)
  const count = Number(values.seeds)
  const startedAt = performance.now()
  const worlds = values.bare ? 'bare' : values.plain ? 'plain' : 'both'
  const { bare, events, virtualMs, failed } = await playAll({ first, count, worlds }, Number(values.processes))
  const seconds = (performance.now() - startedAt) / 1000
  console.log(
    `${count} seeds from ${first} (${bare} of connectionless links), ${failed.length} failed; ${events} events, ${Math.round(virtualMs / 1000)} virtual seconds in ${seconds.toFixed(1)} s`,
  )
  process.exitCode = failed.length > 0 ? 1 : 0
}
