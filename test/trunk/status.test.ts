import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { sessionOver, resolveOptions } from '../../src/api/establish.ts'
import { overLink, type Link, type PipeStatus, type Trunk, type WaitsFor } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'
import { eventually, steady } from '../helpers/eventually.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { checkPattern, echo, manual, pattern, protocol } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { trunkPair } from '../helpers/trunk-pair.ts'

noStrayRejections()

const only = (trunk: Trunk): PipeStatus => {
  const { pipes } = trunk.status()
  assert.equal(pipes.length, 1)
  return pipes[0]!
}

async function waits(trunk: Trunk, what: WaitsFor): Promise<void> {
  await eventually(() => only(trunk).waitsFor === what, `it waits for ${what}`)
}

describe('status', () => {
  it('says who the peer is, how the line is and what each pipe did', async () => {
    const clock = manualClock()
    const [nearLink, farLink] = memoryPair({ clock })
    const test = manual()
    const [near, far] = await Promise.all([
      overLink(nearLink, { clock, name: 'here' }),
      overLink(farLink, { clock, name: 'there', protocols: [test.protocol] }),
    ])
    const before = near.status()
    assert.deepEqual(
      [before.state, before.peer.name, before.peer.protocols, before.version, before.transport.scheme, before.pipes],
      ['open', 'there', ['manual'], 1, 'link', []],
    )
    assert.match(before.peer.epoch, /^[0-9a-f]{16}$/)
    assert.notEqual(before.peer.epoch, far.status().peer.epoch)
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    await a.write(pattern(1000))
    await eventually(() => b.readableLength === 1000, 'it arrives')
    clock.advance(250)
    const { id } = a
    const base = { id, protocol: 'manual', ageMs: 250 }
    assert.deepEqual(only(near), {
      ...base,
      direction: 'outbound',
      bytesRead: 0,
      bytesWritten: 1000,
      creditLeft: 65_536 - 1000,
      unread: 0,
      waitsFor: 'nothing',
    })
    assert.deepEqual(only(far), {
      ...base,
      direction: 'inbound',
      bytesRead: 0,
      bytesWritten: 0,
      creditLeft: 65_536,
      unread: 1000,
      waitsFor: 'reader',
    })
    const after = near.status()
    assert.ok(after.bytesWritten > before.bytesWritten + 1000 && after.ageMs === 250)
    assert.equal(after.roundTripMs, 0)
    finish()
    a.abort(new Error('done'))
    await Promise.all([near.close(), far.close()])
    assert.equal(near.status().state, 'closed')
  })

  it('says what a pipe waits for: every value', async () => {
    let answer = (): void => undefined
    const answered = new Promise<void>((resolve) => {
      answer = resolve
    })
    let reply = (): void => undefined
    const replied = new Promise<void>((resolve) => {
      reply = resolve
    })
    let end = (): void => undefined
    const ended = new Promise<void>((resolve) => {
      end = resolve
    })
    const slow = protocol('slow', async ({ accept }) => {
      await answered
      const pipe = accept()
      await checkPattern(pipe.source)
      await replied
      await pipe.write(pattern(10))
      await pipe.closeWrite()
      await ended
    })
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [slow, test.protocol] })
    const opening = near.open('slow')
    await eventually(() => far.status().pipes.length === 1, 'it arrives')
    await waits(near, 'accept')
    await waits(far, 'handler')
    answer()
    const a = await opening
    await waits(near, 'nothing')
    await a.closeWrite()
    await waits(near, 'confirmation')
    await waits(far, 'handler')
    reply()
    await waits(near, 'reader')
    await waits(far, 'confirmation')
    assert.equal(await checkPattern(a.source), 10)
    await waits(far, 'handler')
    end()
    await a.close()
    await eventually(() => near.status().pipes.length === 0, 'it is over')

    const c = await near.open('manual')
    const { finish } = await test.next()
    const blocked = c.write(pattern(200_000))
    // nothing has left yet: that is the line's turn
    assert.equal(only(near).waitsFor, 'line')
    await waits(near, 'credit')
    await waits(far, 'reader')
    c.abort(new Error('done'))
    await blocked.catch(() => undefined)
    finish()
    await Promise.all([near.close(), far.close()])
  })

  it('measures a round trip, also for many pings at once', async () => {
    const [near, far] = await trunkPair()
    const results = await Promise.all(Array.from({ length: 100 }, () => near.ping()))
    assert.ok(results.every((ms) => ms >= 0 && ms < 5000))
    assert.ok((near.status().roundTripMs ?? -1) >= 0)
    await Promise.all([near.close(), far.close()])
  })

  it('counts what was tolerated', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const pipe = await near.open('echo')
    const sending = pipe.write(pattern(300_000)).catch(() => undefined)
    await steady(() => pipe.readableLength, 10)
    pipe.abort(new Error('enough'))
    await sending
    await eventually(() => near.status().pipes.length === 0 && far.status().pipes.length === 0, 'it is over')
    const names = ['lateFrames', 'refusedOpens', 'skippedFrames', 'staleCredits', 'strayPongs']
    for (const trunk of [near, far]) {
      assert.deepEqual(Object.keys(trunk.status().counters).sort(), names)
      for (const [name, value] of Object.entries(trunk.status().counters)) assert.ok(value >= 0, name)
    }
    await Promise.all([near.close(), far.close()])
  })
})

describe('a session that never came to be', () => {
  it('has all counters, at 0', () => {
    const link: Link = { source: [] as never, sink: async () => undefined, close: async () => undefined, abort() {} }
    const settings = resolveOptions('overLink', {})
    const traits = { lossless: true, connected: true, preferredFrameBytes: 65_536 }
    const { counters } = sessionOver(link, 'peer', { scheme: 'link', address: 'link', traits }, settings).status()
    const none = { lateFrames: 0, staleCredits: 0, refusedOpens: 0, strayPongs: 0, skippedFrames: 0 }
    assert.deepEqual(counters, none)
  })
})

describe('a silent peer', () => {
  it('is found out after keepalive and its timeout, and everything that waits is told', async () => {
    const clock = manualClock()
    const limits = { keepaliveMs: 5000, keepaliveTimeoutMs: 1000 }
    const [nearLink, farLink] = memoryPair({ clock })
    // the far side's timers stand still: it answers nothing by itself, and its line is held
    let hold = false
    const held = {
      source: farLink.source,
      sink: async (source: AsyncIterable<Uint8Array>): Promise<void> => {
        await farLink.sink(
          (async function* () {
            for await (const chunk of source) {
              if (hold) await new Promise(() => undefined)
              yield chunk
            }
          })(),
        )
      },
      close: () => farLink.close(),
      abort: (reason: Error) => farLink.abort(reason),
    }
    const test = manual()
    const [near, far] = await Promise.all([
      overLink(nearLink, { clock, limits }),
      overLink(held as never, { clock, protocols: [test.protocol] }),
    ])
    const pipe = await near.open('manual')
    const { finish } = await test.next()
    await near.ping()
    hold = true
    const pending = [pipe.source.next(), pipe.close(), near.ping(), near.closed]
    const told = Promise.all(
      pending.map(async (one) => await one.then(String, (error: unknown) => (error as { code: string }).code)),
    )
    for (let i = 0; i < 7; i++) {
      clock.advance(900)
      await steady(() => 0, 5)
    }
    assert.deepEqual(await told, Array(4).fill('ERR_KEEPALIVE_TIMEOUT'))
    finish()
    far.abort(new Error('done'))
  })
})
