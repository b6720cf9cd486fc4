/**
 * Slots, orphans, windows and what a pipe may write: what the muxer counts, and when it lets go.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/contracts/errors.ts'
import type { PipeState } from '../../../src/core/mux/pipe-state.ts'
import { MuxSeat, status } from '../../helpers/mux-seat.ts'
import { concat, TYPE, utf8 } from '../../helpers/naive-codec.ts'
import { pattern } from '../../helpers/protocols.ts'

const ENOUGH = new TrunkError('ERR_ABORTED', 'enough')
const CLOCK = { now: (): number => 0 }

/** Ends a pipe of ours on both sides. */
function finish(seat: MuxSeat, pipe: PipeState): void {
  seat.mux.end(pipe)
  seat.offset('END', pipe.id, pipe.received)
  seat.pull()
  seat.take('DONE', pipe.id)
}

describe('PipeTable, slots', () => {
  it('PipeTable has as many slots for our pipes as the peer takes, and frees them when pipes are over', () => {
    const seat = new MuxSeat({ maxOutbound: 2 })
    const [one] = [seat.opened(), seat.opened()]
    assert.throws(() => seat.open(), { code: 'ERR_PIPE_LIMIT', scope: 'pipe' })
    finish(seat, one)
    assert.deepEqual([...seat.mux.pipes.keys()], [3])
    assert.equal(seat.open().id, 5)
    assert.throws(() => seat.open(), { code: 'ERR_PIPE_LIMIT' })
  })

  it('PipeTable holds the slot of our reset pipe until its handler has ended', () => {
    const seat = new MuxSeat({ maxOutbound: 1 })
    const pipe = seat.opened()
    seat.mux.reset(pipe, ENOUGH)
    seat.pull()
    assert.throws(() => seat.open(), { code: 'ERR_PIPE_LIMIT' })
    seat.take('DONE', pipe.id)
    seat.open()
  })

  it('PipeTable holds the slot of the peer’s reset pipe, and gives its waiting place back', () => {
    const seat = new MuxSeat({ maxInbound: 2, maxInboundWaiting: 1 })
    seat.take('OPEN', 2)
    const pipe = seat.pipe(2)
    seat.take('RESET', 2, status(64))
    // it waits no more, but its handler runs
    seat.take('OPEN', 4)
    seat.take('OPEN', 6)
    assert.deepEqual(
      seat.pull().map((frame) => [frame.pipe, frame.payload[1]]),
      [[6, 68]],
    )
    seat.mux.refuse(pipe, ENOUGH)
    assert.deepEqual(seat.said(), ['DONE 2 0'])
    seat.mux.accept(seat.pipe(4), new Uint8Array(0))
    seat.take('OPEN', 8)
    assert.deepEqual(seat.said(), ['ACCEPT 4 0'])
    assert.deepEqual([...seat.mux.pipes.keys()], [4, 8])
  })

  it('PipeTable gives no waiting place back for an accepted pipe that is reset', () => {
    const seat = new MuxSeat({ maxInboundWaiting: 1 })
    seat.accepted(2)
    seat.take('RESET', 2, status(64))
    seat.mux.reset(seat.accepted(4), ENOUGH)
    seat.take('OPEN', 6)
    seat.take('OPEN', 8)
    assert.equal(seat.mux.counters.refusedOpens, 1)
  })

  it('PipeTable gives a slot back once, whatever comes afterwards', () => {
    const seat = new MuxSeat({ maxInbound: 1 })
    const pipe = seat.accepted(2)
    seat.take('RESET', 2, status(64))
    seat.mux.handlerEnded(pipe)
    seat.pull()
    const { gone } = seat
    seat.mux.handlerEnded(pipe)
    seat.mux.reset(pipe, ENOUGH)
    seat.mux.stop(pipe, 'ERR_PIPE_STOPPED')
    seat.mux.accept(pipe, new Uint8Array(0))
    seat.mux.refuse(pipe, ENOUGH)
    assert.deepEqual(seat.said(), [])
    assert.equal(seat.gone, gone)
    seat.take('OPEN', 4)
    seat.take('OPEN', 6)
    assert.equal(seat.mux.counters.refusedOpens, 1)
  })

  it('PipeTable knows which pipes hold up a graceful end', () => {
    const seat = new MuxSeat()
    assert.ok(seat.mux.drained)
    const own = seat.opened()
    assert.equal(seat.mux.drained, false)
    seat.mux.reset(own, ENOUGH)
    assert.equal(seat.mux.drained, false, 'the reset has not left')
    seat.pull()
    assert.ok(seat.mux.drained)
    const theirs = seat.accepted(2)
    seat.mux.reset(theirs, ENOUGH)
    seat.pull()
    assert.equal(seat.mux.drained, false, 'its handler runs')
    seat.mux.handlerEnded(theirs)
    seat.pull()
    assert.ok(seat.mux.drained)
  })

  it('PipeTable takes no pipe once the muxer closes', () => {
    const seat = new MuxSeat()
    assert.equal(seat.mux.closing, false)
    seat.mux.refuseOpens()
    assert.throws(() => seat.open(), { code: 'ERR_SESSION_CLOSED' })
    assert.equal(seat.mux.pipes.size, 0)
  })

  it('PipeTable fails each pipe once with the session, and reset ones not at all', () => {
    const seat = new MuxSeat({ peerResetBurst: 1 })
    const [one, two, three] = [seat.opened(), seat.opened(), seat.accepted(2)]
    seat.mux.reset(two, ENOUGH)
    seat.mux.write(one, pattern(10))
    seat.mux.handlerEnded(three)
    seat.mux.open(new Uint8Array(0), seat.listener(9), 0)
    seat.news()
    seat.mux.fail(new TrunkError('ERR_LINK_LOST', 'the line is gone'))
    assert.deepEqual(seat.news(), ['1 failed ERR_LINK_LOST', '2 failed ERR_LINK_LOST', '9 failed ERR_LINK_LOST'])
    assert.equal(seat.mux.pipes.size, 0)
    assert.equal(seat.mux.deadline(), Infinity)
    assert.ok(seat.mux.drained)
    assert.deepEqual(
      [one, two, three].map(({ phase }) => phase),
      ['closed', 'closed', 'closed'],
    )
    assert.deepEqual(seat.said(), [])
    seat.mux.fail(ENOUGH)
    assert.deepEqual(seat.news(), [])
  })
})

