/**
 * What leaves, and in which order: opens, answers, resets, refusals, data under credit and under
 * the bound of what is under way, and the words about it.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { MuxSeat, status } from '../../helpers/mux-seat.ts'
import { concat, TYPE, utf8 } from '../../helpers/naive-codec.ts'
import { pattern } from '../../helpers/protocols.ts'

const ENOUGH = new TrunkError('ERR_ABORTED', 'enough')

describe('Outbox, opens', () => {
  it('Outbox sends as many OPENs as the peer lets wait, and one more for each answer of any kind', () => {
    const seat = new MuxSeat({ maxOutboundWaiting: 2 })
    const pipes = Array.from({ length: 6 }, () => seat.open())
    assert.deepEqual(seat.said(), ['OPEN 1 1', 'OPEN 3 1'])
    assert.deepEqual(seat.said(), [])
    seat.take('ACCEPT', 1)
    assert.deepEqual(seat.said(), ['OPEN 5 1'])
    seat.take('REFUSE', 3, status(73))
    assert.deepEqual(seat.said(), ['OPEN 7 1'])
    seat.take('RESET', 5, status(64), 1)
    assert.deepEqual(seat.said(), ['OPEN 9 1'])
    // a reset of ours frees the place when it leaves, so the next open goes in the batch after
    seat.mux.reset(pipes[3]!, ENOUGH)
    assert.deepEqual(
      seat.said().map((word) => word.slice(0, 7)),
      ['RESET 7'],
    )
    assert.deepEqual(seat.said(), ['OPEN 11 1'])
    assert.deepEqual(seat.news(), ['1 accepted 0', '3 failed ERR_PROTOCOL_UNKNOWN', '5 failed ERR_PIPE_RESET'])
  })

  it('Outbox never sends an OPEN that was given up before its turn, and gives its turn to the next', () => {
    const seat = new MuxSeat({ maxOutboundWaiting: 1 })
    const [one, two, three, four] = Array.from({ length: 4 }, () => seat.open())
    // the first one is listed, the second waits for its answer
    seat.mux.reset(two!, ENOUGH)
    assert.equal(seat.pipe(one!.id).phase, 'opening')
    seat.mux.reset(one!, ENOUGH)
    assert.deepEqual(seat.said(), ['OPEN 5 1'])
    assert.deepEqual(seat.said(), [])
    assert.equal(three!.openSent, true)
    seat.take('ACCEPT', 5)
    assert.deepEqual(seat.said(), ['OPEN 7 1'])
    assert.equal(four!.openSent, true)
    assert.deepEqual([...seat.mux.pipes.keys()], [5, 7])
    assert.equal(seat.gone, 2)
  })

  it('Outbox counts an answer once that comes between our reset and its leaving', () => {
    const seat = new MuxSeat({ maxOutboundWaiting: 1, peerResetBurst: 1 })
    const [one, two] = [seat.open(), seat.open()]
    seat.pull()
    seat.mux.reset(one, ENOUGH)
    seat.take('ACCEPT', one.id)
    assert.equal(seat.mux.counters.lateFrames, 1)
    seat.open()
    assert.deepEqual(seat.said().slice(0, 1), ['OPEN 3 1'])
    assert.ok(two.openSent)
    assert.deepEqual(seat.said(), [], 'the third has to wait for the second')
  })

  it('Outbox sends nothing of a pipe before its OPEN, and early data after it', () => {
    const seat = new MuxSeat({ maxOutboundWaiting: 1 })
    seat.open()
    const pipe = seat.open()
    seat.mux.write(pipe, utf8('early'))
    seat.mux.end(pipe)
    assert.deepEqual(seat.said(), ['OPEN 1 1'])
    seat.take('ACCEPT', 1)
    assert.deepEqual(seat.said(), ['OPEN 3 1', 'DATA 3 5', 'END 3 @5'])
  })
})

describe('Outbox, answers and ends', () => {
  it('Outbox sends an END that waits for nothing before DONE', () => {
    const seat = new MuxSeat()
    seat.take('OPEN', 2, Uint8Array.of(1))
    seat.offset('END', 2, 0)
    const pipe = seat.pipe(2)
    seat.mux.accept(pipe, utf8('yes'))
    seat.mux.handlerEnded(pipe)
    assert.deepEqual(seat.said(), ['ACCEPT 2 3', 'END 2 @0', 'DONE 2 0'])
    seat.take('DONE', 2)
    assert.equal(seat.mux.pipes.size, 0)
    assert.equal(seat.gone, 1)
    assert.deepEqual(seat.news(), ['2 written', '2 confirmed well'])
  })

  it('Outbox sends DONE before an END that has data before it', () => {
    const seat = new MuxSeat()
    const pipe = seat.accepted(2)
    seat.mux.write(pipe, utf8('abc'))
    seat.offset('END', 2, 0)
    seat.mux.handlerEnded(pipe)
    assert.deepEqual(seat.said(), ['DONE 2 0', 'DATA 2 3', 'END 2 @3'])
    assert.equal(seat.mux.pipes.size, 1)
    seat.take('DONE', 2)
    assert.equal(seat.mux.pipes.size, 0)
  })

  it('Outbox sends one CREDIT for half a window that was read, and none to a peer that has ended', () => {
    const seat = new MuxSeat({ initialWindowBytes: 1000 })
    const pipe = seat.accepted(2)
    const clock = { now: () => 0 }
    seat.take('DATA', 2, pattern(499))
    seat.mux.endOfChunk()
    seat.mux.read(pipe, clock)
    assert.deepEqual(seat.said(), [])
    seat.take('DATA', 2, pattern(1))
    seat.mux.read(pipe, clock)
    assert.deepEqual(seat.said(), ['CREDIT 2 @1500'])
    assert.deepEqual(seat.said(), [])
    seat.take('DATA', 2, pattern(1000))
    seat.offset('END', 2, 1500)
    seat.mux.read(pipe, clock)
    assert.deepEqual(seat.said(), [])
  })

  it('Outbox drops a CREDIT whose reader stops before it leaves', () => {
    const seat = new MuxSeat({ initialWindowBytes: 1000 })
    const pipe = seat.accepted(2)
    seat.take('DATA', 2, pattern(800))
    seat.mux.read(pipe, { now: () => 0 })
    seat.mux.stop(pipe, 'ERR_NO_SPACE')
    const frames = seat.pull()
    assert.deepEqual(
      frames.map(({ type }) => type),
      [TYPE.STOP],
    )
    assert.deepEqual(frames[0]?.payload.subarray(0, 3), Uint8Array.of(0, 199, 0))
  })

  it('Outbox says in DONE why not everything was read, and only where it was not', () => {
    for (const unread of [true, false]) {
      const seat = new MuxSeat()
      const pipe = seat.accepted(2)
      seat.take('DATA', 2, pattern(3))
      if (!unread) seat.mux.read(pipe, { now: () => 0 })
      seat.mux.stop(pipe, 'ERR_NO_SPACE')
      seat.pull()
      seat.offset('END', 2, 3)
      seat.mux.handlerEnded(pipe)
      const done = seat.pull().find(({ type }) => type === TYPE.DONE)
      assert.equal(done?.payload.byteLength === 0, !unread)
      if (unread) assert.equal(done?.payload[1], 199)
    }
  })

  it('Outbox says in DONE that data which came after the stop were dropped', () => {
    const seat = new MuxSeat()
    const pipe = seat.accepted(2)
    seat.mux.stop(pipe, 'ERR_NO_SPACE')
    seat.pull()
    seat.take('DATA', 2, pattern(3))
    assert.equal(pipe.readable, 0)
    seat.offset('END', 2, 3)
    seat.mux.endOfChunk()
    assert.deepEqual(seat.news(), [])
    seat.mux.handlerEnded(pipe)
    assert.equal(seat.pull().find(({ type }) => type === TYPE.DONE)?.payload[1], 199)
  })

  it('Outbox sends REFUSE for a pipe that its handler never accepted, and holds nothing of it', () => {
    const seat = new MuxSeat({ maxInboundWaiting: 1 })
    for (const id of [2, 4, 6]) {
      seat.take('OPEN', id, Uint8Array.of(1))
      seat.take('DATA', id, pattern(10))
      seat.mux.refuse(seat.pipe(id), new TrunkError('ERR_PROTOCOL_UNKNOWN', 'no'))
      assert.deepEqual(seat.said(), [`REFUSE ${id} 5`])
      assert.equal(seat.mux.pipes.size, 0)
    }
  })
})

describe('Outbox, resets', () => {
  it('Outbox sends RESETs as fast as the peer’s bucket allows, and the slots are held meanwhile', () => {
    const seat = new MuxSeat({ peerResetBurst: 2, peerResetsPerSecond: 1 })
    const pipes = [seat.opened(), seat.opened(), seat.opened()]
    for (const pipe of pipes) seat.mux.reset(pipe, ENOUGH)
    assert.equal(seat.mux.drained, false)
    assert.equal(seat.mux.deadline(), Infinity)
    assert.deepEqual(seat.said(), ['RESET 1 9', 'RESET 3 9'])
    assert.equal(seat.mux.drained, false)
    assert.equal(seat.mux.deadline(), 1000)
    const { wakes } = seat
    seat.mux.tick(999)
    assert.equal(seat.wakes, wakes)
    seat.now = 1000
    seat.mux.tick(1000)
    assert.equal(seat.wakes, wakes + 1)
    assert.equal(seat.mux.deadline(), Infinity)
    assert.deepEqual(seat.said(), ['RESET 5 9'])
    assert.ok(seat.mux.drained)
  })

  it('Outbox sends RESET with FINAL only where the handler has ended, else DONE when it does', () => {
    const seat = new MuxSeat()
    const pipe = seat.accepted(2)
    seat.mux.reset(pipe, ENOUGH)
    assert.deepEqual(seat.said(), ['RESET 2 9'])
    assert.equal(seat.mux.pipes.size, 1)
    assert.equal(seat.mux.drained, false)
    seat.mux.handlerEnded(pipe)
    assert.deepEqual(seat.said(), ['DONE 2 0'])
    assert.equal(seat.mux.pipes.size, 0)
    seat.mux.handlerEnded(pipe)
    assert.deepEqual(seat.said(), [])
  })

  it('Outbox sends an empty DONE for a pipe that was reset, whatever was not read', () => {
    const seat = new MuxSeat()
    const pipe = seat.accepted(2)
    seat.take('DATA', 2, pattern(10))
    seat.mux.stop(pipe, 'ERR_NO_SPACE')
    assert.equal(pipe.discarded, true)
    seat.take('RESET', 2, status(64))
    seat.mux.handlerEnded(pipe)
    assert.deepEqual(seat.said(), ['DONE 2 0'])
  })

  it('Outbox sends the rest of the RESETs in the next batch where one is full', () => {
    const many = 1000
    const seat = new MuxSeat({ maxOutbound: many, maxOutboundWaiting: many, peerResetBurst: many })
    const pipes = Array.from({ length: many }, () => seat.open())
    while (seat.pull().length > 0) assert.equal(seat.mux.pipes.size, many)
    for (const pipe of pipes) seat.mux.reset(pipe, new TrunkError('ERR_ABORTED', 'enough '.repeat(70)))
    const ids: number[] = []
    let batches = 0
    for (let frames = seat.pull(); frames.length > 0; frames = seat.pull()) {
      batches++
      ids.push(...frames.map(({ pipe }) => pipe))
    }
    assert.ok(batches > 1)
    assert.deepEqual(
      ids,
      pipes.map(({ id }) => id),
    )
  })

  it('Outbox says once that a slot is free where the handler ends before the RESET has left', () => {
    const seat = new MuxSeat()
    const pipe = seat.accepted(2)
    seat.mux.reset(pipe, ENOUGH)
    seat.mux.handlerEnded(pipe)
    assert.deepEqual(seat.said(), ['RESET 2 9 flags 1'])
    assert.deepEqual(seat.said(), [])
    assert.equal(seat.mux.pipes.size, 0)
  })

  it('Outbox drops a RESET whose slot the peer has freed first', () => {
    const seat = new MuxSeat()
    const pipe = seat.opened()
    seat.mux.reset(pipe, ENOUGH)
    seat.take('RESET', pipe.id, status(64), 1)
    assert.deepEqual(seat.said(), [])
    assert.equal(seat.mux.pipes.size, 0)
    assert.ok(seat.mux.drained)
  })

  it('Outbox sends a RESET that a DONE has crossed, and nothing is owed afterwards', () => {
    const seat = new MuxSeat()
    const pipe = seat.opened()
    seat.mux.end(pipe)
    seat.pull()
    seat.mux.reset(pipe, ENOUGH)
    seat.take('DONE', pipe.id)
    assert.equal(seat.mux.pipes.size, 1)
    assert.deepEqual(seat.said(), ['RESET 1 9'])
    assert.equal(seat.mux.pipes.size, 0)
  })

  it('Outbox keeps a reset pipe of ours until the peer’s handler has ended, and counts its other frames as late', () => {
    for (const last of ['DONE', 'REFUSE', 'RESET'] as const) {
      const seat = new MuxSeat()
      const pipe = seat.opened()
      seat.mux.write(pipe, pattern(100))
      seat.mux.reset(pipe, ENOUGH)
      assert.deepEqual(seat.said(), ['RESET 1 9'])
      assert.ok(seat.mux.drained, 'what we have reset holds nothing up')
      seat.take('DATA', 1, pattern(10))
      seat.offset('CREDIT', 1, 100_000)
      seat.offset('END', 1, 10)
      seat.take('STOP', 1, status(65))
      seat.take('RESET', 1, status(64))
      assert.equal(seat.mux.counters.lateFrames, 5)
      assert.equal(seat.mux.pipes.size, 1)
      seat.take(last, 1, last === 'DONE' ? new Uint8Array(0) : status(64), last === 'RESET' ? 1 : 0)
      assert.equal(seat.mux.pipes.size, 0)
      assert.equal(seat.mux.counters.lateFrames, 5)
      assert.deepEqual(seat.said(), [])
      assert.deepEqual(seat.news(), [])
    }
  })
})

describe('Outbox, refusals without a pipe', () => {
  it('Outbox queues 1,024 refusals at most', () => {
    const seat = new MuxSeat()
    seat.mux.refuseOpens()
    assert.equal(seat.mux.closing, true)
    let id = 2
    for (let i = 0; i < 1024; i++, id += 2) seat.take('OPEN', id)
    assert.throws(
      () => {
        seat.take('OPEN', id)
      },
      { code: 'ERR_REFUSAL_FLOOD' },
    )
    const frames = seat.pull()
    assert.ok(frames.length > 100)
    assert.ok(frames.every(({ type, payload }) => type === TYPE.REFUSE && payload[1] === 16))
    assert.equal(frames[1]?.pipe, 4)
  })

  it('Outbox sends the rest of the refusals in the next batch where one is full', () => {
    const seat = new MuxSeat()
    seat.mux.refuseOpens()
    for (let id = 2; id <= 2000; id += 2) seat.take('OPEN', id)
    const ids: number[] = []
    for (;;) {
      const frames = seat.pull()
      if (frames.length === 0) break
      ids.push(...frames.map(({ pipe }) => pipe))
    }
    assert.deepEqual(
      ids,
      Array.from({ length: 1000 }, (_, i) => 2 + 2 * i),
    )
  })
})

describe('Outbox, data', () => {
  it('Outbox sends no data beyond the bytes in flight, and waits rather than trickles', () => {
    const seat = new MuxSeat({ maxInFlightBytes: 4096, splitBytes: 1024 })
    const pipe = seat.opened()
    seat.mux.write(pipe, pattern(10_000))
    // 3 of 1,033 bytes: what is left of 4,096 is less than a split
    assert.deepEqual(seat.said(), ['DATA 1 1024', 'DATA 1 1024', 'DATA 1 1024'])
    assert.deepEqual(seat.said(), [])
    let { wakes } = seat
    seat.mux.peerParsed(36, 0)
    assert.equal(seat.wakes, wakes + 1)
    // 4096 - 3063 - 9 = 1024: exactly enough
    assert.deepEqual(seat.said(), ['DATA 1 1024'])
    seat.mux.peerParsed(10, 0)
    assert.deepEqual(seat.said(), [], 'an older word gives nothing')
    seat.mux.peerParsed(1033 * 4, 0)
    assert.deepEqual(seat.said(), ['DATA 1 1024', 'DATA 1 1024', 'DATA 1 1024'])
    assert.throws(
      () => {
        seat.mux.peerParsed(1033 * 7 + 1, 0)
      },
      { code: 'ERR_PROTOCOL_VIOLATION' },
    )
    seat.mux.peerParsed(1033 * 7, 0)
    assert.deepEqual(seat.said(), ['DATA 1 1024', 'DATA 1 1024', `DATA 1 ${10_000 - 9 * 1024}`])
    wakes = seat.wakes
    seat.mux.peerParsed(1033 * 8, 0)
    assert.equal(seat.wakes, wakes, 'nothing waits: nothing to wake for')
  })

  it('Outbox ignores a PARSED that says less than an earlier one', () => {
    const seat = new MuxSeat({ maxInFlightBytes: 4096, splitBytes: 1024 })
    const pipe = seat.opened()
    seat.mux.write(pipe, pattern(10_000))
    seat.pull()
    seat.mux.peerParsed(1033, 0)
    seat.mux.peerParsed(5, 0)
    assert.deepEqual(seat.said(), ['DATA 1 1024'])
  })

  it('has half as much under way to a peer that answers within 2 ms, and all of it to one further away [R-324]', () => {
    for (const [roundTrip, sent] of [
      [undefined, 7],
      [2, 7],
      [1.9, 3],
      [0, 3],
    ] as const) {
      const seat = new MuxSeat({ maxInFlightBytes: 8192, splitBytes: 1024 })
      seat.leastRoundTrip = roundTrip
      const pipe = seat.opened()
      seat.mux.write(pipe, pattern(20_000))
      assert.equal(seat.said().length, sent, `a round trip of ${roundTrip} ms`)
      // what was parsed makes room for as much again: nothing stays behind
      seat.mux.peerParsed(1033 * sent, 0)
      assert.equal(seat.said().length, sent)
    }
  })

  it('takes more ahead of the line to a low-latency peer: as far as the credit lasts, and shared by the pipes that have something to send [R-325]', () => {
    const seat = new MuxSeat({ maxInFlightBytes: 8192, splitBytes: 1024, initialWindowBytes: 100_000 })
    const [pipe, other, third] = [seat.opened(), seat.opened(), seat.opened()]
    const rooms = (): number[] => [pipe, other, third].map((each) => seat.mux.room(each))
    for (const id of [pipe.id, other.id]) seat.offset('CREDIT', id, 1_000_000)
    seat.leastRoundTrip = 2
    seat.pull()
    assert.deepEqual(rooms(), [65_536, 65_536, 65_536], 'the peer is far')
    seat.leastRoundTrip = 1.9
    seat.pull()
    assert.deepEqual(rooms(), [262_144, 262_144, 100_000], 'the third has no more credit')
    seat.mux.write(other, pattern(20_000))
    seat.mux.write(pipe, pattern(20_000))
    seat.mux.write(third, pattern(20_000))
    seat.pull()
    assert.equal(seat.mux.room(pipe) + pipe.queued, 87_381, 'a third of it')
    assert.equal(seat.mux.room(third) + third.queued, 87_381)
    seat.leastRoundTrip = 2
    seat.pull()
    assert.equal(seat.mux.room(pipe) + pipe.queued, 65_536)
  })

  it('has small writes wait where what they may be ahead is used up, for half of it [R-325]', () => {
    const seat = new MuxSeat({ maxInFlightBytes: 1024, splitBytes: 1024 })
    const pipe = seat.opened()
    seat.offset('CREDIT', pipe.id, 1_000_000)
    seat.leastRoundTrip = 0
    seat.pull()
    for (let written = 8192; written <= 262_144; written += 8192) assert.equal(seat.mux.write(pipe, pattern(8192)), 0)
    assert.equal(seat.mux.room(pipe), 0)
    assert.equal(seat.mux.write(pipe, pattern(8192)), 262_144 + 8192 - 131_072)
    // a reader that takes nothing more: what is queued beyond the credit is as little as ever
    const silent = seat.opened()
    assert.equal(seat.mux.room(silent), 65_536)
  })

  it('Outbox sends whole bytes where half of the bound is a fraction', () => {
    const seat = new MuxSeat({ maxInFlightBytes: 2001, splitBytes: 16_384 })
    seat.leastRoundTrip = 0
    const pipe = seat.opened()
    seat.mux.write(pipe, pattern(5000))
    assert.deepEqual(seat.said(), ['DATA 1 991'])
    assert.equal(pipe.sent, 991)
  })

  it('Outbox sends frames below a split where the bound is small', () => {
    const seat = new MuxSeat({ maxInFlightBytes: 2000, splitBytes: 16_384 })
    const pipe = seat.opened()
    seat.mux.write(pipe, pattern(5000))
    assert.deepEqual(seat.said(), ['DATA 1 1991'])
    seat.mux.peerParsed(508, 0)
    // 2000 - 1492 - 9 = 499: not a quarter
    assert.deepEqual(seat.said(), [])
    seat.mux.peerParsed(509, 0)
    assert.deepEqual(seat.said(), ['DATA 1 500'])
  })

  it('Outbox ends a batch with the frame that fills it', () => {
    const seat = new MuxSeat({ splitBytes: 1000 })
    const pipe = seat.opened()
    seat.mux.write(pipe, pattern(5000))
    assert.deepEqual(seat.said(1008), ['DATA 1 1000'])
    assert.deepEqual(seat.said(1009), ['DATA 1 1000'])
    assert.deepEqual(seat.said(1010), ['DATA 1 1000', 'DATA 1 1000'])
  })

  it('Outbox stops at the credit, goes on with more of it, and sends END after the last byte', () => {
    const seat = new MuxSeat({ initialWindowBytes: 100 })
    const pipe = seat.opened()
    seat.mux.write(pipe, pattern(250))
    seat.mux.end(pipe)
    assert.deepEqual(seat.said(), ['DATA 1 100'])
    assert.deepEqual(seat.said(), [])
    const { wakes } = seat
    seat.offset('CREDIT', 1, 100)
    assert.equal(seat.wakes, wakes)
    assert.equal(seat.mux.counters.staleCredits, 1)
    seat.offset('CREDIT', 1, 150)
    assert.equal(seat.wakes, wakes + 1)
    assert.deepEqual(seat.said(), ['DATA 1 50'])
    seat.offset('CREDIT', 1, 250)
    assert.deepEqual(seat.said(), ['DATA 1 100', 'END 1 @250'])
    assert.deepEqual(seat.said(), [])
  })

  it('Outbox gives pipes with data turns', () => {
    const seat = new MuxSeat({ splitBytes: 1000 })
    const [one, two] = [seat.opened(), seat.opened()]
    for (const pipe of [one, two]) seat.mux.write(pipe, pattern(9000))
    seat.mux.peerParsed(0, 0)
    const ids = seat.pull(6000).map(({ pipe }) => pipe)
    assert.deepEqual(ids, [1, 3, 1, 3, 1, 3])
  })

  it('Outbox sends all data in order, whatever its pieces', () => {
    const seat = new MuxSeat({ splitBytes: 700 })
    const pipe = seat.opened()
    let at = 0
    for (const size of [3, 10_000, 50, 8192, 1, 8193, 64, 64, 9000]) {
      seat.mux.write(pipe, Uint8Array.from(pattern(size, at)))
      at += size
    }
    const pieces: Uint8Array[] = []
    for (let frames = seat.pull(); frames.length > 0; frames = seat.pull())
      pieces.push(...frames.map((one) => one.payload))
    assert.ok(pattern(at).equals(concat(...pieces)))
  })

  it('Outbox lets the writers of a batch go on when it has left, not before', () => {
    const seat = new MuxSeat()
    const [one, two, three] = [seat.opened(), seat.opened(), seat.opened()]
    seat.mux.write(one, pattern(10))
    seat.mux.end(two)
    seat.hold()
    assert.deepEqual(seat.news(), [])
    seat.mux.batchLeft()
    assert.deepEqual(seat.news(), ['1 written', '3 written'])
    seat.mux.batchLeft()
    assert.deepEqual(seat.news(), [])
    assert.equal(three.sent, 0)
  })
})

describe('Outbox on a paced line', () => {
  /** How much leaves in all the batches that there are now. */
  function leaves(seat: MuxSeat): number {
    let bytes = 0
    for (let frames = seat.pull(); frames.length > 0; frames = seat.pull())
      for (const { payload } of frames) bytes += 9 + payload.byteLength
    return bytes
  }

  it('Outbox holds data, and nothing else, until the time of an empty line is known', () => {
    const seat = new MuxSeat({ paced: true })
    seat.leastRoundTrip = undefined
    const pipe = seat.opened()
    seat.mux.write(pipe, utf8('abc'))
    seat.mux.end(pipe)
    seat.open()
    seat.take('DATA', 1, pattern(300))
    assert.deepEqual(seat.said(), ['PARSED 0 @309', 'OPEN 3 1'])
    assert.deepEqual(seat.said(), [])
    seat.leastRoundTrip = 0
    assert.deepEqual(seat.said(), ['DATA 1 3', 'END 1 @3'])
  })

  it('Outbox holds nothing on a line with back-pressure', () => {
    const seat = new MuxSeat()
    seat.leastRoundTrip = undefined
    seat.mux.write(seat.opened(), utf8('abc'))
    assert.deepEqual(seat.said(), ['DATA 1 3'])
  })

  it('Outbox takes the time of an empty line off the time that a batch took', () => {
    const seat = new MuxSeat({ paced: true, initialWindowBytes: 1_000_000 })
    seat.leastRoundTrip = 500
    const pipe = seat.opened()
    seat.mux.write(pipe, pattern(100_000))
    const first = leaves(seat)
    seat.mux.peerParsed(first, 510)
    assert.ok(leaves(seat) > first)
  })

  for (const [what, ms, more] of [
    ['more where the last batch was parsed soon', 10, true],
    ['less where it was not', 110, false],
  ] as const) {
    it(`is ${what}: the time is that of the batch, not of a look at what there is to send`, () => {
      const seat = new MuxSeat({ paced: true, initialWindowBytes: 1_000_000 })
      const pipe = seat.opened()
      seat.mux.write(pipe, pattern(100_000))
      const first = leaves(seat)
      assert.ok(first > 2048 && first <= 4096)
      // nothing may leave now, and this is no batch
      seat.now = ms - 5
      assert.equal(leaves(seat), 0)
      seat.now = ms
      seat.mux.peerParsed(first, ms)
      const second = leaves(seat)
      assert.ok(more ? second > 4096 && second <= 8192 : second > 1024 && second < 3500, `${second} bytes`)
    })
  }
})

describe('Outbox, PARSED', () => {
  for (const [name, paced, inFlight, step] of [
    ['a quarter of what may be under way', false, 4096, 1024],
    ['256 bytes on a paced line', true, 4096, 256],
    ['a quarter of it where that is less', true, 1000, 250],
  ] as const) {
    it(`tells of ${name}, in front of everything else`, () => {
      const seat = new MuxSeat({ paced, maxInFlightBytes: inFlight })
      const pipe = seat.accepted(2)
      const { wakes } = seat
      seat.take('DATA', 2, pattern(step - 10))
      assert.equal(seat.wakes, wakes)
      assert.deepEqual(seat.said(), [])
      // 9 bytes of header and a last one of payload: past it
      seat.take('DATA', 2, pattern(1))
      assert.equal(seat.wakes, wakes + 1)
      seat.mux.write(pipe, utf8('x'))
      assert.deepEqual(seat.said(), [`PARSED 0 @${step + 9}`, 'DATA 2 1'])
      assert.deepEqual(seat.said(), [])
      seat.take('DATA', 2, pattern(step - 9))
      assert.deepEqual(seat.said(), [`PARSED 0 @${2 * step + 9}`], 'exactly a step')
    })
  }
})
