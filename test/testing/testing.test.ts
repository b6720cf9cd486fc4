/** What `trunkline/testing` gives to tests of others, by its public name. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { overLink } from '../../src/index.ts'
import { checkPattern, echo, outcome, pattern, protocol } from '../helpers/protocols.ts'
import { manualClock, memoryPair, trunkPair } from './index.ts'

describe('manualClock', () => {
  it('fires what falls due, in order, each at its own time, and nothing that was cancelled', () => {
    const clock = manualClock()
    const fired: [name: string, at: number][] = []
    const note = (name: string) => () => void fired.push([name, clock.now()])
    clock.after(30, note('late'))
    clock.after(10, () => {
      note('early')()
      clock.after(5, note('next'))
    })
    clock.after(20, note('cancelled')).cancel()
    assert.equal(clock.pending, 2)
    clock.advance(9)
    assert.deepEqual(fired, [])
    clock.advance(21)
    assert.deepEqual(fired, [
      ['early', 10],
      ['next', 15],
      ['late', 30],
    ])
    assert.deepEqual([clock.now(), clock.pending], [30, 0])
  })

  it('refuses to be turned back, and by what is no time', () => {
    for (const ms of [-1, NaN, Infinity, '5' as never])
      assert.throws(() => manualClock().advance(ms), { code: 'ERR_BAD_ARGUMENT' })
  })

  it('is the time of a trunk: its waits pass when it is turned', async () => {
    const clock = manualClock()
    const test = protocol('never', () => new Promise(() => undefined))
    const [near, far] = await trunkPair({ clock }, { clock, protocols: [test] })
    let ended = false
    const opening = outcome(near.open('never', undefined, { answerTimeoutMs: 1_000 })).then((code) => {
      ended = true
      return code
    })
    clock.advance(999)
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(ended, false)
    clock.advance(1)
    assert.equal(await opening, 'ERR_PIPE_STALLED')
    near.abort(new Error('over'))
    await Promise.allSettled([near.closed, far.closed])
    assert.equal(clock.pending, 0)
  })
})

describe('memoryPair', () => {
  it('joins two links, for a trunk of its own at either end', async () => {
    const [near, far] = memoryPair({ bufferBytes: 1000 })
    const [here, there] = await Promise.all([overLink(near), overLink(far, { protocols: [echo] })])
    const pipe = await here.open('echo', undefined, { body: pattern(100_000) })
    assert.equal(await checkPattern(pipe), 100_000)
    await Promise.all([here.close(), there.close()])
  })
})

describe('trunkPair', () => {
  it('joins two trunks, each with its options', async () => {
    const [near, far] = await trunkPair({ name: 'here' }, { name: 'there', protocols: [echo] })
    assert.deepEqual([near.status().peer.name, far.status().peer.name], ['there', 'here'])
    const pipe = await near.open('echo', undefined, { body: pattern(10) })
    assert.equal(await checkPattern(pipe), 10)
    await Promise.all([near.close(), far.close()])
  })
})
