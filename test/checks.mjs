/**
 * Builds, lints and checks the types, two things at a time: `node test/checks.mjs`. The linter reads types by itself and needs as long as all of
 * the rest, so it runs beside it. A check's output is printed when it ends, whole; what failed is named last.
 */
import { spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** npm scripts by lane: lanes run side by side, the scripts of a lane one after the other. */
const LANES = [['lint:code'], ['build', 'types', 'lint:format']]

/** Runs one npm script. Resolves with its name if it failed, else with undefined. */
function run(script) {
  const started = performance.now()
  return new Promise((resolve) => {
    const child = spawn('npm', ['run', '--silent', script], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    const output = []
    child.stdout.on('data', (chunk) => output.push(chunk))
    child.stderr.on('data', (chunk) => output.push(chunk))
    child.on('error', (error) => output.push(Buffer.from(`${String(error)}\n`)))
    child.on('close', (status) => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      process.stdout.write(`${status === 0 ? '✔' : '✖'} ${script} (${seconds} s)\n`)
      process.stdout.write(Buffer.concat(output))
      resolve(status === 0 ? undefined : script)
    })
  })
}

/** Runs the scripts of a lane until one fails. */
async function runLane(scripts) {
  for (const script of scripts) {
    const failed = await run(script)
    if (failed !== undefined) return failed
  }
  return undefined
}

const failed = (await Promise.all(LANES.map(runLane))).filter((script) => script !== undefined)
if (failed.length > 0) console.error(`failed: ${failed.join(', ')}`)
process.exit(failed.length === 0 ? 0 : 1)
