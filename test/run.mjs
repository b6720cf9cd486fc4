/**
 * Runs test files: `node test/run.mjs [part of a path]... [--option]...`.
 *
 * Without a word: every file that needs no special hardware, but for those whose name ends in
 * `.long.test.ts`; with `--long` those alone, with `--all` both. With parts of paths: every file
 * whose path contains one of them, with `--short` none of the long ones that is not named with its
 * `.long`. With `--vm`: the files that boot virtual machines, one after the other. Other options
 * are node:test's.
 *
 * Node 20 expands no globs, so the files are listed here. node:test's own summary is the last thing
 * printed, and its exit status is kept.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { COMPILED, compile, compiledPath } from './compile.mjs'

/** Folders with their own runners: they need a virtual machine, or a quiet one. */
const ELSEWHERE = new Set(['vm', 'bench', 'fixtures', 'soak', 'mutation'])
/** Files at a time: two processors are what `npm test` promises to need. */
const CONCURRENCY = 2

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Every test file below `folder`, as paths from the root. */
function testFiles(folder) {
  const files = []
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = `${folder}${sep}${entry.name}`
    if (entry.isDirectory()) {
      if (!ELSEWHERE.has(entry.name)) files.push(...testFiles(path))
    } else if (entry.name.endsWith('.test.ts')) files.push(relative(root, path))
  }
  return files.sort()
}

const words = process.argv.slice(2)
/** Which files: this runner's own words, the rest are node:test's. */
const OWN = ['--vm', '--long', '--all', '--short']
const vm = words.includes('--vm')
const options = words.filter((word) => word.startsWith('-') && !OWN.includes(word))
const filters = words.filter((word) => !word.startsWith('-'))

/** Whether this run takes `file`. */
function isAskedFor(file) {
  const long = file.endsWith('.long.test.ts')
  const isLeftOut = (filter) => long && words.includes('--short') && !filter.includes('.long')
  if (filters.length > 0) return filters.some((filter) => file.includes(filter) && !isLeftOut(filter))
  return vm || words.includes('--all') || long === words.includes('--long')
}

const files = testFiles([root, 'test', ...(vm ? ['vm'] : [])].join(sep)).filter(isAskedFor)
if (files.length === 0) {
  console.error(`no test file is asked for by ${words.join(' ') || 'no word'}`)
  process.exit(2)
}

// a terminal gets the same report as a pipe: spec is readable in both
const reporter = options.some((option) => option.startsWith('--test-reporter')) ? [] : ['--test-reporter=spec']
/**
 * `npm run coverage` counts what is loaded by its place: each process compiles the sources
 * themselves then.
 */
const isMeasured = process.env.NODE_V8_COVERAGE !== undefined
const compiler = isMeasured ? ['--import', 'tsx'] : ['--enable-source-maps']
const helpers = ['quick-assert', 'end-of-file'].flatMap((name) => ['--import', `./test/helpers/${name}.mjs`])
const preload = [...compiler, ...helpers]
/**
 * No test and no file takes a tenth of this: what hangs has to fail, not to wait for somebody who
 * looks.
 */
const TIMEOUT_MS = vm || files.some((file) => file.endsWith('.long.test.ts')) ? 1_200_000 : 240_000

const args = [
  ...preload,
  '--test',
  `--test-concurrency=${vm ? 1 : CONCURRENCY}`,
  `--test-timeout=${TIMEOUT_MS}`,
  ...reporter,
  ...options,
  ...(isMeasured ? files : files.map((file) => compiledPath(join(root, file)))),
]
if (!isMeasured) await compile()
const env = isMeasured ? process.env : { ...process.env, TRUNKLINE_COMPILED: COMPILED }
const { status, signal } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env })
if (signal) console.error(`the tests were ended by ${signal}`)
process.exit(status ?? 1)
