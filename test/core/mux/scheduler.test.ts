/**
 * Whose turn it is: small messages before large copies, but never so many that a copy stands still.
 */
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

describe('Scheduler', () => {
  it('lets a small message pass a large copy that came before it [R-308]', () => {
    const scheduler = new Scheduler(SPLIT_BYTES)
    scheduler.enter(pipe(1, LARGE))
    scheduler.enter(pipe(3, SMALL))
    assert.deepEqual(turns(scheduler), [3, 1])
  })

  it('lets no more than one split of small messages pass before a copy has its turn [R-308]', () => {
    const scheduler = new Scheduler(SPLIT_BYTES)
    scheduler.enter(pipe(1, LARGE))
    scheduler.enter(pipe(3, LARGE))
    for (let id = 5; id < 17; id += 2) scheduler.enter(pipe(id, SPLIT_BYTES / 2))
    assert.deepEqual(turns(scheduler), [5, 7, 1, 9, 11, 3, 13, 15])
  })

  it('gives all turns to small messages where there is nothing else, and to copies in the order they came [R-308]', () => {
    const scheduler = new Scheduler(SPLIT_BYTES)
    for (let id = 1; id < 21; id += 2) scheduler.enter(pipe(id, SMALL))
    assert.deepEqual(turns(scheduler), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19])
    assert.ok(scheduler.isEmpty)
    const [one, other] = [pipe(1, LARGE), pipe(3, LARGE)]
    scheduler.enter(one)
    scheduler.enter(other)
    assert.equal(scheduler.next(), one)
    scheduler.again(one)
    assert.deepEqual(turns(scheduler), [3, 1])
    assert.ok(!one.scheduled && !other.scheduled)
  })

  it('takes for small what has 4 KiB queued, and not a byte more [R-308]', () => {
    const scheduler = new Scheduler(LARGE)
    const queued = [4097, 4096, 4097, 1, 5000, 0]
    queued.forEach((bytes, at) => {
      scheduler.enter(pipe(at, bytes))
    })
    assert.deepEqual(turns(scheduler), [1, 3, 5, 0, 2, 4])
  })

  it('counts a pipe that has only its end to say as a byte [R-308]', () => {
    const scheduler = new Scheduler(3)
    scheduler.enter(pipe(0, LARGE))
    for (let id = 1; id < 7; id++) scheduler.enter(pipe(id, 0))
    assert.deepEqual(turns(scheduler), [1, 2, 3, 0, 4, 5, 6])
  })

  it('gives a copy its turn at once where small messages had theirs before it came [R-308]', () => {
    const scheduler = new Scheduler(SPLIT_BYTES)
    const small = (id: number): void => {
      scheduler.enter(pipe(id, SPLIT_BYTES - 1))
    }
    for (const id of [1, 3, 5, 7, 9]) small(id)
    assert.deepEqual([scheduler.next()?.id, scheduler.next()?.id], [1, 3])
    for (const id of [11, 13]) scheduler.enter(pipe(id, LARGE))
    // one byte below a split lets one more pass
    assert.deepEqual(turns(scheduler), [11, 5, 7, 13, 9])
  })

  it('Scheduler knows which pipes are entered, and whether any is', () => {
    const scheduler = new Scheduler(SPLIT_BYTES)
    assert.ok(scheduler.isEmpty)
    assert.equal(scheduler.next(), undefined)
    for (const bytes of [SMALL, LARGE]) {
      const one = pipe(1, bytes)
      scheduler.enter(one)
      assert.deepEqual([one.scheduled, scheduler.isEmpty], [true, false])
      assert.equal(scheduler.next(), one)
      assert.deepEqual([one.scheduled, scheduler.isEmpty], [false, true])
      scheduler.again(one)
      assert.deepEqual([one.scheduled, scheduler.isEmpty], [true, false])
      assert.equal(scheduler.next(), one)
    }
  })

  it('Scheduler puts a pipe that is entered again after the copies, however little it has left', () => {
    const scheduler = new Scheduler(SPLIT_BYTES)
    const one = pipe(1, SMALL)
    scheduler.enter(pipe(3, LARGE))
    scheduler.again(one)
    assert.deepEqual(turns(scheduler), [3, 1])
  })
})
