/**
 * A pipe as WHATWG streams: byte readers, `pipeTo`, half-close, back-pressure in bytes, and what
 * fails at either end.
 */
import assert from 'node:assert/strict'
import { ReadableStream, type ReadableStreamBYOBReader, type WritableStreamDefaultWriter } from 'node:stream/web'
import { describe, it } from 'node:test'
import { toWeb } from '../../../src/api/streams.ts'
import { TrunkError, type Pipe } from '../../../src/index.ts'
import { eventually, steady } from '../../helpers/eventually.ts'
import { pipeEnds, textOf } from '../../helpers/pipe-ends.ts'
import { checkPattern, echo, outcome, pattern, patternChunks } from '../../helpers/protocols.ts'
import { noStrayRejections } from '../../helpers/stray-rejections.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

noStrayRejections()

const MIB = 2 ** 20

/** A stream that gives these chunks. */
function streamOf(chunks: Iterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.iterator]()
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = iterator.next()
      if (next.done === true) controller.close()
      else controller.enqueue(next.value)
    },
  })
}

/** Everything that a reader with its own memory gets, `bytes` at a time. */
async function readAll(reader: ReadableStreamBYOBReader, bytes: number): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  let memory = new ArrayBuffer(bytes + 8)
  for (;;) {
    const { done, value } = await reader.read(new Uint8Array(memory, 8, bytes))
    assert.ok(value, 'the memory comes back, also at the end')
    if (done) return Buffer.concat(pieces)
    assert.equal(value.byteOffset, 8)
    pieces.push(value.slice())
    memory = value.buffer
  }
}

/** True where the writer may go on now. */
async function isReady(writer: WritableStreamDefaultWriter<unknown>): Promise<boolean> {
  const settled = writer.ready.then(() => true)
  return await Promise.race([settled, new Promise<false>((resolve) => setImmediate(resolve, false))])
}

/** The reset that arrives at this end. */
async function resetOf(pipe: Pipe): Promise<string> {
  await eventually(() => pipe.signal.aborted, 'the reset has arrived')
  return (pipe.signal.reason as TrunkError).code
}

