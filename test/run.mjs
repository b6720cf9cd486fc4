/**
 * Runs test files: `node test/run.mjs [part of a path]... [--option]...`.
 *
 * Without a word: every file that needs no special hardware, but for the long ones, whose name ends
 * in `.long.test.ts`, and for those that start program after program ({@link PROGRAMS}); with
 * `--long` those alone, with `--all` both. With parts of paths: every file whose path contains one
 * of them, with `--short` none of the long ones that is not named with its `.long`. With `--vm`:
 * the files that boot virtual machines, one after the other. Other options are node:test's.
 *
 * Node 20 expands no globs, so the files are listed here. The files of some folders share a process
 * ({@link TOGETHER}). node:test's own summary is the last thing printed, and its exit status is
 * kept.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { COMPILED, compile, compiledPath } from './compile.mjs'

/** Folders with their own runners: they need a virtual machine, or a quiet one. */
const ELSEWHERE = new Set(['vm', 'bench', 'fixtures', 'soak', 'mutation'])
/**
 * Folders whose tests start a program or two each, and what of them `npm test` runs all the same: a
 * start costs a quarter of a second of a processor, and there are a thousand. What `npm test` keeps
 * tries each kind of it: a command, a process of the peer's, a forward, a line of each transport.
 */
const PROGRAMS = {
  'test/cli': ['config/', 'documentation', 'files', 'terminal-keys', 'usage'],
  'test/docs': ['catalogue', 'configuration', 'docs-figures', 'docs.test', 'jsdoc', 'workflows'],
  'test/native': ['device', 'poller', 'terminal.'],
  'test/protocols/exec': ['golden', 'launch.', 'process-table'],
  'test/protocols/forward': ['sessions'],
  'test/transports/hybrid-vsock': [],
  'test/trunk/process': [],
}
/**
 * Folders whose files run one after the other in a process for all of them: they start nothing,
 * have no sockets and change nothing of the process, and the start of one and the loading of what
 * is tested cost more than most of them.
 */
const TOGETHER = new Set(
  [
    'api/streams',
    'cli/config',
    'core',
    'core/checked-frame',
    'core/frame',
    'core/mux',
    'core/resume',
    'core/session',
    'runtime',
    'session',
    'session/pipe',
    'sim',
    'wire',
  ].map((folder) => join('test', folder)),
)
/**
 * Files at a time, on the two processors that `npm test` promises to need: a file often waits for a
 * program or a socket, and a third one runs meanwhile. What measures time is in the long files.
 */
const CONCURRENCY = { short: 3, long: 2 }

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

/** Whether `npm test` leaves `file` to the long run. */
function isLater(file) {
  const path = file.replaceAll(sep, '/')
  const folder = Object.keys(PROGRAMS).find((name) => path.startsWith(name))
  const isKept = folder === undefined || PROGRAMS[folder].some((name) => path.slice(folder.length + 1).startsWith(name))
  return file.endsWith('.long.test.ts') || !isKept
}

/** Whether this run takes `file`. */
function isAskedFor(file) {
  const long = file.endsWith('.long.test.ts')
  const isLeftOut = (filter) => long && words.includes('--short') && !filter.includes('.long')
  if (filters.length > 0) return filters.some((filter) => file.includes(filter) && !isLeftOut(filter))
  return vm || words.includes('--all') || isLater(file) === words.includes('--long')
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
const hasLong = files.some((file) => file.endsWith('.long.test.ts'))
/**
 * No test and no file takes a tenth of this: what hangs has to fail, not to wait for somebody who
 * looks.
 */
const TIMEOUT_MS = vm || hasLong ? 1_200_000 : 240_000

/** The compiled files that node:test starts for `files`: one of its own, or its folder's. */
function programsOf(files) {
  const byProgram = new Map()
  for (const file of files) {
    const folder = dirname(file)
    const key = TOGETHER.has(folder) && !file.endsWith('.long.test.ts') ? folder : file
    byProgram.set(key, [...(byProgram.get(key) ?? []), compiledPath(join(root, file))])
  }
  return [...byProgram].map(([key, paths]) => {
    if (paths.length === 1) return paths[0]
    const text = paths.map((path) => `import ${JSON.stringify(pathToFileURL(path).href)}\n`).join('')
    // another run may have others of the folder
    const name = `${key.replaceAll(sep, '-')}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}.test.js`
    const program = join(COMPILED, 'together', name)
    mkdirSync(dirname(program), { recursive: true })
    writeFileSync(program, text)
    return program
  })
}

const args = [
  ...preload,
  '--test',
  `--test-concurrency=${vm ? 1 : hasLong ? CONCURRENCY.long : CONCURRENCY.short}`,
  `--test-timeout=${TIMEOUT_MS}`,
  ...reporter,
  ...options,
  ...(isMeasured ? files : programsOf(files)),
]
if (!isMeasured) await compile()
const env = isMeasured ? process.env : { ...process.env, TRUNKLINE_COMPILED: COMPILED }
const { status, signal } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env })
if (signal) console.error(`the tests were ended by ${signal}`)
process.exit(status ?? 1)
