import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, it } from 'node:test'
import { systemClock } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import type { Link } from '../../src/contracts/types.ts'
import { MAX_UNTAKEN_LINKS } from '../../transports/internal/link-listener.ts'
import { tcp } from '../../transports/tcp.ts'
import { transportConformance } from '../conformance/transport.ts'
import { eventually } from '../helpers/eventually.ts'
import { readAll } from '../helpers/link-traffic.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'

transportConformance('tcp [R-117]', (address) => tcp(address ?? 'tcp://127.0.0.1:0'))

const options = { signal: new AbortController().signal, clock: systemClock, limits: DEFAULT_LIMITS }

/** Both ends of a fresh connection, and the way to be rid of them. */
async function linkPair(): Promise<{ near: Link; far: Link; done: () => Promise<void> }> {
  const listener = await tcp('tcp://:0').listen(options)
  const near = await tcp(listener.address).connect(options)
  for await (const far of listener) {
    const done = async (): Promise<void> => {
      near.abort(new Error('over'))
      far.abort(new Error('over'))
      await Promise.all([near.close(), far.close(), listener.close()])
    }
    return { near, far, done }
  }
  throw new Error('the listener ended')
}

describe('tcp', () => {
  it('listens on loopback alone unless told otherwise, and tells its port [R-100] [R-114]', async () => {
    const listener = await tcp({ port: 0 }).listen(options)
    assert.match(listener.address, /^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/)
    await listener.close()
  })

  it('speaks IPv6', async (context) => {
    const listener = await tcp('tcp://[::1]:0')
      .listen(options)
      .catch((error: unknown) => {
        if (error instanceof TrunkError && error.code === 'ERR_ADDRESS_UNAVAILABLE') return undefined
        throw error
      })
    if (listener === undefined) {
      context.skip('this machine has no IPv6 loopback')
      return
    }
    assert.match(listener.address, /^tcp:\/\/\[::1\]:\d+$/)
    const link = await tcp(listener.address).connect(options)
    assert.match(link.peer ?? '', /^\[::1\]:\d+$/)
    link.abort(new Error('over'))
    await Promise.all([link.close(), listener.close()])
  })

  it('tells a reset from an end: aborting is ERR_LINK_RESET at the peer, with its cause [R-118]', async () => {
    const { near, far, done } = await linkPair()
    const reading = readAll(far)
    near.abort(new Error('enough'))
    await assert.rejects(reading, (error: TrunkError) => {
      assert.equal(error.code, 'ERR_LINK_RESET')
      assert.equal(error.scope, 'link')
      assert.equal((error.cause as NodeJS.ErrnoException).code, 'ECONNRESET')
      return true
    })
    await done()
  })

  it('refuses a write before drain and a write after end', async () => {
    const { near, done } = await linkPair()
    near.direct?.start({ data: () => undefined, end: () => undefined, fail: () => undefined, drain: () => undefined })
    const big = [new Uint8Array(32 * 1024 * 1024)]
    assert.equal(near.direct?.write(big), false)
    assert.throws(() => near.direct?.write(big), { code: 'ERR_BAD_ARGUMENT' })
    near.direct.end()
    await done()
  })

  it('gives up a dial that nobody answers when its time has passed [R-108]', async () => {
    const before = countHandles()
    const listener = await tcp('tcp://:0').listen(options)
    const clock = manualClock()
    const dialling = tcp(listener.address).connect({ ...options, clock })
    // Before the event loop turns, the kernel's answer has not been heard.
    clock.advance(DEFAULT_LIMITS.connectTimeoutMs)
    await assert.rejects(dialling, { code: 'ERR_CONNECT_TIMEOUT', scope: 'link' })
    const link = await tcp(listener.address).connect({ ...options, clock })
    assert.equal(clock.pending, 0, 'neither dial left its timer')
    link.abort(new Error('over'))
    await link.close()
    assert.equal(clock.pending, 0)
    await listener.close()
    await nothingLeft(before)
  })

  it('says which host is unknown', async () => {
    await assert.rejects(tcp('tcp://no-such-host.invalid:7000').connect(options), { code: 'ERR_NAME_NOT_FOUND' })
  })

  it('holds a bounded number of links that nobody takes, and destroys further ones [R-109]', async () => {
    const before = countHandles()
    const listener = await tcp({ port: 0 }).listen(options)
    const { port } = new URL(listener.address)
    let closed = 0
    const sockets = Array.from({ length: MAX_UNTAKEN_LINKS + 10 }, () => {
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => undefined)
      socket.once('close', () => closed++)
      socket.resume()
      return socket
    })
    await eventually(() => closed === 10, 'ten are cut')
    await listener.close()
    await eventually(() => closed === sockets.length, 'the others go with the listener')
    await nothingLeft(before)
  })
})
