/**
 * Puts a run into docs: the JSON, the plots that are drawn from it, and the table between the marks
 * of docs/internals/performance.md.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { format } from 'oxfmt'
import { dotPlot, linePlot, type DotRow } from './plots.ts'
import { BARE, cellOf, OURS, valueOf, type Results } from './results.ts'
import { ROWS, type Row } from './rows.ts'
import { failures, layerLines, markdownTable, shortName } from './table.ts'
import { GROWTH_PAYLOADS, GROWTH_PIPES } from './workloads.ts'

/** Where the figures stand in docs/internals/performance.md. */
const MARKS = /(<!-- figures: [^>]*-->\n)[^]*?(<!-- end of the figures -->)/

function dotRows(results: Results, rows: readonly Row[]): DotRow[] {
  return rows.map((row) => ({
    title: row.title,
    target: row.target,
    dots: results.contenders
      .filter((name) => row.shows !== 'ratio' || name !== BARE)
      // whoever has failed stands in the legend: only who did not take part is left out
      .filter((name) => name in (results.work[`${row.workload}/${row.processes}`] ?? {}))
      .map((name) => ({ name: shortName(name), value: cellOf(results, row, name) })),
  }))
}

function growthPlot(results: Results, prefix: string, points: readonly number[], labels: (point: number) => string) {
  const measured = results.contenders.filter(
    (name) => `${prefix}-${points[0]}/1` in results.work && name in (results.work[`${prefix}-${points[0]}/1`] ?? {}),
  )
  // ours last: it lies on top
  const names = [...measured.filter((name) => name !== OURS), OURS]
  return {
    lines: names.map((name) => ({
      name: shortName(name),
      points: points.map((point) => [point, valueOf(results, `${prefix}-${point}/1`, name, 'rate')] as const),
    })),
    xTicks: points.map((point) => [point, labels(point)] as const),
    yLabel: 'MiB/s',
  }
}

