/**
 * A pipe as users hold it, over one muxer played by hand: writing, ending, what is told to whom,
 * and when. No time passes.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Uint8ArrayList } from 'uint8arraylist'
import { TrunkError } from '../../../src/contracts/errors.ts'
import type { TrunkPipe } from '../../../src/session/pipe/pipe.ts'
import type { Bytes } from '../../../src/contracts/types.ts'
import { BAD_REPLY, failedWith, fate, MuxSeat, status, turns } from '../../helpers/mux-seat.ts'
import { TYPE, utf8 } from '../../helpers/naive-codec.ts'
import { pattern } from '../../helpers/protocols.ts'
import { noStrayRejections } from '../../helpers/stray-rejections.ts'

noStrayRejections()

const REASON = new RangeError('my own reason')
const KIB_64 = 65_536

/** A source that gives what it is told to, and says what became of it. */
class Tap implements AsyncIterable<Bytes> {
  asked = 0
  returned = 0
  #answer: ((result: IteratorResult<Bytes>) => void) | undefined
  #fail: ((error: unknown) => void) | undefined;

  [Symbol.asyncIterator](): AsyncIterator<Bytes> {
    return {
      next: () => {
        this.asked++
        return new Promise((resolve, reject) => {
          this.#answer = resolve
          this.#fail = reject
        })
      },
      return: () => {
        this.returned++
        return Promise.reject(new Error('cannot be closed'))
      },
    }
  }

  give(value: Bytes): void {
    this.#answer?.({ done: false, value })
  }

  end(): void {
    this.#answer?.({ done: true, value: undefined })
  }

  fail(error: unknown): void {
    this.#fail?.(error)
  }
}

describe('a pipe in hand', () => {
  it('says what it is, and how much can be read and written', () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    assert.deepEqual([pipe.id, pipe.protocol, pipe.state, pipe.error], [1, 'test', seat.pipe(1), undefined])
    assert.deepEqual([pipe.readableLength, pipe.writableLength], [0, KIB_64])
    void pipe.write(pattern(1000))
    seat.take('DATA', 1, pattern(10))
    assert.deepEqual([pipe.readableLength, pipe.writableLength], [10, KIB_64 - 1000])
    void pipe.write(pattern(KIB_64))
    assert.equal(pipe.writableLength, 0)
    seat.pull()
    assert.equal(pipe.writableLength, KIB_64 - 1000)
    void pipe.closeWrite()
    assert.equal(pipe.writableLength, 0)
    const other = seat.holdOpened()
    seat.take('DATA', other.id, pattern(10))
    assert.deepEqual([other.readableLength, other.writableLength], [10, KIB_64])
    seat.take('RESET', other.id, status(64))
    assert.deepEqual([other.readableLength, other.writableLength], [0, 0])
    assert.equal(other.error?.code, 'ERR_PIPE_RESET')
  })

  it('has a signal, the same whenever it is asked for, aborted with the error of the pipe', () => {
    const seat = new MuxSeat()
    const [asked, unasked] = [seat.holdOpened(), seat.holdOpened()]
    const { signal } = asked
    assert.equal(signal.aborted, false)
    for (const pipe of [asked, unasked]) seat.take('RESET', pipe.id, status(64))
    assert.ok(signal.aborted)
    for (const pipe of [asked, unasked]) {
      assert.ok(pipe.signal.aborted)
      assert.equal(pipe.signal.reason, pipe.error)
      assert.equal(pipe.signal, pipe.signal)
    }
    assert.equal(asked.signal, signal)
  })

  it('says what it waits for', () => {
    const seat = new MuxSeat({ initialWindowBytes: 10 })
    const own = seat.holdOpening()
    assert.equal(own.waitsFor, 'accept')
    seat.take('ACCEPT', 1)
    assert.equal(own.waitsFor, 'nothing')
    void own.write(pattern(10))
    assert.equal(own.waitsFor, 'line')
    void own.write(pattern(1))
    assert.equal(own.waitsFor, 'line')
    seat.pull()
    assert.equal(own.waitsFor, 'credit')
    seat.offset('CREDIT', 1, 11)
    seat.pull()
    assert.equal(own.waitsFor, 'nothing')
    seat.take('DATA', 1, pattern(3))
    assert.equal(own.waitsFor, 'reader')
    assert.notEqual(own.take(), undefined)
    assert.equal(own.waitsFor, 'nothing')
    seat.offset('END', 1, 3)
    assert.equal(own.waitsFor, 'nothing')
    void own.closeWrite()
    seat.pull()
    assert.equal(own.waitsFor, 'confirmation')
    seat.take('OPEN', 2)
    seat.mux.accept(seat.pipe(2), new Uint8Array(0))
    const theirs = seat.holdAccepted(4)
    assert.equal(theirs.waitsFor, 'nothing')
    seat.offset('END', 4, 0)
    assert.equal(theirs.waitsFor, 'handler')
    void theirs.closeWrite()
    seat.pull()
    assert.equal(theirs.waitsFor, 'confirmation')
    seat.take('DONE', 4)
    assert.equal(theirs.waitsFor, 'handler')
    seat.mux.handlerEnded(theirs.state)
    assert.equal(theirs.waitsFor, 'nothing')
  })

  it('waits for its handler before it is accepted', () => {
    const seat = new MuxSeat()
    seat.take('OPEN', 2)
    const state = seat.pipe(2)
    const opening = seat.holdOpening()
    opening.bind(state)
    assert.equal(opening.waitsFor, 'handler')
  })
})

