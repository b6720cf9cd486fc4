/** The result, for people: one row a line. */
import type { Survival } from './rounds.ts'

/** What the program measured: seconds and digests of its copies, and how long sessions took to start. */
export interface Measured {
  readonly startMs: readonly number[]
  /** Bytes of each copy. */
  readonly bytes: number
  /** Seconds of each copy to the serving side, and from it. */
  readonly upSeconds: readonly number[]
  readonly downSeconds: readonly number[]
}

export interface Row extends Measured {
  readonly line: string
  readonly survival: Survival
}

const MiB = 1024 * 1024
const HEADS = ['line', 'to serving side', 'from it', 'session starts in', 'restarts survived', 'old pipes fail within']

/** The middle one. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? NaN
}

/** The table, as Markdown reads it. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.line,
    rate(row.bytes, row.upSeconds),
    rate(row.bytes, row.downSeconds),
    `${median(row.startMs).toFixed(0)} ms`,
    `${row.survival.lagsMs.length} of ${row.survival.rounds}`,
    `${median(row.survival.lagsMs).toFixed(0)} ms, at most ${Math.max(...row.survival.lagsMs).toFixed(0)}`,
  ])
  const lines = [HEADS, HEADS.map(() => '---'), ...cells]
  const widths = HEADS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines
    .map((line) => `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`)
    .join('\n')
}

function rate(bytes: number, seconds: readonly number[]): string {
  const value = bytes / median(seconds)
  return value < MiB ? `${(value / 1024).toFixed(1)} KiB/s` : `${(value / MiB).toFixed(1)} MiB/s`
}
