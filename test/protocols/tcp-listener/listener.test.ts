import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import { defineProtocol, type Trunk } from '../../../src/index.ts'
import { connectionSet } from '../../../protocols/tcp/connection-set.ts'
import { resetSocket } from '../../../protocols/tcp/reset-socket.ts'
import { nativeSource } from '../../../protocols/tcp-listener/acceptor-native.ts'
import { netSource } from '../../../protocols/tcp-listener/acceptor-net.ts'
import type { OpenSource } from '../../../protocols/tcp-listener/acceptor.ts'
import { listenerOver } from '../../../protocols/tcp-listener/server.ts'
import { tcpListen, tcpListener, type TcpIncoming, type TcpListenerOptions } from '../../../protocols/tcp-listener.ts'
import { eventually } from '../../helpers/eventually.ts'
import { dialLoopback, isFree, loopbackServer, textOf } from '../../helpers/loopback.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

const connections = connectionSet()
const LOOPBACK: TcpListenerOptions = { allow: ['127.0.0.1:*'] }
/** The promise: the port is free within this time of the listening's end. */
const FREE_WITHIN_MS = 1_000

const open: { close(): void }[] = []
afterEach(() => {
  for (const thing of open.splice(0)) thing.close()
})

async function trunksOver(source: OpenSource, options: TcpListenerOptions = LOOPBACK): Promise<[Trunk, Trunk]> {
  const pair = await trunkPair({}, { protocols: [listenerOver(options, () => source)] })
  open.push({
    close() {
      pair[0].abort(new Error('the test is over'))
    },
  })
  return pair
}

async function dial(port: number): Promise<Socket> {
  const socket = await dialLoopback(port)
  open.push({ close: () => socket.destroy() })
  return socket
}

