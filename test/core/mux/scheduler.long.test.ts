/** The scheduler with very many pipes. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ByteQueue } from '../../../src/core/mux/byte-queue.ts'
import { PipeState } from '../../../src/core/mux/pipe-state.ts'
import { Scheduler } from '../../../src/core/mux/scheduler.ts'

const SPLIT_BYTES = 1000
const SMALL = 400
const LARGE = 1_000_000

function pipe(id: number, queued: number): PipeState {
  const state = new PipeState(id, true, LARGE, 0)
  state.sendQueue = new ByteQueue()
  state.sendQueue.append(new Uint8Array(queued))
  return state
}

function turns(scheduler: Scheduler): number[] {
  const ids: number[] = []
  for (let next = scheduler.next(); next !== undefined; next = scheduler.next()) ids.push(next.id)
  return ids
}

describe('the scheduler', () => {
  it('keeps no pipe that is over, also where no turn comes [R-365]', () => {
    const scheduler = new Scheduler(SPLIT_BYTES)
    const stays = [pipe(2, LARGE), pipe(4, SMALL)]
    for (const each of stays) scheduler.enter(each)
    let most = 0
    for (let id = 1; id < 20_001; id += 2) {
      const gone = pipe(id, id % 4 === 1 ? SMALL : LARGE)
      scheduler.enter(gone)
      scheduler.leave(gone)
      most = Math.max(most, scheduler.entered)
      assert.equal(scheduler.length, 2)
    }
    assert.ok(most < 100, `${most} pipes are held`)
    assert.deepEqual(turns(scheduler), [4, 2])
    assert.ok(scheduler.isEmpty)
    assert.equal(scheduler.entered, 0)
  })
})
