/** When a reconnecting trunk dials, and what it says of it meanwhile. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { connect, TrunkError, type ConnectionStatus, type ReconnectingTrunk } from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import { manualClock, type ManualClock } from '../helpers/manual-clock.ts'
import { scriptedPeer, type ScriptedPeer } from '../helpers/scripted-peer.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const FIGURES_MS = [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]
const refused = new TrunkError('ERR_CONNECT_REFUSED', 'nobody is there', { scope: 'link' })

/** Starts to connect; `told` is everything that was told. */
function connecting(peer: ScriptedPeer, signal?: AbortSignal) {
  const clock = manualClock()
  const told: ConnectionStatus[] = []
  const onConnection = (status: ConnectionStatus) => told.push(status)
  const trunk = connect(peer.transport, {
    reconnect: true,
    clock,
    onConnection,
    ...(signal === undefined ? {} : { signal }),
  })
  return { clock, told, trunk }
}

const isWaiting = (told: readonly ConnectionStatus[]) => told.at(-1)?.state === 'waiting'

/**
 * Turns the clock through one wait, and checks that the next attempt is made at its end and not
 * before. Gives its length.
 */
async function oneWait(peer: ScriptedPeer, clock: ManualClock, told: readonly ConnectionStatus[]): Promise<number> {
  await eventually(() => isWaiting(told), 'a wait')
  const { retryInMs = -1 } = told.at(-1)!
  const { attempts } = peer
  assert.equal(clock.pending, 1, 'the wait is the only timer')
  clock.advance(retryInMs - 0.5)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(peer.attempts, attempts, 'half a millisecond early')
  clock.advance(0.5)
  await eventually(() => peer.attempts === attempts + 1, 'the next attempt')
  return retryInMs
}

function assertFigure(ms: number, figureMs: number): void {
  assert.ok(ms >= figureMs * 0.8 && ms <= figureMs * 1.2, `${ms} ms instead of ${figureMs} ms, give or take 20 %`)
}

describe('the waits of a reconnecting trunk', () => {
  it('grow from 100 ms to 5 s, ±20 %, with one attempt at a time, before the first session [R-061]', async () => {
    const peer = scriptedPeer()
    peer.meets = refused
    const { clock, told, trunk } = connecting(peer)
    for (const figure of FIGURES_MS) assertFigure(await oneWait(peer, clock, told), figure)
    await eventually(() => isWaiting(told), 'the last attempt has failed')
    peer.meets = 'answer'
    await oneWait(peer, clock, told)
    const { connection } = await trunk
    assert.deepEqual(connection, { state: 'open', attempt: FIGURES_MS.length + 2, sessions: 1 })
    assert.equal(peer.mostAtOnce, 1)
    await (await trunk).close()
    assert.equal(clock.pending, 0)
  })

  it('grow likewise after a session, and start anew after the next one that stood for a second [R-061]', async () => {
    const peer = scriptedPeer()
    const { clock, told, trunk } = connecting(peer)
    const lasting = await trunk
    for (const figures of [FIGURES_MS, FIGURES_MS]) {
      clock.advance(1_000)
      peer.cut()
      peer.meets = refused
      for (const figure of figures) assertFigure(await oneWait(peer, clock, told), figure)
      peer.meets = 'answer'
      await eventually(() => isWaiting(told), 'the last attempt has failed')
      await oneWait(peer, clock, told)
      await eventually(() => lasting.connection.state === 'open', 'a session')
    }
    assert.equal(peer.mostAtOnce, 1)
    await lasting.close()
  })

  it('grow when sessions come and are lost within a second [R-061]', async () => {
    const peer = scriptedPeer()
    const { clock, told, trunk } = connecting(peer)
    const lasting = await trunk
    for (const figure of FIGURES_MS) {
      clock.advance(999)
      peer.cut()
      assertFigure(await oneWait(peer, clock, told), figure)
      await eventually(() => lasting.connection.state === 'open', 'a session')
    }
    await lasting.close()
  })

  for (const phase of ['a wait', 'an attempt'] as const) {
    it(`end at once when the signal aborts in ${phase}, with its reason, and nothing is left [R-061]`, async () => {
      const controller = new AbortController()
      const peer = scriptedPeer()
      peer.meets = phase === 'a wait' ? refused : 'hang'
      const { clock, told, trunk } = connecting(peer, controller.signal)
      await eventually(() => told.at(-1)?.state === (phase === 'a wait' ? 'waiting' : 'connecting'), phase)
      const reason = new Error('changed my mind')
      controller.abort(reason)
      await assert.rejects(trunk, (error) => error === reason)
      assert.equal(told.at(-1)?.state, 'closed')
      clock.advance(60_000)
      assert.deepEqual([peer.attempts, clock.pending], [1, 0])
      assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
    })
  }

  it('do not begin where the signal has aborted before', async () => {
    const peer = scriptedPeer()
    const reason = new Error('never mind')
    const { trunk } = connecting(peer, AbortSignal.abort(reason))
    await assert.rejects(trunk, (error) => error === reason)
    assert.equal(peer.attempts, 0)
  })

  it('are not ended by the signal once there was a session', async () => {
    const controller = new AbortController()
    const peer = scriptedPeer()
    const { clock, told, trunk } = connecting(peer, controller.signal)
    const lasting = await trunk
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
    controller.abort()
    peer.cut()
    await oneWait(peer, clock, told)
    await eventually(() => lasting.connection.state === 'open', 'the next session')
    await lasting.close()
  })

  it('are told of by onConnection, each step from the first attempt on', async () => {
    const peer = scriptedPeer()
    peer.meets = refused
    const { clock, told, trunk } = connecting(peer)
    await eventually(() => isWaiting(told), 'the first wait')
    peer.meets = 'answer'
    await oneWait(peer, clock, told)
    const lasting = await trunk
    peer.cut()
    await oneWait(peer, clock, told)
    await eventually(() => lasting.connection.state === 'open', 'the next session')
    await lasting.close()
    assert.deepEqual(
      told.map(({ state, attempt, sessions, error }) => [state, attempt, sessions, error?.code]),
      [
        ['connecting', 1, 0, undefined],
        ['waiting', 1, 0, 'ERR_CONNECT_REFUSED'],
        ['connecting', 2, 0, 'ERR_CONNECT_REFUSED'],
        ['open', 2, 1, undefined],
        ['waiting', 0, 1, 'ERR_LINK_RESET'],
        ['connecting', 1, 1, 'ERR_LINK_RESET'],
        ['open', 1, 2, undefined],
        ['closed', 1, 2, undefined],
      ],
    )
  })

  it('follow an error that is no TrunkError as any other', async () => {
    const peer = scriptedPeer()
    const broken = new RangeError('mine')
    peer.meets = Promise.reject(broken)
    const { clock, told, trunk } = connecting(peer)
    await eventually(() => isWaiting(told), 'a wait')
    assert.deepEqual([told.at(-1)?.error?.code, told.at(-1)?.error?.cause], ['ERR_LINK_FAILED', broken])
    peer.meets = 'answer'
    await oneWait(peer, clock, told)
    await (await trunk).close()
  })
})