for (const kind of ['native', 'net'] as const) {
  const source = kind === 'net' ? netSource : connections === undefined ? undefined : nativeSource(connections)
  describe(`tcp-listener over ${kind}`, { skip: source === undefined }, () => {
    const trunks = (options?: TcpListenerOptions) => trunksOver(source ?? netSource, options)

    it('binds 127.0.0.1 by default and reports the port that was chosen [R-100] [R-114]', async () => {
      const [near] = await trunks()
      const listening = await tcpListen(near, { port: 0 })
      assert.equal(listening.address.host, '127.0.0.1')
      assert.ok(listening.address.port > 0)
      // Another loopback address is not taken along: it is no wildcard.
      assert.equal(await isFree(listening.address.port, '127.0.0.2'), true)
      assert.equal(await isFree(listening.address.port), false)
    })

    it('binds a wildcard only by a rule that names it [R-100]', async () => {
      const [near] = await trunks({ allow: ['any', '0.0.0.0/0:*', '[::/0]:*'] })
      for (const host of ['0.0.0.0', '::', '::ffff:0.0.0.0']) {
        await assert.rejects(tcpListen(near, { host, port: 0 }), { code: 'ERR_DENIED' }, host)
      }
      const [other] = await trunks({ allow: ['0.0.0.0:*'] })
      const listening = await tcpListen(other, { host: '0.0.0.0', port: 0 })
      assert.equal(listening.address.host, '0.0.0.0')
    })

    it('gives a connection with its addresses and carries it both ways', async () => {
      const [near] = await trunks()
      const listening = await tcpListen(near, { port: 0 })
      const client = await dial(listening.address.port)
      const heard = heardBy(client)
      client.end('from outside')
      const pipe = await first(listening)
      assert.equal(pipe.reply.remotePort, client.localPort)
      assert.equal(pipe.reply.remoteAddress, '127.0.0.1')
      assert.equal(pipe.reply.localPort, listening.address.port)
      assert.equal(await textOf(pipe.source), 'from outside')
      await pipe.write(Buffer.from('and back'))
      await pipe.close()
      assert.equal(await heard, 'and back')
    })

    it('passes resets on, both ways', async () => {
      const [near] = await trunks()
      const listening = await tcpListen(near, { port: 0 })
      const iterator = listening[Symbol.asyncIterator]()
      const one = await dial(listening.address.port)
      const incoming = await next(iterator)
      resetSocket(one)
      await assert.rejects(textOf(incoming.source), { code: 'ERR_CONNECTION_RESET' })
      const two = await dial(listening.address.port)
      const failed = once(two.resume(), 'error')
      ;(await next(iterator)).abort(new Error('enough'))
      assert.match(String((await failed.catch((error: unknown) => [error]))[0]), /ECONNRESET/)
    })

    it('refuses an address in use, a denied one and one that is not here, each by its code [R-113]', async () => {
      const taken = await loopbackServer()
      open.push(taken)
      const [near] = await trunks({ allow: ['127.0.0.1:*', '192.0.2.0/24:*'] })
      await assert.rejects(tcpListen(near, { port: taken.port }), { code: 'ERR_ADDRESS_IN_USE' })
      await assert.rejects(tcpListen(near, { host: '127.0.0.2', port: 0 }), { code: 'ERR_DENIED' })
      await assert.rejects(tcpListen(near, { host: '192.0.2.7', port: 0 }), { code: 'ERR_ADDRESS_UNAVAILABLE' })
      // The trunk lives on.
      await tcpListen(near, { port: 0 })
    })

    it('answers a request for an unknown listener, and for one of another trunk', async () => {
      const protocol = listenerOver(LOOPBACK, () => source ?? netSource)
      const [one] = await trunkPair({}, { protocols: [protocol] })
      const [two] = await trunkPair({}, { protocols: [protocol] })
      open.push(
        {
          close: () => {
            one.abort(new Error('over'))
          },
        },
        {
          close: () => {
            two.abort(new Error('over'))
          },
        },
      )
      const control = await one.open('tcp-listener', { op: 'listen', port: 0 })
      const { listener } = control.reply as { listener: number }
      const accept = (trunk: Trunk, id: number) =>
        trunk.open('tcp-listener', { op: 'accept', listener: id, request: 1 })
      await assert.rejects(accept(two, listener), { code: 'ERR_LISTENER_UNKNOWN' })
      await assert.rejects(accept(one, listener + 1), { code: 'ERR_LISTENER_UNKNOWN' })
      await control.close()
      await assert.rejects(accept(one, listener), { code: 'ERR_LISTENER_UNKNOWN' })
    })

    it('refuses waiting requests when the listener closes', async () => {
      const [near] = await trunks()
      const control = await near.open('tcp-listener', { op: 'listen', port: 0 })
      const { listener } = control.reply as { listener: number }
      const waiting = near.open('tcp-listener', { op: 'accept', listener, request: 1 })
      const refused = assert.rejects(waiting, { code: 'ERR_LISTENER_UNKNOWN' })
      await control.close()
      await refused
    })

    it('frees the port within a second, however the listening ends', async () => {
      const ways: Record<string, (near: Trunk, far: Trunk, control: TcpListeningEnd) => unknown> = {
        'its close': (_near, _far, listening) => listening.close(),
        'leaving the loop': (_near, _far, listening) => listening[Symbol.asyncIterator]().return?.(),
        'the near session': (near) => {
          near.abort(new Error('cut'))
        },
        'the far session': (_near, far) => {
          far.abort(new Error('cut'))
        },
        'a graceful close': (near) => near.close(),
      }
      for (const [way, end] of Object.entries(ways)) {
        const [near, far] = await trunkPair(
          { limits: { closeTimeoutMs: 200 } },
          { protocols: [listenerOver(LOOPBACK, () => source ?? netSource)] },
        )
        open.push({
          close: () => {
            near.abort(new Error('over'))
          },
        })
        const listening = await tcpListen(near, { port: 0 })
        // A loop that is never entered has nothing to leave: start it.
        const iterator = listening[Symbol.asyncIterator]()
        const pending = way === 'leaving the loop' ? undefined : iterator.next().catch(() => undefined)
        if (way === 'leaving the loop') {
          const client = await dial(listening.address.port)
          for await (const pipe of listening) {
            pipe.abort(new Error('seen'))
            break
          }
          client.destroy()
        } else void end(near, far, listening)
        await eventuallyFree(listening.address.port, way)
        await pending
      }
      const [near] = await trunks()
      const control = await near.open('tcp-listener', { op: 'listen', port: 0 })
      control.abort(new Error('reset'))
      await eventuallyFree((control.reply as { port: number }).port, 'the reset of its pipe')
      const stop = new AbortController()
      const listening = await tcpListen(near, { port: 0 }, { signal: stop.signal })
      stop.abort(new Error('by signal'))
      await assert.rejects(first(listening), { code: 'ERR_ABORTED' })
      await eventuallyFree(listening.address.port, 'its signal')
    })

    it('has freed the port when close resolves, and lets taken connections go on', async () => {
      const [near] = await trunks()
      const listening = await tcpListen(near, { port: 0 })
      const iterator = listening[Symbol.asyncIterator]()
      const taken = await dial(listening.address.port)
      const pipe = await next(iterator)
      const untaken = await dial(listening.address.port)
      const cut = once(untaken.resume(), 'error')
      await listening.close()
      assert.equal(await isFree(listening.address.port), true)
      assert.equal((await iterator.next()).done, true)
      assert.match(String((await cut.catch((error: unknown) => [error]))[0]), /ECONNRESET/)
      const heard = heardBy(taken)
      await pipe.write(Buffer.from('still here'))
      await pipe.closeWrite()
      assert.equal(await heard, 'still here')
    })

    it('serves as many as allowed and leaves the rest waiting, without a storm, and recovers [R-109]', async () => {
      const clients = 200
      const most = 32
      const [near] = await trunks({ ...LOOPBACK, maxConnections: most, backlog: 256 })
      const listening = await tcpListen(near, { port: 0 }, { accepts: 8 })
      const pipes: TcpIncoming[] = []
      const taking = (async () => {
        for await (const pipe of listening) pipes.push(pipe)
      })()
      const sockets = await Promise.all(Array.from({ length: clients }, () => dial(listening.address.port)))
      await eventually(() => pipes.length === most, 'as many as allowed are served')
      await near.ping()
      await near.ping()
      assert.equal(pipes.length, most)
      let served = 0
      while (served < clients) {
        await eventually(() => pipes.length > served, `connection ${served + 1} is served`)
        const pipe = pipes[served]
        served += 1
        assert.ok(pipe)
        pipe.abort(new Error('next'))
      }
      await listening.close()
      await taking
      for (const socket of sockets) socket.destroy()
    })

    it('cuts a connection whose pipe cannot open, at once [R-110]', async () => {
      const serving: Trunk[] = []
      const cutting: OpenSource = async (at, backlog, onReady) => {
        const inner = await (source ?? netSource)(at, backlog, onReady)
        return {
          local: inner.local,
          arm: () => {
            inner.arm()
          },
          disarm: () => {
            inner.disarm()
          },
          close: () => {
            inner.close()
          },
          take() {
            const incoming = inner.take()
            // The session ends between the kernel's accept and ours.
            if (incoming !== undefined) serving[0]?.abort(new Error('cut'))
            return incoming
          },
        }
      }
      const pair = await trunksOver(cutting)
      serving.push(pair[1])
      const listening = await tcpListen(pair[0], { port: 0 })
      const client = connect(listening.address.port, '127.0.0.1')
      const error = await new Promise((resolve) => client.once('error', resolve))
      assert.match(String(error), /ECONNRESET/)
    })

    it('refuses more listeners than allowed, and allows the next when one has ended', async () => {
      const [near] = await trunks({ ...LOOPBACK, maxListeners: 2 })
      const one = await tcpListen(near, { port: 0 })
      await tcpListen(near, { port: 0 })
      await assert.rejects(tcpListen(near, { port: 0 }), { code: 'ERR_LISTENER_LIMIT' })
      await one.close()
      await tcpListen(near, { port: 0 })
    })
  })
}

