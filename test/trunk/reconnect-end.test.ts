/**
 * How a trunk that outlives its sessions comes to its own end: by its user, or by what trying again
 * cannot mend.
 */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { connect, DEFAULT_LIMITS, overLink, serve, TrunkError, type Trunk } from '../../src/index.ts'
import { connectLasting, type Session } from '../../src/session/reconnecting-trunk.ts'
import { memoryPair } from '../../transports/memory.ts'
import { eventually } from '../helpers/eventually.ts'
import { lasting, LONG_MS, lose, reaches } from '../helpers/lasting.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { collect, manual, outcome } from '../helpers/protocols.ts'
import { scriptedPeer } from '../helpers/scripted-peer.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

describe('an error that trying again cannot mend', () => {
  const lastingCodes = [
    'ERR_AUTH_REQUIRED',
    'ERR_AUTH_FAILED',
    'ERR_VERSION_MISMATCH',
    'ERR_LINE_MISMATCH',
    'ERR_ACCESS',
    'ERR_DENIED',
    'ERR_UNSUPPORTED',
    'ERR_TRANSPORT_UNAVAILABLE',
    'ERR_BAD_ARGUMENT',
  ]
  for (const code of lastingCodes) {
    it(`rejects the first attempt, and closes the trunk later: ${code}`, async () => {
      const error = new TrunkError(code, 'for good', code === 'ERR_BAD_ARGUMENT' ? {} : { scope: 'link' })
      const peer = scriptedPeer()
      peer.meets = error
      const clock = manualClock()
      await assert.rejects(connect(peer.transport, { reconnect: true, clock }), error)
      assert.deepEqual([peer.attempts, clock.pending], [1, 0])
      const all = await lasting()
      await lose(all)
      all.peer.meets = error
      const waiting = outcome(all.trunk.open('echo'))
      all.clock.advance(LONG_MS)
      await assert.rejects(all.trunk.closed, error)
      assert.deepEqual(all.trunk.connection, { state: 'closed', attempt: 1, sessions: 1, error })
      assert.deepEqual([await waiting, await outcome(all.trunk.ping())], [code, code])
      await all.trunk.close()
      assert.equal(all.clock.pending, 0)
    })
  }

  it('ends the trunk when a session ends with it', async () => {
    const all = await lasting()
    await eventually(() => all.peer.trunks.length === 1, 'its end')
    all.peer.trunks[0]!.abort(new TrunkError('ERR_DENIED', 'go away'))
    await assert.rejects(all.trunk.closed, { code: 'ERR_DENIED', origin: 'remote' })
    assert.equal(all.clock.pending, 0)
  })
})

