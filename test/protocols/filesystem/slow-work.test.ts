/**
 * Work of the real server that takes longer than a silent one is waited for: each step of it waits
 * a minute for a thread. Time is turned by hand.
 */
import assert from 'node:assert/strict'
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { filesystem, filesystemClient, type FilesystemClient } from '../../../protocols/filesystem.ts'
import { overLink, type Trunk } from '../../../src/index.ts'
import { SharedBudgets } from '../../../src/runtime/budgets.ts'
import { memoryPair } from '../../../transports/memory.ts'
import { keptAlive } from '../../helpers/eventually.ts'
import { manualClock } from '../../helpers/manual-clock.ts'
import { outcome } from '../../helpers/protocols.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

const MIB = 2 ** 20
const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
/** Pings are answered between two of these. */
const STEP_MS = 2_500

function folder(): string {
  const root = temporaryFolder()
  writeFileSync(join(root, 'large'), '')
  truncateSync(join(root, 'large'), 80 * MIB)
  mkdirSync(join(root, 'tree'))
  for (let at = 0; at < 80; at++) writeFileSync(join(root, 'tree', String(at)), '')
  return root
}

describe('[R-708] slow work of a server', { timeout: 120_000 }, () => {
  const OPERATIONS: readonly (readonly [string, (files: FilesystemClient) => Promise<unknown>])[] = [
    ['the digest of a large file', (files) => files.sha256('large')],
    ['the removal of a tree', (files) => files.remove('tree', { recursive: true })],
  ]
  for (const [what, call] of OPERATIONS) {
    it(`is waited for where it goes on for more than an hour: ${what}`, () =>
      keptAlive(async () => {
        const clock = manualClock()
        const budgets = new SharedBudgets({ poolJobs: 1 })
        const [a, b] = memoryPair({ clock })
        const protocols = [filesystem({ root: folder() })]
        const [near, far] = await Promise.all([overLink(a, { clock }), overLink(b, { clock, protocols, budgets })])
        /** Has the one thread, but for a moment each minute. */
        const hog = budgets.open('10.0.0.1', {} as Trunk).jobs
        assert.ok(hog.take(1))
        const from = clock.now()
        const work = { over: false, how: '' }
        const isOver = (): boolean => work.over
        const done = outcome(call(filesystemClient(near, { clock }))).then((how) => {
          Object.assign(work, { over: true, how })
        })
        while (!isOver()) {
          for (let passed = 0; passed < MINUTE_MS && !isOver(); passed += STEP_MS) {
            clock.advance(STEP_MS)
            for (let turn = 0; turn < 8; turn++) await nextTurn()
          }
          hog.give(1)
          await hog.wait(1)
        }
        await done
        assert.equal(work.how, 'resolved')
        assert.ok(clock.now() - from > 1.2 * HOUR_MS, `${clock.now() - from} ms`)
        hog.give(1)
        for (const trunk of [near, far]) trunk.abort(new Error('the test is over'))
      }))
  }
})
