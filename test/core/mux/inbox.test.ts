/**
 * What comes in, frame by frame: what is not allowed and ends the session, what is late, what is
 * told to a pipe, and when.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/contracts/errors.ts'
import type { MuxSettings } from '../../../src/core/mux/settings.ts'
import { inWords, MuxSeat, status } from '../../helpers/mux-seat.ts'
import { TYPE, utf8, type TypeName } from '../../helpers/naive-codec.ts'
import { pattern } from '../../helpers/protocols.ts'

const CLOCK = { now: (): number => 0 }
const NOTHING = new Uint8Array(0)

function violates(act: () => void, code = 'ERR_PROTOCOL_VIOLATION'): void {
  assert.throws(act, (error) => {
    assert.ok(error instanceof TrunkError, String(error))
    assert.equal(error.code, code, error.message)
    assert.equal(error.scope, 'session')
    assert.ok(error.message.length > 10)
    return true
  })
}

/** A seat with a pipe of ours (1) and one of the peer's (2), both open. */
function seated(settings: Partial<MuxSettings> = {}): MuxSeat {
  const seat = new MuxSeat(settings)
  seat.opened()
  seat.accepted(2)
  seat.news()
  return seat
}

describe('Inbox, headers', () => {
  it('Inbox takes data frames in pieces, and no others', () => {
    const { mux } = seated()
    assert.equal(mux.header(TYPE.DATA, 0, 2, 10), true)
    mux.piece(pattern(10), true)
    for (const [name, length] of [
      ['OPEN', 0],
      ['OPEN', 60_000],
      ['ACCEPT', 60_000],
      ['CREDIT', 8],
      ['END', 8],
      ['REFUSE', 579],
      ['DONE', 0],
      ['DONE', 579],
      ['STOP', 579],
      ['RESET', 579],
    ] as [TypeName, number][]) {
      assert.equal(mux.header(TYPE[name], 0, 2, length), false, `${name} of ${length}`)
    }
  })

  it('Inbox allows no flag but FINAL, and that on RESET alone', () => {
    const { mux } = seated()
    assert.equal(mux.header(TYPE.RESET, 1, 2, 3), false)
    violates(() => mux.header(TYPE.RESET, 2, 2, 3))
    violates(() => mux.header(TYPE.RESET, 3, 2, 3))
    for (const name of ['DATA', 'OPEN', 'DONE', 'STOP', 'REFUSE'] as const) {
      violates(() => mux.header(TYPE[name], 1, 2, 3))
    }
  })

  for (const [what, type, id, length] of [
    ['an id of 0', TYPE.DATA, 0, 1],
    ['a credit of 7 bytes', TYPE.CREDIT, 2, 7],
    ['an end of 9 bytes', TYPE.END, 2, 9],
    ['a refusal of 580 bytes', TYPE.REFUSE, 1, 580],
    ['a confirmation of 580 bytes', TYPE.DONE, 1, 580],
    ['a stop of 580 bytes', TYPE.STOP, 1, 580],
    ['a reset of 580 bytes', TYPE.RESET, 1, 580],
    ['data of no bytes', TYPE.DATA, 2, 0],
    ['a type that is none', 0x19, 2, 0],
    ['data for a pipe of the peer’s that never was', TYPE.DATA, 4, 1],
    ['data for a pipe of ours that never was', TYPE.DATA, 3, 1],
  ] as const) {
    it(`does not allow ${what}`, () => {
      const { mux } = seated()
      violates(() => mux.header(type, 0, id, length))
    })
  }

  it('Inbox refuses an unknown type as a whole frame, too', () => {
    const { mux } = seated()
    violates(() => {
      mux.frame(0x19, 0, 2, NOTHING, 0)
    })
  })
})

