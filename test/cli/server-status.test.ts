import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { statusLines } from '../../src/cli/server-status.ts'
import { createBudgets } from '../../src/index.ts'

describe('[R-518] what serve says on SIGUSR1', () => {
  it('is its sessions, and of each budget who has how much', () => {
    const budgets = createBudgets({ transferBytes: 2 ** 20, readAheadBytes: 0, poolJobs: 4, windowBytes: 0 }).status()
    const descriptors = { max: 128, used: 7, waiting: 2, refused: 5, peers: [{ peer: '', used: 7, waiting: 2 }] }
    const counts = { address: 'tcp://127.0.0.1:7', sessions: 3, handshakes: 1, cutHandshakes: 0 }
    assert.deepEqual(statusLines({ ...counts, budgets: { ...budgets, descriptors } }), [
      '3 sessions, 1 in their hello, 0 cut there',
      'transferBytes: 0 of 1048576, 0 wait, 0 refused',
      'readAheadBytes: 0 of 0, 0 wait, 0 refused',
      'poolJobs: 0 of 4, 0 wait, 0 refused',
      'descriptors: 7 of 128, 2 wait, 5 refused; a trunk 7',
      'windowBytes: 0 of 0, 0 wait, 0 refused',
    ])
  })
})