describe('a pipe in hand: the answer to its open', () => {
  it('comes once, with the reply read', () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpening()
    assert.deepEqual(seat.news(), [])
    assert.equal(pipe.reply, undefined)
    seat.take('ACCEPT', 1, utf8('hello'))
    assert.equal(pipe.reply, 'hello')
    assert.deepEqual(seat.news(), ['1 answered well'])
    seat.take('RESET', 1, status(64), 1)
    assert.deepEqual(seat.news(), ['1 over'])
  })

  it('is an error where the pipe fails first, and where its reply is not valid', () => {
    const seat = new MuxSeat()
    const [refused, bad] = [seat.holdOpening(), seat.holdOpening()]
    seat.take('REFUSE', 1, status(73))
    assert.deepEqual(seat.news(), ['1 over', '1 answered ERR_PROTOCOL_UNKNOWN'])
    refused.failed(new TrunkError('ERR_ABORTED', 'again'))
    assert.equal(refused.error?.code, 'ERR_PROTOCOL_UNKNOWN')
    seat.take('ACCEPT', 3, utf8(BAD_REPLY))
    assert.deepEqual(seat.news(), ['3 over', '3 answered ERR_MESSAGE_INVALID'])
    failedWith(bad, 'ERR_MESSAGE_INVALID', new RangeError('not a reply'))
    assert.equal(bad.reply, undefined)
    assert.deepEqual(
      seat.pull().map(({ type, pipe, payload }) => [type, pipe, payload[1]]),
      [[TYPE.RESET, 3, 77]],
    )
  })
})

