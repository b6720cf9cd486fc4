/** A trunk that outlives its sessions, with time turned by hand. The figures of the waits are in reconnect-waits.test.ts. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { tcpListen } from '../../protocols/tcp-listener.ts'
import {
  connect,
  overLink,
  serve,
  DEFAULT_LIMITS,
  TrunkError,
  type ConnectionStatus,
  type ReconnectingTrunk,
  type Trunk,
  type TrunkOptions,
} from '../../src/index.ts'
import { connectLasting, type Session } from '../../src/reconnecting-trunk.ts'
import { memoryPair } from '../../transports/memory.ts'
import { eventually } from '../helpers/eventually.ts'
import { manualClock, type ManualClock } from '../helpers/manual-clock.ts'
import { collect, echo, manual, outcome, protocol } from '../helpers/protocols.ts'
import { scriptedPeer, type ScriptedPeer } from '../helpers/scripted-peer.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

/** Longer than any wait. */
const LONG_MS = 6_000

interface Lasting {
  readonly trunk: ReconnectingTrunk
  readonly peer: ScriptedPeer
  readonly clock: ManualClock
}

async function lasting(
  options: TrunkOptions = {},
  peerOptions: TrunkOptions = { protocols: [echo] },
): Promise<Lasting> {
  const clock = manualClock()
  const peer = scriptedPeer(peerOptions)
  return { peer, clock, trunk: await connect(peer.transport, { ...options, clock, reconnect: true }) }
}

const reaches = (trunk: ReconnectingTrunk, state: ConnectionStatus['state']) =>
  eventually(() => trunk.connection.state === state, state)

/** Cuts the line and waits until that is noticed. */
async function lose({ trunk, peer }: Lasting): Promise<void> {
  await eventually(() => peer.trunks.length === trunk.connection.sessions, 'the session at the other end')
  peer.cut()
  await reaches(trunk, 'waiting')
}

/** Lets the wait pass and the next session come. */
async function regain({ trunk, clock }: Lasting): Promise<void> {
  clock.advance(LONG_MS)
  await reaches(trunk, 'open')
}

async function echoed(trunk: ReconnectingTrunk): Promise<string> {
  const pipe = await trunk.open('echo', undefined, { early: Buffer.from('there and back'), end: true })
  return (await collect(pipe.source)).toString()
}

