/**
 * Runs tests on the other releases of Node that trunkline is for, and without the native addon:
 * `node test/run-nodes.mjs [part of a row's name]...`.
 *
 * npm's package `node` brings each release; it is installed into a temporary folder, or into that
 * of TRUNKLINE_NODES, which stays. The addon is the one that was built (Node-API is the same for
 * all), and each release builds it from the sources as well. A row that cannot be run, or that runs
 * no test, has failed. The last thing printed is a line for each row; the status is 1 when one has
 * failed.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/**
 * What differs between releases: the event loop, streams, sockets, processes. Of the long files
 * those that try such things in other ways than the short ones; what a command prints and which of
 * its options are refused is the same on each release, so most of the command line's are left out.
 * Two to three minutes on two processors.
 */
const SUITES = [
  'test/core/',
  'test/runtime/',
  'test/session/',
  'test/transports/',
  'test/transports/stdio-suite.long',
  'test/transports/serial-suite.long',
  'test/trunk/serial-line.long',
  'test/native/addon.long.test',
  'test/native/device',
  'test/native/poller',
  'test/protocols/tcp-',
  'test/protocols/tcp/',
  'test/cli/',
  'test/cli/start-up.long',
  'test/cli/demo.long',
  'test/cli/cp.long',
  'test/cli/byte-paths.long',
  'test/cli/forward-restart.long',
]
/**
 * What the oldest and the newest of the other releases run for those between: the addon under
 * sanitizers, which is one file for all of them, and the demonstration.
 */
const AT_THE_ENDS = new Set(['test/native/addon.long.test', 'test/cli/demo.long'])
/** What has another way where there is no addon. */
const WITHOUT_ADDON = [
  'test/transports/',
  'test/transports/stdio-suite.long',
  'test/transports/serial-suite.long',
  'test/trunk/',
  'test/trunk/borrowed.long',
  'test/native/addon.long.test',
  'test/protocols/',
  'test/protocols/exec/exec.long',
  'test/protocols/filesystem/listing.long',
  'test/cli/forward',
  'test/cli/forward-restart.long',
  'test/cli/cp',
  'test/cli/cp-trees.long',
  'test/cli/doctor',
]
/** Terminals are told of by serialport's own poller then, which is where Node 26 stalled. */
const TERMINALS_WITHOUT_ADDON = [
  'test/transports/serial',
  'test/transports/serial-suite.long',
  'test/transports/readiness',
  'test/trunk/serial-line.long',
]

/** `node` is the release, undefined the running one. */
const ROWS = [
  { name: 'Node 22', node: '22', addon: true, suites: SUITES },
  { name: 'Node 24', node: '24', addon: true, suites: SUITES.filter((suite) => !AT_THE_ENDS.has(suite)) },
  { name: 'Node 26', node: '26', addon: true, suites: SUITES },
  { name: 'Node 26, terminals without the addon', node: '26', addon: false, suites: TERMINALS_WITHOUT_ADDON },
  { name: 'the running Node without the addon', node: undefined, addon: false, suites: WITHOUT_ADDON },
]
/** No row takes half of this. */
const TIMEOUT_MS = 1_200_000

const filters = process.argv.slice(2)
const rows = ROWS.filter(({ name }) => filters.length === 0 || filters.some((filter) => name.includes(filter)))
if (rows.length === 0) {
  console.error(`no row's name contains ${filters.join(' or ')}: ${ROWS.map(({ name }) => name).join('; ')}`)
  process.exit(2)
}

const kept = process.env.TRUNKLINE_NODES
const folder = kept ?? mkdtempSync(join(tmpdir(), 'trunkline-nodes-'))

/** The folder of the release's `node`, installed where it is not yet; throws where npm cannot. */
function install(release) {
  const home = join(folder, release)
  const bin = join(home, 'node_modules/node/bin')
  if (existsSync(join(bin, 'node'))) return bin
  mkdirSync(home, { recursive: true })
  writeFileSync(join(home, 'package.json'), '{ "private": true }\n')
  const words = ['install', '--no-audit', '--no-fund', '--no-save', '--loglevel=error', `node@${release}`]
  const { status } = spawnSync('npm', words, { cwd: home, stdio: 'inherit' })
  if (status !== 0 || !existsSync(join(bin, 'node'))) throw new Error(`npm could not install node@${release}`)
  return bin
}

/** Runs a program to its end; what it printed is shown as well. Throws where it has failed. */
function run(program, words, env) {
  const { status, signal, stdout } = spawnSync(program, words, {
    cwd: root,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: TIMEOUT_MS,
    maxBuffer: 256 * 1024 * 1024,
  })
  process.stdout.write(stdout ?? '')
  if (status !== 0) throw new Error(signal === null ? `status ${status}` : `ended by ${signal}`)
  return stdout
}

/** The row's figures, as node:test counts them; throws where it has failed. */
function runRow({ node, addon, suites }) {
  const bin = node === undefined ? dirname(process.execPath) : install(node)
  const program = join(bin, 'node')
  const env = {
    ...process.env,
    PATH: `${bin}${delimiter}${process.env.PATH ?? ''}`,
    TRUNKLINE_NO_ADDON: addon ? '' : '1',
  }
  const version = run(program, ['--version'], env).trim()
  if (addon) {
    run(program, ['src/native/build.mjs', '--strict', '--output', join(folder, `${version}.node`)], env)
    // what is skipped for want of the addon must not look like a success
    run(program, ['-e', `require(${JSON.stringify(join(root, 'build/Release/trunkline.node'))})`], env)
  }
  const stdout = run(program, ['test/run.mjs', '--short', ...suites], env)
  const count = (what) => Number(new RegExp(`^ℹ ${what} ([0-9]+)`, 'm').exec(stdout)?.[1] ?? 0)
  if (count('pass') === 0) throw new Error('no test has passed')
  return `${version}: pass ${count('pass')}, fail ${count('fail')}, skipped ${count('skipped')}`
}

const said = []
for (const row of rows) {
  const start = performance.now()
  console.log(`\n--- ${row.name}`)
  let outcome
  try {
    outcome = runRow(row)
  } catch (error) {
    outcome = `FAILED: ${error.message}`
    process.exitCode = 1
  }
  said.push(`${row.name}: ${outcome} (${Math.round((performance.now() - start) / 1000)} s)`)
}
if (kept === undefined) rmSync(folder, { recursive: true, force: true })
console.log(`\n${said.join('\n')}`)
