/**
 * Peers that say PARSED as seldom as the wire lets them, or never: a sender that has less under way
 * than that asks, and goes on.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MuxSeat } from '../../helpers/mux-seat.ts'
import { pattern } from '../../helpers/protocols.ts'

const KIB = 1024

/**
 * Everything that is sent, and parsed by a peer that answers pings at once and says PARSED each
 * `step` bytes, in at most `ms`.
 */
function sentWithin(seat: MuxSeat, step: number, ms: number): number {
  let told = 0
  let pings = seat.asked
  for (const end = seat.now + ms; seat.now < end; seat.now++) {
    const sent = seat.mux.dataSent
    seat.pull()
    if (seat.mux.dataSent - told >= step) {
      told = seat.mux.dataSent
      seat.mux.peerParsed(told, seat.now)
    }
    if (seat.mux.deadline() <= seat.now) seat.mux.tick(seat.now)
    if (seat.asked > pings) {
      pings = seat.asked
      seat.mux.peerAnswered(sent, seat.now)
    }
  }
  return seat.mux.dataSent
}

describe('a line whose speed nobody tells, with a peer that seldom says PARSED', () => {
  it('goes on where the peer only answers pings: nothing is parsed that is not said in the end [R-378]', () => {
    for (const step of [256 * KIB, Infinity]) {
      const seat = new MuxSeat({ paced: true, initialWindowBytes: 8 * KIB * KIB })
      seat.mux.write(seat.opened(), pattern(8 * KIB * KIB))
      const sent = sentWithin(seat, step, 1000)
      // all the same as fast as the line is found to be: it doubles what may be under way
      assert.ok(sent > 2 * KIB * KIB, `${sent} bytes in a second, PARSED each ${step}`)
    }
  })

  it('does not ask a peer that says it in time, nor while nothing waits [R-378]', () => {
    const seat = new MuxSeat({ paced: true, initialWindowBytes: KIB * KIB })
    const pipe = seat.opened()
    seat.mux.write(pipe, pattern(KIB * KIB))
    sentWithin(seat, 256, 1000)
    assert.equal(seat.asked, 0)
    const idle = new MuxSeat({ paced: true })
    idle.opened()
    sentWithin(idle, Infinity, 1000)
    assert.equal(idle.asked, 0)
  })

  it('asks once for each time that it waits, after 100 ms [R-378]', () => {
    const seat = new MuxSeat({ paced: true, initialWindowBytes: KIB * KIB })
    seat.mux.write(seat.opened(), pattern(KIB * KIB))
    seat.pull()
    assert.equal(seat.mux.deadline(), 100)
    for (seat.now = 99; seat.now < 5000; seat.now += 97) seat.mux.tick(seat.now)
    assert.equal(seat.asked, 1)
    assert.equal(seat.mux.deadline(), Infinity)
  })
})

describe('a line that tells, with a peer that never says PARSED', () => {
  it('goes on by the answers to pings [R-378]', () => {
    const seat = new MuxSeat({ maxInFlightBytes: 64 * KIB, initialWindowBytes: KIB * KIB })
    seat.mux.write(seat.opened(), pattern(KIB * KIB))
    assert.ok(sentWithin(seat, Infinity, 2000) > KIB * KIB)
  })
})
