/** The demo, as `npm start` runs it: it succeeds, reads well, and leaves nothing behind. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { start, trunkline } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const COLUMNS = 100

/** True while a process of that number runs. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function processesOf(output: string): number[] {
  return [...output.matchAll(/process (\d+)/g)].map(([, pid]) => Number(pid))
}

describe('demo', () => {
  it('does all of it, exits 0 and leaves nothing', async () => {
    const folder = temporaryFolder()
    const { status, stdout, stderr } = await trunkline(['demo'], { env: { TMPDIR: folder } })
    assert.equal(stderr, '')
    assert.equal(status, 0)
    for (const what of [
      'round trip',
      'copy a tree to the guest +200 files',
      'copy it back +200 files',
      'compare SHA-256.*all equal',
      'fetch a web page.*HTTP 200',
      'bulk read, alone',
      'bulk read, beside a slow reader',
    ]) {
      assert.match(stdout, new RegExp(`^  ✓ ${what}`, 'm'))
    }
    for (const line of stdout.split('\n')) assert.ok(line.length <= COLUMNS, line)
    assert.deepEqual(readdirSync(folder), [])
    assert.equal(processesOf(stdout).length, 2)
    for (const pid of processesOf(stdout)) assert.ok(!runs(pid))
  })

  it('leaves nothing when it is interrupted [R-129]', async () => {
    const folder = temporaryFolder()
    const demo = start(['demo'], { env: { TMPDIR: folder } })
    await demo.lines(8)
    demo.child.kill('SIGINT')
    const { status, stdout, stderr } = await demo.ended
    assert.equal(stderr, 'trunkline: ERR_ABORTED: interrupted by SIGINT\n')
    assert.equal(status, 1)
    assert.deepEqual(readdirSync(folder), [])
    for (const pid of processesOf(stdout)) assert.ok(!runs(pid))
  })
})
