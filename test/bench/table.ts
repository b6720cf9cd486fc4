/** The results in words: one table for the terminal, the same as Markdown. */
import { BARE, bestPeer, cellOf, meets, median, OURS, valueOf, type Results, type Series } from './results.ts'
import { ROWS, type Row } from './rows.ts'
import { UNREAD_LIMIT } from './workloads.ts'

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

/** Remarks on cells: each text has a number of its own. */
class Footnotes {
  readonly #texts: string[] = []

  /** The mark behind a cell of `series`: how it was measured otherwise, or why there is nothing. */
  mark(series: Series | undefined): string {
    const texts = [...(series?.notes ?? []), ...(series?.error === undefined ? [] : [series.error])]
    return texts.map((text) => this.#number(text)).join(',')
  }

  get lines(): string[] {
    return this.#texts.map((text) => `${this.#number(text)} ${text}`)
  }

  #number(text: string): string {
    if (!this.#texts.includes(text)) this.#texts.push(text)
    return String(this.#texts.indexOf(text) + 1).replace(/\d/g, (digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'.charAt(Number(digit)))
  }
}

/**
 * A cell in figures. What was handed over by a writer that was never made to wait is no bound, but
 * a least figure.
 */
function textOf(results: Results, row: Row, name: string): string {
  const cell = cellOf(results, row, name)
  if (cell !== Infinity) return digits(cell)
  const handed = valueOf(results, `${row.workload}/${row.processes}`, name, row.figure)
  return handed >= UNREAD_LIMIT ? '∞' : `> ${digits(handed / 1024)}`
}

interface Table {
  readonly head: readonly string[]
  readonly lines: readonly (readonly string[])[]
  readonly footnotes: readonly string[]
}

function tableOf(results: Results): Table {
  const peers = results.contenders.filter((name) => name !== BARE && name !== OURS)
  const head = ['', 'asked', 'trunkline', 'best peer', 'bare socket', ...peers.map(shortName)]
  const footnotes = new Footnotes()
  const measured = ROWS.filter(({ workload, processes }) => `${workload}/${processes}` in results.work)
  const lines = measured.map((row) => {
    const work = `${row.workload}/${row.processes}`
    const mark = (name: string): string => footnotes.mark(results.work[work]?.[name])
    const cell = (name: string): string => `${textOf(results, row, name)}${mark(name)}`
    const best = bestPeer(results, row)
    const bare = row.shows === 'ratio' ? digits(valueOf(results, work, BARE, row.figure)) : textOf(results, row, BARE)
    return [
      titleOf(row),
      row.target === undefined ? '' : `${row.better === 'more' ? '≥' : '≤'} ${digits(row.target)}`,
      `${cell(OURS)}${markOf(meets(row, cellOf(results, row, OURS)))}`,
      best === undefined || best.cell === Infinity ? '–' : `${cell(best.name)} ${shortName(best.name)}`,
      `${bare}${row.shows === 'ratio' ? ` ${row.unit}` : ''}${mark(BARE)}`,
      ...peers.map(cell),
    ]
  })
  return { head, lines, footnotes: footnotes.lines }
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
  const { head, lines, footnotes } = tableOf(results)
  if (lines.length === 0) return ''
  return [columns([head, ...lines]), ...footnotes].join('\n')
}

/** For docs/internals/performance.md. */
export function markdownTable(results: Results): string {
  const { head, lines, footnotes } = tableOf(results)
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [
    line(head),
    line(head.map((_, column) => (column === 0 ? '---' : '--:'))),
    ...lines.map(line),
    ...(footnotes.length === 0 ? [] : ['', ...footnotes.map((text) => `- ${text}`)]),
  ].join('\n')
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
  if (results.layers.length === 0) return ''
  return columns([
    ['layers alone', ''],
    ...layerLines(results).map(([name, what, value]) => [`${name}: ${what}`, value ?? '']),
  ])
}

/** Bulk by the number of pipes and by the size of a write, in MiB/s. */
export function terminalGrowth(results: Results): string {
  const keys = Object.keys(results.work).filter((key) => key.startsWith('pipes-') || key.startsWith('payload-'))
  if (keys.length === 0) return ''
  const names = results.contenders.filter((name) => keys.some((key) => name in (results.work[key] ?? {})))
  return columns([
    ['growth, MiB/s', ...names.map(shortName)],
    ...keys.map((key) => [
      key.replace(/-(\d+).*/, ' $1'),
      ...names.map((name) => digits(valueOf(results, key, name, 'rate'))),
    ]),
  ])
}

/**
 * What the table has no mark for: growth and layers that could not be measured, or not like the
 * others, and why.
 */
export function failures(results: Results): string[] {
  const inTable = new Set(ROWS.map(({ workload, processes }) => `${workload}/${processes}`))
  return [
    ...Object.entries(results.work)
      .filter(([work]) => !inTable.has(work))
      .flatMap(([work, all]) =>
        Object.entries(all).flatMap(([name, { error, notes = [] }]) =>
          [...notes, ...(error === undefined ? [] : [error])].map((text) => `${work}: ${name}: ${text}`),
        ),
      ),
    ...results.layers.flatMap(({ name, what, error }) => (error === undefined ? [] : [`${name}: ${what}: ${error}`])),
  ]
}
