import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { connect, overLink, serve, type Trunk } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'
import { eventually, steady } from '../helpers/eventually.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { expectNoLeaks } from '../helpers/no-leaks.ts'
import { checkPattern, collect, echo, manual, outcome, pattern, protocol } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { trunkPair } from '../helpers/trunk-pair.ts'

noStrayRejections()

const REASON = new RangeError('my own reason')

function listeners(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length
}

async function closed(...trunks: Trunk[]): Promise<void> {
  await Promise.all(trunks.map((trunk) => trunk.close()))
}

describe('an abort signal', () => {
  it('rejects each call with its own reason when it was aborted before, and nothing is sent [R-047]', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const signal = AbortSignal.abort(REASON)
    const sent = await steady(() => near.status().bytesWritten, 20)
    await assert.rejects(near.open('echo', undefined, { signal }), REASON)
    await assert.rejects(near.ping({ signal }), REASON)
    assert.equal(near.status().bytesWritten, sent)
    await assert.rejects(connect('tcp://127.0.0.1:1', { signal }), REASON)
    await assert.rejects(serve('tcp://127.0.0.1:0', { signal }), REASON)
    const [link] = memoryPair()
    await assert.rejects(overLink(link, { signal }), REASON)
    assert.equal(listeners(signal), 0)
    await closed(near, far)
  })

  it('rejects a ping that waits, and later pings go on', async () => {
    const [near, far] = await trunkPair()
    const controller = new AbortController()
    const waiting = [near.ping(), near.ping({ signal: controller.signal }), near.ping()]
    controller.abort(REASON)
    await assert.rejects(waiting[1]!, REASON)
    for (const ping of [waiting[0], waiting[2], near.ping()]) assert.ok((await ping!) >= 0)
    await closed(near, far)
  })

  it('rejects an open that waits for its answer, and frees the slot', async () => {
    const [near, far] = await trunkPair(
      {},
      { protocols: [manual('never').protocol, echo], limits: { maxWaitingPipes: 1 } },
    )
    // one waits at the peer, one waits here for its turn
    far.handle({ name: 'slow', parse: () => undefined, handle: ({ signal }) => untilAborted(signal) })
    const controller = new AbortController()
    const opens = [1, 2, 3].map(() => near.open('slow', undefined, { signal: controller.signal }))
    await eventually(() => far.status().pipes.length === 1, 'the first is there')
    assert.ok(listeners(controller.signal) > 0)
    controller.abort(REASON)
    for (const open of opens) await assert.rejects(open, REASON)
    assert.equal(listeners(controller.signal), 0)
    const pipe = await near.open('echo', undefined, { body: pattern(10) })
    assert.equal(await checkPattern(pipe.source), 10)
    await pipe.close()
    await closed(near, far)
  })

  it('takes back an open of the same tick: the peer never hears of it', async () => {
    let handled = 0
    const counting = protocol('counting', async ({ accept }) => {
      handled++
      accept()
    })
    const [near, far] = await trunkPair({}, { protocols: [counting] })
    for (const options of [{}, { body: pattern(10) }]) {
      const controller = new AbortController()
      const opening = near.open('counting', undefined, { ...options, signal: controller.signal })
      controller.abort(REASON)
      await assert.rejects(opening, REASON)
      await near.ping()
      await near.ping()
      assert.deepEqual([handled, near.status().state, near.status().counters.lateFrames], [0, 'open', 0])
    }
    const pipe = await near.open('counting')
    await pipe.close()
    await closed(near, far)
  })

  it('aborts the pipe that it opened: reads, writes and close reject with the reason as cause', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const controller = new AbortController()
    const a = await near.open('manual', undefined, { signal: controller.signal })
    const { pipe: b, finish } = await test.next()
    const pending = [a.write(pattern(1_000_000)), collect(a.source), a.closeWrite()]
    await steady(() => b.readableLength, 20)
    controller.abort(REASON)
    for (const promise of [...pending, a.close()]) {
      await assert.rejects(promise, (error: Error) => error.cause === REASON)
    }
    assert.equal(listeners(controller.signal), 0)
    await eventually(() => b.signal.aborted, 'the peer is told')
    finish()
    await closed(near, far)
  })

  it('still aborts a pipe whose handler has finished while its last bytes are read', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const controller = new AbortController()
    const pipe = await near.open('manual', undefined, { signal: controller.signal, body: new Uint8Array(0) })
    const { pipe: b, finish } = await test.next()
    await b.write(pattern(50_000))
    finish()
    await eventually(() => far.status().pipes.length === 0 || pipe.readableLength === 50_000, 'it arrives')
    await steady(() => near.status().bytesRead, 20)
    controller.abort(REASON)
    await assert.rejects(collect(pipe.source), (error: Error) => error.cause === REASON)
    await closed(near, far)
  })

  it('keeps no listener after 10,000 calls that used it [R-047]', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const { signal } = new AbortController()
    for (let i = 0; i < 5000; i += 50) {
      await Promise.all(Array.from({ length: 50 }, () => near.ping({ signal })))
      const pipes = Array.from({ length: 50 }, async (_, at) => {
        const pipe = await near.open('echo', undefined, { signal, body: new Uint8Array(0) })
        if (at % 3 === 0) pipe.abort(new Error('one of three'))
        else if (at % 3 === 1) await Promise.all([collect(pipe.source), pipe.close()])
        else await Promise.all([pipe.source.return(undefined), outcome(pipe.close())])
      })
      await Promise.all(pipes)
    }
    await eventually(() => near.status().pipes.length === 0, 'the pipes are gone')
    assert.equal(listeners(signal), 0)
    await closed(near, far)
  })

  it('ends a hello that waits, on either side, and leaves nothing open', async () => {
    await expectNoLeaks(async () => {
      const controller = new AbortController()
      const silent = await import('../helpers/loopback.ts').then((module) => module.loopbackServer())
      const dialling = connect(`tcp://127.0.0.1:${silent.port}`, { signal: controller.signal })
      await eventually(() => silent.sockets.length === 1, 'the connection is established')
      assert.equal(listeners(controller.signal) > 0, true)
      controller.abort(REASON)
      await assert.rejects(dialling, REASON)
      assert.equal(listeners(controller.signal), 0)
      silent.close()
    })
  })

  it('has no effect on an established session', async () => {
    const controller = new AbortController()
    const { signal } = controller
    const [near, far] = await trunkPair({ signal }, { protocols: [echo] })
    assert.equal(listeners(signal), 0)
    controller.abort(REASON)
    assert.ok((await near.ping()) >= 0)
    await closed(near, far)
  })
})

describe('a hello', () => {
  it('that is not answered fails with ERR_HELLO_TIMEOUT on the injected clock', async () => {
    const clock = manualClock()
    const [link, other] = memoryPair({ clock })
    const waiting = outcome(overLink(link, { clock, limits: { helloTimeoutMs: 3000 } }))
    await steady(() => 0, 10)
    clock.advance(2999)
    assert.equal(await Promise.race([waiting, steady(() => 0, 10).then(() => 'waits')]), 'waits')
    clock.advance(1)
    assert.equal(await waiting, 'ERR_HELLO_TIMEOUT')
    other.abort(new Error('done'))
    await steady(() => 0, 10)
    assert.equal(clock.pending, 0)
  })
})

async function untilAborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve())
  })
}
