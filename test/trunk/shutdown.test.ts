import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError, overLink, type Trunk } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'
import { eventually, steady } from '../helpers/eventually.ts'
import { LINES, plain } from '../helpers/lines.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { expectNoLeaks } from '../helpers/no-leaks.ts'
import { checkPattern, collect, echo, manual, outcome, pattern, patternChunks, produce } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { trunkPair } from '../helpers/trunk-pair.ts'

noStrayRejections()

for (const line of LINES) {
  describe(`the end of a trunk over ${line.name}`, () => {
    it('leaves nothing: a graceful close, both sides at once, repeated', async () => {
      await expectNoLeaks(async () => {
        const { near, far, free } = await line.join({}, { protocols: [echo] })
        const pipe = await near.open('echo', undefined, { body: pattern(10) })
        assert.equal(await checkPattern(pipe.source), 10)
        await Promise.all([near.close(), far.close(), near.close(), near.closed, far.closed])
        await near.close()
        assert.deepEqual([near.status().state, far.status().state], ['closed', 'closed'])
        await free()
      })
    })

    it('tells the peer the code of an abort, fails every pipe and ping with it, and leaves nothing', async () => {
      await expectNoLeaks(async () => {
        const test = manual()
        const { near, far, free } = await line.join({}, { protocols: [test.protocol] })
        const a = await near.open('manual')
        const { pipe: b, finish } = await test.next()
        const pending: Promise<unknown>[] = [a.write(pattern(1_000_000)), collect(a.source)]
        await steady(() => far.status().bytesRead, 20)
        pending.push(near.ping())
        near.abort(new TrunkError('ERR_KEEPALIVE_TIMEOUT', 'I say so'))
        near.abort(new Error('a second time'))
        const results = await Promise.all([...pending, near.closed, far.closed].map(outcome))
        assert.deepEqual(new Set(results), new Set(['ERR_KEEPALIVE_TIMEOUT']))
        assert.equal(await outcome(collect(b.source)), 'ERR_KEEPALIVE_TIMEOUT')
        await assert.rejects(far.closed, { origin: 'remote', message: 'I say so' })
        finish()
        await free()
      })
    })
  })
}

describe('a graceful close', () => {
  it('takes no new pipes on either side while those that are open finish, nor afterwards [R-040] [R-041]', async () => {
    const [near, far] = await trunkPair({ protocols: [echo] }, { protocols: [echo, produce] })
    const writing = await near.open('echo')
    const reading = await near.open('produce', 500_000)
    const closing = near.close()
    assert.equal(near.status().state, 'closing')
    assert.equal(await outcome(near.open('echo')), 'ERR_SESSION_CLOSED')
    await eventually(() => far.status().state === 'closing', 'the peer is told')
    assert.equal(await outcome(far.open('echo')), 'ERR_SESSION_CLOSED')
    const sending = writing.sink(patternChunks(500_000, 10_000))
    assert.deepEqual(
      await Promise.all([checkPattern(writing.source), checkPattern(reading.source)]),
      [500_000, 500_000],
    )
    await sending
    await closing
    await Promise.all([near.closed, far.closed])
    assert.equal(await outcome(near.open('echo')), 'ERR_SESSION_CLOSED')
    assert.equal(await outcome(far.open('echo')), 'ERR_SESSION_CLOSED')
    assert.equal(await outcome(near.ping()), 'ERR_SESSION_CLOSED')
  })

  it('refuses, with a code, the opens that cross it on the line', async () => {
    const [near, far] = await trunkPair({ protocols: [echo] }, { protocols: [echo] })
    const closing = far.close()
    const results = await Promise.all([near.open('echo'), near.open('echo')].map(outcome))
    assert.deepEqual(results, ['ERR_SESSION_CLOSED', 'ERR_SESSION_CLOSED'])
    await closing
    await near.closed
  })

  it('lets an open that was made before it, in the same tick, do its work', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const opening = near.open('echo', undefined, { body: pattern(1000) })
    const closing = near.close()
    const pipe = await opening
    assert.equal(await checkPattern(pipe.source), 1000)
    await closing
    await far.close()
  })

  it('cuts what has not finished when its time is up, and settles [R-039]', async () => {
    const clock = manualClock()
    const limits = { closeTimeoutMs: 2000 }
    const test = manual()
    const [nearLink, farLink] = memoryPair({ clock })
    const [near, far] = await Promise.all([
      overLink(nearLink, { clock, limits }),
      overLink(farLink, { clock, protocols: [test.protocol] }),
    ])
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    const pending = [collect(a.source), collect(b.source)]
    const closing = near.close()
    await steady(() => far.status().bytesRead, 10)
    clock.advance(1999)
    assert.equal(await Promise.race([closing, steady(() => 0, 10).then(() => 'waits')]), 'waits')
    clock.advance(1)
    assert.deepEqual(await Promise.all(pending.map(outcome)), ['ERR_CLOSE_TIMEOUT', 'ERR_CLOSE_TIMEOUT'])
    await closing
    assert.equal(await outcome(far.closed), 'ERR_CLOSE_TIMEOUT')
    finish()
    await steady(() => clock.pending, 10)
    assert.equal(clock.pending, 0, 'timers were left')
  })

  it('settles, too, where the line is lost while it waits', async () => {
    const test = manual()
    const [nearLink, farLink] = memoryPair()
    const [near, far] = await Promise.all([
      overLink(nearLink),
      overLink(plain(farLink), { protocols: [test.protocol] }),
    ])
    const a = await near.open('manual')
    const { finish } = await test.next()
    const reading = outcome(collect(a.source))
    const closing = near.close()
    farLink.abort(new Error('cut'))
    await closing
    assert.equal(await reading, 'ERR_LINK_RESET')
    assert.equal(await outcome(near.closed), 'ERR_LINK_RESET')
    await far.close()
    finish()
  })

  it('is what `await using` does', async () => {
    const state: (() => string)[] = []
    {
      const [nearTrunk, farTrunk] = await trunkPair({}, { protocols: [echo] })
      await using near = nearTrunk
      await using far = farTrunk
      state.push(
        () => near.status().state,
        () => far.status().state,
      )
      const pipe = await near.open('echo', undefined, { body: pattern(1) })
      assert.equal(await checkPattern(pipe.source), 1)
    }
    assert.deepEqual(
      state.map((read) => read()),
      ['closed', 'closed'],
    )
  })
})