function bytesLabel(bytes: number): string {
  if (bytes >= 1024 * 1024) return `${bytes / 1024 / 1024} MiB`
  return bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes} B`
}

/** What each plot shows, for those who do not see it. */
const SHOWS: Readonly<Record<string, string>> = {
  'rates.svg': 'Rates as ratios to the bare socket',
  'latency.svg': 'Round trips as ratios to the bare socket',
  'cpu.svg': 'CPU seconds for a GiB of bulk',
  'memory-idle.svg': 'Memory of an idle pipe',
  'memory-unread.svg': 'Bytes handed over to a reader that never reads',
  'growth-pipes.svg': 'Bulk by the number of pipes',
  'growth-payload.svg': 'Bulk by the size of a write',
}

/** Each plot by its file's name. */
function plots(results: Results): Record<string, string> {
  const wanted = (choose: (row: Row) => boolean): DotRow[] =>
    dotRows(
      results,
      ROWS.filter((row) => choose(row) && `${row.workload}/${row.processes}` in results.work),
    )
  const line = { value: 1, name: 'bare socket' }
  // ours first: it is drawn stronger
  const palette = [OURS, ...results.contenders.filter((name) => name !== OURS).map(shortName)]
  return {
    'rates.svg': dotPlot({
      title: 'Rates: how many times the bare socket (right is better; the bar is what is asked)',
      xLabel: 'ratio to a bare socket',
      rows: wanted(({ shows, better }) => shows === 'ratio' && better === 'more'),
      palette,
      line,
    }),
    'latency.svg': dotPlot({
      title: 'Round trips: how many times the bare socket (left is better; the bar is what is asked)',
      xLabel: 'ratio to a bare socket',
      rows: wanted(({ shows, better }) => shows === 'ratio' && better === 'less'),
      palette,
      line,
    }),
    'cpu.svg': dotPlot({
      title: 'CPU for bulk: user and system time of both ends (left is better)',
      xLabel: 'seconds per GiB',
      rows: wanted(({ figure }) => figure === 'cpu').map((row, index) => ({
        ...row,
        title: index === 0 ? 'one process' : 'two processes',
      })),
      palette,
    }),
    'memory-idle.svg': dotPlot({
      title: 'Memory of an idle pipe, each side (left is better; the bar is what is asked)',
      xLabel: 'bytes',
      rows: wanted(({ workload }) => workload === 'idle'),
      palette,
    }),
    'memory-unread.svg': dotPlot({
      title: 'Handed over to a reader that never reads (left is better; who has no bound is left out)',
      xLabel: 'KiB',
      rows: wanted(({ figure }) => figure === 'handed'),
      palette,
    }),
    'growth-pipes.svg': linePlot({
      title: 'Bulk over many pipes at once, 16 KiB writes, one process',
      xLabel: 'pipes (for the bare socket: sockets)',
      palette,
      ...growthPlot(results, 'pipes', GROWTH_PIPES, (pipes) => pipes.toLocaleString('en-US')),
    }),
    'growth-payload.svg': linePlot({
      title: 'Bulk over one pipe, by the size of a write, one process',
      xLabel: 'size of a write',
      palette,
      ...growthPlot(results, 'payload', GROWTH_PAYLOADS, bytesLabel),
    }),
  }
}

function figures(results: Results): string {
  const { machine, malloc, rounds, seconds, date } = results
  const pinned = Object.keys(malloc).length === 0 ? 'malloc left alone' : 'malloc pinned'
  return [
    `${date}: ${machine.cpu}, ${machine.cores} cores, ${machine.system}, Node ${machine.node}, ${pinned}; medians of ${rounds} rounds of ${seconds} s.`,
    '',
    markdownTable(results),
    '',
    '| layer | what | takes |',
    '| --- | --- | --: |',
    ...layerLines(results).map((cells) => `| ${cells.join(' | ')} |`),
    '',
    'Every round is in [performance/results.json](performance/results.json); the plots are drawn from that.',
    ...Object.entries(SHOWS).flatMap(([name, what]) => ['', `![${what}](performance/${name})`]),
    ...(failures(results).length === 0
      ? []
      : ['', 'Not measured, or not like the others:', '', ...failures(results).map((line) => `- ${line}`)]),
  ].join('\n')
}

/** `page` with the figures of `results` between its marks. */
export function withFigures(page: string, results: Results): string {
  if (!MARKS.test(page))
    throw new Error('docs/internals/performance.md has lost the marks between which the figures stand')
  return page.replace(MARKS, (_, begin: string, end: string) => `${begin}\n${figures(results)}\n\n${end}`)
}

/** What is published is whole: a page with gaps would not say that there was more to measure. */
function checkWhole({ work, layers, quick }: Results): void {
  const keys = [
    ...ROWS.map(({ workload, processes }) => `${workload}/${processes}`),
    ...GROWTH_PIPES.map((pipes) => `pipes-${pipes}/1`),
    ...GROWTH_PAYLOADS.map((payload) => `payload-${payload}/1`),
  ]
  const missing = keys.find((key) => !(key in work)) ?? (layers.length === 0 ? 'layers' : undefined)
  if (quick || missing !== undefined) throw new Error(`not a whole run: ${missing ?? 'it was a quick one'}`)
}

/** What is written as JSON, and nothing else, is what the page and the plots are drawn from. */
function asWritten(results: Results): Results {
  const text = JSON.stringify(results, (_, value: unknown) =>
    typeof value === 'number' ? Number(value.toPrecision(6)) : value,
  )
  return JSON.parse(text) as Results
}

/** Writes below `docs`, where performance.md lies; gives the files that were written. */
export async function publish(measured: Results, docs: URL): Promise<string[]> {
  checkWhole(measured)
  const results = asWritten(measured)
  const page = withFigures(readFileSync(new URL('performance.md', docs), 'utf8'), results)
  const { code: json } = await format('results.json', JSON.stringify(results), { printWidth: 120 })
  const files = { 'performance/results.json': json, 'performance.md': page }
  for (const [name, svg] of Object.entries(plots(results))) Object.assign(files, { [`performance/${name}`]: svg })
  mkdirSync(new URL('performance/', docs), { recursive: true })
  return Object.entries(files).map(([path, text]) => {
    const file = fileURLToPath(new URL(path, docs))
    writeFileSync(file, text)
    return file
  })
}