describe('toWeb', () => {
  it('carries 10 MiB by pipeTo, there and back [R-558]', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const pipe = await near.open('echo')
    const { readable, writable } = toWeb(pipe)
    const [, bytes] = await Promise.all([
      streamOf(patternChunks(10 * MIB, 70_000)).pipeTo(writable),
      checkPattern(readable),
    ])
    assert.equal(bytes, 10 * MIB)
    await pipe.close()
    await Promise.all([near.close(), far.close()])
  })

  it('joins two pipes by pipeTo', async () => {
    const [from, to] = [await pipeEnds(), await pipeEnds()]
    const joined = toWeb(from.pipe).readable.pipeTo(toWeb(to.pipe).writable)
    const [bytes] = await Promise.all([checkPattern(to.peer), from.peer.sink(patternChunks(MIB, 5_000)), joined])
    assert.equal(bytes, MIB)
    await Promise.all([from.close(), to.close()])
  })

  it('reads into the reader’s own memory', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const { readable } = toWeb(pipe)
    const writing = peer.sink(patternChunks(300_000, 7_000))
    const all = await readAll(readable.getReader({ mode: 'byob' }), 1000)
    assert.ok(all.equals(pattern(300_000)))
    await writing
    await close()
  })

  it('gives a reader without memory chunks of its own, and leaves the line’s memory alone', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const { readable } = toWeb(pipe)
    // small pieces share memory on the way
    const writing = peer.sink(patternChunks(200_000, 100))
    const chunks: Uint8Array[] = []
    for await (const chunk of readable) chunks.push(chunk)
    assert.ok(Buffer.concat(chunks).equals(pattern(200_000)))
    for (const chunk of chunks) assert.equal(chunk.buffer.byteLength, chunk.byteLength)
    await writing
    await close()
  })

  it('closes its own direction and leaves the other', async () => {
    const { pipe, peer, taken, close } = await pipeEnds()
    const { readable, writable } = toWeb(pipe)
    const writer = writable.getWriter()
    await writer.write(Buffer.from('question'))
    await writer.close()
    assert.equal(await textOf(peer), 'question')
    await peer.write(Buffer.from('answer'))
    await peer.closeWrite()
    assert.equal(await textOf(readable), 'answer')
    taken.finish()
    await pipe.close()
    await close()
  })

  it('goes on writing after the peer has ended', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const { readable, writable } = toWeb(pipe)
    await peer.closeWrite()
    assert.equal(await textOf(readable), '')
    await Promise.all([
      streamOf([Buffer.from('late')]).pipeTo(writable),
      textOf(peer).then((late) => assert.equal(late, 'late')),
    ])
    await close()
  })

  it('reads nothing before somebody reads', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const { readable } = toWeb(pipe)
    await peer.write(pattern(20_000))
    await eventually(() => pipe.readableLength === 20_000, 'all has arrived')
    const reader = readable.getReader({ mode: 'byob' })
    const { value } = await reader.read(new Uint8Array(10))
    assert.deepEqual(value, new Uint8Array(pattern(10)))
    void peer.write(pattern(30_000, 20_000))
    await eventually(() => pipe.readableLength === 30_000, 'the rest has arrived')
    void peer.closeWrite()
    assert.ok((await readAll(reader, 5000)).equals(pattern(50_000).subarray(10)))
    await close()
  })

  it('counts what waits to be written in bytes, and waits for the peer’s reader', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const { writable } = toWeb(pipe, { writableHighWaterMark: 5000 })
    const writer = writable.getWriter()
    assert.equal(writer.desiredSize, 5000)
    writer.write(pattern(1000)).catch(() => undefined)
    assert.equal(writer.desiredSize, 4000)
    let written = 1000
    const writing = (async () => {
      for (; written < 4 * MIB; written += 1000) {
        await writer.ready
        writer.write(pattern(1000, written)).catch(() => undefined)
      }
      await writer.close()
    })()
    assert.ok((await steady(() => written)) < MIB, `${written} bytes were taken`)
    assert.equal(await isReady(writer), false)
    assert.equal(await checkPattern(peer), written)
    await writing
    await close()
  })

  it('stops reading where it is cancelled, and goes on writing', async () => {
    const reasons: [reason: unknown, code: string][] = [
      [new TrunkError('MY_CODE', 'why'), 'MY_CODE'],
      [new RangeError('why'), 'ERR_PIPE_STOPPED'],
      [undefined, 'ERR_PIPE_STOPPED'],
    ]
    for (const [reason, code] of reasons) {
      const { pipe, peer, close } = await pipeEnds()
      const { readable, writable } = toWeb(pipe)
      const reader = readable.getReader()
      const read = reader.read()
      await reader.cancel(reason)
      assert.deepEqual(await read, { done: true, value: undefined })
      await eventually(() => peer.writableLength === 0, 'the stop has arrived')
      assert.equal(await outcome(peer.write(pattern(1))), code)
      const reading = textOf(peer)
      await streamOf([Buffer.from('still here')]).pipeTo(writable)
      assert.equal(await reading, 'still here')
      await close()
    }
  })

  it('aborts the pipe where its writable is aborted, also while a write waits for the peer', async () => {
    const reasons: [reason: unknown, code: string][] = [
      [new TrunkError('MY_CODE', 'why'), 'MY_CODE'],
      [new RangeError('why'), 'ERR_ABORTED'],
      [undefined, 'ERR_ABORTED'],
    ]
    for (const [reason, code] of reasons) {
      const { pipe, peer, close } = await pipeEnds()
      const { readable, writable } = toWeb(pipe)
      const writer = writable.getWriter()
      const stuck = outcome(writer.write(pattern(MIB)))
      await eventually(() => pipe.writableLength === 0, 'the write waits')
      await writer.abort(reason)
      assert.notEqual(await stuck, 'resolved')
      assert.equal(await resetOf(peer), code)
      assert.equal(await outcome(textOf(readable)), code)
      await close()
    }
  })

  it('resets the pipe where what is written is no bytes', async () => {
    for (const wrong of ['text', 5, null, undefined, {}, new ArrayBuffer(1)]) {
      const { pipe, peer, close } = await pipeEnds()
      const writer = toWeb(pipe).writable.getWriter()
      assert.equal(await outcome(writer.write(wrong as never)), 'ERR_BAD_ARGUMENT')
      assert.equal(await outcome(writer.closed), 'ERR_BAD_ARGUMENT')
      assert.equal(await resetOf(peer), 'ERR_PIPE_RESET')
      await close()
    }
  })

  it('resets the pipe where what is piped to it fails', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const failing = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(pattern(10))
        controller.error(new TrunkError('MY_CODE', 'why'))
      },
    })
    assert.equal(await outcome(failing.pipeTo(toWeb(pipe).writable)), 'MY_CODE')
    assert.equal(await resetOf(peer), 'MY_CODE')
    await close()
  })

  it('is cancelled by a pipeTo whose destination fails', async () => {
    const [from, to] = [await pipeEnds(), await pipeEnds()]
    const joined = outcome(toWeb(from.pipe).readable.pipeTo(toWeb(to.pipe).writable))
    to.peer.abort(new TrunkError('MY_CODE', 'why'))
    assert.equal(await outcome(from.peer.sink(patternChunks(64 * MIB, 60_000))), 'MY_CODE')
    assert.equal(await joined, 'MY_CODE')
    await Promise.all([from.close(), to.close()])
  })

  it('fails both streams with the pipe’s error', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const { readable, writable } = toWeb(pipe)
    const closed = [outcome(readable.getReader().closed), outcome(writable.getWriter().closed)]
    peer.abort(new TrunkError('MY_CODE', 'why'))
    assert.deepEqual(await Promise.all(closed), ['MY_CODE', 'MY_CODE'])
    await close()
  })

  it('gives what came before a reset, then the error', async () => {
    const { pipe, peer, close } = await pipeEnds({ readBeforeReset: true })
    const { readable } = toWeb(pipe)
    void peer.write(pattern(50_000))
    await peer.abortWhenWritten(new TrunkError('MY_CODE', 'why'))
    await eventually(() => pipe.signal.aborted, 'the reset has arrived')
    let bytes = 0
    const reading = (async () => {
      for await (const chunk of readable) bytes += chunk.byteLength
    })()
    assert.equal(await outcome(reading), 'MY_CODE')
    assert.equal(bytes, 50_000)
    await close()
  })

  it('fails its writable where the peer stops reading, and leaves its readable alone', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const { readable, writable } = toWeb(pipe)
    peer.stopReading('ERR_QUOTA')
    assert.equal(await outcome(streamOf(patternChunks(MIB, 10_000)).pipeTo(writable)), 'ERR_QUOTA')
    await peer.write(Buffer.from('still here'))
    await peer.closeWrite()
    assert.equal(await textOf(readable), 'still here')
    await close()
  })

  it('fails its readable where somebody else reads the pipe', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const reading = checkPattern(pipe)
    assert.equal(await outcome(textOf(toWeb(pipe).readable)), 'ERR_PIPE_BUSY')
    await peer.sink(patternChunks(1000, 10))
    assert.equal(await reading, 1000)
    await close()
  })

  it('refuses a high water mark out of its bounds', async () => {
    const { pipe, close } = await pipeEnds()
    for (const bytes of [0, -1, 1.5, NaN, 2 ** 31, '5' as never]) {
      assert.throws(() => toWeb(pipe, { writableHighWaterMark: bytes }), { code: 'ERR_BAD_ARGUMENT' })
    }
    await close()
  })
})