describe('Inbox, data', () => {
  it('Inbox takes data up to the credit, and not a byte more', () => {
    const seat = seated({ initialWindowBytes: 100 })
    seat.take('DATA', 2, pattern(60))
    seat.take('DATA', 2, pattern(40))
    assert.equal(seat.pipe(2).received, 100)
    violates(() => {
      seat.take('DATA', 2, pattern(1))
    }, 'ERR_WINDOW_EXCEEDED')
    violates(() => {
      seat.take('DATA', 1, pattern(101))
    }, 'ERR_WINDOW_EXCEEDED')
  })

  it('Inbox refuses data before the answer to our open, and after the end', () => {
    const seat = new MuxSeat()
    seat.open()
    seat.pull()
    violates(() => {
      seat.take('DATA', 1, pattern(1))
    })
    const other = seated()
    other.offset('END', 2, 0)
    violates(() => {
      other.take('DATA', 2, pattern(1))
    })
  })

  it('Inbox keeps data that come before our answer to the peer’s open', () => {
    const seat = new MuxSeat()
    seat.take('OPEN', 2, NOTHING)
    seat.take('DATA', 2, utf8('early'))
    seat.mux.endOfChunk()
    assert.deepEqual(seat.news(), ['2 readable'])
    const read = seat.mux.read(seat.pipe(2), CLOCK)
    assert.equal(Buffer.concat(read).toString(), 'early')
  })

  it('Inbox makes data readable when their frame is whole, and notifies at the end of the chunk', () => {
    const seat = seated()
    seat.mux.header(TYPE.DATA, 0, 2, 6)
    seat.mux.piece(utf8('abc'), false)
    seat.mux.endOfChunk()
    assert.equal(seat.pipe(2).readable, 0)
    assert.deepEqual(seat.mux.read(seat.pipe(2), CLOCK), [])
    assert.deepEqual(seat.news(), [])
    seat.mux.piece(utf8('def'), true)
    assert.deepEqual(seat.news(), [])
    seat.mux.endOfChunk()
    assert.deepEqual(seat.news(), ['2 readable'])
    assert.equal(Buffer.concat(seat.mux.read(seat.pipe(2), CLOCK)).toString(), 'abcdef')
    seat.mux.endOfChunk()
    assert.deepEqual(seat.news(), [])
  })

  it('Inbox notifies a pipe once for a chunk, however many frames are in it', () => {
    const seat = seated()
    for (let frame = 0; frame < 3; frame++) for (const id of [1, 2]) seat.take('DATA', id, pattern(1))
    seat.offset('END', 2, 3)
    seat.mux.endOfChunk()
    assert.deepEqual(seat.news(), ['1 readable', '2 readable'])
    seat.take('DATA', 1, pattern(1))
    seat.mux.endOfChunk()
    assert.deepEqual(seat.news(), ['1 readable'])
  })

  it('Inbox copies data below 2 KiB, and keeps views from there on', () => {
    const seat = seated()
    const chunk = pattern(10_000)
    assert.equal(seat.mux.kept(), 0)
    seat.take('DATA', 2, chunk.subarray(0, 2047))
    assert.equal(seat.mux.kept(), 0)
    seat.take('DATA', 2, chunk.subarray(2047, 4095))
    seat.take('DATA', 2, chunk.subarray(4095, 7000))
    assert.equal(seat.mux.kept(), 2048 + 2905)
    assert.equal(seat.mux.kept(), 0)
    const pieces = seat.mux.read(seat.pipe(2), CLOCK)
    assert.ok(chunk.subarray(0, 7000).equals(Buffer.concat(pieces)))
    assert.deepEqual(
      pieces.map(({ buffer }) => buffer === chunk.buffer),
      [false, true, true],
    )
    seat.mux.release(pieces)
    assert.deepEqual(seat.released, pieces.slice(1))
  })

  it('Inbox counts and drops data whose reader has stopped', () => {
    const seat = seated({ initialWindowBytes: 10_000 })
    const pipe = seat.pipe(2)
    seat.mux.header(TYPE.DATA, 0, 2, 6000)
    seat.mux.piece(pattern(3000), false)
    seat.mux.stop(pipe, 'ERR_PIPE_STOPPED')
    seat.mux.piece(pattern(3000), true)
    assert.equal(seat.mux.kept(), 3000)
    assert.equal(pipe.receiveQueue?.length, 0)
    assert.equal(pipe.received, 6000)
    assert.equal(pipe.consumed, 6000)
    seat.take('DATA', 2, pattern(4000))
    assert.equal(seat.mux.kept(), 0)
    seat.mux.endOfChunk()
    assert.deepEqual(seat.news(), [])
    violates(() => {
      seat.take('DATA', 2, pattern(1))
    }, 'ERR_WINDOW_EXCEEDED')
  })

  it('Inbox counts data of pipes that are over as late, and as parsed', () => {
    const seat = seated({ maxInFlightBytes: 4000 })
    const pipe = seat.pipe(1)
    seat.mux.reset(pipe, new TrunkError('ERR_ABORTED', 'enough'))
    seat.pull()
    seat.take('DATA', 1, pattern(2000))
    assert.equal(seat.mux.counters.lateFrames, 1)
    assert.equal(seat.mux.kept(), 0)
    assert.deepEqual(seat.said(), ['PARSED 0 @2009'])
    seat.take('DONE', 1)
    seat.take('DATA', 1, pattern(2000))
    seat.take('STOP', 1, status(65))
    assert.equal(seat.mux.counters.lateFrames, 3)
    assert.deepEqual(seat.said(), ['PARSED 0 @4018'])
    seat.mux.endOfChunk()
    assert.deepEqual(seat.news(), [])
  })

  it('Inbox reads the rest of a frame whose pipe was reset in the middle of it', () => {
    const seat = seated()
    const pipe = seat.pipe(2)
    seat.mux.header(TYPE.DATA, 0, 2, 20)
    seat.mux.piece(pattern(10), false)
    seat.mux.reset(pipe, new TrunkError('ERR_ABORTED', 'enough'))
    seat.mux.piece(pattern(10), true)
    assert.equal(pipe.receiveQueue, undefined)
    seat.mux.endOfChunk()
    assert.deepEqual(seat.news(), [])
    seat.take('DATA', 2, pattern(10))
    assert.equal(seat.mux.counters.lateFrames, 1)
  })
})