describe('a reconnecting trunk', () => {
  it('has a session when it is given, and another one after a loss', async () => {
    const all = await lasting()
    const { trunk, peer } = all
    assert.deepEqual(trunk.connection, { state: 'open', attempt: 1, sessions: 1 })
    assert.equal(await echoed(trunk), 'there and back')
    await lose(all)
    const { retryInMs = 0, error, ...rest } = trunk.connection
    assert.deepEqual(rest, { state: 'waiting', attempt: 0, sessions: 1 })
    assert.equal(error?.code, 'ERR_LINK_RESET')
    assert.ok(retryInMs >= 80 && retryInMs <= 120, `${retryInMs} ms`)
    await regain(all)
    assert.deepEqual(trunk.connection, { state: 'open', attempt: 1, sessions: 2 })
    assert.equal(await echoed(trunk), 'there and back')
    assert.equal(peer.attempts, 2)
    await trunk.close()
    assert.deepEqual(trunk.connection, { state: 'closed', attempt: 1, sessions: 2 })
  })

  it('fails the pipes of a lost session with its code', async () => {
    const test = manual()
    const all = await lasting({}, { protocols: [test.protocol] })
    const pipe = await all.trunk.open('manual')
    const taken = await test.next()
    const read = outcome(pipe.source.next())
    const closing = outcome(pipe.close())
    await lose(all)
    assert.deepEqual(await Promise.all([read, closing]), ['ERR_LINK_RESET', 'ERR_LINK_RESET'])
    assert.equal(await outcome(pipe.write(Buffer.from('x'))), 'ERR_LINK_RESET')
    taken.finish()
    await all.trunk.close()
  })

  for (const [how, end, code] of [
    ['closes', async ({ peer }: Lasting) => await peer.trunks[0]?.close(), 'ERR_SESSION_CLOSED'],
    [
      'aborts',
      async ({ peer }: Lasting) => peer.trunks[0]?.abort(new TrunkError('ERR_PEER_RESTARTED', 'new')),
      'ERR_PEER_RESTARTED',
    ],
    ['breaks off', async ({ peer }: Lasting) => peer.cut(), 'ERR_LINK_RESET'],
  ] as const) {
    it(`dials again when the peer ${how}`, async () => {
      const all = await lasting()
      await eventually(() => all.peer.trunks.length === 1, 'its end')
      await end(all)
      await reaches(all.trunk, 'waiting')
      assert.equal(all.trunk.connection.error?.code, code)
      await regain(all)
      assert.equal(await echoed(all.trunk), 'there and back')
      await all.trunk.close()
    })
  }

  it('serves its protocols in every session, those that were added between two as well', async () => {
    const later = protocol('later', async ({ accept }) => {
      await accept().write(Buffer.from('later'))
    })
    const all = await lasting({ protocols: [echo] }, {})
    const { trunk, peer } = all
    await eventually(() => peer.trunks.length === 1, 'the first session')
    trunk.handle(later)
    assert.throws(() => trunk.handle(later), { code: 'ERR_BAD_ARGUMENT' })
    const here = await peer.trunks[0]!.open('later')
    assert.equal((await collect(here.source)).toString(), 'later')
    await lose(all)
    trunk.handle({ ...later, name: 'latest' })
    await regain(all)
    await eventually(() => peer.trunks.length === 2, 'the second session')
    assert.deepEqual(peer.trunks[1]!.status().peer.protocols, ['echo', 'later', 'latest'])
    for (const name of ['later', 'latest']) {
      const pipe = await peer.trunks[1]!.open(name)
      assert.equal((await collect(pipe.source)).toString(), 'later')
    }
    await trunk.close()
  })

  it('serves a protocol that is added while an attempt is under way', async () => {
    const all = await lasting({}, {})
    const { trunk, peer, clock } = all
    await lose(all)
    let answer!: () => void
    peer.meets = new Promise((resolve) => (answer = resolve))
    clock.advance(LONG_MS)
    await reaches(trunk, 'connecting')
    trunk.handle(echo)
    answer()
    await reaches(trunk, 'open')
    await eventually(() => peer.trunks.length === 2, 'the second session')
    const pipe = await peer.trunks[1]!.open('echo', undefined, { early: Buffer.from('x'), end: true })
    assert.equal((await collect(pipe.source)).toString(), 'x')
    await trunk.close()
  })

  it('says by `status` which session it speaks of', async () => {
    const all = await lasting({}, { name: 'guest', protocols: [echo] })
    const { trunk, peer, clock } = all
    const { epoch } = trunk.status().peer
    assert.equal(trunk.status().state, 'open')
    await lose(all)
    assert.deepEqual([trunk.status().state, trunk.status().peer.name, trunk.status().pipes], ['waiting', 'guest', []])
    peer.meets = 'hang'
    clock.advance(LONG_MS)
    await reaches(trunk, 'connecting')
    assert.deepEqual([trunk.status().state, trunk.status().peer.epoch], ['connecting', epoch])
    await trunk.close()
    assert.equal(trunk.status().state, 'closed')
  })
})

