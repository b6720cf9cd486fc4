/** The results in words: one table for the terminal, the same as Markdown. */
import { BARE, bestPeer, cellOf, meets, median, OURS, valueOf, type Results } from './results.ts'
import { ROWS, type Row } from './rows.ts'

/** Names as narrow as a column. */
const SHORT: Readonly<Record<string, string>> = {
  '@chainsafe/libp2p-yamux 7': 'yamux 7',
  '@libp2p/yamux 8': 'yamux 8',
  '@libp2p/mplex 12': 'mplex',
  'http2, tuned windows': 'http2+',
  'spdy-transport': 'spdy',
}

export const shortName = (name: string): string => SHORT[name] ?? name

/** Three digits that say something. */
export function digits(value: number): string {
  if (Number.isNaN(value)) return '–'
  if (value === Infinity) return '∞'
  const size = Math.abs(value)
  if (size >= 1000) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
}

function markOf(met: boolean | undefined): string {
  return met === undefined ? '' : met ? ' ✓' : ' ✗'
}

function titleOf({ title, shows, unit, better }: Row): string {
  const what = shows === 'ratio' ? '' : unit === '' ? '' : `, ${unit}`
  return `${title}${what}${better === 'less' && !title.startsWith('·') ? ' (less is better)' : ''}`
}

function linesOf(results: Results): { head: string[]; lines: string[][] } {
  const peers = results.contenders.filter((name) => name !== BARE && name !== OURS)
  const head = ['', 'asked', 'trunkline', 'best peer', 'bare socket', ...peers.map(shortName)]
  const measured = ROWS.filter(({ workload, processes }) => `${workload}/${processes}` in results.work)
  const lines = measured.map((row) => {
    const ours = cellOf(results, row, OURS)
    const best = bestPeer(results, row)
    const bare = valueOf(results, `${row.workload}/${row.processes}`, BARE, row.figure)
    const asked = row.target === undefined ? '' : `${row.better === 'more' ? '≥' : '≤'} ${digits(row.target)}`
    return [
      titleOf(row),
      asked,
      `${digits(ours)}${markOf(meets(row, ours))}`,
      best === undefined ? '–' : best.cell === Infinity ? '∞' : `${digits(best.cell)} ${shortName(best.name)}`,
      `${digits(row.unit === 'KiB' ? bare / 1024 : bare)}${row.shows === 'ratio' ? ` ${row.unit}` : ''}`,
      ...peers.map((name) => digits(cellOf(results, row, name))),
    ]
  })
  return { head, lines }
}

/** The first column to the left, the others to the right. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((cells) => (cells[column] ?? '').length)))
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)
  return rows.map((cells) => cells.map(pad).join('  ').trimEnd()).join('\n')
}

/** For a terminal. */
export function terminalTable(results: Results): string {
  const { head, lines } = linesOf(results)
  return columns([head, ...lines])
}

/** For docs/performance.md. */
export function markdownTable(results: Results): string {
  const { head, lines } = linesOf(results)
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '--:'))), ...lines.map(line)].join('\n')
}

export function layerLines(results: Results): string[][] {
  return results.layers.map(({ name, what, unit, values, error }) => [
    name,
    what,
    error === undefined ? `${digits(median(values))} ${unit}` : 'not measured',
  ])
}

/** The layers, one a line. */
export function terminalLayers(results: Results): string {
  return columns([
    ['layers alone', ''],
    ...layerLines(results).map(([name, what, value]) => [`${name}: ${what}`, value ?? '']),
  ])
}

/** Bulk by the number of pipes and by the size of a write, in MiB/s. */
export function terminalGrowth(results: Results): string {
  const keys = Object.keys(results.work).filter((key) => key.startsWith('pipes-') || key.startsWith('payload-'))
  const names = results.contenders.filter((name) => keys.some((key) => name in (results.work[key] ?? {})))
  return columns([
    ['growth, MiB/s', ...names.map(shortName)],
    ...keys.map((key) => [
      key.replace(/-(\d+).*/, ' $1'),
      ...names.map((name) => digits(valueOf(results, key, name, 'rate'))),
    ]),
  ])
}

/** What could not be measured, and why. */
export function failures(results: Results): string[] {
  return [
    ...Object.entries(results.work).flatMap(([work, series]) =>
      Object.entries(series).flatMap(([name, { error }]) =>
        error === undefined ? [] : [`${work}: ${name}: ${error}`],
      ),
    ),
    ...results.layers.flatMap(({ name, what, error }) => (error === undefined ? [] : [`${name}: ${what}: ${error}`])),
  ]
}
