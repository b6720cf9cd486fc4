/** What the run of all checks says last: of it only the end is read. The parts are played. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const TESTS = `
import assert from 'node:assert'
import { describe, it } from 'node:test'
describe('a suite', () => {
  it('goes well', () => undefined)
  it('compares', () => assert.equal(1, 2))
})`

interface Part {
  readonly name: string
  readonly command: readonly string[]
  readonly isCounted?: boolean
}

/** Starts the checks with `stages` in place of their plan. */
function checks(stages: readonly (readonly (readonly Part[])[])[]) {
  const plan = join(temporaryFolder(), 'plan.mjs')
  writeFileSync(plan, `export const stages = ${JSON.stringify(stages)}`)
  // node:test inside of node:test would speak to its parent
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env
  const child = spawn(process.execPath, ['test/ci/main.mjs', plan], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>
  return { child, said: text(child.stdout), exited }
}

function testsOf(source: string): Part {
  const path = join(temporaryFolder(), 'played.test.mjs')
  writeFileSync(path, source)
  const command = [process.execPath, '--test', '--test-reporter=spec', path]
  return { name: 'tests', command, isCounted: true }
}

/** The lines after the last empty one, with what differs from run to run taken out. */
const endOf = (output: string): string[] =>
  output
    .slice(output.lastIndexOf('\n\n') + 2)
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/\d+(?:\.\d+)? ?m?s\b|(?<=duration_ms )[\d.]+|(?<= at )\S+(?=played)/g, 'T'))

describe('the end of the checks', () => {
  it('names each failed test of any part with its error, then the parts, then the figures [R-525]', async () => {
    const failing = { name: 'simulation', command: ['sh', '-c', 'echo seed 17 failed; exit 3'] }
    const { said, exited } = checks([
      [[testsOf(TESTS)]],
      [[{ name: 'quiet', command: ['true'] }], [failing]],
      [[testsOf("import { it } from 'node:test'; it('is the second', () => undefined)")]],
    ])
    const output = await said
    const end = endOf(output)
    assert.match(end[0] ?? '', /^✖ tests: compares \(T\)( at Tplayed\.test\.mjs:6:3)?$/)
    const error = end.findIndex((line) => line.startsWith('✖ simulation'))
    assert.match(end.slice(1, error).join('\n'), /ERR_ASSERTION/)
    assert.ok(error <= 5, `a failure takes ${error} lines`)
    assert.deepEqual(end.slice(error), [
      '✖ simulation: seed 17 failed',
      '✖ tests (T, pass 1, fail 1, skipped 0)',
      ...(end.includes('✔ quiet (T)') ? ['✔ quiet (T)', '✖ simulation (T)'].sort(byPlace(end)) : []),
      '✔ tests (T, pass 1, fail 0, skipped 0)',
      'FAILED: tests, simulation',
      'ℹ tests 3',
      `ℹ suites 1`,
      'ℹ pass 2',
      'ℹ fail 1',
      'ℹ cancelled 0',
      'ℹ skipped 0',
      'ℹ todo 0',
      'ℹ duration_ms T',
    ])
    assert.deepEqual(await exited, [1, null])
    assert.match(output, /=== simulation has said:\nseed 17 failed\n/, 'what ran beside another part is not shown')
  })

  it('tells no more than twelve failures, each in five lines', async () => {
    const lines = "it(String(n), () => { throw new Error('1\\n2\\n3\\n4\\n5\\n6') })"
    const source = `import { it } from 'node:test'; for (let n = 0; n < 20; n++) ${lines}`
    const { said } = checks([[[testsOf(source)]]])
    const end = endOf(await said)
    const parts = end.findIndex((line) => line.startsWith('✖ tests ('))
    assert.equal(end[parts - 1], 'and 8 more, above')
    assert.equal(parts, 12 * 5 + 1)
  })

  it('is a failure where tests did not start', async () => {
    const { said, exited } = checks([[[{ name: 'tests', command: ['true'], isCounted: true }]]])
    assert.deepEqual(endOf(await said).slice(-3), ['✖ tests (T)', 'FAILED: tests', 'tests did not run: see above'])
    assert.deepEqual(await exited, [1, null])
  })

  it('is told as well where the run is ended by a signal', async () => {
    const waits = { name: 'waits', command: ['sh', '-c', 'echo begun; exec sleep 1000'] }
    const { child, said, exited } = checks([[[waits]]])
    let begun = ''
    child.stdout.on('data', (chunk: Buffer) => (begun += chunk.toString()))
    await eventually(() => /^begun$/m.test(begun), 'the part runs', 20_000)
    child.kill('SIGTERM')
    const end = endOf(await said)
    assert.ok(end.includes('not through when the run was ended by SIGTERM'), end.join('\n'))
    assert.ok(end.includes('FAILED: waits'))
    assert.deepEqual(await exited, [1, null])
  })
})

/** Parts side by side end in either order. */
const byPlace =
  (lines: readonly string[]) =>
  (a: string, b: string): number =>
    lines.indexOf(a) - lines.indexOf(b)