/** The iterator with the type of its end, which `AsyncIterable` leaves open. */
function iterate(trunk: ReconnectingTrunk): AsyncIterator<ConnectionStatus, undefined> {
  return trunk.watch()[Symbol.asyncIterator]() as AsyncIterator<ConnectionStatus, undefined>
}

describe('watching a reconnecting trunk', () => {
  async function start(): Promise<{ trunk: ReconnectingTrunk; peer: ScriptedPeer; clock: ManualClock }> {
    const peer = scriptedPeer()
    const { clock, trunk } = connecting(peer)
    return { peer, clock, trunk: await trunk }
  }

  it('gives the present status, then each change, and ends after closed', async () => {
    const { trunk, peer, clock } = await start()
    const seen: string[] = []
    const watching = (async () => {
      for await (const { state } of trunk.watch()) seen.push(state)
    })()
    await eventually(() => seen.length === 1, 'the present')
    peer.cut()
    await eventually(() => seen.length === 2, 'the loss')
    clock.advance(200)
    await eventually(() => seen.at(-1) === 'open', 'the return')
    await trunk.close()
    await watching
    assert.deepEqual(seen, ['open', 'waiting', 'connecting', 'open', 'closed'])
  })

  it('gives a slow reader the latest status, and closed always', async () => {
    const { trunk, peer, clock } = await start()
    const slow = iterate(trunk)
    assert.equal((await slow.next()).value?.state, 'open')
    peer.cut()
    await eventually(() => trunk.connection.state === 'waiting', 'the loss')
    clock.advance(200)
    await eventually(() => trunk.connection.state === 'open', 'the return')
    const { value } = await slow.next()
    assert.deepEqual([value?.state, value?.sessions], ['open', 2])
    await trunk.close()
    assert.equal((await slow.next()).value?.state, 'closed')
    assert.deepEqual(await slow.next(), { done: true, value: undefined })
    const late = iterate(trunk)
    assert.equal((await late.next()).value?.state, 'closed')
    assert.equal((await late.next()).done, true)
  })

  it('ends for a reader that leaves, also while it waits', async () => {
    const { trunk } = await start()
    for await (const { state } of trunk.watch()) {
      assert.equal(state, 'open')
      break
    }
    const iterator = iterate(trunk)
    await iterator.next()
    const [first, second] = [iterator.next(), iterator.next()]
    assert.equal((await iterator.return?.())?.done, true)
    assert.deepEqual([(await first).done, (await second).done], [true, true])
    assert.equal((await iterator.next()).done, true)
    await trunk.close()
  })
})
