/**
 * The readable side of a pipe as users hold it, over one muxer played by hand: what a reader gets,
 * when, how it leaves, and what it gives back.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Uint8ArrayList } from 'uint8arraylist'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { failedWith, fate, MuxSeat, status, turns } from '../../helpers/mux-seat.ts'
import { TYPE, utf8 } from '../../helpers/naive-codec.ts'
import { pattern } from '../../helpers/protocols.ts'
import { noStrayRejections } from '../../helpers/stray-rejections.ts'

noStrayRejections()

const REASON = new RangeError('my own reason')
const OVER = { done: true, value: undefined }

type Result = IteratorResult<Uint8ArrayList, void>

function text(result: Result): string {
  return Buffer.from(result.value?.subarray() ?? []).toString()
}

/** The code of the status in the one frame of this type. */
function told(seat: MuxSeat, type: number): number | undefined {
  const frames = seat.pull().filter((frame) => frame.type === type)
  assert.ok(frames.length <= 1)
  return frames[0]?.payload[1]
}

function arrives(seat: MuxSeat, id: number, bytes: Uint8Array): void {
  seat.take('DATA', id, bytes)
  seat.mux.endOfChunk()
}

function ends(seat: MuxSeat, id: number, offset: number): void {
  seat.offset('END', id, offset)
  seat.mux.endOfChunk()
}

describe('a pipe’s source', () => {
  it('gives everything there is at once, then waits, then ends', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    const { source } = pipe
    assert.equal(pipe.source, source)
    assert.equal(source[Symbol.asyncIterator](), source)
    arrives(seat, 1, utf8('ab'))
    arrives(seat, 1, pattern(3000))
    const first = await source.next()
    assert.equal(first.value?.byteLength, 3002)
    assert.equal(pipe.readableLength, 0)
    const second = source.next()
    assert.equal(await fate(second), 'waits')
    arrives(seat, 1, utf8('cd'))
    assert.equal(text(await second), 'cd')
    const third = source.next()
    ends(seat, 1, 3004)
    assert.deepEqual(await third, OVER)
    assert.deepEqual(await source.next(), OVER)
  })

  it('is iterated once, and asked once at a time', async () => {
    const seat = new MuxSeat()
    const { source } = seat.holdOpened()
    source[Symbol.asyncIterator]()
    assert.throws(() => source[Symbol.asyncIterator](), { code: 'ERR_PIPE_BUSY' })
    const waiting = source.next()
    assert.equal(await fate(source.next()), 'ERR_PIPE_BUSY')
    arrives(seat, 1, utf8('x'))
    assert.equal(text(await waiting), 'x')
    const again = source.next()
    arrives(seat, 1, utf8('y'))
    assert.equal(text(await again), 'y')
  })

  it('is left by stopping what still comes, once', async () => {
    for (const dispose of [true, false]) {
      const seat = new MuxSeat()
      const pipe = seat.holdOpened()
      const { source } = pipe
      const waiting = source.next()
      if (dispose) await source[Symbol.asyncDispose]()
      else assert.deepEqual(await source.return(), OVER)
      assert.deepEqual(await waiting, OVER)
      assert.equal(told(seat, TYPE.STOP), 65)
      assert.deepEqual(await source.next(), OVER)
      assert.deepEqual(await source.return(), OVER)
      assert.deepEqual(seat.said(), [])
      arrives(seat, 1, utf8('late'))
      assert.deepEqual(await source.next(), OVER)
      assert.equal(pipe.error, undefined)
    }
  })

  it('says nothing of leaving what was read to its end', async () => {
    const seat = new MuxSeat()
    const { source } = seat.holdOpened()
    ends(seat, 1, 0)
    assert.deepEqual(await source.next(), OVER)
    seat.pull()
    assert.deepEqual(await source.return(), OVER)
    assert.deepEqual(seat.said(), [])
  })

  it('aborts the pipe for a reader that throws', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    await assert.rejects(pipe.source.throw(REASON), REASON)
    failedWith(pipe, 'ERR_ABORTED', REASON)
    assert.equal(told(seat, TYPE.RESET), 72)
    assert.deepEqual(await pipe.source.next(), OVER)
  })

  it('tells of a failure once: to who waits, or to who asks next', async () => {
    for (const waits of [true, false]) {
      const seat = new MuxSeat()
      const { source } = seat.holdOpened()
      const early = waits ? source.next() : undefined
      seat.take('RESET', 1, status(64))
      assert.equal(await fate(early ?? source.next()), 'ERR_PIPE_RESET')
      assert.deepEqual(await source.next(), OVER)
    }
  })

  it('tells of the failure, not of the bytes that came before it', async () => {
    const seat = new MuxSeat()
    const { source } = seat.holdOpened()
    arrives(seat, 1, utf8('abc'))
    seat.take('RESET', 1, status(64))
    assert.equal(await fate(source.next()), 'ERR_PIPE_RESET')
  })

  it('ends well where all was read before the pipe failed, and only there', async () => {
    for (const read of [true, false]) {
      const seat = new MuxSeat()
      const pipe = seat.holdOpened()
      arrives(seat, 1, utf8('abc'))
      ends(seat, 1, 3)
      if (read) assert.equal(text(await pipe.source.next()), 'abc')
      seat.take('RESET', 1, status(64))
      assert.equal(await fate(pipe.source.next()), read ? 'well' : 'ERR_PIPE_RESET')
      assert.deepEqual(await pipe.source.next(), OVER)
    }
  })

  it('is not answered by what is nothing to read', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    pipe.readable()
    const waiting = pipe.source.next()
    pipe.readable()
    assert.equal(await fate(waiting), 'waits')
    arrives(seat, 1, utf8('abc'))
    assert.equal(text(await waiting), 'abc')
    pipe.readable()
    assert.equal(pipe.state.readStopped, false)
  })
})

