/**
 * The way from measured rounds to docs/internals/performance.md, without measuring anything: who is
 * asked how often, what the table says of whoever could not be measured like the others, and that
 * the page, the plots and the JSON follow from the JSON alone.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { measureStep, type Measure } from '../bench/measuring.ts'
import { boundsOf, stepsOf, type Step } from '../bench/plan.ts'
import { publish, withFigures } from '../bench/publish.ts'
import { TimedOut } from '../bench/remote.ts'
import { BARE, OURS, type Results, type Series } from '../bench/results.ts'
import { ROWS } from '../bench/rows.ts'
import { failures, markdownTable } from '../bench/table.ts'
import { GROWTH_PAYLOADS, GROWTH_PIPES } from '../bench/workloads.ts'
import { readPage } from '../helpers/markdown.ts'

const BEGIN = '<!-- figures: here -->\n'
const END = '<!-- end of the figures -->'
const CONTENDERS = [BARE, OURS, 'http2', 'slow', 'stuck']
const LATE = 'did not finish within 20 s'

/**
 * A whole run, with a figure for each row that depends on the contender's place: `slow` has one
 * round, `stuck` none.
 */
function wholeRun(): Results {
  const work: Results['work'] = {}
  const add = (key: string, figure: string): void => {
    const all = (work[key] ??= Object.fromEntries(CONTENDERS.map((name): [string, Series] => [name, { figures: {} }])))
    for (const [index, name] of CONTENDERS.entries()) {
      const series = all[name]!
      if (name === 'stuck') series.error = LATE
      else series.figures[figure] = name === 'slow' ? [7] : [2 * index + 1, 2 * index + 1, 2 * index + 2]
      if (name === 'slow') series.notes = ['1 round: it took more than 5 s']
    }
  }
  for (const { workload, processes, figure } of ROWS) add(`${workload}/${processes}`, figure)
  for (const pipes of GROWTH_PIPES) add(`pipes-${pipes}/1`, 'rate')
  for (const payload of GROWTH_PAYLOADS) add(`payload-${payload}/1`, 'rate')
  return {
    date: '2026-01-02',
    machine: { cpu: 'a processor', cores: 2, system: 'Linux', node: 'v20' },
    malloc: {},
    rounds: 3,
    seconds: 0.5,
    quick: false,
    contenders: CONTENDERS,
    work,
    layers: [{ name: 'codec', what: 'a frame', unit: 'ns', values: [3, 1, 2] }],
  }
}

describe('a row of the benchmark', () => {
  const bounds = boundsOf(0.5)
  const step: Step = {
    key: 'idle/1',
    workload: 'idle',
    fewer: { workload: 'idle-fewest', is: '1,000 pipes', asked: '10,000' },
    processes: 1,
    rounds: 3,
    seconds: 0.5,
    contenders: ['one'],
    alone: false,
  }
  /** What `answer` gives for the n-th call, which takes `ms`. */
  async function measured(answer: (call: number, workload: string) => { ms?: number; error?: Error }, row = step) {
    let now = 0
    const workloads: string[] = []
    const told: string[] = []
    const measure: Measure = (_step, workload) => {
      const { ms = 100, error } = answer(workloads.push(workload), workload)
      now += ms
      return error === undefined ? Promise.resolve({ bytes: workloads.length }) : Promise.reject(error)
    }
    const progress = {
      asking: () => undefined,
      done: (name: string, ms: number, outcome: string) => void told.push(`${name} ${ms} ${outcome}`),
    }
    const { one } = await measureStep(row, bounds, measure, progress, () => now)
    return { series: one, workloads, told }
  }
  const { fewer: _, ...unalterable } = step

  it('asks in each round', async () => {
    const { series, told } = await measured(() => ({}))
    assert.deepEqual(series, { figures: { bytes: [1, 2, 3] } })
    assert.deepEqual(told, ['one 300 3 of 3 rounds'])
  })

  it('asks whoever is slow once, and says so', async () => {
    const { series } = await measured(() => ({ ms: 5001 }))
    assert.deepEqual(series, { figures: { bytes: [1] }, notes: ['1 round: it took more than 5 s'] })
  })

  it('gives whoever is not done in time less work, and says so', async () => {
    const { series, workloads } = await measured((_call, workload) =>
      workload === 'idle' ? { ms: bounds.patienceMs, error: new TimedOut(bounds.patienceMs) } : {},
    )
    assert.deepEqual(workloads, ['idle', 'idle-fewest', 'idle-fewest', 'idle-fewest'])
    assert.deepEqual(series, { figures: { bytes: [2, 3, 4] }, notes: [`1,000 pipes; with 10,000: ${LATE}`] })
  })

  it('asks whoever is not done in time with that either no more, and gives the reason in place of a figure', async () => {
    const { series, workloads, told } = await measured(
      () => ({ ms: bounds.patienceMs, error: new TimedOut(bounds.patienceMs) }),
      unalterable,
    )
    assert.equal(workloads.length, 1)
    assert.deepEqual(series, { figures: {}, error: LATE })
    assert.deepEqual(told, [`one 20000 ${LATE}`])
  })

  it('asks again after one failure, not after two', async () => {
    const once = await measured((call) => (call === 1 ? { error: new Error('broken') } : {}), unalterable)
    // the round that failed has no number
    assert.deepEqual(JSON.parse(JSON.stringify(once.series)), {
      figures: { bytes: [null, 2, 3] },
      notes: ['2 of 3 rounds; in another: broken'],
    })
    const twice = await measured(() => ({ error: new Error('broken') }), unalterable)
    assert.equal(twice.workloads.length, 2)
    assert.deepEqual(twice.series, { figures: {}, error: 'broken' })
  })

  it('is there for each row of the table, in a whole run', () => {
    const steps = stepsOf({ quick: false, rounds: 5, seconds: 0.5, only: undefined, contenders: CONTENDERS })
    const keys = new Set(steps.map(({ key }) => key))
    for (const { workload, processes } of ROWS) assert.ok(keys.has(`${workload}/${processes}`), workload)
  })
})

