/**
 * The benchmark's command line: `npm run bench -- [--quick] [--only TEXT] [--contender NAME]... [--rounds N] [--seconds S] [--json FILE] [--no-pin] [--publish]`.
 * It measures nothing itself: it calls each contender's process in turn, round after round, and draws up the result.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release, type } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Task } from './actor.ts'
import { contenders } from './contenders/all.ts'
import { QUICK_CONTENDERS, stepsOf, type Step } from './plan.ts'
import { publish } from './publish.ts'
import { startRemote, type Remote } from './remote.ts'
import { BARE, type LayerResult, type Results, type Series } from './results.ts'
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
  },
})
if (chosen.publish && (chosen.quick || chosen.only !== undefined || chosen.contender !== undefined)) {
  throw new Error('what is published is a whole run: --publish goes without --quick, --only and --contender')
}

const { quick } = chosen
const rounds = Number(chosen.rounds ?? (quick ? 3 : 5))
const seconds = Number(chosen.seconds ?? (quick ? 0.12 : 1))
/** glibc hands out large buffers as fresh pages or warm ones, by chance: that halves or doubles any figure. So: from its heap, which is never given back. */
const PINNED = { MALLOC_MMAP_THRESHOLD_: '33554432', MALLOC_TOP_PAD_: '67108864', MALLOC_TRIM_THRESHOLD_: '1073741824' }
/** Whoever has set one of these already is left with it. */
const malloc: Readonly<Record<string, string>> = chosen['no-pin']
  ? {}
  : Object.fromEntries(Object.entries(PINNED).map(([name, value]) => [name, process.env[name] ?? value]))
const env = { ...process.env, ...malloc }
/** Beyond the seconds themselves: what slow contenders need to open, to drain and to end. */
const PATIENCE_MS = quick ? 10_000 : 60_000

const names = (await contenders())
  .map(({ name }) => name)
  .filter((name) => !quick || chosen.contender !== undefined || QUICK_CONTENDERS.includes(name))
  .filter(
    (name) => name === BARE || chosen.contender === undefined || chosen.contender.some((part) => name.includes(part)),
  )
const steps = stepsOf({ quick, rounds, seconds, only: chosen.only, contenders: names })
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

const actors = new Map<string, Remote>()

function actorOf(name: string): Remote {
  let actor = actors.get(name)
  if (actor?.alive !== true) {
    actor = startRemote('actor.js', [name], env)
    actors.set(name, actor)
  }
  return actor
}

/** One round of one contender. A process that fails is not used again. */
async function measure(step: Step, name: string): Promise<Figures> {
  const actor = step.alone ? startRemote('actor.js', [name], env) : actorOf(name)
  const task: Task = { workload: step.workload, processes: step.processes, seconds: step.seconds }
  try {
    return (await actor.call('measure', task, step.seconds * 1000 + PATIENCE_MS)) as Figures
  } catch (error) {
    actor.kill()
    throw error
  } finally {
    if (step.alone) actor.kill()
  }
}

async function measureAll(step: Step): Promise<void> {
  const all: Record<string, Series> = Object.fromEntries(step.contenders.map((name) => [name, { figures: {} }]))
  results.work[step.key] = all
  for (let round = 0; round < step.rounds; round++) {
    for (const [name, series] of Object.entries(all)) {
      // once is chance, and the round has no figure; whoever fails at first is not asked again
      if (series.error !== undefined && Object.keys(series.figures).length === 0) continue
      try {
        for (const [figure, value] of Object.entries(await measure(step, name))) {
          ;(series.figures[figure] ??= [])[round] = value
        }
      } catch (error) {
        series.error = error instanceof Error ? error.message : String(error)
      }
    }
  }
}

async function measureLayers(): Promise<void> {
  const remote = startRemote('../layers.mjs', [], env)
  for (const name of (await remote.call('names', undefined, PATIENCE_MS)) as string[]) {
    const measured = await remote.call('measure', { name, seconds, rounds }, PATIENCE_MS + seconds * rounds * 2000)
    results.layers.push(...(measured as LayerResult[]))
  }
  remote.kill()
}

const startedAt = performance.now()
const pinned = Object.entries(malloc).map(([name, value]) => `${name}=${value}`)
console.log(
  `${results.machine.cpu}, ${results.machine.cores} cores, ${results.machine.system}, Node ${process.version}`,
)
console.log(pinned.length === 0 ? 'malloc: left alone' : `malloc: pinned (${pinned.join(' ')})`)
console.log(
  `${rounds} rounds of ${seconds} s${quick ? `; quick: only ${names.join(' · ')}, fewer pipes, fewer points` : ''}`,
)
for (const [index, step] of steps.entries()) {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${index + 1}/${steps.length} ${step.key}`)
  await measureAll(step)
}
if (process.stderr.isTTY) process.stderr.write('\r\u001b[K')
if (chosen.only === undefined || chosen.only === 'layers') await measureLayers()

console.log(`\n${terminalTable(results)}\n\n${terminalGrowth(results)}\n\n${terminalLayers(results)}\n`)
for (const line of failures(results)) console.log(`not measured: ${line}`)
mkdirSync(dirname(chosen.json), { recursive: true })
writeFileSync(chosen.json, `${JSON.stringify(results, undefined, 2)}\n`)
console.log(`${((performance.now() - startedAt) / 1000).toFixed(0)} s; written: ${chosen.json}`)
if (chosen.publish) for (const file of await publish(results)) console.log(`written: ${file}`)
for (const actor of actors.values()) actor.kill()
process.exit(0)
