import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { Backoff, Doubling } from '../../src/runtime/backoff.ts'
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import { manualClock } from '../helpers/manual-clock.ts'

/** `random` gives the middle: the figures themselves. */
const middle = () => 0.5
const make = (
  random: () => number = middle,
  limits: { reconnectMinMs: number; reconnectMaxMs: number } = DEFAULT_LIMITS,
) => {
  const clock = manualClock()
  return { clock, backoff: new Backoff({ limits, clock, random }) }
}
const take = (backoff: Backoff, count: number) => Array.from({ length: count }, () => Math.round(backoff.next()))

describe('back-off', () => {
  it('doubles from the shortest wait to the longest and stays there [R-061]', () => {
    const { backoff } = make()
    assert.deepEqual(take(backoff, 9), [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000])
  })

  it('starts again when something worked', () => {
    const { backoff } = make()
    take(backoff, 5)
    backoff.reset()
    assert.deepEqual(take(backoff, 2), [100, 200])
  })

  it('differs from its figure by 20 % at most, either way [R-061]', () => {
    assert.deepEqual(take(make(() => 0).backoff, 3), [80, 160, 320])
    assert.deepEqual(take(make(() => 1 - Number.EPSILON).backoff, 3), [120, 240, 480])
    const { backoff } = make(Math.random)
    const waits = take(backoff, 1000).slice(10)
    assert.ok(Math.min(...waits) >= 4000 && Math.max(...waits) <= 6000, 'within the bounds')
    assert.ok(Math.max(...waits) - Math.min(...waits) > 1000, 'not all the same')
  })

  it('never waits longer than the longest where the shortest is set above it', () => {
    const { backoff } = make(middle, { reconnectMinMs: 9_000, reconnectMaxMs: 50 })
    assert.deepEqual(take(backoff, 2), [50, 50])
  })

  it('waits by the clock that it is given, and leaves nothing [R-061]', async () => {
    const { clock, backoff } = make()
    const { signal } = new AbortController()
    let waited = 0
    for (const delayMs of [100, 200, 400]) {
      const waiting = backoff.wait(signal).then(() => waited++)
      assert.equal(clock.pending, 1)
      clock.advance(delayMs - 1)
      await Promise.resolve()
      assert.equal(clock.pending, 1, 'a millisecond early')
      clock.advance(1)
      await waiting
    }
    assert.equal(waited, 3)
    assert.equal(clock.pending, 0)
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })

  it('waits no longer than until a deadline', async () => {
    const { clock, backoff } = make()
    const waiting = backoff.wait(new AbortController().signal, 30)
    clock.advance(30)
    await waiting
    assert.equal(clock.pending, 0)
  })

  it('ends a wait at once when the signal aborts, with its reason [R-061]', async () => {
    const { clock, backoff } = make()
    const controller = new AbortController()
    const reason = new Error('changed my mind')
    const waiting = backoff.wait(controller.signal)
    controller.abort(reason)
    await assert.rejects(waiting, (error) => error === reason)
    await assert.rejects(backoff.wait(controller.signal), (error) => error === reason)
    assert.equal(clock.pending, 0)
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  })
})

describe('Doubling', () => {
  it('doubles from the shortest wait to the longest, to the millisecond, and starts again when reset', () => {
    const waits = new Doubling(100, 500)
    assert.deepEqual([waits.next(), waits.next(), waits.next(), waits.next(), waits.next()], [100, 200, 400, 500, 500])
    waits.reset()
    assert.equal(waits.next(), 100)
    assert.equal(new Doubling(100, 50).next(), 50)
  })
})
