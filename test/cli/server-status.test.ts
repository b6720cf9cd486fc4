import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { statusLines } from '../../src/cli/server-status.ts'
import { createBudgets } from '../../src/index.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { serving } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'

describe('[R-518] what serve says on SIGUSR1', () => {
  it('is its sessions, and of each budget who has how much', () => {
    const budgets = createBudgets({
      transferBytes: 2 ** 20,
      readAheadBytes: 0,
      poolJobs: 4,
      windowBytes: 0,
      inboxBytes: 2 ** 21,
      lookups: 3,
    }).status()
    const descriptors = { max: 128, used: 7, waiting: 2, refused: 5, peers: [{ peer: '', used: 7, waiting: 2 }] }
    const counts = { address: 'tcp://127.0.0.1:7', sessions: 3, handshakes: 1, cutHandshakes: 0 }
    assert.deepEqual(statusLines({ ...counts, budgets: { ...budgets, descriptors } }), [
      '3 sessions, 1 in their hello, 0 cut there',
      'transferBytes: 0 of 1048576, 0 wait, 0 refused',
      'readAheadBytes: 0 of 0, 0 wait, 0 refused',
      'poolJobs: 0 of 4, 0 wait, 0 refused',
      'descriptors: 7 of 128, 2 wait, 5 refused; a trunk 7',
      'windowBytes: 0 of 0, 0 wait, 0 refused',
      'inboxBytes: 0 of 2097152, 0 wait, 0 refused',
      'lookups: 0 of 3, 0 wait, 0 refused',
    ])
  })
})

describe('serve --budget', () => {
  it('sets what all peers together may have, as SIGUSR1 shows', async () => {
    const server = await serving(['--budget', 'transferBytes=2M', '--budget', 'lookups=7'])
    server.running.child.kill('SIGUSR1')
    await eventually(() => server.said().some((line) => line.includes('lookups')), 'the status is said')
    assert.match(server.said().join('\n'), /transferBytes: 0 of 2097152, /)
    assert.match(server.said().join('\n'), /lookups: 0 of 7, /)
    await server.stop()
  })

  for (const [given, told] of [
    [['transferBytes'], 'NAME=SIZE is wanted'],
    [['transferBytes=1.5M'], 'NAME=SIZE is wanted'],
    [['bytes=1M'], 'budgets have no bytes'],
    [['lookups=0'], 'budgets.lookups'],
    [['lookups=2', 'lookups=3'], 'given twice'],
    [['__proto__=1'], 'budgets have no __proto__'],
  ] as const) {
    it(`refuses ${given.join(' and ')}`, async () => {
      const { context, stderr } = capturedContext()
      const words = given.flatMap((one) => ['--budget', one])
      assert.equal(await run(['serve', 'tcp://127.0.0.1:0', ...words], context), 2)
      assert.ok(stderr().includes(told), stderr())
    })
  }
})