describe('the end of a reconnecting trunk', () => {
  it('is graceful towards an established session', async () => {
    const test = manual()
    const { trunk, peer, clock } = await lasting({}, { protocols: [test.protocol] })
    const pipe = await trunk.open('manual')
    const taken = await test.next()
    const closing = trunk.close()
    assert.equal(trunk.status().state, 'closing')
    assert.equal(await outcome(trunk.open('manual')), 'ERR_SESSION_CLOSED')
    await pipe.write(Buffer.from('the last words'))
    await pipe.closeWrite()
    assert.equal((await collect(taken.pipe.source)).toString(), 'the last words')
    taken.finish()
    await pipe.close()
    await closing
    await trunk.closed
    await peer.trunks[0]!.closed
    assert.deepEqual([trunk.connection.state, clock.pending], ['closed', 0])
  })

  for (const phase of ['a wait', 'an attempt'] as const) {
    for (const how of ['close', 'abort'] as const) {
      it(`comes at once by ${how} in ${phase} [R-061]`, async () => {
        const all = await lasting()
        const { trunk, peer, clock } = all
        await lose(all)
        if (phase === 'an attempt') {
          peer.meets = 'hang'
          clock.advance(LONG_MS)
          await reaches(trunk, 'connecting')
        }
        const { attempts } = peer
        if (how === 'close') await trunk.close()
        else trunk.abort(new TrunkError('ERR_QUOTA', 'enough'))
        assert.equal(await outcome(trunk.closed), how === 'close' ? 'resolved' : 'ERR_QUOTA')
        assert.equal(trunk.connection.state, 'closed')
        assert.equal(trunk.connection.error?.code, how === 'close' ? undefined : 'ERR_QUOTA')
        clock.advance(LONG_MS)
        assert.deepEqual([peer.attempts, clock.pending], [attempts, 0])
      })
    }
  }

  it('by abort fails the pipes with the reason and tells the peer', async () => {
    const { trunk, peer, clock } = await lasting()
    const pipe = await trunk.open('echo')
    const read = outcome(pipe.source.next())
    trunk.abort(new TrunkError('ERR_QUOTA', 'enough'))
    assert.deepEqual([await read, await outcome(trunk.closed)], ['ERR_QUOTA', 'ERR_QUOTA'])
    assert.equal(await outcome(peer.trunks[0]!.closed), 'ERR_QUOTA')
    trunk.abort(new Error('again'))
    await trunk.close()
    assert.equal(clock.pending, 0)
  })

  it('settles however close and abort are mixed', async () => {
    for (const first of ['close', 'abort'] as const) {
      for (const second of ['close', 'abort'] as const) {
        const { trunk, clock } = await lasting()
        for (const call of [first, second, first]) {
          if (call === 'close') void trunk.close()
          else trunk.abort(new TrunkError('ERR_QUOTA', 'enough'))
        }
        assert.equal(await outcome(trunk.closed), first === 'close' && second === 'close' ? 'resolved' : 'ERR_QUOTA')
        await trunk.close()
        assert.equal(clock.pending, 0)
      }
    }
  })

  it('comes with `await using`', async () => {
    const { peer, clock } = await lasting().then(async ({ trunk, ...rest }) => {
      await using held = trunk
      assert.equal(held.connection.state, 'open')
      return rest
    })
    await peer.trunks[0]!.closed
    assert.equal(clock.pending, 0)
  })
})

describe('an attempt that succeeds in the moment in which it is given up', () => {
  /** A trunk over dials that heed no signal; `during` runs when one has succeeded. */
  function heedless(during: (attempt: number) => void, signal?: AbortSignal) {
    const clock = manualClock()
    const far: Trunk[] = []
    const dial = async (): Promise<Session> => {
      const links = memoryPair({ clock })
      const [near, other] = await Promise.all(links.map((link) => overLink(link, { clock })))
      during(far.push(other!))
      return near as Session
    }
    const parts = { dial, protocols: new Map(), limits: DEFAULT_LIMITS, clock, onConnection: undefined }
    return { clock, far, connecting: connectLasting(parts, signal) }
  }

  it('is ended, and the call rejects with the reason', async () => {
    const controller = new AbortController()
    const reason = new Error('too late')
    const { connecting, far, clock } = heedless(() => controller.abort(reason), controller.signal)
    await assert.rejects(connecting, (error) => error === reason)
    assert.equal(await outcome(far[0]!.closed), 'ERR_ABORTED')
    assert.deepEqual([clock.pending, getEventListeners(controller.signal, 'abort').length], [0, 0])
  })

  it('is ended, and the trunk with it', async () => {
    const { connecting, far, clock } = heedless((attempt) => {
      if (attempt === 2) void trunk.close()
    })
    const trunk = await connecting
    far[0]!.abort(new Error('gone'))
    await reaches(trunk, 'waiting')
    clock.advance(LONG_MS)
    await trunk.closed
    assert.deepEqual(trunk.connection, { state: 'closed', attempt: 1, sessions: 1 })
    await far[1]!.closed
    assert.equal(clock.pending, 0)
  })
})

describe('the option', () => {
  it('is refused by what cannot dial again, and where it is no boolean', async () => {
    const bad = { reconnect: 'yes' } as unknown as object
    const options = { reconnect: true } as object
    const [link, other] = memoryPair()
    for (const call of [
      serve('memory:nobody', options),
      overLink(link, options),
      connect('memory:nobody', bad),
      serve('memory:nobody', bad),
    ])
      assert.equal(await outcome(call), 'ERR_BAD_ARGUMENT')
    await Promise.all([link.close(), other.close()])
  })

  it('gives a trunk of one session where it is false', async () => {
    const peer = scriptedPeer()
    const trunk = await connect(peer.transport, { reconnect: false })
    peer.cut()
    assert.equal(await outcome(trunk.closed), 'ERR_LINK_RESET')
    assert.equal(peer.attempts, 1)
  })
})
