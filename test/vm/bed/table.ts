/** The results, for people: one row a line, or one for each of its two ways. */
import type { Measured, Ways } from './measure.ts'
import type { Survival } from './rounds.ts'

/** A line that was measured, and survived. */
export interface Row extends Measured {
  readonly line: string
  readonly survival: Survival
}

const MiB = 1024 * 1024

/** The middle one. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? NaN
}

/** What users of a line get, as Markdown reads it. */
export function table(rows: readonly Row[]): string {
  const heads = [
    'line',
    'to serving side',
    'from it',
    'session starts in',
    'restarts survived',
    'old pipes fail within',
  ]
  const cells = rows.map((row) => [
    row.line,
    shown(rate(row.bytes, row.copies.up)),
    shown(rate(row.bytes, row.copies.down)),
    `${median(row.startMs).toFixed(0)} ms`,
    `${row.survival.lagsMs.length} of ${row.survival.rounds}`,
    `${median(row.survival.lagsMs).toFixed(0)} ms, at most ${Math.max(...row.survival.lagsMs).toFixed(0)}`,
  ])
  return markdown(heads, cells)
}

/** What the bare line does, and trunkline's share of it. */
export function shares(rows: readonly (Measured & { readonly line: string })[]): string {
  const heads = ['line', 'way', 'bare link', 'a pipe', 'share', 'a file', 'share']
  const cells = rows.flatMap((row) =>
    (['up', 'down'] as const satisfies readonly (keyof Ways)[]).map((way) => {
      const bare = rate(row.streamed, row.bare[way])
      const pipe = rate(row.streamed, row.pipe[way])
      const file = rate(row.bytes, row.copies[way])
      const share = (value: number) => `${((100 * value) / bare).toFixed(0)} %`
      const name = way === 'up' ? 'to serving side' : 'from it'
      return [row.line, name, shown(bare), shown(pipe), share(pipe), shown(file), share(file)]
    }),
  )
  return markdown(heads, cells)
}

function markdown(heads: readonly string[], cells: readonly (readonly string[])[]): string {
  const lines = [heads, heads.map(() => '---'), ...cells]
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines
    .map((line) => `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`)
    .join('\n')
}

/** Bytes a second. */
function rate(bytes: number, seconds: readonly number[]): number {
  return bytes / median(seconds)
}

function shown(value: number): string {
  return value < MiB ? `${(value / 1024).toFixed(1)} KiB/s` : `${(value / MiB).toFixed(1)} MiB/s`
}
