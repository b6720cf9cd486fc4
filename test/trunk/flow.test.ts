import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { overLink, type Link, type Pipe, type Trunk } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'
import { eventually, steady } from '../helpers/eventually.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { LINES } from '../helpers/lines.ts'
import { checkPattern, count, echo, manual, outcome, pattern, patternChunks, produce } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { trunkPair } from '../helpers/trunk-pair.ts'

noStrayRejections()

const MIB = 1024 * 1024

describe('a line that stops beyond some data', () => {
  it('is given no more than its traits say, by a side that does not know of it [R-556]', async () => {
    const traits = { lossless: true, connected: true, preferredFrameBytes: 65_536, maxInFlightBytes: 3072 }
    const [nearLink, farLink] = memoryPair({ bufferBytes: 2 ** 20 })
    let written = 0
    let hold = Promise.resolve()
    let letFinish: () => void = () => undefined
    const counted: Link = {
      source: nearLink.source,
      sink: (source) =>
        nearLink.sink(
          (async function* () {
            for await (const bytes of source) {
              written += bytes.byteLength
              yield bytes
            }
          })(),
        ),
      close: () => nearLink.close(),
      abort: (reason) => nearLink.abort(reason),
    }
    const held: Link = {
      sink: farLink.sink,
      source: (async function* () {
        for await (const bytes of farLink.source) {
          await hold
          yield bytes
        }
      })(),
      close: () => farLink.close(),
      abort: (reason) => farLink.abort(reason),
    }
    const [near, far] = await Promise.all([overLink(counted), overLink(held, { traits, protocols: [count] })])
    const pipe = await near.open('count')
    hold = new Promise((resolve) => (letFinish = resolve))
    const before = written
    const writing = pipe.write(new Uint8Array(100_000))
    const underWay = (await steady(() => written)) - before
    assert.ok(underWay > 1024 && underWay < 3072 + 256, `${underWay} bytes under way`)
    letFinish()
    await writing
    pipe.abort(new Error('the test is over'))
    await Promise.all([near.close(), far.close()])
  })
})

for (const line of LINES) {
  describe(`bytes over ${line.name}`, () => {
    it('carries 10 MiB both ways at once, byte for byte [R-017]', async () => {
      const { near, far, free } = await line.join({ protocols: [echo] }, { protocols: [echo] })
      const echoed = async (trunk: Trunk): Promise<number> => {
        const pipe = await trunk.open('echo')
        const [, bytes] = await Promise.all([pipe.sink(patternChunks(10 * MIB, 100_003)), checkPattern(pipe.source)])
        await pipe.close()
        return bytes
      }
      assert.deepEqual(await Promise.all([echoed(near), echoed(far)]), [10 * MIB, 10 * MIB])
      await free()
    })

    it('lets a writer reuse its buffer once the write has resolved [R-015]', async () => {
      const { near, free } = await line.join({}, { protocols: [echo] })
      for (const size of [1, 8191, 8192, 8193, 65_535, 65_536, 65_537, 200_000]) {
        const pipe = await near.open('echo')
        const received = checkPattern(pipe.source)
        const buffer = Buffer.alloc(size)
        const rounds = Math.max(3, Math.ceil(400_000 / size / 4))
        for (let round = 0; round < rounds; round++) {
          buffer.set(pattern(size, round * size))
          await pipe.write(buffer)
          buffer.fill(0xff)
        }
        await pipe.closeWrite()
        assert.equal(await received, rounds * size, `chunks of ${size} bytes`)
      }
      await free()
    })

    it('runs 100 pipes both ways while one reader is stalled, then gives that one every byte [R-021]', async () => {
      const stalled = manual('stalled')
      const { near, far, free } = await line.join({ protocols: [echo] }, { protocols: [echo, stalled.protocol] })
      const slow = await near.open('stalled')
      const { pipe: unread, finish } = await stalled.next()
      const sending = slow.sink(patternChunks(3 * MIB, 50_000))
      const before = await steady(() => near.status().pipes[0]?.bytesWritten ?? 0, 30)
      assert.ok(before > 0 && before < 3 * MIB, `the sender of the unread pipe went on to ${before}`)
      assert.equal(near.status().pipes[0]?.waitsFor, 'credit')

      const one = async (trunk: Trunk): Promise<number> => {
        const pipe = await trunk.open('echo')
        const [, bytes] = await Promise.all([pipe.sink(patternChunks(100_000, 9_000)), checkPattern(pipe.source)])
        await pipe.close()
        return bytes
      }
      const all = Array.from({ length: 50 }, () => [one(near), one(far)]).flat()
      assert.deepEqual(new Set(await Promise.all(all)), new Set([100_000]))
      assert.equal(near.status().pipes[0]?.bytesWritten, before, 'the stalled pipe was not to move')

      assert.equal(await checkPattern(unread.source), 3 * MIB)
      await sending
      finish()
      await slow.close()
      await free()
    })
  })
}