describe('a pipe in hand: writing', () => {
  it('takes bytes and lists of them; anything else is rejected and not thrown', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    for (const value of ['text', 5, undefined, null, [1, 2], new ArrayBuffer(3)]) {
      assert.equal(await fate(pipe.write(value as never)), 'ERR_BAD_ARGUMENT')
    }
    assert.equal(pipe.state.written, 0)
    void pipe.write(utf8('ab'))
    void pipe.write(new Uint8ArrayList(utf8('c'), new Uint8Array(0), utf8('de')))
    assert.equal(Buffer.concat(seat.pull().map(({ payload }) => payload)).toString(), 'abcde')
  })

  it('sends nothing for nothing', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    const writes = [pipe.write(new Uint8Array(0)), pipe.write(new Uint8ArrayList()), pipe.write(list0())]
    await Promise.all(writes)
    assert.deepEqual(seat.said(), [])
    assert.equal(pipe.state.sendQueue, undefined)
  })

  it('has one promise for all writes that have room, and waits for the line with those that have none', async () => {
    const seat = new MuxSeat({ splitBytes: 4096 })
    const pipe = seat.holdOpened()
    const room = pipe.write(utf8('a'))
    assert.equal(pipe.write(utf8('b')), room)
    await room
    const large = pipe.write(pattern(10_000))
    const larger = pipe.write(new Uint8ArrayList(pattern(30_000), utf8('c')))
    seat.hold(5000)
    seat.mux.batchLeft()
    assert.deepEqual([await fate(large), await fate(larger)], ['waits', 'waits'])
    seat.hold()
    assert.equal(await fate(larger), 'waits', 'the line holds it still')
    seat.mux.batchLeft()
    assert.deepEqual([await fate(large), await fate(larger)], ['well', 'well'])
  })

  it('lets each writer go on by itself', async () => {
    const seat = new MuxSeat({ initialWindowBytes: 20_000 })
    const pipe = seat.holdOpened()
    const [one, two, three] = [20_000, 20_000, 10_000].map((size) => pipe.write(pattern(size)))
    seat.pull()
    assert.deepEqual([await fate(one!), await fate(two!), await fate(three!)], ['well', 'waits', 'waits'])
    seat.offset('CREDIT', 1, 39_999)
    seat.pull()
    assert.deepEqual([await fate(two!), await fate(three!)], ['waits', 'waits'])
    seat.offset('CREDIT', 1, 50_000)
    seat.pull()
    assert.deepEqual([await fate(two!), await fate(three!)], ['well', 'well'])
  })

  it('is over with the end, with a stop and with the pipe, each with its code', async () => {
    const seat = new MuxSeat({ initialWindowBytes: 10 })
    const [ended, stopped, failed] = [seat.holdOpened(), seat.holdOpened(), seat.holdOpened()]
    void ended.closeWrite()
    const waiting = [stopped, failed].map((pipe) => pipe.write(pattern(9000)))
    seat.take('STOP', stopped.id, status(199))
    seat.take('RESET', failed.id, status(64))
    assert.deepEqual(await Promise.all(waiting.map(fate)), ['ERR_NO_SPACE', 'ERR_PIPE_RESET'])
    const after = [ended, stopped, failed].map((pipe) => fate(pipe.write(utf8('x'))))
    assert.deepEqual(await Promise.all(after), ['ERR_PIPE_CLOSED', 'ERR_NO_SPACE', 'ERR_PIPE_RESET'])
    // a waiter that was told is told nothing again
    seat.pull()
    stopped.failed(new TrunkError('ERR_ABORTED', 'over'))
    assert.equal(stopped.error?.code, 'ERR_ABORTED')
  })

  it('has ended when the end has left', async () => {
    const seat = new MuxSeat({ initialWindowBytes: 10 })
    const pipe = seat.holdOpened()
    void pipe.write(pattern(20))
    const ending = pipe.closeWrite()
    assert.equal(pipe.closeWrite(), ending)
    seat.pull()
    assert.equal(await fate(ending), 'waits')
    seat.offset('CREDIT', 1, 20)
    seat.hold()
    assert.equal(await fate(ending), 'waits')
    // the end is in the batch that the line holds
    seat.mux.batchLeft()
    assert.equal(await fate(ending), 'well')
    assert.equal(await fate(pipe.closeWrite()), 'well')
    assert.deepEqual(seat.said(), [])
  })

  it('cannot end where the pipe has failed, before or meanwhile', async () => {
    const seat = new MuxSeat({ initialWindowBytes: 10 })
    const pipe = seat.holdOpened()
    void pipe.write(pattern(20))
    const ending = pipe.closeWrite()
    seat.take('RESET', 1, status(64))
    assert.deepEqual([await fate(ending), await fate(pipe.closeWrite())], ['ERR_PIPE_RESET', 'ERR_PIPE_RESET'])
  })
})

