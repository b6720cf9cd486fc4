/** What a run measures: everything, or as much as two minutes allow. */
import type { Bounds } from './measuring.ts'
import { BARE, isBareSocket, OURS, OURS_KEPT } from './results.ts'
import { ROWS } from './rows.ts'
import { GROWTH_MAX_SOCKETS, GROWTH_PAYLOADS, GROWTH_PIPES } from './workloads.ts'

/** One workload, in one or two processes, for some of the contenders. */
export interface Step {
  /** Where it stands in the results: `bulk-1/2`. */
  readonly key: string
  readonly workload: string
  /** Easier work for whoever can't do that in time, and what it is against what. */
  readonly fewer?: { readonly workload: string; readonly is: string; readonly asked: string }
  readonly processes: 1 | 2
  readonly rounds: number
  readonly seconds: number
  readonly contenders: readonly string[]
  /**
   * Its processes are used for nothing else: what it measures is memory, or it leaves some behind.
   */
  readonly alone: boolean
}

/** What is chosen on the command line. */
export interface Choice {
  readonly quick: boolean
  readonly rounds: number
  readonly seconds: number
  /** Part of a step's key. */
  readonly only: string | undefined
  readonly contenders: readonly string[]
}

/** Those that are best at one row or another: who takes part in a quick run. */
export const QUICK_CONTENDERS: readonly string[] = [
  BARE,
  OURS,
  OURS_KEPT,
  'http2, tuned windows',
  'bpmux',
  'multiplex',
  'protomux',
]
/** Who is in the growth plots. */
const GROWTH_CONTENDERS: readonly string[] = [BARE, OURS, OURS_KEPT, 'http2, tuned windows', 'multiplex', 'protomux']
const QUICK_PIPES: readonly number[] = [1, 10, 100]
const QUICK_PAYLOADS: readonly number[] = [64, 4096, 65_536]
/** For what is a quantity of memory and hardly differs from round to round. */
const MEMORY_ROUNDS = 3
const MEMORY_WORK: ReadonlySet<string> = new Set(['idle', 'unread-large', 'unread-small'])

/** Without them a run whose slowest contenders need minutes for a row would never end. */
export function boundsOf(seconds: number): Bounds {
  return { slowMs: Math.max(5000, seconds * 4000), patienceMs: Math.max(20_000, seconds * 8000) }
}

export function stepsOf({ quick, rounds, seconds, only, contenders }: Choice): readonly Step[] {
  const steps = new Map<string, Step>()
  for (const { workload, processes, target } of ROWS) {
    const key = `${workload}/${processes}`
    if (steps.has(key) || (quick && target === undefined)) continue
    const alone = MEMORY_WORK.has(workload)
    steps.set(key, {
      key,
      workload: quick && workload === 'idle' ? 'idle-few' : workload,
      ...(workload === 'idle'
        ? { fewer: { workload: 'idle-fewest', is: '1,000 pipes', asked: quick ? '2,000' : '10,000' } }
        : {}),
      processes,
      rounds: alone ? Math.min(rounds, quick ? 1 : MEMORY_ROUNDS) : rounds,
      seconds,
      // ten thousand sockets are no comparison for ten thousand pipes
      contenders: contenders.filter((name) => workload !== 'idle' || !isBareSocket(name)),
      alone,
    })
  }
  const growing = contenders.filter((name) => GROWTH_CONTENDERS.includes(name))
  const growth = (workload: string, names: readonly string[]): Step => ({
    key: `${workload}/1`,
    workload,
    processes: 1,
    rounds: quick ? 1 : Math.min(rounds, 3),
    seconds,
    contenders: names,
    alone: false,
  })
  const all = [
    ...steps.values(),
    ...(quick ? QUICK_PAYLOADS : GROWTH_PAYLOADS).map((payload) => growth(`payload-${payload}`, growing)),
    ...(quick ? QUICK_PIPES : GROWTH_PIPES).map((pipes) =>
      growth(
        `pipes-${pipes}`,
        growing.filter((name) => name !== BARE || pipes <= GROWTH_MAX_SOCKETS),
      ),
    ),
  ]
  return all.filter(({ key }) => only === undefined || key.includes(only))
}
