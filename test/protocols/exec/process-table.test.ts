/** The table of processes: how often it is read. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { processTable } from '../../../protocols/exec/process-table.ts'

describe('the table of processes', { skip: process.platform !== 'linux' }, () => {
  it('is read once in a turn of the event loop, whatever a peer asks for', async () => {
    const first = processTable()
    assert.ok(first?.some(({ pid }) => pid === process.pid))
    await Promise.resolve()
    assert.equal(processTable(), first)
    await setImmediate()
    assert.notEqual(processTable(), first)
  })
})
