/**
 * The benchmark's command line:
 * `npm run bench -- [--quick] [--only TEXT] [--contender NAME]... [--rounds N]
 * [--seconds S] [--json FILE] [--no-pin] [--publish]`;
 * `--from FILE` in place of what says how to measure shows, or publishes, what an earlier run has
 * written. It measures nothing itself: it calls each contender's process in turn, round after
 * round, and draws up the result.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, type } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Task } from './actor.ts'
import { contenders } from './contenders/all.ts'
import { measureStep } from './measuring.ts'
import { boundsOf, QUICK_CONTENDERS, stepsOf, type Step } from './plan.ts'
import { progressOf } from './progress.ts'
import { publish } from './publish.ts'
import { startRemote, type Remote } from './remote.ts'
import { BARE, type LayerResult, type Results } from './results.ts'
import { failures, terminalGrowth, terminalLayers, terminalTable } from './table.ts'
import type { Figures } from './workloads.ts'

const { values: chosen } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    contender: { type: 'string', multiple: true },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    json: { type: 'string', default: fileURLToPath(new URL('results.json', import.meta.url)) },
    'no-pin': { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
    from: { type: 'string' },
  },
})
const wholeRun = !chosen.quick && chosen.only === undefined && chosen.contender === undefined
if (chosen.publish && !wholeRun) {
  throw new Error('what is published is a whole run: --publish goes without --quick, --only and --contender')
}

/**
 * glibc hands out large buffers as fresh pages or warm ones, by chance: that halves or doubles any
 * figure. So: from its heap, which is never given back.
 */
const PINNED = { MALLOC_MMAP_THRESHOLD_: '33554432', MALLOC_TOP_PAD_: '67108864', MALLOC_TRIM_THRESHOLD_: '1073741824' }
const DOCS = new URL('../../../docs/internals/', import.meta.url)

const actors = new Map<string, Remote>()
/** The one whose processes are used for a single measurement. */
let lone: Remote | undefined

function endActors(): void {
  lone?.kill()
  for (const actor of actors.values()) actor.kill()
}
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    endActors()
    process.exit(status)
  })
}

async function run(): Promise<Results> {
  const { quick } = chosen
  const rounds = Number(chosen.rounds ?? (quick ? 3 : 5))
  const seconds = Number(chosen.seconds ?? (quick ? 0.12 : 1))
  /** Whoever has set one of these already is left with it. */
  const malloc: Readonly<Record<string, string>> = chosen['no-pin']
    ? {}
    : Object.fromEntries(Object.entries(PINNED).map(([name, value]) => [name, process.env[name] ?? value]))
  const env = { ...process.env, ...malloc }
  const bounds = boundsOf(seconds)

  const names = (await contenders())
    .map(({ name }) => name)
    .filter((name) => !quick || chosen.contender !== undefined || QUICK_CONTENDERS.includes(name))
    .filter(
      (name) => name === BARE || chosen.contender === undefined || chosen.contender.some((part) => name.includes(part)),
    )
  const steps = stepsOf({ quick, rounds, seconds, only: chosen.only, contenders: names })
  const withLayers = chosen.only === undefined || chosen.only === 'layers'
  const progress = progressOf(steps.length + Number(withLayers), process.stderr)
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      system: `${type()} ${release()}`,
      node: process.version,
    },
    malloc,
    rounds,
    seconds,
    quick,
    contenders: names,
    work: {},
    layers: [],
  }

  function actorOf(name: string): Remote {
    let actor = actors.get(name)
    if (actor?.alive !== true) {
      actor = startRemote('actor.js', [name], env, true)
      actors.set(name, actor)
    }
    return actor
  }

  /** One round of one contender. A process that fails is not used again. */
  async function measure(step: Step, workload: string, name: string, timeoutMs: number): Promise<Figures> {
    const actor = step.alone ? (lone = startRemote('actor.js', [name], env, true)) : actorOf(name)
    const task: Task = { workload, processes: step.processes, seconds: step.seconds }
    try {
      return (await actor.call('measure', task, timeoutMs)) as Figures
    } catch (error) {
      actor.kill()
      throw error
    } finally {
      if (step.alone) actor.kill()
    }
  }

  async function measureLayers(): Promise<void> {
    let remote = startRemote('../layers.mjs', [], env, true)
    lone = remote
    progress.step('layers')
    for (const name of (await remote.call('names', undefined, bounds.patienceMs)) as string[]) {
      const startedAt = performance.now()
      progress.asking(name)
      const timeoutMs = bounds.patienceMs + seconds * rounds * 4000
      try {
        results.layers.push(...((await remote.call('measure', { name, seconds, rounds }, timeoutMs)) as LayerResult[]))
      } catch (error) {
        // the rows before are not to be lost for this
        results.layers.push({ name, what: 'everything', unit: '', values: [], error: String(error) })
        remote.kill()
        lone = remote = startRemote('../layers.mjs', [], env, true)
      }
      progress.done(name, performance.now() - startedAt, `${rounds} rounds`)
    }
    remote.kill()
  }

  const pinned = Object.entries(malloc).map(([name, value]) => `${name}=${value}`)
  console.log(
    `${results.machine.cpu}, ${results.machine.cores} cores, ${results.machine.system}, Node ${process.version}`,
  )
  console.log(pinned.length === 0 ? 'malloc: left alone' : `malloc: pinned (${pinned.join(' ')})`)
  console.log(
    `${rounds} rounds of ${seconds} s${quick ? `; quick: only ${names.join(' · ')}, fewer pipes, fewer points` : ''}`,
  )
  for (const step of steps) {
    progress.step(step.key)
    results.work[step.key] = await measureStep(step, bounds, measure, progress, () => performance.now())
    save(results) // a run that is stopped leaves what it has
  }
  if (withLayers) await measureLayers()
  progress.end()
  save(results)
  endActors()
  return results
}

function save(results: Results): void {
  mkdirSync(dirname(chosen.json), { recursive: true })
  writeFileSync(chosen.json, `${JSON.stringify(results, undefined, 2)}\n`)
}

const startedAt = performance.now()
const results = chosen.from === undefined ? await run() : (JSON.parse(readFileSync(chosen.from, 'utf8')) as Results)
for (const part of [terminalTable(results), terminalGrowth(results), terminalLayers(results)]) {
  if (part !== '') console.log(`\n${part}`)
}
console.log()
for (const line of failures(results)) console.log(`not measured, or otherwise: ${line}`)
if (chosen.from === undefined) {
  console.log(`${((performance.now() - startedAt) / 1000).toFixed(0)} s; written: ${chosen.json}`)
}
if (chosen.publish) for (const file of await publish(results, DOCS)) console.log(`written: ${file}`)
process.exit(0)