/** A list whose only piece is empty: the list itself would not take it. */
function list0(): Uint8ArrayList {
  return Uint8ArrayList.fromUint8Arrays([new Uint8Array(0)], 0)
}

describe('a pipe in hand: what nobody waits for', () => {
  it('ends no process by its failure', async () => {
    const seat = new MuxSeat({ initialWindowBytes: 10 })
    const pipe = seat.holdOpened()
    void pipe.write(pattern(9000))
    void pipe.closeWrite()
    void pipe.close()
    void pipe.write(utf8('too late'))
    seat.take('RESET', 1, status(64))
    void pipe.write(utf8('later still'))
    void pipe.closeWrite()
    void pipe.source.next()
    await turns()
    assert.equal(pipe.error?.code, 'ERR_PIPE_RESET')
  })
})

describe('a pipe in hand: its sink', () => {
  it('takes iterables of either kind, nothing else', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    for (const value of [undefined, null, 5, 'text', {}, pattern(3), () => []]) {
      assert.equal(await fate(pipe.sink(value as never)), 'ERR_BAD_ARGUMENT', typeof value)
    }
    const sinking = pipe.sink([utf8('ab'), new Uint8ArrayList(utf8('c'))])
    await turns()
    assert.deepEqual(seat.said(), ['DATA 1 3', 'END 1 @3'])
    assert.equal(await fate(sinking), 'well')
    const other = seat.holdOpened()
    const tap = new Tap()
    const tapping = other.sink(tap)
    await turns()
    tap.give(utf8('x'))
    await turns()
    assert.deepEqual(seat.said(), ['DATA 3 1'])
    tap.end()
    await turns()
    assert.equal(await fate(tapping), 'waits')
    assert.deepEqual(seat.said(), ['END 3 @1'])
    assert.equal(await fate(tapping), 'well')
    assert.equal(tap.returned, 1)
  })

  it('is one at a time, and none after the end', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    const tap = new Tap()
    const first = pipe.sink(tap)
    assert.equal(await fate(pipe.sink([])), 'ERR_PIPE_BUSY')
    tap.end()
    await turns()
    seat.pull()
    assert.equal(await fate(first), 'well')
    assert.equal(await fate(pipe.sink([])), 'ERR_PIPE_BUSY')
    const ended = seat.holdOpened()
    void ended.closeWrite()
    assert.equal(await fate(ended.sink([])), 'ERR_PIPE_BUSY')
  })

  it('aborts the pipe where its source fails, and rejects with what the source threw', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    const tap = new Tap()
    const sinking = pipe.sink(tap)
    await turns()
    tap.fail(REASON)
    await assert.rejects(sinking, REASON)
    failedWith(pipe, 'ERR_ABORTED', REASON)
    assert.equal(seat.pull()[0]?.type, TYPE.RESET)
    const coded = seat.holdOpened()
    const error = new TrunkError('ERR_NO_SPACE', 'full')
    const other = new Tap()
    const failing = coded.sink(other)
    await turns()
    other.fail(error)
    await assert.rejects(failing, error)
    assert.equal(coded.error, error)
  })

  it('does not wait for a source that hangs: a failure, an abort and a stop reject it, and close the source', async () => {
    for (const [name, code] of [
      ['RESET', 'ERR_PIPE_RESET'],
      ['STOP', 'ERR_PIPE_STOPPED'],
    ] as const) {
      const seat = new MuxSeat()
      const pipe = seat.holdOpened()
      const tap = new Tap()
      const sinking = pipe.sink(tap)
      await turns()
      seat.take(name, 1, status(name === 'RESET' ? 64 : 65))
      assert.equal(await fate(sinking), code)
      assert.equal(tap.returned, 1)
      // a stop ends the writing, not the pipe
      assert.equal(pipe.error?.code, name === 'RESET' ? code : undefined)
      assert.deepEqual(seat.said(), name === 'RESET' ? [] : ['END 1 @0'])
      pipe.abort(REASON)
      assert.equal(await fate(sinking), code)
    }
  })

  it('of a pipe that has failed rejects with its error, and asks nothing of a source that hangs', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    seat.take('RESET', 1, status(64))
    const tap = new Tap()
    assert.equal(await fate(pipe.sink(tap)), 'ERR_PIPE_RESET')
    assert.equal(tap.returned, 1)
  })

  it('closes sources that cannot be closed, or close without a promise', async () => {
    const seat = new MuxSeat()
    let closed = 0
    const plain: Iterable<Bytes> = {
      [Symbol.iterator]: () => ({ next: () => ({ done: true, value: undefined }) }),
    }
    const sync: Iterable<Bytes> = {
      [Symbol.iterator]: () => ({
        next: () => ({ done: true, value: undefined }),
        return: () => {
          closed++
          return { done: true, value: undefined }
        },
      }),
    }
    for (const source of [plain, sync]) {
      const sinking = seat.holdOpened().sink(source)
      await turns()
      seat.pull()
      assert.equal(await fate(sinking), 'well')
    }
    assert.equal(closed, 1)
  })
})

