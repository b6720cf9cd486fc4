import assert from 'node:assert/strict'
import { Duplex, PassThrough } from 'node:stream'
import { describe, it } from 'node:test'
import type { TrunkError } from '../../src/contracts/errors.ts'
import { linkFromDuplex } from '../../transports/duplex.ts'
import { readAll } from '../helpers/link-traffic.ts'
import { manualClock } from '../helpers/manual-clock.ts'

const nothing = { data: () => undefined, end: () => undefined, fail: () => undefined, drain: () => undefined }

describe('a link from a duplex', () => {
  it('hands a batch of direct writes over in one writev, and says whether it has left', () => {
    const calls: number[] = []
    let leave: (() => void) | undefined
    const duplex = new Duplex({
      read: () => undefined,
      writev(chunks, callback) {
        calls.push(chunks.length)
        leave = callback
      },
    })
    let drains = 0
    const link = linkFromDuplex(duplex)
    link.direct?.start({ ...nothing, drain: () => drains++ })
    const batch = Array.from({ length: 10 }, () => new Uint8Array(100))
    assert.equal(link.direct?.write(batch), false)
    assert.deepEqual(calls, [10])
    assert.equal(drains, 0)
    leave?.()
    link.abort(new Error('over'))
  })

  it('reports a system error as a reset, with its cause [R-118]', async () => {
    const duplex = new Duplex({ read: () => undefined, write: () => undefined })
    const link = linkFromDuplex(duplex)
    const reading = readAll(link)
    duplex.destroy(Object.assign(new Error('reset'), { code: 'ECONNRESET' }))
    await assert.rejects(reading, (error: TrunkError) => error.code === 'ERR_LINK_RESET' && error.scope === 'link')
    await link.close()
    assert.equal(duplex.listenerCount('error') + duplex.listenerCount('data') + duplex.listenerCount('close'), 0)
  })

  it('gives its source what it has read before the reset that came after it [R-553]', async () => {
    const duplex = new Duplex({ read: () => undefined, write: () => undefined })
    const chunks: string[] = []
    const reading = (async () => {
      for await (const chunk of linkFromDuplex(duplex).source) {
        chunks.push(Buffer.from(chunk as Uint8Array).toString())
        if (chunks.length > 1) continue
        for (const more of ['second', 'third']) duplex.push(more)
        duplex.destroy(Object.assign(new Error('reset'), { code: 'ECONNRESET' }))
        await new Promise((resolve) => duplex.once('close', resolve))
      }
    })()
    duplex.push('first')
    await assert.rejects(reading, { code: 'ERR_LINK_RESET' })
    assert.equal(chunks.join(''), 'firstsecondthird')
  })

  it('does not take a closing without an end for an end', async () => {
    const duplex = new Duplex({ read: () => undefined, write: () => undefined })
    const reading = readAll(linkFromDuplex(duplex))
    duplex.destroy()
    await assert.rejects(reading, { code: 'ERR_LINK_LOST' })
  })

  it('settles a close by the clock where the duplex never tells that it closed', async () => {
    const clock = manualClock()
    const duplex = new Duplex({ read: () => undefined, write: () => undefined, emitClose: false })
    const link = linkFromDuplex(duplex, { clock, closeTimeoutMs: 70 })
    const closing = link.close()
    clock.advance(70)
    await closing
    assert.ok(duplex.destroyed, 'the duplex is destroyed')
  })

  it('refuses what carries no bytes or is over [R-079]', () => {
    const over = new PassThrough()
    over.destroy()
    const text = new PassThrough()
    text.setEncoding('utf8')
    for (const duplex of [new PassThrough({ objectMode: true }), over, text]) {
      assert.throws(() => linkFromDuplex(duplex), { code: 'ERR_BAD_ARGUMENT' })
    }
    for (const closeTimeoutMs of [0, -1, 1.5, NaN, 2 ** 31]) {
      assert.throws(() => linkFromDuplex(new PassThrough(), { closeTimeoutMs }), { code: 'ERR_BAD_ARGUMENT' })
    }
  })
})