describe('Inbox, opens', () => {
  it('Inbox takes ids of the peer’s parity that climb', () => {
    for (const takesOddIds of [true, false]) {
      const seat = new MuxSeat({ takesOddIds })
      const [own, first] = takesOddIds ? [1, 6] : [2, 7]
      violates(() => {
        seat.take('OPEN', own)
      })
      seat.take('OPEN', first)
      violates(() => {
        seat.take('OPEN', first)
      })
      violates(() => {
        seat.take('OPEN', first - 2)
      })
      violates(() => {
        seat.take('STOP', first + 2, status(65))
      })
      // one that was passed over is one that is over
      seat.take('STOP', first - 2, status(65))
      assert.equal(seat.mux.counters.lateFrames, 1)
      seat.take('OPEN', first + 2)
      assert.deepEqual([...seat.mux.pipes.keys()], [first, first + 2])
      assert.equal(seat.open().id, own)
      assert.equal(seat.open().id, own + 2)
    }
  })

  it('Inbox refuses opens while closing, at either limit, and with a first frame that is too long, each with its code', () => {
    const seat = new MuxSeat({ maxInbound: 3, maxInboundWaiting: 2, maxOpenBytes: 100 })
    seat.take('OPEN', 2, new Uint8Array(101))
    assert.equal(seat.mux.counters.refusedOpens, 0, 'no limit that it was told of')
    seat.take('OPEN', 4, new Uint8Array(100))
    seat.take('OPEN', 6)
    seat.take('OPEN', 8)
    assert.equal(seat.mux.counters.refusedOpens, 1)
    seat.mux.accept(seat.pipe(4), NOTHING)
    seat.take('OPEN', 10)
    seat.take('OPEN', 12)
    assert.equal(seat.mux.counters.refusedOpens, 2)
    seat.mux.refuseOpens()
    seat.take('OPEN', 14)
    assert.equal(seat.mux.counters.refusedOpens, 2)
    const answers = seat.pull().map(({ type, pipe, payload }) => [type, pipe, payload[1]])
    assert.deepEqual(answers, [
      [TYPE.REFUSE, 2, 75],
      [TYPE.REFUSE, 8, 69],
      [TYPE.REFUSE, 12, 68],
      [TYPE.REFUSE, 14, 16],
      [TYPE.ACCEPT, 4, undefined],
    ])
  })

  it('Inbox ends the session after maxRefusals opens beyond the limits', () => {
    const seat = new MuxSeat({ maxInbound: 1, maxRefusals: 3 })
    for (const id of [2, 4, 6, 8]) seat.take('OPEN', id)
    assert.equal(seat.mux.counters.refusedOpens, 3)
    violates(() => {
      seat.take('OPEN', 10)
    }, 'ERR_REFUSAL_FLOOD')
  })
})

