/**
 * Runs a plan of parts: `node test/ci/main.mjs [PLAN.mjs]`; .ci/run calls it. The last thing
 * printed is for whoever reads only the end: the name and the error of each test that failed in any
 * part, a line for each part with its seconds, then node:test's summary, added up.
 */
import { spawn } from 'node:child_process'
import { writeSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { failureLines, figureLines, figuresOf, partLine } from './report.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const plan = process.argv[2] ?? fileURLToPath(new URL('plan.mjs', import.meta.url))
const { stages } = await import(pathToFileURL(resolve(plan)).href)

/** What has ended, and what runs: `{ name, text, failed, seconds }` each. */
const ended = []
const running = new Map()

/** Runs one part to its end; `live` shows its output while it comes, else it is shown whole. */
function run({ name, command, env = {} }, live) {
  const started = performance.now()
  console.log(`\n=== ${name}: ${command.join(' ')}`)
  return new Promise((done) => {
    const [program, ...words] = command
    const child = spawn(program, words, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const output = []
    const outcome = (failed) => ({
      name,
      text: Buffer.concat(output).toString(),
      failed,
      seconds: (performance.now() - started) / 1000,
    })
    running.set(child, () => outcome(true))
    const take = (chunk) => {
      output.push(chunk)
      if (live) process.stdout.write(chunk)
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.on('error', (error) => take(Buffer.from(`${String(error)}\n`)))
    child.on('close', (status, signal) => {
      if (signal !== null) take(Buffer.from(`ended by ${signal}\n`))
      running.delete(child)
      const told = outcome(status !== 0)
      if (!live) process.stdout.write(`\n=== ${name} has said:\n${told.text}`)
      done(told)
    })
  })
}

/** Prints the end; gives the exit status. */
function close() {
  const failed = ended.filter((part) => part.failed)
  const figures = figuresOf(ended.filter(({ isCounted }) => isCounted).map(({ text }) => text))
  const lines = [
    ...failureLines(failed),
    ...ended.map(partLine),
    ...(failed.length > 0 ? [`FAILED: ${failed.map(({ name }) => name).join(', ')}`] : []),
    ...(figures === undefined ? ['tests did not run: see above'] : figureLines(figures)),
  ]
  writeSync(1, `\n${lines.join('\n')}\n`)
  return failed.length > 0 || figures === undefined ? 1 : 0
}

// a run that takes too long is ended by a signal: what is known by then is told
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    for (const [child, outcome] of running) {
      child.kill(signal)
      const { text, ...rest } = outcome()
      ended.push({ ...rest, text: `${text}\nnot through when the run was ended by ${signal}\n` })
    }
    process.exit(close())
  })
}

for (const lanes of stages) {
  const runLane = async (parts) => {
    for (const part of parts) {
      const outcome = { ...(await run(part, lanes.length === 1)), isCounted: part.isCounted }
      // tests that did not even start are no success
      if (outcome.isCounted && figuresOf([outcome.text]) === undefined) outcome.failed = true
      ended.push(outcome)
    }
  }
  await Promise.all(lanes.map(runLane))
}
process.exitCode = close()