describe('the table', () => {
  it('shows every contender, and says why a cell is empty or not like the others', () => {
    const lines = markdownTable(wholeRun()).split('\n')
    const [head = '', , first = ''] = lines
    const column = head.split('|').map((cell) => cell.trim())
    const cells = first.split('|').map((cell) => cell.trim())
    assert.equal(cells[column.indexOf(OURS)], '3.00 ✓')
    assert.equal(cells[column.indexOf('slow')], '7.00¹')
    assert.equal(cells[column.indexOf('stuck')], '–²')
    assert.equal(cells[column.indexOf('best peer')], '7.00¹ slow')
    assert.deepEqual(lines.slice(-2), ['- ¹ 1 round: it took more than 5 s', `- ² ${LATE}`])
  })

  it('leaves what it has no cell for to a list', () => {
    assert.ok(failures(wholeRun()).includes(`pipes-10000/1: stuck: ${LATE}`))
    assert.ok(!failures(wholeRun()).some((line) => line.startsWith('bulk-1/')))
  })
})

describe('publishing figures', () => {
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'trunkline-figures-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  /** Every file below a folder of its own after `results` have been published there. */
  async function published(name: string, results: Results): Promise<Record<string, string>> {
    const docs = join(folder, name)
    cpSync(new URL('../../docs/internals/performance.md', import.meta.url), join(docs, 'performance.md'))
    await publish(results, pathToFileURL(`${docs}/`))
    const paths = readdirSync(docs, { recursive: true, encoding: 'utf8' }).filter((path) => path.includes('.'))
    return Object.fromEntries(paths.sort().map((path) => [path, readFileSync(join(docs, path), 'utf8')]))
  }

  it('finds its marks in the page, and keeps what lies outside of them', () => {
    const page = readPage('docs/internals/performance.md')
    const outside = (text: string): string => text.replace(/(<!-- figures:)[^]*(<!-- end of the figures -->)/, '$1$2')
    const written = withFigures(page, wholeRun())
    assert.equal(outside(written), outside(page))
    assert.match(written, /a processor, 2 cores, Linux, Node v20, malloc left alone; medians of 3 rounds of 0.5 s/)
  })

  it('refuses a page without marks', () => {
    assert.throws(() => withFigures('no marks', wholeRun()), /has lost the marks/)
    assert.throws(() => withFigures(BEGIN, wholeRun()), /has lost the marks/)
  })

  it('puts new figures in place of old ones', () => {
    const once = withFigures(`a\n${BEGIN}${END}\nb\n`, wholeRun())
    assert.equal(withFigures(once, wholeRun()), once)
  })

  it('gives the same files again from the JSON that it has written', async () => {
    const run = wholeRun()
    run.work['ping/1']!.http2!.figures.median = [Number.NaN, 5, 6] // a round that failed
    const first = await published('first', run)
    const second = await published('second', JSON.parse(first['performance/results.json']!) as Results)
    assert.deepEqual(second, first)
  })

  it('draws every plot with its unit, for light and dark pages, and with numbers alone', async () => {
    const files = await published('plots', wholeRun())
    const plots = Object.entries(files).filter(([path]) => path.endsWith('.svg'))
    assert.equal(plots.length, 7)
    for (const [path, svg] of plots) {
      assert.ok(files['performance.md']!.includes(`](${path})`), `${path} is not on the page`)
      assert.match(svg, />[^<]*(?:ratio|seconds per GiB|bytes|KiB|MiB\/s)[^<]*<\/text>/, `${path} has no unit`)
      assert.match(svg, /prefers-color-scheme: dark/)
      assert.doesNotMatch(svg, /NaN|Infinity|undefined/, path)
      const colours = new Set([...svg.matchAll(/class="[^"]*\b(c\d+)\b/g)].map(([, name]) => name))
      for (const colour of colours) assert.equal(svg.split(`.${colour} {`).length, 3, `${colour} in ${path}`)
    }
  })

  it('refuses a run that is not whole', async () => {
    const { 'small/2': _missing, ...work } = wholeRun().work
    await assert.rejects(published('gap', { ...wholeRun(), work }), /not a whole run: small\/2/)
    await assert.rejects(published('bare', { ...wholeRun(), layers: [] }), /not a whole run: layers/)
    await assert.rejects(published('short', { ...wholeRun(), quick: true }), /not a whole run/)
  })

  it('leaves the page alone where it has lost its marks', async () => {
    const docs = join(folder, 'unmarked')
    cpSync(new URL('../../docs/internals/performance.md', import.meta.url), join(docs, 'performance.md'))
    writeFileSync(join(docs, 'performance.md'), 'no marks')
    await assert.rejects(publish(wholeRun(), pathToFileURL(`${docs}/`)), /has lost the marks/)
    assert.deepEqual(readdirSync(docs), ['performance.md'])
  })
})