describe('Inbox, answers', () => {
  it('Inbox opens a pipe by one ACCEPT, with a reply within its limit', () => {
    const seat = new MuxSeat({ maxOpenBytes: 100 })
    for (let i = 0; i < 3; i++) seat.open()
    seat.pull()
    seat.take('ACCEPT', 1, new Uint8Array(100))
    assert.deepEqual(seat.news(), ['1 accepted 100'])
    assert.equal(seat.pipe(1).phase, 'open')
    violates(() => {
      seat.take('ACCEPT', 1)
    })
    violates(() => {
      seat.take('REFUSE', 1, status(73))
    })
    violates(() => {
      seat.take('ACCEPT', 3, new Uint8Array(101))
    })
    seat.take('REFUSE', 5, status(0, 'BATTERY_EMPTY', 'plug me in'))
    assert.deepEqual(seat.news(), ['5 failed BATTERY_EMPTY'])
    assert.equal(seat.mux.pipes.has(5), false)
    violates(() => {
      seat.take('REFUSE', 3, Uint8Array.of(0))
    })
  })

  it('Inbox refuses an answer to an open that was not sent, or that was answered', () => {
    const seat = new MuxSeat({ maxOutboundWaiting: 1 })
    seat.open()
    seat.open()
    for (const id of [1, 3]) {
      violates(() => {
        seat.take('ACCEPT', id)
      })
    }
    seat.pull()
    violates(() => {
      seat.take('ACCEPT', 3)
    })
    const other = seated()
    violates(() => {
      other.take('ACCEPT', 2)
    })
    violates(() => {
      other.take('REFUSE', 2, status(73))
    })
  })

  it('Inbox takes CREDIT, STOP and RESET before the answer, and nothing else', () => {
    for (const [name, payload] of [
      ['END', new Uint8Array(8)],
      ['DONE', NOTHING],
    ] as const) {
      const seat = new MuxSeat()
      seat.open()
      seat.pull()
      violates(() => {
        seat.take(name, 1, payload)
      })
    }
    const seat = new MuxSeat()
    const pipe = seat.open()
    seat.pull()
    seat.offset('CREDIT', 1, 70_000)
    assert.equal(pipe.creditLimit, 70_000)
    seat.take('STOP', 1, status(65))
    seat.take('RESET', 1, status(64))
    assert.deepEqual(seat.news(), ['1 stopped ERR_PIPE_STOPPED', '1 failed ERR_PIPE_RESET'])
    assert.equal(pipe.phase, 'reset')
  })
})