describe('a line that breaks', () => {
  const pieces = (trunk: Trunk, far: Trunk): Promise<string[]> => Promise.all([trunk.closed, far.closed].map(outcome))

  it('is never a clean end of a pipe, even where it ends cleanly itself', async () => {
    const [nearLink, farLink] = memoryPair()
    const test = manual()
    const [near, far] = await Promise.all([
      overLink(nearLink),
      overLink(plain(farLink), { protocols: [test.protocol] }),
    ])
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    await b.write(pattern(1000))
    await eventually(() => a.readableLength === 1000, 'it arrives')
    const waiting = outcome(collect(b.source))
    await farLink.close()
    assert.deepEqual(await pieces(near, far), ['ERR_LINK_LOST', 'ERR_LINK_LOST'])
    assert.equal(await outcome(collect(a.source)), 'ERR_LINK_LOST')
    assert.equal(await waiting, 'ERR_LINK_LOST')
    finish()
  })

  it('gives the cause where a source of the caller throws [R-126]', async () => {
    const cause = new Error('my duplex broke')
    const [nearLink, farLink] = memoryPair()
    let fail: (error: Error) => void = () => undefined
    const failure = new Promise<never>((_, reject) => {
      fail = reject
    })
    failure.catch(() => undefined)
    async function* failing(): AsyncGenerator<Uint8Array> {
      const iterator = nearLink.source[Symbol.asyncIterator]()
      for (;;) {
        const next = await Promise.race([iterator.next(), failure])
        if (next.done === true) return
        yield next.value.subarray()
      }
    }
    const link = {
      source: failing(),
      sink: nearLink.sink,
      close: () => nearLink.close(),
      abort: (reason: Error) => nearLink.abort(reason),
    }
    const [near, far] = await Promise.all([overLink(link), overLink(farLink, { protocols: [echo] })])
    const pipe = await near.open('echo')
    const reading = collect(pipe.source)
    fail(cause)
    for (const promise of [near.closed, reading, pipe.close(), near.ping()]) {
      await assert.rejects(promise, { code: 'ERR_LINK_FAILED', scope: 'link', cause })
    }
    assert.equal(await outcome(far.closed), 'ERR_LINK_RESET')
  })

  it('gives the cause where a sink of the caller throws, at once or later', async () => {
    for (const when of ['at once', 'later']) {
      const cause = new Error('my duplex broke')
      const [nearLink, farLink] = memoryPair()
      const link = {
        source: nearLink.source,
        sink(source: AsyncIterable<Uint8Array>): Promise<void> {
          if (when === 'at once') throw cause
          return (async () => {
            for await (const _ of source) throw cause
          })()
        },
        close: () => nearLink.close(),
        abort: (reason: Error) => nearLink.abort(reason),
      }
      const peer = outcome(overLink(farLink))
      await assert.rejects(overLink(link as never), { code: 'ERR_LINK_FAILED', cause }, when)
      assert.equal(await peer, 'ERR_LINK_RESET', when)
    }
  })
})
