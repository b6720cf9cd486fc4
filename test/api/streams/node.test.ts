/** A pipe as a Duplex of Node: half-close, back-pressure in bytes, and what fails at either end. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { addAbortSignal, type Duplex, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, it } from 'node:test'
import { toNode } from '../../../src/api/streams.ts'
import { defineProtocol, TrunkError } from '../../../src/index.ts'
import { eventually, steady } from '../../helpers/eventually.ts'
import { pipeEnds, textOf } from '../../helpers/pipe-ends.ts'
import { checkPattern, echo, outcome, pattern, patternChunks } from '../../helpers/protocols.ts'
import { noStrayRejections } from '../../helpers/stray-rejections.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

noStrayRejections()

const MIB = 2 ** 20

/** The code that the stream fails with. */
async function failure(stream: Duplex): Promise<string> {
  const [error] = (await once(stream, 'error')) as [{ code: string }]
  return error.code
}

async function* endless(): AsyncGenerator<Buffer, void, undefined> {
  for (;;) yield pattern(10_000)
}

describe('toNode', () => {
  it('carries 10 MiB through a pipeline, there and back [R-558]', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const pipe = await near.open('echo')
    let bytes = 0
    await pipeline(Readable.from(patternChunks(10 * MIB, 70_000)), toNode(pipe), async (source) => {
      bytes = await checkPattern(source as AsyncIterable<Buffer>)
    })
    assert.equal(bytes, 10 * MIB)
    await pipe.close()
    await Promise.all([near.close(), far.close()])
  })

  it('ends a pipeline that only writes, where the peer is lost after bytes that nobody reads', async () => {
    const dropping = defineProtocol({
      name: 'p',
      parse: () => undefined,
      async handle(request) {
        const pipe = request.accept()
        await pipe.write(Buffer.from('hello'))
        pipe.abort(new TrunkError('ERR_ABORTED', 'enough'))
      },
    })
    const [near, far] = await trunkPair({}, { protocols: [dropping] })
    const pipe = await near.open('p', undefined, { readBeforeReset: true })
    assert.equal(await outcome(pipeline(Readable.from(endless()), toNode(pipe))), 'ERR_ABORTED')
    await Promise.all([near.close(), far.close()])
  })

  it('ends its own direction and leaves the other', async () => {
    const { pipe, peer, taken, close } = await pipeEnds()
    const stream = toNode(pipe)
    stream.end('question')
    assert.equal(await textOf(peer), 'question')
    assert.equal(stream.readableEnded, false)
    await peer.write(Buffer.from('answer'))
    await peer.closeWrite()
    assert.equal(await textOf(stream), 'answer')
    taken.finish()
    await pipe.close()
    await close()
  })

  it('goes on writing after the peer has ended', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const stream = toNode(pipe)
    await peer.closeWrite()
    stream.resume()
    await once(stream, 'end')
    assert.equal(stream.writable, true)
    stream.end('late')
    assert.equal(await textOf(peer), 'late')
    await close()
  })

  it('reads one item of the pipe ahead, and hands on no more than its high water mark', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const stream = toNode(pipe, { readableHighWaterMark: 1000 })
    await peer.write(pattern(20_000))
    await eventually(() => pipe.readableLength === 20_000, 'all has arrived')
    assert.equal(stream.readableLength, 0, 'nothing is read before somebody reads')
    await Promise.all([once(stream, 'readable'), stream.read(0)])
    void peer.write(pattern(30_000, 20_000))
    await eventually(() => pipe.readableLength === 30_000, 'the rest has arrived')
    assert.equal(stream.readableLength, 1000)
    void peer.closeWrite()
    assert.equal(await checkPattern(stream as AsyncIterable<Buffer>), 50_000)
    stream.end()
    await close()
  })

  it('takes no more than its high water mark and the pipe’s, until the peer reads', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const stream = toNode(pipe, { writableHighWaterMark: 5000 })
    let written = 0
    const writeUntilFull = (): void => {
      for (let more = true; more; written += 1000) more = stream.write(pattern(1000, written))
    }
    stream.on('drain', writeUntilFull)
    writeUntilFull()
    const stopped = await steady(() => written)
    assert.ok(stream.writableLength > 0 && stream.writableLength <= 5000, `${stream.writableLength} bytes wait`)
    assert.ok(stopped < MIB, `${stopped} bytes were taken`)
    stream.off('drain', writeUntilFull)
    const reading = checkPattern(peer)
    stream.end()
    assert.equal(await reading, stopped)
    await close()
  })

  it('fails with the pipe’s error', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const [idle, waiting] = [toNode(pipe), (await pipeEnds()).pipe]
    const failed = failure(idle)
    peer.abort(new TrunkError('MY_CODE', 'why'))
    assert.equal(await failed, 'MY_CODE')
    assert.equal(idle.destroyed, true)
    const reading = toNode(waiting).resume()
    const told = failure(reading)
    waiting.abort(new TrunkError('MY_OTHER_CODE', 'why'))
    assert.equal(await told, 'MY_OTHER_CODE')
    await close()
  })

  it('gives what came before a reset, then the error, also to a stream that writes', async () => {
    const { pipe, peer, close } = await pipeEnds({ readBeforeReset: true })
    const stream = toNode(pipe, { readableHighWaterMark: 1000 })
    await peer.write(pattern(10_000))
    await Promise.all([once(stream, 'readable'), stream.read(0)])
    void peer.write(pattern(40_000, 10_000))
    const cut = peer.abortWhenWritten(new TrunkError('MY_CODE', 'why'))
    await eventually(() => pipe.signal.aborted, 'the reset has arrived')
    await cut
    stream.write('into the void')
    let bytes = 0
    const reading = (async () => {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        assert.ok(chunk.equals(pattern(chunk.byteLength, bytes)), `wrong bytes at ${bytes}`)
        bytes += chunk.byteLength
      }
    })()
    assert.equal(await outcome(reading), 'MY_CODE')
    assert.equal(bytes, 50_000)
    await close()
  })

  it('tells the reset after the last byte, also to a reader that takes pieces of one size', async () => {
    for (const [size, most] of [
      [100, 50_000],
      [300, 49_800],
    ] as const) {
      const { pipe, peer, close } = await pipeEnds({ readBeforeReset: true })
      const stream = toNode(pipe, { readableHighWaterMark: 1000 })
      void peer.write(pattern(50_000))
      await peer.abortWhenWritten(new TrunkError('MY_CODE', 'why'))
      await eventually(() => pipe.signal.aborted, 'the reset has arrived')
      let bytes = 0
      const reading = (async () => {
        for (;;) {
          const chunk = stream.read(size) as Buffer | null
          if (chunk === null) await once(stream, 'readable')
          else bytes += chunk.byteLength
        }
      })()
      assert.equal(await outcome(reading), 'MY_CODE')
      assert.equal(bytes, most)
      await close()
    }
  })

  it('fails at the next write where the peer has stopped reading', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const stream = toNode(pipe)
    const failed = failure(stream)
    peer.stopReading('ERR_QUOTA')
    const writing = pipeline(endless, stream)
    assert.equal(await outcome(writing), 'ERR_QUOTA')
    assert.equal(await failed, 'ERR_QUOTA')
    await close()
  })

  it('aborts the pipe where it is destroyed', async () => {
    const reasons: [destroy: (stream: Duplex) => void, code: string][] = [
      [(stream) => stream.destroy(new TrunkError('MY_CODE', 'why')), 'MY_CODE'],
      [(stream) => stream.destroy(new RangeError('why')), 'ERR_ABORTED'],
      [(stream) => stream.destroy(), 'ERR_ABORTED'],
      [(stream) => addAbortSignal(AbortSignal.abort(), stream), 'ERR_ABORTED'],
    ]
    for (const [destroy, code] of reasons) {
      const { pipe, peer, close } = await pipeEnds()
      const stream = toNode(pipe)
      stream.on('error', () => undefined)
      stream.write('some')
      destroy(stream)
      await eventually(() => peer.signal.aborted, 'the reset has arrived')
      assert.equal((peer.signal.reason as TrunkError).code, code)
      await close()
    }
  })

  it('only stops reading where it is destroyed after its end', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const stream = toNode(pipe)
    stream.end('all of it')
    await once(stream, 'finish')
    stream.destroy()
    assert.equal(await textOf(peer), 'all of it')
    assert.equal(await outcome(peer.write(pattern(1))), 'ERR_PIPE_STOPPED')
    await close()
  })

  it('leaves a pipe alone that somebody else reads', async () => {
    const { pipe, peer, close } = await pipeEnds()
    const reading = checkPattern(pipe)
    const stream = toNode(pipe).resume()
    assert.equal(await failure(stream), 'ERR_PIPE_BUSY')
    await peer.sink(patternChunks(1000, 10))
    assert.equal(await reading, 1000)
    await close()
  })

  it('refuses a high water mark out of its bounds', async () => {
    const { pipe, close } = await pipeEnds()
    for (const bytes of [0, -1, 1.5, NaN, 2 ** 31, '5' as never]) {
      assert.throws(() => toNode(pipe, { readableHighWaterMark: bytes }), { code: 'ERR_BAD_ARGUMENT' })
      assert.throws(() => toNode(pipe, { writableHighWaterMark: bytes }), { code: 'ERR_BAD_ARGUMENT' })
    }
    await close()
  })
})
