import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PipeState } from '../../../src/core/mux/pipe-state.ts'
import { WindowPool } from '../../../src/core/mux/window.ts'

const ROUND_TRIP_MS = 10

function read(pool: WindowPool, pipe: PipeState, bytes: number, roundTripMs: number | undefined, now: number): void {
  if (pool.consumed(pipe, bytes)) pool.grow(pipe, roundTripMs, now)
}

/** Reads a whole window in `ms`. */
function readWindow(pool: WindowPool, pipe: PipeState, from: number, ms: number): void {
  read(pool, pipe, pipe.window, ROUND_TRIP_MS, from + ms)
}

describe('WindowPool', () => {
  it('doubles a window that lasts a few round trips only, up to the maximum', () => {
    const pool = new WindowPool(1000, 5000, 1_000_000)
    const pipe = new PipeState(1, true, 1000, 0)
    const seen: number[] = []
    for (let i = 0; i < 4; i++) {
      readWindow(pool, pipe, i * 20, 20)
      seen.push(pipe.window)
    }
    assert.deepEqual(seen, [2000, 4000, 5000, 5000])
    assert.equal(pool.freeBytes, 1_000_000 - 4000)
  })

  it('leaves a window whose reader is the slow part', () => {
    const pool = new WindowPool(1000, 5000, 1_000_000)
    const pipe = new PipeState(1, true, 1000, 0)
    readWindow(pool, pipe, 0, 41)
    assert.equal(pipe.window, 1000)
    readWindow(pool, pipe, 41, 40)
    assert.equal(pipe.window, 2000)
  })

  it('grows nothing before a round trip was measured, nor for part of a window', () => {
    const pool = new WindowPool(1000, 5000, 1_000_000)
    const pipe = new PipeState(1, true, 1000, 0)
    read(pool, pipe, 1000, undefined, 1)
    read(pool, pipe, 999, ROUND_TRIP_MS, 2)
    assert.equal(pipe.window, 1000)
    read(pool, pipe, 1, ROUND_TRIP_MS, 3)
    assert.equal(pipe.window, 2000)
  })

  it('shares one pool, never takes from an own window, and gets back what a pipe had grown by', () => {
    const pool = new WindowPool(1000, 100_000, 1500)
    const [a, b, c] = [1, 3, 5].map((id) => new PipeState(id, true, 1000, 0)) as [PipeState, PipeState, PipeState]
    readWindow(pool, a, 0, 1)
    readWindow(pool, b, 0, 1)
    readWindow(pool, c, 0, 1)
    assert.deepEqual([a.window, b.window, c.window, pool.freeBytes], [2000, 1500, 1000, 0])
    pool.release(a)
    pool.release(a)
    assert.deepEqual([a.window, pool.freeBytes], [1000, 1000])
    readWindow(pool, c, 1, 1)
    assert.deepEqual([c.window, pool.freeBytes], [2000, 0])
  })
})

describe('[R-702] initial windows of several sessions', () => {
  it('count until what came before the end was read, or nobody reads any more', () => {
    let held = 0
    const shared = {
      take(bytes: number): boolean {
        if (held + bytes > 2500) return false
        held += bytes
        return true
      },
      give(bytes: number): void {
        held -= bytes
      },
    }
    const [one, other] = [0, 1].map(() => new WindowPool(1000, 5000, 0, undefined, shared)) as [WindowPool, WindowPool]
    const pipes = [one, other].map((pool) => {
      assert.ok(pool.takeInitial())
      const pipe = new PipeState(1, false, 1000, 0)
      pipe.lentWindow = pipe.window
      return pipe
    })
    const [a, b] = pipes as [PipeState, PipeState]
    assert.ok(!one.takeInitial())
    // ends with 600 bytes, of which 100 were read
    a.finalOffset = a.received = 600
    a.consumed = 100
    one.ended(a)
    assert.equal(held, 1500)
    a.consumed = 600
    one.ended(a)
    assert.equal(held, 1000)
    other.release(b)
    other.release(b)
    one.release(a)
    assert.equal(held, 0)
  })
})

describe('[R-516] windows of several sessions', () => {
  it('grow out of what they share, and give it back', () => {
    let free = 1500
    const shared = {
      take(bytes: number): boolean {
        if (bytes > free) return false
        free -= bytes
        return true
      },
      give(bytes: number): void {
        free += bytes
      },
    }
    const [one, other] = [0, 1].map(() => new WindowPool(1000, 5000, 1_000_000, shared)) as [WindowPool, WindowPool]
    const [a, b] = [new PipeState(1, true, 1000, 0), new PipeState(1, true, 1000, 0)]
    readWindow(one, a, 0, 20)
    readWindow(other, b, 0, 20)
    assert.deepEqual([a.window, b.window, free], [2000, 1000, 500])
    one.release(a)
    one.release(a)
    assert.equal(free, 1500)
    readWindow(other, b, 20, 20)
    assert.deepEqual([b.window, free], [2000, 500])
  })
})