describe('PipeTable, orphans', () => {
  /**
   * A pipe of the peer's whose handler has ended at `now`, and whose peer owes the answer to the
   * stop.
   */
  function orphan(seat: MuxSeat, id: number, now: number): PipeState {
    seat.now = now
    const pipe = seat.accepted(id)
    seat.mux.tick(now)
    seat.mux.handlerEnded(pipe)
    seat.pull()
    seat.news()
    return pipe
  }

  it('PipeTable resets orphans when their time is over, the oldest first', () => {
    const seat = new MuxSeat()
    orphan(seat, 2, 100)
    orphan(seat, 4, 300)
    assert.equal(seat.mux.deadline(), 1100)
    seat.mux.tick(1099)
    assert.deepEqual(seat.news(), [])
    seat.mux.tick(1100)
    assert.deepEqual(seat.news(), ['2 failed ERR_PIPE_ORPHANED'])
    assert.equal(seat.mux.deadline(), 1300)
    const frames = seat.pull()
    assert.deepEqual(
      frames.map(({ type, pipe, flags, payload }) => [type, pipe, flags, payload[1]]),
      [[TYPE.RESET, 2, 1, 71]],
    )
    assert.match(Buffer.from(frames[0]!.payload).toString(), /pipe 2\b/)
    seat.mux.tick(5000)
    assert.deepEqual(seat.news(), ['4 failed ERR_PIPE_ORPHANED'])
    assert.equal(seat.mux.deadline(), Infinity)
    seat.pull()
    assert.equal(seat.mux.pipes.size, 0)
  })

  it('PipeTable has no orphan where the peer ends, is reset, or has ended before', () => {
    const seat = new MuxSeat()
    const [two, four] = [orphan(seat, 2, 0), orphan(seat, 4, 0)]
    seat.offset('END', 2, 0)
    seat.take('RESET', 4, status(64))
    seat.news()
    const six = seat.accepted(6)
    seat.offset('END', 6, 0)
    seat.mux.handlerEnded(six)
    seat.pull()
    seat.take('OPEN', 8)
    seat.mux.tick(1_000_000)
    assert.deepEqual(
      seat.news().filter((word) => word.includes('failed')),
      [],
    )
    assert.deepEqual(
      seat.pull().filter(({ type }) => type === TYPE.RESET),
      [],
    )
    assert.equal(two.phase, 'open')
    assert.equal(four.phase, 'closed')
  })

  it('PipeTable forgets an orphan with its pipe', () => {
    const seat = new MuxSeat()
    orphan(seat, 2, 0)
    assert.equal(seat.mux.deadline(), 1000)
    seat.offset('END', 2, 0)
    seat.pull()
    seat.take('DONE', 2)
    assert.equal(seat.mux.pipes.size, 0)
    assert.equal(seat.mux.deadline(), Infinity)
  })

  it('PipeTable gives orphans their time again after a suspension', () => {
    const seat = new MuxSeat()
    orphan(seat, 2, 0)
    seat.mux.suspended(50_000)
    assert.equal(seat.mux.deadline(), 51_000)
    seat.mux.tick(50_999)
    assert.deepEqual(seat.news(), [])
    seat.mux.tick(51_000)
    assert.deepEqual(seat.news(), ['2 failed ERR_PIPE_ORPHANED'])
  })
})