describe('a call between two sessions', () => {
  it('waits for the next one', async () => {
    const all = await lasting()
    await lose(all)
    const both = Promise.all([echoed(all.trunk), all.trunk.ping()])
    await regain(all)
    const [text, ms] = await both
    assert.equal(text, 'there and back')
    assert.equal(typeof ms, 'number')
    await all.trunk.close()
  })

  it('waits as well when the session is ending and the next one has to be dialled', async () => {
    const test = manual()
    const all = await lasting({}, { protocols: [echo, test.protocol] })
    const { trunk, peer } = all
    const held = await trunk.open('manual')
    const taken = await test.next()
    const closing = peer.trunks[0]!.close()
    await eventually(() => trunk.status().state === 'closing', 'the peer says that it closes')
    const text = echoed(trunk)
    taken.finish()
    await held.close()
    await closing
    await reaches(trunk, 'waiting')
    await regain(all)
    assert.equal(await text, 'there and back')
    await trunk.close()
  })

  it('ends when its signal aborts, with its reason, and leaves nothing', async () => {
    const all = await lasting()
    const { trunk } = all
    await lose(all)
    const { signal, controller } = withSignal()
    const reason = new Error('no time')
    const waiting = [trunk.open('echo', undefined, { signal }), trunk.ping({ signal })]
    controller.abort(reason)
    for (const call of [...waiting, trunk.open('echo', undefined, { signal }), trunk.ping({ signal })])
      await assert.rejects(call, (error) => error === reason)
    assert.equal(getEventListeners(signal, 'abort').length, 0)
    await trunk.close()
  })

  it('is refused at once where it is wrong in itself', async () => {
    const all = await lasting()
    await lose(all)
    const wrong: [string, unknown, object][] = [
      ['', undefined, {}],
      ['echo', undefined, { version: 0 }],
      ['echo', undefined, { early: 'text' }],
      ['echo', 'x'.repeat(5_000), {}],
    ]
    for (const [name, params, options] of wrong)
      assert.equal(await outcome(all.trunk.open(name, params, options)), 'ERR_BAD_ARGUMENT')
    await all.trunk.close()
  })

  it('is one of maxPipes at most; one more is refused', async () => {
    const all = await lasting({ limits: { maxPipes: 3 } })
    const { trunk } = all
    await lose(all)
    const waiting = [1, 2, 3].map(() => echoed(trunk))
    assert.equal(await outcome(trunk.open('echo')), 'ERR_PIPE_LIMIT')
    assert.equal(await outcome(trunk.ping()), 'ERR_PIPE_LIMIT')
    await regain(all)
    assert.deepEqual(await Promise.all(waiting), Array(3).fill('there and back'))
    await trunk.close()
  })

  for (const [how, end, code] of [
    ['is closed', (trunk: ReconnectingTrunk) => void trunk.close(), 'ERR_SESSION_CLOSED'],
    ['is aborted', (trunk: ReconnectingTrunk) => trunk.abort(new TrunkError('ERR_QUOTA', 'enough')), 'ERR_QUOTA'],
  ] as const) {
    it(`fails when the trunk ${how}`, async () => {
      const all = await lasting()
      await lose(all)
      const waiting = [outcome(all.trunk.open('echo')), outcome(all.trunk.ping())]
      end(all.trunk)
      const later = [outcome(all.trunk.open('echo')), outcome(all.trunk.ping())]
      assert.deepEqual(await Promise.all([...waiting, ...later]), Array(4).fill(code))
    })
  }

  it('does not carry what belongs to one session over into the next: a listening ends', async () => {
    const asked: unknown[] = []
    const listener = protocol('tcp-listener', async ({ params, accept, signal }) => {
      asked.push(params)
      const { op } = params as { op: string }
      if (op === 'listen') accept({ op: 'listen', listener: 1, host: '127.0.0.1', port: 1 })
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    })
    const all = await lasting({}, { protocols: [echo, listener] })
    const listening = await tcpListen(all.trunk, { port: 1 })
    const next = outcome(listening[Symbol.asyncIterator]().next())
    await eventually(() => asked.length === 3, 'a listen and two accepts')
    await lose(all)
    assert.equal(await next, 'ERR_LINK_RESET')
    await regain(all)
    assert.equal(await echoed(all.trunk), 'there and back')
    assert.equal(asked.length, 3)
    await all.trunk.close()
  })
})

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
  it('is graceful towards a session that stands', async () => {
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
    const bad = { reconnect: 'yes' } as unknown as TrunkOptions
    const options = { reconnect: true }
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

function withSignal(): { controller: AbortController; signal: AbortSignal } {
  const controller = new AbortController()
  return { controller, signal: controller.signal }
}
