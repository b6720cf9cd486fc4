/**
 * Forwards over a trunk of this process: what both sides' sockets see, what is told, and how a
 * forward ends.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import {
  forwardLocal,
  forwardRemote,
  proxyLocal,
  proxyRemote,
  type Forward,
  type ForwardFailure,
  type ForwardOptions,
} from '../../../protocols/forward/index.ts'
import { tcpConnection } from '../../../protocols/tcp-connection.ts'
import { tcpListener } from '../../../protocols/tcp-listener.ts'
import { TrunkError, type Trunk } from '../../../src/index.ts'
import { eventually, steady } from '../../helpers/eventually.ts'
import { dialLoopback, freePort, isFree, loopbackServer, type LoopbackServer } from '../../helpers/loopback.ts'
import { expectNoLeaks } from '../../helpers/no-leaks.ts'
import { outcome } from '../../helpers/protocols.ts'
import { noStrayRejections } from '../../helpers/stray-rejections.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

noStrayRejections()

const LISTEN = { port: 0 }
const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close()
})

async function target(onSocket: (socket: Socket) => void): Promise<LoopbackServer> {
  const server = await loopbackServer(onSocket)
  open.push(server)
  return server
}

/** A trunk to a peer that connects and listens for us, on loopback. */
async function trunkToPeer(): Promise<Trunk> {
  const protocols = [tcpConnection({ allow: ['127.0.0.1:*'] }), tcpListener({ allow: ['127.0.0.1:*'] })]
  const [near, far] = await trunkPair({}, { protocols })
  open.push(near, far)
  return near
}

async function client(forward: Forward): Promise<Socket> {
  const socket = await dialLoopback(forward.address.port)
  open.push({ close: () => socket.destroy() })
  return socket
}

async function isFreed(port: number): Promise<void> {
  let free = false
  await eventually(() => {
    void isFree(port).then((is) => (free ||= is))
    return free
  }, `port ${port} to be free`)
}

async function answer(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(socket, 'end')
  return text
}

/** How a socket comes to its end: with everything, or cut. */
const fate = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    socket.once('end', () => resolve('ended'))
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
    socket.resume()
  })

/** Connects through a proxy by SOCKS5, and gives the socket behind its answer. */
async function socks(forward: Forward, port: number): Promise<{ socket: Socket; reply: number | undefined }> {
  const socket = await client(forward)
  const said: Buffer[] = []
  const take = (chunk: Buffer): void => void said.push(chunk)
  socket.on('data', take)
  const has = (length: number): Promise<void> =>
    eventually(() => Buffer.concat(said).length >= length, `${length} bytes of the proxy's`)
  socket.write(Buffer.of(5, 1, 0))
  await has(2)
  socket.write(Buffer.of(5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255))
  await has(12)
  socket.off('data', take)
  return { socket, reply: Buffer.concat(said)[3] }
}

type To = { readonly host: string; readonly port: number }

/** Both directions, and a proxy in each: one that leads to `to`, and a way to it. */
const WAYS: readonly {
  readonly name: string
  start(trunk: Trunk, to: To, options?: Partial<ForwardOptions>): Promise<Forward>
  dial(forward: Forward, to: To): Promise<Socket>
}[] = [
  {
    name: 'forwardLocal',
    start: (trunk, to, options) => forwardLocal(trunk, { listen: LISTEN, to, ...options }),
    dial: (forward) => client(forward),
  },
  {
    name: 'forwardRemote',
    start: (trunk, to, options) => forwardRemote(trunk, { listen: LISTEN, to, ...options }),
    dial: (forward) => client(forward),
  },
  {
    name: 'proxyLocal',
    start: (trunk, _, options) => proxyLocal(trunk, { listen: LISTEN, ...options }),
    dial: async (forward, { port }) => (await socks(forward, port)).socket,
  },
  {
    name: 'proxyRemote',
    start: (trunk, _, options) => proxyRemote(trunk, { listen: LISTEN, allow: ['127.0.0.1:*'], ...options }),
    dial: async (forward, { port }) => (await socks(forward, port)).socket,
  },
]