describe('a pipe in hand: closing', () => {
  it('is confirmed once the peer has read everything, and has one promise for it', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    const closing = pipe.close()
    assert.equal(pipe.close(), closing)
    await turns()
    assert.deepEqual(seat.said(), ['END 1 @0'])
    assert.equal(await fate(closing), 'waits')
    seat.take('DONE', 1)
    assert.equal(await fate(closing), 'well')
    // nobody has read, so nobody will
    assert.equal(seat.pull()[0]?.type, TYPE.STOP)
    assert.deepEqual(seat.news(), ['1 over'])
  })

  it('says what the peer did not read, whether it is asked before the confirmation or after it', async () => {
    for (const before of [true, false]) {
      const seat = new MuxSeat()
      const pipe = seat.holdOpened()
      void pipe.write(utf8('abc'))
      void pipe.closeWrite()
      const early = before ? pipe.close() : undefined
      seat.pull()
      seat.take('DONE', 1, status(199))
      assert.equal(await fate(early ?? pipe.close()), 'ERR_NO_SPACE')
      assert.equal(await fate(pipe.close()), 'ERR_NO_SPACE')
    }
  })

  it('rejects with the error of a pipe that has failed, before or meanwhile', async () => {
    const seat = new MuxSeat()
    const [before, meanwhile] = [seat.holdOpened(), seat.holdOpened()]
    seat.take('RESET', before.id, status(64))
    const closing = meanwhile.close()
    seat.take('RESET', meanwhile.id, status(64))
    assert.deepEqual([await fate(before.close()), await fate(closing)], ['ERR_PIPE_RESET', 'ERR_PIPE_RESET'])
  })

  it('gives up what was never looked at where the peer has ended or can send no more', async () => {
    for (const [what, say] of [
      [
        'ended',
        (seat: MuxSeat) => {
          seat.take('DATA', 1, pattern(3))
          seat.offset('END', 1, 3)
        },
      ],
      [
        'full',
        (seat: MuxSeat) => {
          seat.take('DATA', 1, pattern(10))
        },
      ],
      [
        'neither',
        (seat: MuxSeat) => {
          seat.take('DATA', 1, pattern(9))
        },
      ],
    ] as const) {
      for (const first of [true, false]) {
        const seat = new MuxSeat({ initialWindowBytes: 10 })
        const pipe = seat.holdOpened()
        if (first) say(seat)
        void pipe.close()
        assert.equal(pipe.state.readStopped, false, 'a reader may start in the same tick')
        await turns()
        if (!first) {
          assert.equal(pipe.state.readStopped, false)
          say(seat)
          seat.mux.endOfChunk()
        }
        assert.equal(pipe.state.readStopped, what !== 'neither', what)
        seat.pull()
        if (what === 'neither') continue
        await assert.rejects(pipe.source.next(), { code: 'ERR_PIPE_CLOSED' })
        assert.deepEqual(await pipe.source.next(), { done: true, value: undefined })
      }
    }
  })

  it('leaves what comes to a reader who started in the same tick', async () => {
    const seat = new MuxSeat({ initialWindowBytes: 10 })
    const pipe = seat.holdOpened()
    seat.take('DATA', 1, pattern(10))
    const closing = pipe.close()
    const { source } = pipe
    await turns()
    assert.equal(pipe.state.readStopped, false)
    seat.pull()
    seat.take('DONE', 1)
    assert.equal(await fate(closing), 'well')
    assert.equal((await source.next()).value?.byteLength, 10)
  })

  it('does not call an end what was given up, and does call an end what its reader had stopped', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    pipe.stopReading()
    void pipe.close()
    await turns()
    seat.pull()
    seat.take('DONE', 1)
    assert.deepEqual(await pipe.source.next(), { done: true, value: undefined })
  })

  it('is over when it is confirmed and read, in either order, and says so once', () => {
    for (const confirmedFirst of [true, false]) {
      const seat = new MuxSeat()
      const pipe = seat.holdOpened()
      void pipe.closeWrite()
      seat.pull()
      const steps = [
        () => {
          seat.take('DONE', 1)
        },
        () => {
          seat.offset('END', 1, 0)
          seat.mux.endOfChunk()
        },
      ]
      if (!confirmedFirst) steps.reverse()
      steps[0]?.()
      assert.deepEqual(seat.news(), [])
      steps[1]?.()
      assert.deepEqual(seat.news(), ['1 over'])
      assert.equal(pipe.take(), 'end')
      seat.pull()
      pipe.abort(REASON)
      pipe.failed(new TrunkError('ERR_LINK_LOST', 'gone'))
      assert.deepEqual(seat.news(), [])
    }
  })

  it('is over with the last byte read, or with the word that none will be', () => {
    for (const stops of [true, false]) {
      const seat = new MuxSeat()
      const pipe = seat.holdOpened()
      void pipe.closeWrite()
      seat.pull()
      seat.take('DATA', 1, pattern(3))
      if (!stops) seat.offset('END', 1, 3)
      seat.mux.endOfChunk()
      seat.take('DONE', 1)
      assert.deepEqual(seat.news(), [])
      if (stops) pipe.stopReading()
      else {
        assert.notEqual(pipe.take(), 'end')
        assert.deepEqual(seat.news(), [])
        assert.equal(pipe.take(), 'end')
      }
      assert.deepEqual(seat.news(), ['1 over'])
    }
  })
})