describe('a pipe that stops reading', () => {
  it('says why, and its reader has come to an end', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    const waiting = pipe.source.next()
    arrives(seat, 1, utf8('abc'))
    assert.equal(text(await waiting), 'abc')
    const second = pipe.source.next()
    pipe.stopReading('ERR_NO_SPACE')
    assert.deepEqual(await second, OVER)
    assert.equal(told(seat, TYPE.STOP), 199)
    pipe.stopReading()
    assert.deepEqual(seat.said(), [])
  })

  it('takes a code that looks like one, and says at once what does not', () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    for (const code of ['', 'lower', 'A B', 'ERR-X']) {
      assert.throws(
        () => {
          pipe.stopReading(code)
        },
        { code: 'ERR_BAD_ARGUMENT' },
      )
    }
    assert.equal(pipe.state.readStopped, false)
    pipe.stopReading('BATTERY_EMPTY')
    const [frame] = seat.pull()
    assert.ok(Buffer.from(frame?.payload ?? []).includes('BATTERY_EMPTY'))
  })

  it('changes nothing for a pipe that has failed', () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    pipe.failed(new TrunkError('ERR_LINK_LOST', 'gone'))
    pipe.stopReading()
    assert.equal(pipe.state.readStopped, false)
    assert.deepEqual(seat.said(), [])
  })
})

describe('a pipe’s borrowed bytes', () => {
  it('are given back when the next are asked for, whatever the reader did to its list', async () => {
    const seat = new MuxSeat()
    const { borrowed } = seat.holdOpened()
    const pieces = [pattern(3000), pattern(100), pattern(2048)]
    for (const piece of pieces.slice(0, 2)) arrives(seat, 1, piece)
    const { value } = await borrowed.next()
    value?.consume(1000)
    value?.append(pattern(4000))
    await turns()
    assert.equal(seat.released.length, 0)
    const second = borrowed.next()
    assert.deepEqual(seat.released, [pieces[0]])
    arrives(seat, 1, pieces[2]!)
    assert.equal((await second).value?.byteLength, 2048)
    assert.equal(seat.released.length, 1)
    const third = borrowed.next()
    assert.deepEqual(seat.released, [pieces[0], pieces[2]])
    arrives(seat, 1, pattern(2500))
    await third
    ends(seat, 1, 3000 + 100 + 2048 + 2500)
    assert.deepEqual(await borrowed.next(), OVER)
    assert.equal(seat.released.length, 3)
    assert.deepEqual(await borrowed.next(), OVER)
    assert.equal(seat.released.length, 3)
  })

  it('are never given back where a reader owns what it got', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    const { source } = pipe
    assert.equal(pipe.borrowed, source)
    for (let i = 0; i < 3; i++) {
      arrives(seat, 1, pattern(3000))
      await source.next()
    }
    assert.equal(seat.released.length, 0)
  })

  it('are nobody else’s: the pipe has no other source then', () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    const { borrowed } = pipe
    assert.throws(() => pipe.source, { code: 'ERR_PIPE_BUSY' })
    assert.equal(pipe.borrowed, borrowed)
  })
})
