/**
 * Silence and round trips by themselves, to the millisecond: what is asked when, what an answer
 * tells, and what standing still changes.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { Keepalive } from '../../../src/core/session/keepalive.ts'
import { Pings } from '../../../src/core/session/pings.ts'
import { bigEndian, concat, fromBigEndian } from '../../helpers/naive-codec.ts'

const TIMES = { keepaliveMs: 100, keepaliveTimeoutMs: 30 }

describe('Keepalive', () => {
  it('Keepalive asks once at the end of the silence, and gives up when the time for the answer is over', () => {
    const keepalive = new Keepalive(TIMES, 1000)
    assert.equal(keepalive.deadline(), 1100)
    assert.equal(keepalive.check(1099), undefined)
    assert.equal(keepalive.check(1100), 'ask')
    assert.equal(keepalive.deadline(), 1130)
    assert.equal(keepalive.check(1129), undefined)
    const verdict = keepalive.check(1130)
    assert.ok(verdict instanceof TrunkError)
    assert.equal(verdict.code, 'ERR_KEEPALIVE_TIMEOUT')
    assert.match(verdict.message, / 130 ms/)
  })

  it('Keepalive begins again at any sign of life', () => {
    const keepalive = new Keepalive(TIMES, 0)
    assert.equal(keepalive.check(100), 'ask')
    keepalive.heard(129)
    assert.equal(keepalive.deadline(), 229)
    assert.equal(keepalive.check(228), undefined)
    assert.equal(keepalive.check(229), 'ask')
  })

  it('Keepalive asks at the time 0', () => {
    const keepalive = new Keepalive(TIMES, -100)
    assert.equal(keepalive.check(0), 'ask')
    assert.equal(keepalive.deadline(), 30)
    assert.ok(keepalive.check(30) instanceof TrunkError)
  })

  it('Keepalive does not count the time of a suspension where an answer is owed', () => {
    const keepalive = new Keepalive(TIMES, 0)
    keepalive.check(100)
    keepalive.suspended(5000)
    assert.equal(keepalive.deadline(), 5030)
    assert.equal(keepalive.check(5029), undefined)
    assert.ok(keepalive.check(5030) instanceof TrunkError)
    const zero = new Keepalive(TIMES, -100)
    zero.check(0)
    zero.suspended(500)
    assert.equal(zero.deadline(), 530)
  })

  it('Keepalive asks first where no answer is owed, however long the suspension was', () => {
    const keepalive = new Keepalive(TIMES, 0)
    keepalive.suspended(5000)
    assert.equal(keepalive.deadline(), 100)
    assert.equal(keepalive.check(5000), 'ask')
  })
})

const pong = (id: number): Uint8Array => concat(bigEndian(id, 8), new Uint8Array(16))

describe('Pings', () => {
  it('Pings sends a number and the time, once for each question', () => {
    const pings = new Pings(0)
    assert.equal(pings.take(1), undefined)
    assert.equal(pings.want(), 1)
    assert.equal(pings.want(), 1)
    const payload = pings.take(12.3456)
    assert.deepEqual(payload, concat(bigEndian(1, 8), bigEndian(12_346, 8)))
    assert.equal(pings.take(13), undefined)
    assert.equal(pings.want(), 2)
    assert.equal(fromBigEndian(pings.take(14)!.subarray(0, 8)), 2n)
  })

  it('Pings answers with the number and time of the question, and its own time', () => {
    const ping = Uint8Array.from({ length: 16 }, (_, i) => i + 1)
    assert.deepEqual(Pings.answer(ping, 1.5), concat(ping, bigEndian(1500, 8)))
  })

  it('Pings gives the round trip, smoothed and least', () => {
    const pings = new Pings(0)
    const measure = (at: number, ms: number): void => {
      const id = pings.want()
      pings.take(at)
      assert.deepEqual(pings.answered(pong(id), at + ms), { id, roundTripMs: ms, parsed: 0 })
    }
    assert.equal(pings.roundTripMs, undefined)
    assert.equal(pings.leastMs, undefined)
    measure(0, 80)
    assert.equal(pings.roundTripMs, 80)
    assert.equal(pings.leastMs, 80)
    measure(100, 160)
    assert.equal(pings.roundTripMs, 90)
    assert.equal(pings.leastMs, 80)
    measure(300, 10)
    assert.equal(pings.roundTripMs, 80)
    assert.equal(pings.leastMs, 10)
  })

  it('Pings takes no round trip from warm-up samples', () => {
    const pings = new Pings(0, 2)
    for (const ms of [500, 700]) {
      const id = pings.want()
      pings.take(0)
      assert.deepEqual(pings.answered(pong(id), ms), { id, roundTripMs: ms, parsed: 0 })
      assert.deepEqual([pings.roundTripMs, pings.leastMs], [undefined, undefined])
    }
    assert.equal(pings.isDue(2700), false, 'it was measured all the same')
    assert.equal(pings.isDue(2701), true)
    pings.want()
    pings.take(3000)
    pings.answered(pong(3), 3040)
    assert.deepEqual([pings.roundTripMs, pings.leastMs], [40, 40])
  })

  it('Pings takes no negative round trip, should the clock go back', () => {
    const pings = new Pings(0)
    pings.want()
    pings.take(10)
    assert.deepEqual(pings.answered(pong(1), 5), { id: 1, roundTripMs: 0, parsed: 0 })
  })

  it('Pings counts all questions as answered by the answer to a later one, and each once', () => {
    const pings = new Pings(0)
    for (const now of [1, 2, 3]) {
      pings.want()
      pings.take(now)
    }
    assert.equal(pings.answered(pong(4), 5), undefined)
    assert.equal(pings.answered(pong(0), 5), undefined)
    assert.deepEqual(pings.answered(pong(2), 5), { id: 2, roundTripMs: 3, parsed: 0 })
    assert.equal(pings.answered(pong(1), 5), undefined)
    assert.equal(pings.answered(pong(2), 5), undefined)
    assert.deepEqual(pings.answered(pong(3), 6), { id: 3, roundTripMs: 3, parsed: 0 })
  })

  it('are due two seconds after the last answer, where none is under way', () => {
    const pings = new Pings(500)
    assert.equal(pings.isDue(2500), false)
    assert.equal(pings.isDue(2501), true)
    pings.want()
    pings.take(3000)
    assert.equal(pings.isDue(9000), false)
    pings.answered(pong(1), 4000)
    assert.equal(pings.isDue(6000), false)
    assert.equal(pings.isDue(6001), true)
    pings.want()
    pings.take(6001)
    pings.clear()
    assert.equal(pings.isDue(6002), true)
    assert.equal(pings.answered(pong(2), 6002), undefined)
  })
})