describe('a pipe in hand: answered before the line says that what was written has left', () => {
  /**
   * A pipe whose peer has ended its side already, so that its last word makes an end of the pipe.
   */
  const endedByPeer = (): { seat: MuxSeat; pipe: TrunkPipe } => {
    const seat = new MuxSeat({ initialWindowBytes: 4 * KIB_64 })
    const pipe = seat.holdOpened()
    seat.offset('END', 1, 0)
    seat.mux.endOfChunk()
    assert.deepEqual(seat.said(), ['DONE 1 0'])
    return { seat, pipe }
  }
  const WRITERS: Readonly<Record<string, (pipe: TrunkPipe) => Promise<unknown>[]>> = {
    'a write that is not copied': (pipe) => [pipe.write(pattern(10_000)), pipe.closeWrite()],
    'writes beyond what may wait': (pipe) => [
      ...Array.from({ length: 20 }, () => pipe.write(pattern(8000))),
      pipe.closeWrite(),
    ],
    closeWrite: (pipe) => [pipe.closeWrite()],
    sink: (pipe) => [pipe.sink([])],
    'close after a write': (pipe) => [pipe.write(pattern(10_000)), pipe.close()],
  }

  for (const [name, write] of Object.entries(WRITERS)) {
    it(`${name} ends with both, in either order [R-361]`, async () => {
      for (const answerFirst of [true, false]) {
        const { seat, pipe } = endedByPeer()
        const waits = write(pipe)
        await turns()
        assert.ok(seat.hold().some(({ type }) => type === TYPE.END))
        const steps = [
          () => {
            seat.take('DONE', 1)
          },
          () => {
            seat.mux.batchLeft()
          },
        ]
        if (!answerFirst) steps.reverse()
        steps[0]?.()
        await turns()
        assert.equal(pipe.state.phase, answerFirst ? 'closed' : 'open')
        assert.deepEqual(seat.news(), [], 'who tied something to it may still want to break it off')
        steps[1]?.()
        for (const wait of waits) assert.equal(await fate(wait), 'well')
        assert.equal(pipe.state.phase, 'closed')
        assert.deepEqual(seat.news(), ['1 over'])
      }
    })

    it(`${name} is broken off by abort while the line holds what the peer has answered [R-362]`, async () => {
      const { seat, pipe } = endedByPeer()
      const waits = write(pipe)
      await turns()
      seat.hold()
      seat.take('DONE', 1)
      assert.equal(pipe.state.phase, 'closed')
      pipe.abort(REASON)
      const fates = await Promise.all(waits.map((wait) => fate(wait)))
      // the peer has read everything: only what waits for the line is given up
      assert.ok(fates.includes('ERR_ABORTED') && !fates.includes('waits'), fates.join())
      assert.deepEqual(seat.news(), ['1 over'])
      seat.mux.batchLeft()
      assert.deepEqual(seat.said(), [], 'nothing is said of a pipe that is over')
    })
  }
})