for (const { name, start, dial } of WAYS) {
  describe(name, () => {
    it('carries a request, then the end of writing, then the answer', async () => {
      const trunk = await trunkToPeer()
      const to = await target((socket) => {
        void answer(socket).then((request) => socket.end(`answer to ${request.length}`))
      })
      await using forward = await start(trunk, to)
      const socket = await dial(forward, to)
      socket.end('x'.repeat(1_000_000))
      assert.equal(await answer(socket), 'answer to 1000000')
      await eventually(() => forward.status().connections === 0, 'the connection is over')
      assert.deepEqual(forward.status(), { state: 'listening', connections: 0, taken: 1, failed: 0 })
    })

    it('leaves what comes beyond maxConnections to the kernel, and takes it when one has ended', async () => {
      const trunk = await trunkToPeer()
      const to = await target((socket) => void socket.pipe(socket))
      await using forward = await start(trunk, to, { maxConnections: 2 })
      const [first] = [await dial(forward, to), await dial(forward, to)]
      await eventually(() => forward.status().connections === 2, 'two are carried')
      // a proxy's greeting would wait as well
      const third = await client(forward)
      assert.equal(await steady(() => forward.status().taken), 2)
      first.destroy()
      await eventually(() => forward.status().taken === 3, 'the third is taken')
      assert.equal(third.destroyed, false)
    })

    it('frees its port at close, and its connections go on', async () => {
      const trunk = await trunkToPeer()
      const to = await target((socket) => void socket.pipe(socket))
      const forward = await start(trunk, to)
      const socket = await dial(forward, to)
      await eventually(() => forward.status().connections === 1, 'it is carried')
      await forward.close()
      assert.ok(await isFree(forward.address.port))
      await forward.closed
      socket.end('still here')
      assert.equal(await answer(socket), 'still here')
    })

    it('resets its connections when the signal aborts, and rejects closed with the reason', async () => {
      const trunk = await trunkToPeer()
      const told: ForwardFailure[] = []
      const to = await target(() => undefined)
      const stop = new AbortController()
      const forward = await start(trunk, to, { signal: stop.signal, onFailure: (failure) => told.push(failure) })
      const socket = await dial(forward, to)
      await eventually(() => to.sockets.length === 1, 'it is carried')
      const ends = [fate(socket), fate(to.sockets[0]!)]
      stop.abort(new TrunkError('ERR_QUOTA', 'enough'))
      assert.deepEqual(await Promise.all(ends), ['ECONNRESET', 'ECONNRESET'])
      await assert.rejects(forward.closed, { code: 'ERR_QUOTA' })
      await eventually(() => forward.status().connections === 0, 'none is left')
      assert.ok(await isFree(forward.address.port))
      assert.deepEqual(told, [])
    })

    it('closes with its trunk', async () => {
      const trunk = await trunkToPeer()
      const forward = await start(trunk, { host: '127.0.0.1', port: 1 })
      await trunk.close()
      await forward.closed
      assert.equal(forward.status().state, 'closed')
      assert.ok(await isFree(forward.address.port))
    })

    it('fails with its trunk', async () => {
      const trunk = await trunkToPeer()
      const forward = await start(trunk, { host: '127.0.0.1', port: 1 })
      trunk.abort(new TrunkError('ERR_LINK_LOST', 'cut'))
      await assert.rejects(forward.closed, { code: 'ERR_LINK_LOST' })
      // the peer hears of it by the line
      await isFreed(forward.address.port)
    })

    it('gives each change of its status, and ends after the last', async () => {
      const trunk = await trunkToPeer()
      const to = await target((socket) => void socket.end())
      const forward = await start(trunk, to)
      const seen: string[] = []
      const watching = (async () => {
        for await (const { state, connections, taken } of forward.watch()) seen.push(`${state} ${connections}/${taken}`)
      })()
      const socket = await dial(forward, to)
      socket.end()
      await eventually(() => seen.at(-1) === 'listening 0/1', 'the connection came and went')
      await forward.close()
      await watching
      assert.equal(seen[0], 'listening 0/0')
      assert.equal(seen.at(-1), 'closed 0/1')
    })

    it('is given up before it listens when the signal has aborted', async () => {
      const trunk = await trunkToPeer()
      const signal = AbortSignal.abort(new TrunkError('ERR_QUOTA', 'enough'))
      assert.equal(await outcome(start(trunk, { host: '127.0.0.1', port: 1 }, { signal })), 'ERR_QUOTA')
    })

    it('refuses what can be no option before anything is bound', async () => {
      const trunk = await trunkToPeer()
      const to = { host: '127.0.0.1', port: 1 }
      for (const wrong of [{ maxConnections: 0 }, { listen: { port: 65_536 } }, { listen: { port: 1.5 } }])
        assert.equal(await outcome(start(trunk, to, wrong)), 'ERR_BAD_ARGUMENT', JSON.stringify(wrong))
    })

    it('rejects where the port is in use', async () => {
      const trunk = await trunkToPeer()
      const { port } = await target(() => undefined)
      assert.equal(
        await outcome(start(trunk, { host: '127.0.0.1', port: 1 }, { listen: { port } })),
        'ERR_ADDRESS_IN_USE',
      )
    })

    it('leaves nothing behind', async () => {
      await expectNoLeaks(async () => {
        const protocols = [tcpConnection({ allow: ['127.0.0.1:*'] }), tcpListener({ allow: ['127.0.0.1:*'] })]
        const [near, far] = await trunkPair({}, { protocols })
        const to = await loopbackServer((socket) => void socket.pipe(socket))
        const forward = await start(near, to)
        const socket = await dial(forward, to)
        socket.end('x')
        assert.equal(await answer(socket), 'x')
        socket.destroy()
        await forward.close()
        await Promise.all([near.close(), far.close()])
        to.close()
      })
    })
  })
}

