import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { TrunkError } from '../../src/contracts/errors.ts'
import { withDeadline, within } from '../../src/runtime/deadline.ts'
import { Deferred } from '../../src/runtime/deferred.ts'
import { manualClock } from '../helpers/manual-clock.ts'

const timedOut = () => new TrunkError('ERR_CONNECT_TIMEOUT', 'too late')
/** Work that ends by its signal only. */
const stuck = (limit: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => limit.addEventListener('abort', () => reject(limit.reason as Error)))

describe('withDeadline', () => {
  it('gives the outcome of the work and leaves neither a timer nor a listener', async () => {
    const clock = manualClock()
    const { signal } = new AbortController()
    assert.equal(await withDeadline({ clock, ms: 10, signal, timedOut }, () => Promise.resolve(1)), 1)
    await assert.rejects(
      withDeadline({ clock, ms: 10, signal, timedOut }, () => Promise.reject(new Error('no'))),
      /no/,
    )
    assert.equal(clock.pending, 0)
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })

  it('aborts the work with its own reason when the time is over, not earlier', async () => {
    const clock = manualClock()
    let limit: AbortSignal | undefined
    const work = withDeadline({ clock, ms: 10, timedOut }, (given) => stuck((limit = given)))
    clock.advance(9)
    assert.equal(limit?.aborted, false)
    clock.advance(1)
    await assert.rejects(work, { code: 'ERR_CONNECT_TIMEOUT' })
  })

  it('aborts the work with the reason of the signal, also of one that had aborted', async () => {
    const clock = manualClock()
    const stop = new AbortController()
    const reason = new Error('enough')
    const work = withDeadline({ clock, ms: 10, signal: stop.signal, timedOut }, stuck)
    stop.abort(reason)
    await assert.rejects(work, reason)
    const seen = await withDeadline({ clock, ms: 10, signal: stop.signal, timedOut }, (limit) => Promise.resolve(limit))
    assert.equal(seen.reason, reason)
    assert.equal(clock.pending, 0)
  })
})

describe('within', () => {
  it('gives the outcome of a promise that is in time and leaves no timer', async () => {
    const clock = manualClock()
    assert.equal(await within(Promise.resolve(1), 10, clock), 1)
    await assert.rejects(within(Promise.reject(new Error('no')), 10, clock), /no/)
    assert.equal(clock.pending, 0)
  })

  it('gives undefined where the promise is late, and drops what becomes of it', async () => {
    const clock = manualClock()
    const late = new Deferred<number>()
    const waiting = within(late.promise, 10, clock)
    clock.advance(10)
    assert.equal(await waiting, undefined)
    late.reject(new Error('nobody waits'))
  })
})