describe('a pipe in hand: breaking off', () => {
  it('resets both directions, tells its reason, and does it once', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    const reading = pipe.source.next()
    pipe.abort(REASON)
    failedWith(pipe, 'ERR_ABORTED', REASON)
    assert.deepEqual(seat.news(), ['1 over'])
    const { error } = pipe
    pipe.abort(new TrunkError('ERR_NO_SPACE', 'again'))
    assert.equal(pipe.error, error)
    assert.equal(await fate(reading), 'ERR_ABORTED')
    assert.deepEqual(
      seat.pull().map(({ type, payload }) => [type, payload[1]]),
      [[TYPE.RESET, 72]],
    )
    assert.deepEqual(seat.news(), [])
  })

  it('changes nothing for a pipe that has come to its end', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    const closing = pipe.close()
    seat.offset('END', 1, 0)
    seat.pull()
    seat.take('DONE', 1)
    assert.equal(await fate(closing), 'well')
    assert.equal(pipe.state.phase, 'closed')
    pipe.abort(REASON)
    assert.equal(pipe.error, undefined)
    assert.equal(pipe.signal.aborted, false)
  })

  it('is not what leaving a block does, but for a pipe whose peer has had its time [R-367]', async () => {
    const seat = new MuxSeat()
    const [written, read, late] = Array.from({ length: 3 }, () => seat.holdOpened())
    void written!.write(pattern(3))
    const dispose = (pipe: TrunkPipe): Promise<void> => pipe[Symbol.asyncDispose]()
    const leaving = [written!, read!].map((pipe) => dispose(pipe))
    await turns()
    assert.deepEqual(seat.said(), ['DATA 1 3', 'END 1 @3', 'END 3 @0'])
    seat.take('DONE', 1, status(199))
    seat.take('DONE', 3, status(199))
    // what the peer did not take of what was written is told; where nothing was, it concerns nobody
    assert.deepEqual([await fate(leaving[0]!), await fate(leaving[1]!)], ['ERR_NO_SPACE', 'well'])
    assert.equal(seat.closeTimer, undefined, 'no timer is left')

    void late!.write(pattern(1))
    const waiting = dispose(late!)
    await turns()
    seat.pull()
    assert.equal(await fate(waiting), 'waits')
    seat.passCloseTime()
    assert.equal(await fate(waiting), 'ERR_CLOSE_TIMEOUT')
    assert.ok(seat.said().some((frame) => frame.startsWith('RESET 5')))
    assert.equal(await fate(dispose(late!)), 'well', 'it has failed, which its user knows')
  })
})