describe('A forward that listens here', () => {
  for (const { name, start } of WAYS.filter(({ name }) => name.endsWith('Local')))
    it(`${name} ends with a trunk that ended before it was there`, async () => {
      const trunk = await trunkToPeer()
      const first = await start(trunk, { host: '127.0.0.1', port: 1 })
      await trunk.close()
      await first.closed
      const late = await start(trunk, { host: '127.0.0.1', port: 1 })
      await late.closed
      await isFreed(late.address.port)
    })
})

describe('A forward to a target that nobody listens at', () => {
  for (const [name, start] of [
    ['forwardLocal', forwardLocal],
    ['forwardRemote', forwardRemote],
  ] as const) {
    it(`${name} resets the client, tells why, and goes on`, async () => {
      const trunk = await trunkToPeer()
      const told: ForwardFailure[] = []
      const port = await freePort()
      await using forward = await start(trunk, {
        listen: LISTEN,
        to: { host: '127.0.0.1', port },
        onFailure: (failure) => told.push(failure),
      })
      assert.equal(await fate(await client(forward)), 'ECONNRESET')
      await eventually(() => told.length === 1, 'it is told')
      const [{ phase, forward: which, error }] = told as [ForwardFailure]
      assert.deepEqual([phase, which, error.code], ['connect', forward.description, 'ERR_CONNECT_REFUSED'])
      await eventually(() => forward.status().connections === 0, 'it is over')
      assert.deepEqual(forward.status(), { state: 'listening', connections: 0, taken: 1, failed: 1 })
      const late = await loopbackServer((socket) => void socket.end('here by now'), { port })
      open.push(late)
      assert.equal(await answer(await client(forward)), 'here by now')
    })
  }

  it('refuses a target that can be none before anything is bound', async () => {
    const trunk = await trunkToPeer()
    for (const to of [
      { host: '127.0.0.1', port: 0 },
      { host: 'a b', port: 1 },
    ])
      assert.equal(await outcome(forwardLocal(trunk, { listen: LISTEN, to })), 'ERR_BAD_ARGUMENT')
    assert.equal(
      await outcome(forwardRemote(trunk, { listen: LISTEN, to: { host: '127.0.0.1', port: 0 } })),
      'ERR_BAD_ARGUMENT',
    )
  })
})

describe('proxyRemote', () => {
  it('refuses what no rule allows, and tells it', async () => {
    const trunk = await trunkToPeer()
    const told: string[] = []
    await using proxy = await proxyRemote(trunk, {
      listen: LISTEN,
      allow: ['127.0.0.1:1'],
      onFailure: ({ error }) => told.push(error.code),
    })
    const { reply } = await socks(proxy, 2)
    assert.equal(reply, 2)
    await eventually(() => told.length > 0, 'it is told')
    assert.deepEqual(told, ['ERR_DENIED'])
  })

  it('refuses a bad rule before anything is sent', async () => {
    const trunk = await trunkToPeer()
    assert.equal(await outcome(proxyRemote(trunk, { listen: LISTEN, allow: ['nonsense'] })), 'ERR_BAD_ARGUMENT')
  })
})
