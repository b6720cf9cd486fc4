/**
 * A trunk that outlives its sessions: what its users see of a loss. When it dials is in
 * reconnect-waits.test.ts, how it ends in reconnect-end.test.ts.
 */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { tcpListen } from '../../protocols/tcp-listener.ts'
import { TrunkError, type ReconnectingTrunk } from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import { lasting, LONG_MS, lose, reaches, regain, type Lasting } from '../helpers/lasting.ts'
import { collect, echo, manual, outcome, protocol } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

async function echoed(trunk: ReconnectingTrunk): Promise<string> {
  const pipe = await trunk.open('echo', undefined, { body: Buffer.from('there and back') })
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
    const pipe = await peer.trunks[1]!.open('echo', undefined, { body: Buffer.from('x') })
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

  it('fails at once when the trunk is closed while the peer is still closing the session', async () => {
    const test = manual()
    const { trunk, peer } = await lasting({}, { protocols: [echo, test.protocol] })
    const held = await trunk.open('manual')
    const taken = await test.next()
    const closing = peer.trunks[0]!.close()
    await eventually(() => trunk.status().state === 'closing', 'the peer says that it closes')
    const waiting = outcome(trunk.open('echo'))
    const closed = trunk.close()
    assert.equal(await waiting, 'ERR_SESSION_CLOSED')
    assert.equal(trunk.connection.state, 'open', 'the pipe that is open keeps the session')
    taken.finish()
    await held.close()
    await Promise.all([closing, closed, trunk.closed])
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
      ['echo', undefined, { body: 'text' }],
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
    // those that gave up do not count
    const { controller, signal } = withSignal()
    const gaveUp = [1, 2, 3].map(() => outcome(trunk.open('echo', undefined, { signal })))
    controller.abort(new TrunkError('ERR_ABORTED', 'no time'))
    assert.deepEqual(await Promise.all(gaveUp), Array(3).fill('ERR_ABORTED'))
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

function withSignal(): { controller: AbortController; signal: AbortSignal } {
  const controller = new AbortController()
  return { controller, signal: controller.signal }
}
