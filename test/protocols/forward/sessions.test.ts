/** A forward between two sessions, with time turned by hand. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTo } from 'node:net'
import { describe, it } from 'node:test'
import { forwardLocal, forwardRemote, type ForwardFailure } from '../../../protocols/forward/index.ts'
import { connect, TrunkError } from '../../../src/index.ts'
import { eventually } from '../../helpers/eventually.ts'
import { manualClock } from '../../helpers/manual-clock.ts'
import { collect, echo, protocol } from '../../helpers/protocols.ts'
import { scriptedPeer } from '../../helpers/scripted-peer.ts'
import { noStrayRejections } from '../../helpers/stray-rejections.ts'

noStrayRejections()

const TO = { host: '127.0.0.1', port: 1 }

async function lost(protocols = [echo]) {
  const clock = manualClock()
  const peer = scriptedPeer({ protocols })
  const trunk = await connect(peer.transport, { reconnect: true, clock })
  const told: ForwardFailure[] = []
  return {
    clock,
    peer,
    trunk,
    options: { listen: { port: 0 }, to: TO, clock, onFailure: (failure: ForwardFailure) => void told.push(failure) },
    told: () => told.map(({ phase, forward, error }) => `${phase} ${forward}: ${error.code}: ${error.message}`),
    async lose() {
      await eventually(() => peer.trunks.length === trunk.connection.sessions, 'the other end')
      peer.cut()
      await eventually(() => trunk.connection.state === 'waiting', 'the loss')
    },
  }
}

describe('forwardLocal between two sessions', () => {
  it('resets a connection that has waited 10 s for a session, and tells so', async () => {
    const { clock, options, peer, trunk, told, lose } = await lost()
    const forward = await forwardLocal(trunk, options)
    await lose()
    peer.meets = 'hang'
    clock.advance(200)
    const client = connectTo({ port: forward.address.port, host: '127.0.0.1' })
    const reset = once(client, 'error') as Promise<[NodeJS.ErrnoException]>
    await once(client, 'connect')
    await eventually(() => clock.pending === 2, 'its time and the time of the dial run')
    clock.advance(9_999)
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(client.destroyed, false)
    clock.advance(1)
    assert.equal((await reset)[0].code, 'ECONNRESET')
    await eventually(() => told().length > 0, 'it is told')
    assert.deepEqual(told(), [`connect ${forward.description}: ERR_CONNECT_TIMEOUT: no session with the peer for 10 s`])
    await forward.close()
    await trunk.close()
    assert.equal(clock.pending, 0)
  })

  it('asks a peer that has its connections again, for 10 s [R-351]', async () => {
    let full = 2
    let asked = 0
    const connection = protocol('tcp-connection', async ({ accept }) => {
      asked++
      if (full-- > 0) throw new TrunkError('ERR_CONNECTION_LIMIT', 'enough')
      const pipe = accept({ localAddress: '', localPort: 0, remoteAddress: '', remotePort: 0 })
      await pipe.sink(pipe.source)
    })
    const { clock, options, trunk, told } = await lost([connection])
    const forward = await forwardLocal(trunk, options)
    const { port } = forward.address
    const client = connectTo({ port, host: '127.0.0.1' })
    client.write('patience')
    const answer = once(client, 'data') as Promise<[Buffer]>
    await eventually(() => {
      clock.advance(20)
      return asked === 3
    }, 'it asks until there is room')
    assert.equal((await answer)[0].toString(), 'patience')
    client.destroy()
    assert.deepEqual(told(), [])
    full = Infinity
    const late = connectTo({ port, host: '127.0.0.1' })
    const reset = once(late, 'error') as Promise<[NodeJS.ErrnoException]>
    await eventually(() => {
      clock.advance(100)
      return told().length > 0
    }, 'it gives up')
    assert.equal((await reset)[0].code, 'ECONNRESET')
    assert.deepEqual(told(), [`connect ${forward.description}: ERR_CONNECTION_LIMIT: enough`])
    await forward.close()
    await trunk.close()
    await eventually(() => clock.pending === 0, 'no timer is left')
  })
})

describe('a connection that has ended both ways', () => {
  it('is given up by the signal where the peer never confirms it', async () => {
    const connection = protocol('tcp-connection', async ({ accept, signal }) => {
      const pipe = accept({ localAddress: '', localPort: 0, remoteAddress: '', remotePort: 0 })
      await pipe.closeWrite()
      await collect(pipe)
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    })
    const { options, trunk } = await lost([connection])
    const stop = new AbortController()
    const forward = await forwardLocal(trunk, { ...options, signal: stop.signal })
    const client = connectTo({ port: forward.address.port, host: '127.0.0.1' })
    client.end()
    await once(client.resume(), 'end')
    await eventually(() => trunk.status().pipes[0]?.waitsFor === 'confirmation', 'its ends are sent')
    stop.abort(new TrunkError('ERR_ABORTED', 'enough'))
    await eventually(() => forward.status().connections === 0, 'it is carried no more')
    await trunk.close()
  })
})

describe('forwardRemote between two sessions', () => {
  it('asks a peer that cannot listen just now again, and tells why once', async () => {
    const answers = ['granted', 'ERR_ADDRESS_IN_USE', 'ERR_ADDRESS_IN_USE', 'granted']
    const asked: unknown[] = []
    const listener = protocol('tcp-listener', async ({ params, accept, signal }) => {
      const { op, port } = params as { op: string; port: number }
      if (op === 'listen') {
        asked.push(port)
        const answer = answers[asked.length - 1]!
        if (answer !== 'granted') throw new TrunkError(answer, 'somebody else listens there')
        const pipe = accept({ op: 'listen', listener: 1, host: '127.0.0.1', port: 4_000 })
        // until it is closed there, as the real one does: what came of it is not this side's
        await collect(pipe.source).catch(() => undefined)
        return
      }
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    })
    const { clock, options, trunk, told, lose } = await lost([listener])
    const forward = await forwardRemote(trunk, options)
    await lose()
    await eventually(() => forward.status().state === 'waiting', 'it says that it waits')
    await eventually(() => {
      clock.advance(100)
      return asked.length === 4
    }, 'it is asked until it listens')
    assert.deepEqual(asked, [0, 4_000, 4_000, 4_000], 'the port stays what it was')
    await eventually(() => forward.status().state === 'listening', 'it listens again')
    assert.deepEqual(told(), [
      'listen peer 127.0.0.1:4000 -> 127.0.0.1:1: ERR_ADDRESS_IN_USE: somebody else listens there',
    ])
    await forward.close()
    await trunk.close()
    await forward.closed
    assert.equal(clock.pending, 0)
  })

  it('ends when the peer no longer lets it listen', async () => {
    let asked = 0
    const listener = protocol('tcp-listener', async ({ params, accept, signal }) => {
      if ((params as { op: string }).op === 'listen') {
        if (++asked > 1) throw new TrunkError('ERR_DENIED', 'not any more')
        accept({ op: 'listen', listener: 1, host: '127.0.0.1', port: 4_000 })
      }
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    })
    const { clock, options, trunk, lose } = await lost([listener])
    const forward = await forwardRemote(trunk, options)
    await lose()
    await eventually(() => {
      clock.advance(100)
      return forward.status().state === 'closed'
    }, 'it ends')
    await assert.rejects(forward.closed, { code: 'ERR_DENIED' })
    await trunk.close()
  })

  it('is closed within closeTimeoutMs where the peer never confirms it', async () => {
    const listener = protocol('tcp-listener', async ({ params, accept, signal }) => {
      if ((params as { op: string }).op === 'listen')
        accept({ op: 'listen', listener: 1, host: '127.0.0.1', port: 4_000 })
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    })
    const { clock, options, trunk } = await lost([listener])
    const forward = await forwardRemote(trunk, options)
    const closed = { yet: false }
    void forward.close().then(() => Object.assign(closed, { yet: true }))
    await eventually(() => {
      clock.advance(100)
      return closed.yet
    }, 'it is closed')
    await forward.closed
    await trunk.close()
  })

  it('ends when the peer ends its listening although the session is open', async () => {
    const over: (() => void)[] = []
    const listener = protocol('tcp-listener', async ({ params, accept, signal }) => {
      if ((params as { op: string }).op === 'listen') {
        accept({ op: 'listen', listener: 1, host: '127.0.0.1', port: 4_000 })
        await new Promise<void>((_, reject) => over.push(() => reject(new TrunkError('ERR_QUOTA', 'enough'))))
      }
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    })
    const { options, trunk } = await lost([listener])
    const forward = await forwardRemote(trunk, options)
    over[0]!()
    await assert.rejects(forward.closed, { code: 'ERR_QUOTA' })
    await trunk.close()
  })
})
