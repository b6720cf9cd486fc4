/**
 * What the pipe adapter asks of the muxer, where neither what comes in nor what leaves says it all:
 * orders of calls, and hosts that need less.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { MuxCore } from '../../../src/core/mux/core.ts'
import { MuxSeat, SETTINGS, status } from '../../helpers/mux-seat.ts'
import { TYPE, utf8 } from '../../helpers/naive-codec.ts'
import { pattern } from '../../helpers/protocols.ts'

const CLOCK = { now: (): number => 0 }
const NOTHING = new Uint8Array(0)
const NO = new TrunkError('ERR_PROTOCOL_UNKNOWN', 'no such protocol')
const MIB = 1024 * 1024

describe('MuxCore, opens of the peer', () => {
  it('MuxCore takes writes to a pipe before its answer, and sends none before it', () => {
    const seat = new MuxSeat()
    seat.take('OPEN', 2)
    const pipe = seat.pipe(2)
    seat.mux.write(pipe, utf8('early'))
    seat.mux.end(pipe)
    assert.deepEqual(seat.said(), [])
    seat.mux.accept(pipe, utf8('yes'))
    assert.deepEqual(seat.said(), ['ACCEPT 2 3', 'DATA 2 5', 'END 2 @5'])
  })

  it('MuxCore ends a refused pipe at once, and counts what still comes for it as late', () => {
    const seat = new MuxSeat({ initialWindowBytes: 100 })
    seat.take('OPEN', 2)
    const pipe = seat.pipe(2)
    seat.take('DATA', 2, pattern(60))
    seat.mux.refuse(pipe, NO)
    assert.equal(pipe.receiveQueue, undefined)
    seat.take('DATA', 2, pattern(60))
    seat.offset('CREDIT', 2, 70_000)
    assert.equal(seat.mux.counters.lateFrames, 2)
    seat.mux.handlerEnded(pipe)
    seat.mux.reset(pipe, NO)
    seat.mux.endOfChunk()
    assert.deepEqual(seat.news(), ['2 readable'])
    const [frame, ...others] = seat.pull()
    assert.deepEqual([frame?.type, frame?.payload[1], others.length], [TYPE.REFUSE, 73, 0])
    assert.equal(seat.mux.pipes.size, 0)
    assert.equal(seat.gone, 1)
  })

  it('MuxCore confirms a pipe that was reset before it is refused', () => {
    const seat = new MuxSeat()
    seat.take('OPEN', 2)
    const pipe = seat.pipe(2)
    seat.take('RESET', 2, status(64))
    seat.mux.refuse(pipe, NO)
    assert.deepEqual(seat.said(), ['DONE 2 0'])
    assert.equal(seat.mux.pipes.size, 0)
  })

  it('MuxCore gives the place of an answered open to the next, accepted or refused', () => {
    const seat = new MuxSeat({ maxInboundWaiting: 1 })
    for (const [id, accepted] of [
      [2, true],
      [4, false],
      [6, true],
    ] as const) {
      seat.take('OPEN', id)
      if (accepted) seat.mux.accept(seat.pipe(id), NOTHING)
      else seat.mux.refuse(seat.pipe(id), NO)
    }
    assert.equal(seat.mux.counters.refusedOpens, 0)
    seat.take('OPEN', 8)
    seat.take('OPEN', 10)
    assert.equal(seat.mux.counters.refusedOpens, 1)
  })
})

describe('MuxCore, handlers that have ended', () => {
  it('MuxCore ends the pipe of a handler that returns, and stops what it has not read', () => {
    const seat = new MuxSeat()
    const pipe = seat.accepted(2)
    seat.take('DATA', 2, pattern(10))
    seat.mux.handlerEnded(pipe)
    assert.ok(pipe.handlerEnded && pipe.endQueued && pipe.discarded)
    assert.equal(pipe.receiveQueue?.length, 0)
    const frames = seat.pull()
    assert.deepEqual(
      frames.map(({ type, payload }) => [type, payload[1]]),
      [
        [TYPE.STOP, 65],
        [TYPE.END, 0],
      ],
    )
    assert.ok(Buffer.from(frames[0]?.payload ?? []).includes('stopped'), 'it says a sentence')
    seat.offset('END', 2, 10)
    assert.equal(seat.pull()[0]?.type, TYPE.DONE)
    seat.take('DONE', 2)
    assert.equal(seat.mux.pipes.size, 0)
  })

  it('MuxCore sends no STOP for a pipe that was read to the end', () => {
    for (const bytes of [10, 0]) {
      const seat = new MuxSeat()
      const pipe = seat.accepted(2)
      if (bytes > 0) seat.take('DATA', 2, pattern(bytes))
      seat.offset('END', 2, bytes)
      assert.equal(seat.mux.read(pipe, CLOCK).length, bytes > 0 ? 1 : 0)
      assert.deepEqual(seat.said(), [])
      seat.mux.handlerEnded(pipe)
      assert.equal(seat.mux.deadline(), Infinity)
      assert.deepEqual(seat.said(), ['END 2 @0', 'DONE 2 0'])
    }
  })
})

describe('MuxCore, reading', () => {
  it('MuxCore reads nothing where nothing came, or the reader has stopped', () => {
    const seat = new MuxSeat({ initialWindowBytes: 100 })
    const pipe = seat.accepted(2)
    assert.deepEqual(seat.mux.read(pipe, CLOCK), [])
    seat.take('DATA', 2, pattern(80))
    seat.mux.stop(pipe, 'ERR_PIPE_STOPPED')
    assert.deepEqual(seat.mux.read(pipe, CLOCK), [])
    assert.equal(pipe.consumed, 0)
    assert.deepEqual(
      seat.pull().map(({ type }) => type),
      [TYPE.STOP],
    )
  })

  it('MuxCore confirms a pipe that was ended before it was read', () => {
    const seat = new MuxSeat()
    const pipe = seat.opened()
    seat.take('DATA', 1, pattern(10))
    seat.offset('END', 1, 10)
    assert.deepEqual(seat.said(), [])
    seat.mux.read(pipe, CLOCK)
    assert.deepEqual(seat.said(), ['DONE 1 0'])
  })

  it('MuxCore stops reading before the peer has answered, and not after the pipe is over', () => {
    const seat = new MuxSeat()
    const [one, two] = [seat.open(), seat.opened()]
    seat.mux.stop(one, 'ERR_NO_SPACE')
    assert.equal(seat.pull()[0]?.type, TYPE.STOP)
    seat.mux.reset(two, NO)
    seat.mux.stop(two, 'ERR_NO_SPACE')
    assert.equal(two.readStopped, false)
    assert.deepEqual(
      seat.pull().map(({ type }) => type),
      [TYPE.RESET],
    )
  })

  it('MuxCore copies unread bytes out of chunks that hold far more, and gives the chunks back', () => {
    const seat = new MuxSeat()
    const pipe = seat.accepted(2)
    const piece = new Uint8Array(MIB).subarray(0, 2048)
    piece.set(pattern(2048))
    seat.take('DATA', 2, piece)
    assert.deepEqual(seat.released, [])
    seat.mux.endOfChunk()
    assert.deepEqual(seat.released, [piece])
    const [copy] = seat.mux.read(pipe, CLOCK)
    assert.equal(copy?.buffer.byteLength, 2048)
    assert.ok(pattern(2048).equals(copy))
  })

  it('MuxCore drops chunks where the host wants none back', () => {
    let incoming = 0
    const host = {
      wake: () => undefined,
      incoming: () => {
        incoming++
      },
      pipeGone: () => undefined,
      roundTripMs: () => undefined,
      minRoundTripMs: () => 0,
    }
    const mux = new MuxCore(SETTINGS, host, 0)
    mux.frame(TYPE.OPEN, 0, 2, NOTHING, 0)
    assert.equal(incoming, 1)
    mux.header(TYPE.DATA, 0, 2, 4096)
    // one in a chunk that is worth nothing, one in a chunk of its own
    mux.piece(new Uint8Array(MIB).subarray(0, 2048), false)
    mux.piece(new Uint8Array(2048), true)
    mux.endOfChunk()
    const pipe = mux.pipes.get(2)
    assert.ok(pipe)
    const pieces = mux.read(pipe, CLOCK)
    assert.equal(
      pieces.reduce((bytes, { byteLength }) => bytes + byteLength, 0),
      4096,
    )
    mux.release(pieces)
  })
})

describe('MuxCore, end of the session', () => {
  it('MuxCore has nothing to send after the session has failed', () => {
    const seat = new MuxSeat({ maxOutboundWaiting: 1 })
    const pipe = seat.opened()
    seat.mux.write(pipe, pattern(10))
    seat.mux.stop(pipe, 'ERR_NO_SPACE')
    seat.mux.reset(seat.opened(), NO)
    seat.open()
    seat.open()
    seat.mux.refuseOpens()
    seat.take('OPEN', 2)
    seat.mux.fail(new TrunkError('ERR_LINK_LOST', 'closed'))
    assert.deepEqual(seat.said(), [])
    assert.equal(seat.mux.deadline(), Infinity)
  })
})