describe('tcp-listener', () => {
  it('leaves other opens room while sixteen listeners wait', async () => {
    const echo = defineProtocol({
      name: 'echo',
      parse: () => undefined,
      async handle(request) {
        const pipe = request.accept()
        await pipe.sink(pipe.source)
      },
    })
    const [near] = await trunkPair({}, { protocols: [tcpListener(LOOPBACK), echo] })
    open.push({
      close: () => {
        near.abort(new Error('over'))
      },
    })
    for (let i = 0; i < 16; i += 1) await tcpListen(near, { port: 0 })
    const pipes = await Promise.all(Array.from({ length: 24 }, () => near.open('echo')))
    assert.equal(pipes.length, 24)
  })

  it('refuses what is no request with a code, and the trunk lives on [R-105] [R-115]', async () => {
    const [near] = await trunkPair({}, { protocols: [tcpListener({ allow: ['any', '127.0.0.1:*'] })] })
    open.push({
      close: () => {
        near.abort(new Error('over'))
      },
    })
    const bad = [undefined, null, 7, 'listen', [], {}, { op: 'bind' }, { op: 'listen' }, { op: 'accept' }]
    const hosts = ['/run/x.sock', '127.1', '', 'a b', '127.0.0.1\0', { path: '/x' }].map((host) => ({
      op: 'listen',
      host,
      port: 0,
    }))
    const ports = [-1, 65_536, '80', 22.5, null].map((port) => ({ op: 'listen', port }))
    const ids = [-1, 1.5, '1', 2 ** 60].map((listener) => ({ op: 'accept', listener, request: 1 }))
    for (const params of [...bad, ...hosts, ...ports, ...ids]) {
      await assert.rejects(near.open('tcp-listener', params), { code: 'ERR_PARAMS_INVALID' }, JSON.stringify(params))
    }
    for (const at of [{ port: -1 }, { port: '80' }, { host: '/x', port: 1 }]) {
      await assert.rejects(tcpListen(near, at as never), { code: 'ERR_BAD_ARGUMENT' })
    }
    await assert.rejects(tcpListen(near, { port: 0 }, { accepts: 0 }), { code: 'ERR_BAD_ARGUMENT' })
    await tcpListen(near, { port: 0 })
  })

  it('resets the pipe of a listener that is sent bytes, and frees its port', async () => {
    const [near] = await trunkPair({}, { protocols: [tcpListener(LOOPBACK)] })
    open.push({
      close: () => {
        near.abort(new Error('over'))
      },
    })
    const control = await near.open('tcp-listener', { op: 'listen', port: 0 })
    await control.write(Buffer.from('hello'))
    await assert.rejects(control.close(), { code: 'ERR_MESSAGE_INVALID' })
    await eventuallyFree((control.reply as { port: number }).port, 'its violation')
  })

  it('does not believe replies that are none', async () => {
    const replies: unknown[] = [7, { op: 'listen' }, { op: 'accept', request: 1 }]
    for (const reply of replies) {
      const liar = defineProtocol({
        name: 'tcp-listener',
        parse: () => undefined,
        async handle(request) {
          await textOf(request.accept(reply).source)
        },
      })
      const [near] = await trunkPair({}, { protocols: [liar] })
      open.push({
        close: () => {
          near.abort(new Error('over'))
        },
      })
      await assert.rejects(tcpListen(near, { port: 0 }), { code: 'ERR_MESSAGE_INVALID' })
    }
    const addresses = { localAddress: '', localPort: 1, remoteAddress: '', remotePort: 1 }
    const forger = defineProtocol<unknown>({
      name: 'tcp-listener',
      parse: (params) => params,
      async handle(request) {
        const { op } = request.params as { op: string }
        const reply =
          op === 'listen' ? { op, listener: 1, host: '127.0.0.1', port: 1 } : { op, request: 99, ...addresses }
        await textOf(request.accept(reply).source)
      },
    })
    const [near] = await trunkPair({}, { protocols: [forger] })
    open.push({
      close: () => {
        near.abort(new Error('over'))
      },
    })
    await assert.rejects(first(await tcpListen(near, { port: 0 })), { code: 'ERR_MESSAGE_INVALID' })
  })

  it('throws at once for a bad rule or number', () => {
    assert.throws(() => tcpListener({ allow: ['localhost'] }), /"localhost"/)
    assert.throws(() => tcpListener({ allow: [], maxListeners: 0 }), { code: 'ERR_BAD_ARGUMENT' })
    assert.throws(() => tcpListener({ allow: [], backlog: -1 }), { code: 'ERR_BAD_ARGUMENT' })
    assert.throws(() => tcpListener({ allow: [], maxConnections: 1.5 }), { code: 'ERR_BAD_ARGUMENT' })
  })
})

type TcpListeningEnd = Awaited<ReturnType<typeof tcpListen>>

async function next(iterator: AsyncIterator<TcpIncoming>): Promise<TcpIncoming> {
  const result = await iterator.next()
  assert.ok(result.done !== true)
  return result.value
}

async function first(listening: TcpListeningEnd): Promise<TcpIncoming> {
  return await next(listening[Symbol.asyncIterator]())
}

/** Everything that comes, as text. Not by iterating: that would destroy the socket when it ends. */
async function heardBy(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(socket, 'end')
  return text
}

async function eventuallyFree(port: number, way: string): Promise<void> {
  const end = performance.now() + FREE_WITHIN_MS
  while (!(await isFree(port))) {
    assert.ok(performance.now() < end, `the port is not free after ${way}`)
    // A failing bind is told within the same turn of the event loop: let the others have theirs.
    await new Promise(setImmediate)
  }
}
