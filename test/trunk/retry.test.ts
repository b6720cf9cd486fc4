/**
 * `connect` with `retry`: it waits for the peer, and gives a trunk of one session. And what
 * `onConnection` tells without `reconnect`.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connect, DEFAULT_LIMITS, TrunkError, type ConnectionStatus } from '../../src/index.ts'
import { dialSession } from '../../src/session/dial-session.ts'
import type { Session } from '../../src/session/reconnecting-trunk.ts'
import { eventually } from '../helpers/eventually.ts'
import { LONG_MS } from '../helpers/lasting.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { checkPattern, echo, outcome, pattern } from '../helpers/protocols.ts'
import { scriptedPeer } from '../helpers/scripted-peer.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const NOBODY = new TrunkError('ERR_CONNECT_REFUSED', 'nobody is there', { scope: 'link' })

/** Each status in a word: `waiting 2 ERR_CONNECT_REFUSED`. */
function words(told: readonly ConnectionStatus[]): string[] {
  return told.map(({ state, attempt, sessions, error }) =>
    [state, attempt, sessions, error?.code ?? ''].join(' ').trim(),
  )
}

describe('connect with retry', () => {
  it('waits for the peer, one attempt at a time, and tells why', async () => {
    const [clock, peer, told] = [manualClock(), scriptedPeer({ protocols: [echo] }), [] as ConnectionStatus[]]
    peer.meets = NOBODY
    const connecting = connect(peer.transport, { retry: true, clock, onConnection: (status) => told.push(status) })
    for (const attempts of [1, 2]) {
      await eventually(() => peer.attempts === attempts && clock.pending === 1, `attempt ${attempts} and its wait`)
      assert.equal(told.at(-1)?.state, 'waiting')
      assert.ok((told.at(-1)?.retryInMs ?? 0) >= 80 * attempts)
      clock.advance(LONG_MS)
    }
    await eventually(() => peer.attempts === 3 && clock.pending === 1, 'the third')
    peer.meets = 'answer'
    clock.advance(LONG_MS)
    const trunk = await connecting
    const refused = 'ERR_CONNECT_REFUSED'
    assert.deepEqual(words(told), [
      'connecting 1 0',
      `waiting 1 0 ${refused}`,
      `connecting 2 0 ${refused}`,
      `waiting 2 0 ${refused}`,
      `connecting 3 0 ${refused}`,
      `waiting 3 0 ${refused}`,
      `connecting 4 0 ${refused}`,
      'open 4 1',
    ])
    assert.equal(peer.mostAtOnce, 1)
    const pipe = await trunk.open('echo', undefined, { body: pattern(1000) })
    assert.equal(await checkPattern(pipe), 1000)
    await trunk.close()
    assert.equal(words(told).at(-1), 'closed 4 1')
    assert.equal(clock.pending, 0)
  })

  it('does not dial again when the session is lost', async () => {
    const [clock, peer, told] = [manualClock(), scriptedPeer(), [] as ConnectionStatus[]]
    const trunk = await connect(peer.transport, { retry: true, clock, onConnection: (status) => told.push(status) })
    await eventually(() => peer.trunks.length === 1, 'the other end')
    peer.cut()
    await assert.rejects(trunk.closed, { code: 'ERR_LINK_RESET' })
    clock.advance(LONG_MS)
    await eventually(() => told.length === 3, 'its end')
    assert.deepEqual(words(told), ['connecting 1 0', 'open 1 1', 'closed 1 1 ERR_LINK_RESET'])
    assert.equal(await outcome(trunk.open('echo')), 'ERR_LINK_RESET')
    assert.equal('watch' in trunk, false)
    assert.deepEqual([peer.attempts, clock.pending], [1, 0])
  })

  it('ends with its signal, in a wait and in an attempt, and leaves nothing', async () => {
    for (const phase of ['wait', 'attempt']) {
      const [clock, peer, told] = [manualClock(), scriptedPeer(), [] as ConnectionStatus[]]
      peer.meets = phase === 'wait' ? NOBODY : 'hang'
      const controller = new AbortController()
      const { signal } = controller
      const options = { retry: true, clock, signal, onConnection: (status: ConnectionStatus) => told.push(status) }
      const connecting = outcome(connect(peer.transport, options))
      await eventually(() => peer.attempts === 1 && clock.pending === 1, phase)
      controller.abort(new TrunkError('MY_CODE', 'why'))
      assert.equal(await connecting, 'MY_CODE')
      assert.equal(words(told).at(-1), 'closed 1 0 MY_CODE')
      assert.equal(clock.pending, 0)
    }
  })

  it('ends with an error that another attempt cannot cure', async () => {
    const [clock, peer] = [manualClock(), scriptedPeer()]
    peer.meets = new TrunkError('ERR_AUTH_FAILED', 'wrong token')
    await assert.rejects(connect(peer.transport, { retry: true, clock }), peer.meets)
    assert.deepEqual([peer.attempts, clock.pending], [1, 0])
  })

  it('gives no session that its signal aborted in the moment of success', async () => {
    for (const retry of [true, false]) {
      const reason = new TrunkError('MY_CODE', 'why')
      const controller = new AbortController()
      let aborted: Error | undefined
      const session = {
        abort: (error: Error) => (aborted = error),
        closed: Promise.reject(reason),
      } as unknown as Session
      session.closed.catch(() => undefined)
      const dial = async (): Promise<Session> => {
        controller.abort(reason)
        return session
      }
      const clock = manualClock()
      const parts = { dial, protocols: new Map(), limits: DEFAULT_LIMITS, clock, onConnection: undefined }
      assert.equal(await outcome(dialSession(parts, controller.signal, retry)), 'MY_CODE')
      assert.equal(aborted, reason)
    }
  })

  it('refuses what is no boolean', async () => {
    for (const bad of ['yes', 1, null])
      assert.equal(await outcome(connect('memory:nobody', { retry: bad } as object)), 'ERR_BAD_ARGUMENT')
  })
})

describe('connect without retry', () => {
  it('makes one attempt, and tells of it', async () => {
    const [clock, peer, told] = [manualClock(), scriptedPeer(), [] as ConnectionStatus[]]
    const onConnection = (status: ConnectionStatus): void => void told.push(status)
    peer.meets = NOBODY
    await assert.rejects(connect(peer.transport, { clock, onConnection }), NOBODY)
    peer.meets = 'answer'
    const trunk = await connect(peer.transport, { clock, onConnection })
    await trunk.close()
    assert.deepEqual(words(told), [
      'connecting 1 0',
      'closed 1 0 ERR_CONNECT_REFUSED',
      'connecting 1 0',
      'open 1 1',
      'closed 1 1',
    ])
    assert.equal(clock.pending, 0)
  })
})