describe('Inbox, credit and ends', () => {
  it('Inbox takes a larger credit only, up to 2^53 - 1', () => {
    const seat = seated()
    const pipe = seat.pipe(2)
    seat.offset('CREDIT', 2, 65_536)
    seat.offset('CREDIT', 2, 0)
    assert.equal(seat.mux.counters.staleCredits, 2)
    seat.offset('CREDIT', 2, 65_537)
    assert.equal(pipe.creditLimit, 65_537)
    assert.equal(seat.mux.counters.staleCredits, 2)
    seat.offset('CREDIT', 2, Number.MAX_SAFE_INTEGER)
    violates(() => {
      seat.offset('CREDIT', 2, 2n ** 53n)
    })
    assert.equal(pipe.creditLimit, Number.MAX_SAFE_INTEGER)
  })

  it('Inbox takes one END, at the offset of the bytes that came', () => {
    const seat = seated()
    seat.take('DATA', 2, pattern(5))
    for (const offset of [4, 6]) {
      violates(() => {
        seat.offset('END', 2, offset)
      })
    }
    seat.offset('END', 2, 5)
    seat.mux.endOfChunk()
    assert.ok(seat.news().includes('2 readable'))
    assert.equal(seat.pipe(2).receivedAll, false)
    violates(() => {
      seat.offset('END', 2, 5)
    })
    seat.mux.read(seat.pipe(2), CLOCK)
    assert.equal(seat.pipe(2).receivedAll, true)
  })

  it('Inbox notifies of an END without bytes', () => {
    const seat = seated()
    seat.offset('END', 1, 0)
    violates(() => {
      seat.offset('END', 1, 0)
    })
    seat.mux.endOfChunk()
    assert.deepEqual(seat.news(), ['1 readable'])
    assert.deepEqual(seat.said(), ['DONE 1 0'])
  })

  it('Inbox takes one DONE, after our END, and tells what was not read', () => {
    const seat = seated()
    violates(() => {
      seat.take('DONE', 2)
    })
    seat.mux.end(seat.pipe(2))
    violates(() => {
      seat.take('DONE', 2)
    })
    seat.pull()
    seat.news()
    seat.take('DONE', 2, status(65))
    assert.deepEqual(seat.news(), ['2 confirmed ERR_PIPE_STOPPED'])
    violates(() => {
      seat.take('DONE', 2)
    })
    seat.mux.end(seat.pipe(1))
    seat.pull()
    violates(() => {
      seat.take('DONE', 1, Uint8Array.of(1, 2))
    })
  })

  it('Inbox takes one STOP: what waits is dropped, END follows, and the confirmation tells the loss', () => {
    for (const lost of [true, false]) {
      const seat = seated()
      const pipe = seat.pipe(2)
      if (lost) seat.mux.write(pipe, pattern(10))
      seat.take('STOP', 2, status(199))
      assert.deepEqual(seat.news(), ['2 stopped ERR_NO_SPACE'])
      violates(() => {
        seat.take('STOP', 2, status(199))
      })
      assert.equal(pipe.queued, 0)
      assert.deepEqual(seat.said(), ['END 2 @0'])
      seat.news()
      seat.take('DONE', 2)
      assert.deepEqual(seat.news(), [`2 confirmed ${lost ? 'ERR_NO_SPACE' : 'well'}`])
    }
  })

  it('Inbox counts what came for a reader that has stopped as consumed', () => {
    const seat = seated()
    const pipe = seat.pipe(2)
    seat.take('DATA', 2, pattern(5))
    seat.mux.stop(pipe, 'ERR_PIPE_STOPPED')
    assert.equal(pipe.consumed, 0)
    seat.offset('END', 2, 5)
    assert.deepEqual([pipe.consumed, pipe.receivedAll], [5, true])
  })

  it('Inbox gives a status of a later version the code of its frame', () => {
    const seat = seated()
    for (const pipe of [seat.opened(), seat.opened()]) {
      seat.mux.end(pipe)
      seat.pull()
      seat.news()
      seat.take('DONE', pipe.id, status(9999))
      assert.deepEqual(seat.news(), [`${pipe.id} confirmed ERR_PIPE_STOPPED`])
    }
    seat.take('STOP', 1, status(9999))
    seat.take('RESET', 1, status(9999))
    const refused = seat.open()
    seat.pull()
    seat.take('REFUSE', refused.id, status(9999))
    assert.deepEqual(seat.news(), [
      '1 stopped ERR_PIPE_STOPPED',
      '1 failed ERR_PIPE_RESET',
      `${refused.id} failed ERR_PIPE_RESET`,
    ])
  })

  it('Inbox refuses a status that cannot be read', () => {
    for (const name of ['STOP', 'RESET'] as const) {
      const seat = seated()
      violates(() => {
        seat.take(name, 2, Uint8Array.of(0, 64))
      })
      assert.deepEqual(seat.news(), [])
    }
  })
})

