/** What a run has measured: the JSON that the table and the plots are drawn from. */
import type { Row } from './rows.ts'

/**
 * What one contender gave for one workload: a list of the rounds for each figure, or why there is
 * none.
 */
export interface Series {
  readonly figures: Record<string, number[]>
  /** Why there is no figure. */
  error?: string
  /** How it was measured otherwise than asked. */
  notes?: readonly string[]
}

/** Of a layer alone. */
export interface LayerResult {
  readonly name: string
  readonly what: string
  readonly unit: string
  readonly values: readonly number[]
  readonly error?: string
}

export interface Results {
  readonly date: string
  readonly machine: { readonly cpu: string; readonly cores: number; readonly system: string; readonly node: string }
  /** What the measuring processes were given for glibc's malloc; empty where it was left alone. */
  readonly malloc: Readonly<Record<string, string>>
  readonly rounds: number
  readonly seconds: number
  readonly quick: boolean
  readonly contenders: readonly string[]
  /** By workload and number of processes (`bulk-1/2`), then by contender. */
  readonly work: Record<string, Record<string, Series>>
  readonly layers: LayerResult[]
}

export const BARE = 'bare socket'
/** True for that one, and for the one with Nagle's algorithm. */
export const isBareSocket = (name: string): boolean => name.startsWith('bare')
export const OURS = 'trunkline'
/** Ourselves, for readers that keep what they read. */
export const OURS_KEPT = 'trunkline, kept'

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

/** By round. One that failed has no number: JSON knows none, and gives null. */
function rounds(results: Results, work: string, contender: string, figure: string): readonly number[] {
  const values: readonly (number | null)[] = results.work[work]?.[contender]?.figures[figure] ?? []
  return Array.from(values, (value) => value ?? Number.NaN)
}

const measured = (values: readonly number[]): number[] => values.filter((value) => !Number.isNaN(value))

/** The median of the rounds; NaN where nothing was measured. */
export function valueOf(results: Results, work: string, contender: string, figure: string): number {
  return median(measured(rounds(results, work, contender, figure)))
}

/** The median of the rounds' ratios, each to the bare socket of the same round. */
export function ratioOf(results: Results, work: string, contender: string, figure: string): number {
  const limit = rounds(results, work, BARE, figure)
  const ratios = rounds(results, work, contender, figure).map((value, round) => value / (limit[round] ?? Number.NaN))
  return median(measured(ratios))
}

/** What a contender has in a row of the table. */
export function cellOf(results: Results, row: Row, contender: string): number {
  const work = `${row.workload}/${row.processes}`
  if (row.shows === 'ratio') return ratioOf(results, work, contender, row.figure)
  // a writer that was never made to wait has no bound: what it could hand over says how fast it is,
  // no more
  if (row.figure === 'handed' && valueOf(results, work, contender, 'waited') === 0) return Infinity
  const value = valueOf(results, work, contender, row.figure)
  return row.unit === 'KiB' ? value / 1024 : value
}

/** The peer that does best in a row. */
export function bestPeer(results: Results, row: Row): { name: string; cell: number } | undefined {
  return results.contenders
    .filter((name) => !isBareSocket(name) && !name.startsWith(OURS))
    .map((name) => ({ name, cell: cellOf(results, row, name) }))
    .filter(({ cell }) => !Number.isNaN(cell))
    .sort((a, b) => (row.better === 'more' ? b.cell - a.cell : a.cell - b.cell))[0]
}

export function meets(row: Row, cell: number): boolean | undefined {
  if (row.target === undefined || Number.isNaN(cell)) return undefined
  return row.better === 'more' ? cell >= row.target : cell <= row.target
}
