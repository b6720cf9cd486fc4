/**
 * What `npm test` runs: builds, then runs the tests, with the checks of rules, types and formatting
 * beside them, which read what was built. `npm run check`, with `--quick`, is lint, types and the
 * core's tests, for the minute between two edits. The words go to test/run.mjs. A check's output is
 * printed when it ends, whole, and once more at the end where it failed; where all is well, the
 * last thing printed is node:test's summary.
 */
import { spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/**
 * npm scripts by lane, each with its words: lanes run side by side, the scripts of a lane one after
 * the other.
 */
const WHOLE = [[['lint:format'], ['lint:code'], ['types']], [['test:unit', ...process.argv.slice(2)]]]
const QUICK = [
  [['lint:format'], ['lint:code']],
  [['types'], ['test:unit', 'test/core/', 'test/layers']],
]
const isQuick = process.argv.includes('--quick')
const LANES = isQuick ? QUICK : WHOLE
/** Shown while it runs. */
const LIVE = 'test:unit'

/** What failed, `{ script, output }` each. */
const failed = []

/** Runs one npm script; resolves with whether it went well. */
function run([script, ...words]) {
  const live = script === LIVE
  const started = performance.now()
  return new Promise((resolve) => {
    const child = spawn('npm', ['run', '--silent', script, '--', ...words], {
      cwd: root,
      stdio: live ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
    })
    const chunks = []
    child.stdout?.on('data', (chunk) => chunks.push(chunk))
    child.stderr?.on('data', (chunk) => chunks.push(chunk))
    child.on('error', (error) => chunks.push(Buffer.from(`${String(error)}\n`)))
    child.on('close', (status) => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      const output = Buffer.concat(chunks)
      if (!live) process.stdout.write(`${status === 0 ? '✔' : '✖'} ${script} (${seconds} s)\n${output.toString()}`)
      if (status !== 0) failed.push({ script, output })
      resolve(status === 0)
    })
  })
}

/** Runs the scripts of a lane until one fails. */
async function runLane(scripts) {
  for (const script of scripts) if (!(await run(script))) return
}

if (isQuick || (await run(['build']))) await Promise.all(LANES.map(runLane))
for (const { script, output } of failed)
  if (output.byteLength > 0) process.stderr.write(`\n${script} has said:\n${output}`)
if (failed.length > 0) console.error(`failed: ${failed.map(({ script }) => script).join(', ')}`)
process.exit(failed.length === 0 ? 0 : 1)
