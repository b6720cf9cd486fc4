/**
 * What the end of a long output is to say: which tests failed and why, and node:test's figures.
 * Reads the texts that programs print.
 */

const MAX_FAILURES = 12
const MAX_LINES = 5
const MAX_COLUMNS = 200

/** One line of a figure in node:test's summary. */
const FIGURE = /^(?:ℹ|#) (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([0-9.]+)$/
const FIGURES = ['tests', 'suites', 'pass', 'fail', 'cancelled', 'skipped', 'todo', 'duration_ms']

const plainLines = (text) => text.replace(/\u001b\[[0-9;]*m/g, '').split(/\r?\n/)

/**
 * The figures that node:test has printed in `texts`, added up; undefined where it printed none in
 * one of them.
 */
export function figuresOf(texts) {
  const sums = Object.fromEntries(FIGURES.map((name) => [name, 0]))
  for (const text of texts) {
    const found = plainLines(text).flatMap((line) => {
      const [, name, value] = FIGURE.exec(line) ?? []
      return name === undefined ? [] : [[name, Number(value)]]
    })
    if (found.length === 0) return undefined
    for (const [name, value] of found) sums[name] += value
  }
  return sums
}

export const figureLines = (figures) => FIGURES.map((name) => `ℹ ${name} ${figures[name]}`)

/** Lines that say nothing to whoever does not look closer. */
const isNoise = (line) =>
  line.trim() === '' || /^\s+(?:at .+|generatedMessage: .*|operator: .*|code: 'ERR_ASSERTION',|})$/.test(line)

/** What a program that is no test says of its failing: its last words. */
function lastWords(lines) {
  const said = lines.filter((line) => !isNoise(line) && !FIGURE.test(line))
  return said.slice(-MAX_LINES)
}

/**
 * The failed tests in what a part has printed, each as a few lines: its name, where it stands, its
 * error. Its last words where no test is named.
 */
function failuresIn(text) {
  const lines = plainLines(text)
  const failures = []
  let inList = false
  let section = ''
  for (const [index, line] of lines.entries()) {
    if (line.startsWith('--- ')) section = `${line.slice(4)}: `
    if (line.startsWith('✖ failing tests:')) inList = true
    else if (/^(?:✔|▶|ℹ|---) /.test(line)) inList = false
    else if (inList && line.startsWith('✖ ')) {
      const place = /^test at (.+)/.exec(lines[index - 1] ?? '')?.[1]
      failures.push([`${section}${line.slice(2)}${place === undefined ? '' : ` at ${place}`}`])
    } else if (inList && failures.length > 0 && !isNoise(line) && !line.startsWith('test at '))
      failures.at(-1).push(line)
  }
  return failures.length > 0 ? failures : [lastWords(lines)]
}

/** What is told of the parts that failed, `{ name, text }` each. */
export function failureLines(parts) {
  const failures = parts.flatMap(({ name, text }) => {
    return failuresIn(text).map(([first = 'it said nothing', ...rest]) => [`✖ ${name}: ${first}`, ...rest])
  })
  const told = failures.slice(0, MAX_FAILURES).flatMap((lines) => lines.slice(0, MAX_LINES))
  const rest = failures.length - MAX_FAILURES
  return [...told, ...(rest > 0 ? [`and ${rest} more, above`] : [])].map((line) =>
    line.length > MAX_COLUMNS ? `${line.slice(0, MAX_COLUMNS)}…` : line,
  )
}

/** One line on a part: whether it went well, how long it took, and the figures of its tests. */
export function partLine({ name, failed, seconds, text }) {
  const figures = figuresOf([text])
  const counts = figures && `, pass ${figures.pass}, fail ${figures.fail}, skipped ${figures.skipped}`
  return `${failed ? '✖' : '✔'} ${name} (${Math.round(seconds)} s${counts ?? ''})`
}
