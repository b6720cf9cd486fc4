/**
 * A reset in its place: behind what was written before it where it is sent, and behind what is
 * unread where it comes.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { fate, MuxSeat, status, turns } from '../../helpers/mux-seat.ts'
import { pattern } from '../../helpers/protocols.ts'

const CUT = new TrunkError('ERR_CONNECTION_RESET', 'cut')
const KIB = 1024

describe('a reset behind what was written', () => {
  it('leaves after the last byte, however long the peer’s credit takes, and is told when it does [R-375]', async () => {
    const seat = new MuxSeat({ initialWindowBytes: 100 })
    const pipe = seat.holdOpened()
    const writing = pipe.write(pattern(20 * KIB))
    const cut = pipe.abortWhenWritten(CUT)
    assert.deepEqual(seat.said(), ['STOP 1 25', 'DATA 1 100'])
    assert.deepEqual(seat.said(), [])
    assert.equal(await fate(cut), 'waits')
    assert.equal(await fate(writing), 'waits')
    seat.offset('CREDIT', 1, 100 * KIB)
    assert.deepEqual(seat.said().slice(0, 1), ['DATA 1 16384'])
    assert.deepEqual(seat.said(), ['RESET 1 6'])
    assert.equal(await fate(cut), 'well')
    assert.equal(await fate(writing), 'well')
    assert.equal(pipe.error?.code, 'ERR_CONNECTION_RESET')
  })

  it('does not wait where nothing is before it, nor for a batch that has left [R-375]', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    await pipe.write(pattern(10))
    seat.pull()
    assert.equal(await fate(pipe.abortWhenWritten(CUT)), 'well')
    assert.deepEqual(seat.said(), ['RESET 1 6'])
  })

  it('waits for the batch that the line holds, whose memory is its writers’ only then [R-375]', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    const writing = pipe.write(pattern(10 * KIB))
    seat.hold()
    const cut = pipe.abortWhenWritten(CUT)
    assert.deepEqual([await fate(cut), await fate(writing)], ['waits', 'waits'])
    seat.mux.batchLeft()
    assert.deepEqual([await fate(cut), await fate(writing)], ['well', 'well'])
    assert.deepEqual(seat.said(), ['RESET 1 6'])
  })

  it('follows an end that was written, and is none [R-375]', async () => {
    const seat = new MuxSeat()
    const ended = seat.holdOpened()
    void ended.write(pattern(10))
    void ended.closeWrite()
    void ended.abortWhenWritten(CUT)
    assert.deepEqual(seat.said(), ['STOP 1 25', 'DATA 1 10', 'END 1 @10'])
    assert.deepEqual(seat.said(), ['RESET 1 6'])
    const cut = seat.holdOpened()
    void cut.write(pattern(10))
    void cut.abortWhenWritten(CUT)
    // neither an end of the writer's nor of the handler's is said in between
    assert.equal(await fate(cut.closeWrite()), 'ERR_CONNECTION_RESET')
    seat.mux.end(cut.state)
    assert.deepEqual(seat.said(), ['STOP 3 25', 'DATA 3 10'])
    assert.deepEqual(seat.said(), ['RESET 3 6'])
  })

  it('of a handler that has ended meanwhile frees the slot [R-375]', () => {
    const seat = new MuxSeat()
    const pipe = seat.holdAccepted(2)
    void pipe.write(pattern(10))
    void pipe.abortWhenWritten(CUT)
    seat.mux.handlerEnded(pipe.state)
    assert.deepEqual(seat.said(), ['STOP 2 25', 'DATA 2 10'])
    assert.deepEqual(seat.said(), ['RESET 2 6 flags 1'])
    assert.equal(seat.mux.pipes.size, 0)
  })

  it('takes nothing more from its users, and drops what comes [R-375]', async () => {
    const seat = new MuxSeat({ initialWindowBytes: 100 })
    const pipe = seat.holdOpened()
    const reading = pipe.source.next()
    void pipe.write(pattern(200))
    void pipe.abortWhenWritten(CUT)
    assert.equal(await fate(reading), 'ERR_CONNECTION_RESET')
    assert.equal(await fate(pipe.write(pattern(1))), 'ERR_CONNECTION_RESET')
    seat.take('DATA', 1, pattern(50))
    seat.mux.endOfChunk()
    assert.equal(pipe.readableLength, 0)
    assert.equal(await fate(pipe.abortWhenWritten(new Error('again'))), 'waits')
  })

  it('is sent without the rest where the peer lets none of it leave, a minute after the last that did [R-375]', async () => {
    const seat = new MuxSeat({ initialWindowBytes: 100 })
    const pipe = seat.holdOpened()
    void pipe.write(pattern(300))
    const cut = pipe.abortWhenWritten(CUT)
    seat.pull()
    seat.now = 900
    seat.offset('CREDIT', 1, 200)
    assert.deepEqual(seat.said(), ['DATA 1 100'])
    seat.now = 1899
    seat.mux.tick(seat.now)
    assert.deepEqual(seat.said(), [])
    assert.equal(seat.mux.deadline(), 1900)
    seat.now = 1900
    seat.mux.tick(seat.now)
    assert.deepEqual(seat.said(), ['RESET 1 6'])
    assert.equal(await fate(cut), 'well')
  })

  it('is over with the session, with a reset by the peer, and with an abort [R-375]', async () => {
    for (const [code, end] of [
      ['ERR_LINK_LOST', (seat: MuxSeat) => seat.mux.fail(new TrunkError('ERR_LINK_LOST', 'lost'))],
      ['ERR_PIPE_RESET', (seat: MuxSeat) => seat.take('RESET', 1, status(64))],
    ] as const) {
      const seat = new MuxSeat({ initialWindowBytes: 100 })
      const pipe = seat.holdOpened()
      const writing = pipe.write(pattern(20 * KIB))
      const cut = pipe.abortWhenWritten(CUT)
      end(seat)
      assert.deepEqual([await fate(cut), await fate(writing)], ['well', code])
    }
    const seat = new MuxSeat({ initialWindowBytes: 100 })
    const pipe = seat.holdOpened()
    void pipe.write(pattern(20 * KIB)).catch(() => undefined)
    const cut = pipe.abortWhenWritten(CUT)
    seat.pull()
    pipe.abort(new Error('enough of it'))
    assert.equal(await fate(cut), 'well')
    assert.deepEqual(seat.said(), ['RESET 1 23'])
  })

  it('goes behind the END that answers a stop by the peer [R-375]', () => {
    const seat = new MuxSeat({ initialWindowBytes: 100 })
    const pipe = seat.holdOpened()
    void pipe.write(pattern(300)).catch(() => undefined)
    void pipe.abortWhenWritten(CUT)
    seat.pull()
    seat.take('STOP', 1, status(65))
    assert.deepEqual(seat.said(), ['END 1 @100'])
    assert.deepEqual(seat.said(), ['RESET 1 6'])
  })
})

describe('a reset by the peer, where the pipe reads before it', () => {
  /** A pipe of ours that asked for it, with 5,000 bytes unread. */
  async function unread(seat: MuxSeat, ended: boolean): Promise<ReturnType<MuxSeat['holdOpened']>> {
    const pipe = seat.holdOpened()
    pipe.state.readsBeforeReset = true
    seat.take('DATA', pipe.id, pattern(5000))
    if (ended) seat.offset('END', pipe.id, 5000)
    seat.take('RESET', pipe.id, status(64), 1)
    seat.mux.endOfChunk()
    await turns()
    return pipe
  }

  it('is told when what came before was read, and writing hears of it at once [R-376]', async () => {
    const seat = new MuxSeat()
    const pipe = await unread(seat, false)
    assert.equal(await fate(pipe.write(pattern(1))), 'ERR_PIPE_RESET')
    assert.equal(pipe.signal.aborted, true)
    assert.equal(pipe.readableLength, 5000)
    const first = await pipe.source.next()
    assert.deepEqual(first.value?.subarray(), new Uint8Array(pattern(5000)))
    assert.equal(await fate(pipe.source.next()), 'ERR_PIPE_RESET')
    assert.equal(pipe.state.receiveQueue, undefined)
  })

  it('comes behind an end that came before it [R-376]', async () => {
    const pipe = await unread(new MuxSeat(), true)
    assert.equal((await pipe.borrowed.next()).value?.byteLength, 5000)
    assert.deepEqual(await pipe.borrowed.next(), { done: true, value: undefined })
  })

  it('frees the slot at once, and keeps what is unread through the end of the session [R-376]', async () => {
    const seat = new MuxSeat()
    const pipe = await unread(seat, false)
    assert.equal(seat.mux.pipes.size, 0)
    seat.mux.fail(new TrunkError('ERR_LINK_LOST', 'lost'))
    assert.equal((await pipe.source.next()).value?.byteLength, 5000)
  })

  it('is the same for the loss of the session [R-376]', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    pipe.state.readsBeforeReset = true
    seat.take('DATA', pipe.id, pattern(10))
    seat.mux.endOfChunk()
    seat.mux.fail(new TrunkError('ERR_LINK_LOST', 'lost'))
    assert.equal((await pipe.source.next()).value?.byteLength, 10)
    assert.equal(await fate(pipe.source.next()), 'ERR_LINK_LOST')
  })

  it('leaves nothing where the reader stops, the pipe is aborted, or its handler has ended [R-376]', async () => {
    for (const give of [
      (pipe: Awaited<ReturnType<typeof unread>>) => void pipe.source.return(),
      (pipe: Awaited<ReturnType<typeof unread>>) => pipe.stopReading(),
      (pipe: Awaited<ReturnType<typeof unread>>) => pipe.abort(new Error('enough')),
    ]) {
      const pipe = await unread(new MuxSeat(), false)
      give(pipe)
      assert.deepEqual([pipe.readableLength, pipe.state.receiveQueue], [0, undefined])
    }
    const seat = new MuxSeat()
    const pipe = seat.holdAccepted(2)
    pipe.state.readsBeforeReset = true
    seat.take('DATA', 2, pattern(5000))
    seat.take('RESET', 2, status(64))
    seat.mux.handlerEnded(pipe.state)
    assert.equal(pipe.state.receiveQueue, undefined)
    assert.deepEqual(seat.said(), ['DONE 2 0'])
  })

  it('gives the growth of its window back when it is read, and not before [R-376]', async () => {
    const seat = new MuxSeat({ initialWindowBytes: 1000, maxWindowBytes: 8000, windowPoolBytes: 3000 })
    seat.roundTrip = 10
    const grow = async (pipe: Awaited<ReturnType<typeof unread>>): Promise<number> => {
      for (let read = 0; read < 8; read++) {
        seat.take('DATA', pipe.id, pattern(500))
        await pipe.source.next()
        seat.pull()
      }
      return pipe.state.window
    }
    const pipe = seat.holdOpened()
    pipe.state.readsBeforeReset = true
    assert.equal(await grow(pipe), 4000)
    seat.take('DATA', pipe.id, pattern(500))
    seat.take('RESET', pipe.id, status(64), 1)
    assert.equal(await grow(seat.holdOpened()), 1000)
    await pipe.source.next()
    assert.equal(await grow(seat.holdOpened()), 4000)
  })

  it('drops what is unread where the pipe did not ask for it: a cut file is a cut file [R-376]', async () => {
    const seat = new MuxSeat()
    const pipe = seat.holdOpened()
    seat.take('DATA', pipe.id, pattern(10))
    seat.take('RESET', pipe.id, status(64))
    assert.equal(await fate(pipe.source.next()), 'ERR_PIPE_RESET')
  })
})