describe('Inbox, resets', () => {
  it('Inbox holds the slot of the peer’s reset pipe until its handler has ended', () => {
    const seat = seated()
    const pipe = seat.pipe(2)
    seat.mux.write(pipe, pattern(10))
    seat.take('RESET', 2, status(64))
    assert.deepEqual(seat.news(), ['2 failed ERR_PIPE_RESET'])
    assert.equal(pipe.phase, 'reset')
    assert.deepEqual(seat.said(), [])
    assert.equal(seat.mux.drained, false)
    seat.mux.handlerEnded(pipe)
    assert.deepEqual(seat.said(), ['DONE 2 0'])
    assert.equal(seat.mux.pipes.has(2), false)
  })

  it('Inbox confirms a RESET at once where the handler has ended before', () => {
    const seat = seated()
    const pipe = seat.pipe(2)
    seat.mux.handlerEnded(pipe)
    seat.pull()
    assert.equal(pipe.doneSent, false)
    seat.take('RESET', 2, status(64))
    assert.deepEqual(seat.said(), ['DONE 2 0'])
    assert.equal(seat.mux.pipes.has(2), false)
  })

  it('Inbox frees a reset pipe at once where our DONE has gone out', () => {
    const seat = seated()
    const pipe = seat.pipe(2)
    seat.offset('END', 2, 0)
    seat.mux.write(pipe, new Uint8Array(70_000))
    seat.mux.handlerEnded(pipe)
    seat.pull()
    assert.equal(pipe.doneSent, true)
    assert.equal(pipe.endSent, false)
    seat.news()
    seat.take('RESET', 2, status(64))
    assert.deepEqual(seat.news(), ['2 failed ERR_PIPE_RESET'])
    assert.equal(seat.mux.pipes.has(2), false)
    assert.deepEqual(seat.said(), [])
  })

  it('Inbox frees the slot of our pipe by RESET with FINAL, and holds it without', () => {
    for (const final of [true, false]) {
      const seat = seated()
      seat.take('RESET', 1, status(64), final ? 1 : 0)
      assert.deepEqual(seat.news(), ['1 failed ERR_PIPE_RESET'])
      assert.equal(seat.mux.pipes.has(1), !final)
      assert.deepEqual(seat.said(), [])
      if (final) continue
      seat.take('DONE', 1)
      assert.equal(seat.mux.pipes.has(1), false)
    }
  })

  it('Inbox takes a burst of RESETs of twice the announced size, then the rate', () => {
    const seat = new MuxSeat({ resetBurst: 2, resetsPerSecond: 1, maxInbound: 100, maxInboundWaiting: 100 })
    for (const id of [2, 4, 6, 8, 10, 12, 14]) seat.take('OPEN', id)
    for (const id of [2, 4, 6, 8]) seat.take('RESET', id, status(64))
    violates(() => {
      seat.take('RESET', 10, status(64))
    }, 'ERR_RESET_FLOOD')
    seat.now = 1000
    seat.take('RESET', 12, status(64))
    violates(() => {
      seat.take('RESET', 2, status(64))
    }, 'ERR_RESET_FLOOD')
  })

  it('Inbox counts RESETs alone in the bucket', () => {
    const seat = seated({ resetBurst: 1, resetsPerSecond: 1 })
    for (let credit = 1; credit <= 100; credit++) seat.offset('CREDIT', 2, 65_536 + credit)
    for (const id of [1, 2]) seat.take('RESET', id, status(64))
    violates(() => {
      seat.take('RESET', 1, status(64))
    }, 'ERR_RESET_FLOOD')
  })

  it('Inbox takes the answer to the open, and nothing else, for that to our waiting reset', () => {
    const seat = new MuxSeat({ maxOutboundWaiting: 1, peerResetBurst: 1 })
    seat.mux.reset(seat.opened(), new TrunkError('ERR_ABORTED', 'the one that may leave'))
    seat.pull()
    const pipe = seat.open()
    assert.deepEqual(seat.said(), ['OPEN 3 1'])
    seat.mux.reset(pipe, new TrunkError('ERR_ABORTED', 'one that has to wait'))
    seat.open()
    seat.offset('CREDIT', 3, 70_000)
    seat.take('STOP', 3, status(65))
    assert.deepEqual(seat.said(), [])
    seat.take('ACCEPT', 3)
    assert.deepEqual(seat.said(), ['OPEN 5 1'])
    assert.equal(seat.mux.counters.lateFrames, 3)
  })

  it('Inbox tells a reset once', () => {
    const seat = seated()
    seat.take('RESET', 2, status(64))
    seat.take('RESET', 2, status(64))
    assert.deepEqual(seat.news(), ['2 failed ERR_PIPE_RESET'])
    assert.equal(seat.mux.counters.lateFrames, 1)
    assert.deepEqual(seat.pull().map(inWords), [])
  })
})