describe('flow control', () => {
  it('grants at most one credit for half a window consumed [R-024]', async () => {
    const limits = { initialWindowBytes: 16_384, maxWindowBytes: 16_384 }
    const test = manual()
    const [near, far] = await trunkPair({ limits }, { limits, protocols: [test.protocol] })
    const pipe = await near.open('manual')
    const { pipe: reader, finish } = await test.next()
    let credits = 0
    let last = near.status().pipes[0]?.creditLeft ?? 0
    let sent = 0
    const note = (): void => {
      const status = near.status().pipes[0]
      if (status === undefined) return
      const limit = status.bytesWritten + status.creditLeft
      if (limit !== last) credits++
      last = limit
      sent = status.bytesWritten
    }
    const reading = (async () => {
      for await (const _ of reader.source) note()
    })()
    for (let i = 0; i < 1000; i++) {
      await pipe.write(pattern(500, i * 500))
      note()
    }
    await pipe.closeWrite()
    await reading
    assert.equal(sent, 500_000)
    assert.ok(credits >= 20, `the limit was seen to move ${credits} times only`)
    assert.ok(credits <= 500_000 / 8_192 + 1, `${credits} credits for ${sent} bytes`)
    finish()
    await Promise.all([near.close(), far.close()])
  })

  it('grows a window only by what the application reads, never above the maximum [R-025]', async () => {
    const limits = { initialWindowBytes: 16_384, maxWindowBytes: 131_072 }
    const test = manual()
    // time stands still: however busy the machine, the reader takes a window in no time
    const [near, far] = await trunkPair({}, { limits, clock: manualClock(), protocols: [test.protocol] })
    const pipe = await near.open('manual')
    const { pipe: reader, finish } = await test.next()
    const sending = pipe.sink(patternChunks(4 * MIB, 50_000))
    await steady(() => near.status().pipes[0]?.bytesWritten ?? 0, 30)
    assert.equal(near.status().pipes[0]?.bytesWritten, 16_384, 'unread bytes alone grew the window')

    let most = 0
    let at = 0
    for await (const chunk of reader.source) {
      assert.ok(pattern(chunk.byteLength, at).equals(chunk.subarray()))
      at += chunk.byteLength
      most = Math.max(most, (near.status().pipes[0]?.bytesWritten ?? at) - at)
    }
    assert.equal(at, 4 * MIB)
    assert.ok(most > 16_384, `the window never grew: ${most}`)
    assert.ok(most <= 131_072 + 65_536, `${most} bytes were under way at a time`)
    await sending
    finish()
    await Promise.all([near.close(), far.close()])
  })

  it('takes window growth out of one pool, and gets it back from pipes that are over [R-025] [R-029]', async () => {
    const limits = { initialWindowBytes: 16_384, windowPoolBytes: 65_536 }
    const [near, far] = await trunkPair({ limits, clock: manualClock() }, { protocols: [produce] })
    // each round would use up the pool for ever if a finished or aborted pipe kept its share
    for (let round = 0; round < 6; round++) {
      const pipe = await near.open('produce', 2 * MIB)
      const iterator = pipe.source
      let at = 0
      while (at < MIB) at += (await iterator.next()).value?.byteLength ?? MIB
      await eventually(() => pipe.readableLength > 16_384, 'the window has grown')
      const ahead = await steady(() => pipe.readableLength, 20)
      assert.ok(ahead <= 16_384 + 65_536, `round ${round}: ${ahead} bytes were held, more than window and pool`)
      if (round % 2 === 0) pipe.abort(new Error('enough'))
      else await iterator.return()
    }
    await Promise.all([near.close(), far.close()])
  })

  it('has no deadlock where both sides write before they read, up to the window; beyond it both can abort [R-026]', async () => {
    const test = manual()
    const limits = { initialWindowBytes: 65_536 }
    const [near, far] = await trunkPair({ limits }, { limits, protocols: [test.protocol] })
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    await Promise.all([a.write(pattern(65_536)), b.write(pattern(65_536))])
    const [blockedA, blockedB] = [a.write(pattern(65_536)), b.write(pattern(65_536))]
    await steady(() => near.status().bytesWritten, 20)
    assert.equal(await Promise.race([blockedA, Promise.resolve('waits')]), 'waits')
    a.abort(new Error('enough'))
    assert.deepEqual([await outcome(blockedA), await outcome(blockedB)], ['ERR_ABORTED', 'ERR_ABORTED'])
    finish()
    await Promise.all([near.close(), far.close()])
  })

  it('splits and joins: a write above the window and thousands of small ones arrive whole', async () => {
    const limits = { initialWindowBytes: 1000, maxWindowBytes: 3000, maxFrameBytes: 64, maxInFlightBytes: 1024 }
    const [near, far] = await trunkPair({ limits }, { protocols: [echo, count] })
    const big = await near.open('echo')
    const writing = big.write(pattern(50_000)).then(() => big.closeWrite())
    assert.equal(await checkPattern(big.source), 50_000)
    await writing
    const small: Pipe = await near.open('count')
    for (let i = 0; i < 5000; i++) void small.write(Uint8Array.of(i))
    await small.closeWrite()
    const reply = await small.source.next()
    assert.equal(Buffer.from(reply.value?.subarray() ?? []).toString(), '5000')
    await Promise.all([near.close(), far.close()])
  })
})