describe('PipeTable, windows', () => {
  it('PipeTable grows the window of a reader that takes it within a few round trips, and shrinks it with its pipe', () => {
    const seat = new MuxSeat({ initialWindowBytes: 1000, maxWindowBytes: 4000, windowPoolBytes: 2500 })
    const read = (pipe: PipeState, bytes: number, now: number): void => {
      seat.take('DATA', pipe.id, pattern(bytes))
      seat.mux.read(pipe, { now: () => now })
      seat.pull()
    }
    const [one, two] = [seat.accepted(2), seat.accepted(4)]
    read(one, 1000, 1)
    assert.equal(one.window, 1000, 'no round trip was measured')
    seat.roundTrip = 10
    read(one, 1000, 41)
    assert.equal(one.window, 2000)
    assert.equal(one.granted, 4000)
    read(two, 1000, 42)
    assert.equal(two.window, 1000, 'too slow')
    read(two, 1000, 43)
    assert.equal(two.window, 2000)
    read(two, 2000, 44)
    assert.equal(two.window, 2500, 'what is left of the pool')
    seat.mux.stop(one, 'ERR_PIPE_STOPPED')
    assert.equal(one.window, 1000)
    read(two, 2500, 45)
    assert.equal(two.window, 3500)
    seat.mux.reset(two, ENOUGH)
    assert.equal(two.window, 1000)
    const three = seat.accepted(6)
    for (const now of [46, 47, 48]) read(three, three.window, now)
    assert.equal(three.window, 3500, 'the whole pool')
  })

  it('PipeTable asks the clock once for a window, not for each read', () => {
    const seat = new MuxSeat({ initialWindowBytes: 1000 })
    const pipe = seat.accepted(2)
    let asked = 0
    const clock = { now: () => ++asked }
    for (let i = 0; i < 10; i++) {
      seat.take('DATA', 2, pattern(100))
      seat.mux.read(pipe, clock)
      assert.equal(asked, i === 9 ? 1 : 0)
      seat.pull()
    }
    assert.deepEqual(seat.mux.read(pipe, clock), [])
    assert.equal(asked, 1)
  })
})

describe('MuxCore, writing', () => {
  it('MuxCore takes 64 KiB ahead of the line in small pieces, then waits for half of that', () => {
    const seat = new MuxSeat({ initialWindowBytes: 1_000_000 })
    const pipe = seat.opened()
    let offset = 0
    for (let i = 0; i < 8; i++) offset = Math.max(offset, seat.mux.write(pipe, pattern(8192)))
    assert.equal(pipe.queued, 65_536)
    assert.equal(offset, 0)
    assert.equal(seat.mux.write(pipe, pattern(1)), 65_537 - 32_768)
    assert.equal(pipe.written, 65_537)
    for (let batch = 0; batch < 20; batch++) seat.pull()
    assert.equal(pipe.sent, 65_537)
    assert.equal(seat.mux.write(pipe, pattern(1)), 0)
  })

  it('MuxCore copies writes of up to 8 KiB, and borrows larger ones until they have left', () => {
    const seat = new MuxSeat()
    const pipe = seat.opened()
    const [small, large] = [new Uint8Array(8192).fill(1), new Uint8Array(8193).fill(2)]
    assert.equal(seat.mux.write(pipe, small), 0)
    assert.equal(seat.mux.write(pipe, large), 8192 + 8193)
    small.fill(9)
    large.fill(3)
    seat.hold()
    const frames = seat.parts
    const bytes = concat(...frames)
    assert.equal(bytes.filter((byte) => byte === 9).length < 10, true, 'the copy')
    assert.ok(bytes.filter((byte) => byte === 3).length >= 8193, 'the view')
    assert.ok(frames.some(({ buffer }) => buffer === large.buffer))
  })

  it('MuxCore ends a pipe once', () => {
    const seat = new MuxSeat()
    const pipe = seat.opened()
    seat.mux.write(pipe, utf8('abc'))
    seat.mux.end(pipe)
    const { wakes } = seat
    seat.mux.end(pipe)
    assert.equal(seat.wakes, wakes)
    assert.deepEqual(seat.said(), ['DATA 1 3', 'END 1 @3'])
    seat.mux.end(pipe)
    assert.deepEqual(seat.said(), [])
  })
})

describe('MuxCore, stops and refusals', () => {
  it('MuxCore sends one STOP, and none where the end is known or everything was read', () => {
    const seat = new MuxSeat()
    const [two, four, six] = [2, 4, 6].map((id) => seat.accepted(id)) as [PipeState, PipeState, PipeState]
    seat.mux.stop(two, 'ERR_NO_SPACE')
    seat.mux.stop(two, 'ERR_PIPE_STOPPED')
    assert.deepEqual(
      seat.pull().map(({ type, pipe, payload }) => [type, pipe, payload[1]]),
      [[TYPE.STOP, 2, 199]],
    )
    seat.take('DATA', 4, pattern(3))
    seat.offset('END', 4, 3)
    seat.mux.stop(four, 'ERR_NO_SPACE')
    assert.deepEqual(seat.said(), [])
    assert.equal(four.discarded, true)
    seat.offset('END', 6, 0)
    seat.mux.stop(six, 'ERR_NO_SPACE')
    assert.equal(six.readStopped, false)
    assert.deepEqual(seat.said(), [])
  })

  it('MuxCore gives back each view that was read, and no copy', () => {
    const seat = new MuxSeat()
    const pipe = seat.accepted(2)
    assert.deepEqual(seat.mux.read(pipe, CLOCK), [])
    seat.mux.release([pattern(2047), pattern(2048)])
    assert.deepEqual(
      seat.released.map(({ byteLength }) => byteLength),
      [2048],
    )
  })

  it('MuxCore ignores a second answer to a pipe', () => {
    const seat = new MuxSeat()
    const pipe = seat.accepted(2)
    seat.mux.accept(pipe, utf8('again'))
    seat.mux.refuse(pipe, ENOUGH)
    assert.deepEqual(seat.said(), [])
    assert.equal(pipe.phase, 'open')
    assert.equal(pipe.handlerEnded, false)
  })

  it('MuxCore resets a pipe whose OPEN was never sent without a frame', () => {
    const seat = new MuxSeat({ maxOutboundWaiting: 1 })
    const [, two] = [seat.open(), seat.open()]
    seat.pull()
    seat.mux.reset(two, ENOUGH)
    assert.equal(two.phase, 'closed')
    assert.deepEqual(seat.said(), [])
    assert.deepEqual(seat.news(), [], 'who resets knows')
  })
})
