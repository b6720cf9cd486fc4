/**
 * The proxy, both ways and over both kinds of sockets: what clients see, and what reaches the
 * target.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import { Acceptor } from '../../../protocols/tcp-listener/acceptor.ts'
import { nativeSource } from '../../../protocols/tcp-listener/acceptor-native.ts'
import { connectionSet } from '../../../protocols/tcp/connection-set.ts'
import { hiddenReset } from '../../../protocols/tcp/hidden-reset.ts'
import { resetSocket } from '../../../protocols/tcp/reset-socket.ts'
import { Slots } from '../../../protocols/tcp/slots.ts'
import { proxyConnections, proxySocket, type ProxyOptions } from '../../../protocols/proxy/index.ts'
import { proxyFor } from '../../../protocols/proxy/for-peer.ts'
import { proxyThroughPeer } from '../../../protocols/proxy/through-peer.ts'
import { connectionsOver } from '../../../protocols/tcp-connection/server.ts'
import { tcpListen, tcpListener } from '../../../protocols/tcp-listener.ts'
import { createBudgets, systemClock } from '../../../src/index.ts'
import { eventually } from '../../helpers/eventually.ts'
import { dialLoopback, freePort, loopbackServer, type LoopbackServer } from '../../helpers/loopback.ts'
import { manualClock } from '../../helpers/manual-clock.ts'
import { outcome } from '../../helpers/protocols.ts'
import { KINDS } from '../../helpers/tcp-kinds.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

const open: { close(): void }[] = []
afterEach(() => {
  for (const thing of open.splice(0)) thing.close()
})

/** A proxy that a test speaks to. */
interface Proxy {
  readonly port: number
  /** Codes of what it has refused. */
  readonly refused: string[]
}

/** A way of having a proxy. */
interface Way {
  readonly name: string
  readonly skip: string | false
  start(options: ProxyOptions): Promise<Proxy>
}

/** Keeps count of what a proxy's handler comes to. */
function noting(refused: string[], one: Promise<void>): void {
  void outcome(one).then((code) => {
    if (code !== 'resolved') refused.push(code)
  })
}

const WAYS: readonly Way[] = KINDS.flatMap(({ kind, attempts, skip }): Way[] => [
  {
    name: `here, the peer connects, ${kind}`,
    skip,
    async start({ allow, lookup, connectTimeoutMs, maxConnections, ...options }) {
      const serving = {
        allow,
        ...(lookup && { lookup }),
        ...(connectTimeoutMs !== undefined && { connectTimeoutMs }),
        ...(maxConnections !== undefined && { maxConnections }),
      }
      const [near] = await trunkPair({}, { protocols: [connectionsOver(serving, attempts)] })
      open.push({ close: () => near.abort(new Error('the test is over')) })
      const refused: string[] = []
      const set = connectionSet()
      if (kind === 'net' || set === undefined) {
        const server = createServer((socket) => noting(refused, proxySocket(near, socket, options)))
        server.listen(0, '127.0.0.1')
        await once(server, 'listening')
        open.push({ close: () => void server.close() })
        return { port: (server.address() as AddressInfo).port, refused }
      }
      const at = { address: '127.0.0.1', port: 0 }
      const slots = new Slots(256)
      const acceptor = await Acceptor.listen(at, { open: nativeSource(set), backlog: 511, slots, clock: systemClock })
      open.push(acceptor)
      const takeAll = async (): Promise<void> => {
        for (;;) noting(refused, proxyThroughPeer(near, await acceptor.next(), options))
      }
      takeAll().catch(() => undefined)
      return { port: acceptor.local.port, refused }
    },
  },
  {
    name: `at the peer, connected from here, ${kind}`,
    skip,
    async start(options) {
      const [near] = await trunkPair({}, { protocols: [tcpListener({ allow: ['127.0.0.1:*'] })] })
      open.push({ close: () => near.abort(new Error('the test is over')) })
      const listening = await tcpListen(near, { port: 0 })
      const refused: string[] = []
      const serve = proxyFor(options, attempts)
      const takeAll = async (): Promise<void> => {
        for await (const pipe of listening) noting(refused, serve(pipe))
      }
      takeAll().catch(() => undefined)
      return { port: listening.address.port, refused }
    },
  },
])

const port = (number: number): number[] => [number >> 8, number & 0xff]
const socks5 = (name: string, to: number): Buffer =>
  Buffer.concat([Buffer.of(5, 1, 0, 5, 1, 0, 3, name.length), Buffer.from(name), Buffer.from(port(to))])
const get = (host: string, more = ''): string => `GET http://${host}/ HTTP/1.1\r\n${more}\r\n`

async function dial(to: number): Promise<Socket> {
  const socket = await dialLoopback(to)
  open.push({ close: () => socket.destroy() })
  return socket
}

async function target(onSocket?: (socket: Socket) => void): Promise<LoopbackServer> {
  const server = await loopbackServer(onSocket)
  open.push(server)
  return server
}

/** Everything that comes until the end, or until the connection is cut; how that was. */
async function heard(socket: Socket): Promise<{ bytes: Buffer; cut: boolean }> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  // a reset is an event of its own, and no failure of the test's; one that comes with the last
  // bytes looks like an end
  const hidden = await new Promise<string | undefined>((resolve) => {
    socket.once('end', () => void hiddenReset(socket).then(resolve)).once('close', () => resolve(undefined))
  })
  return { bytes: Buffer.concat(chunks), cut: socket.errored !== null || hidden !== undefined }
}

for (const { name, skip, start } of WAYS)
  describe(`a proxy ${name}`, { skip }, () => {
    it('carries what is said behind the request at once, and its end, and the answer [R-527]', async () => {
      const server = await target((socket) => {
        let length = 0
        socket.on('data', (chunk: Buffer) => (length += chunk.byteLength))
        socket.once('end', () => socket.end(`heard ${length}`))
      })
      const proxy = await start({ allow: ['127.0.0.1:*'] })
      const client = await dial(proxy.port)
      const body = 'x'.repeat(1_000_000)
      client.end(Buffer.concat([socks5('127.0.0.1', server.port), Buffer.from(body)]))
      const { bytes, cut } = await heard(client)
      assert.deepEqual([...bytes.subarray(0, 6)], [5, 0, 5, 0, 0, 1])
      assert.equal(bytes.subarray(12).toString(), `heard ${body.length}`)
      assert.equal(cut, false)
      assert.deepEqual(proxy.refused, [])
    })

    it('passes a reset of the target on behind what came before it [R-527]', async () => {
      const server = await target((socket) => {
        socket.once('data', () => socket.write('413', () => resetSocket(socket)))
      })
      const proxy = await start({ allow: ['127.0.0.1:*'] })
      const client = await dial(proxy.port)
      client.write(`CONNECT 127.0.0.1:${server.port} HTTP/1.1\r\n\r\nupload`)
      const { bytes, cut } = await heard(client)
      assert.equal(bytes.toString(), 'HTTP/1.1 200 Connection established\r\n\r\n413')
      assert.equal(cut, true)
    })

    it('says that a connection is established when it is, and not before [R-528]', async () => {
      let answer: (addresses: string[]) => void = () => undefined
      const server = await target((socket) => socket.end('hello'))
      const lookup = () => new Promise<string[]>((resolve) => (answer = resolve))
      const proxy = await start({ allow: ['example.org:*'], lookup })
      const client = await dial(proxy.port)
      const received: Buffer[] = []
      client.on('data', (chunk: Buffer) => received.push(chunk))
      client.write(socks5('example.org', server.port))
      await eventually(() => Buffer.concat(received).byteLength === 2, 'the way to log in')
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
      assert.equal(Buffer.concat(received).byteLength, 2)
      answer(['127.0.0.1'])
      await once(client, 'end')
      assert.equal(Buffer.concat(received).subarray(12).toString(), 'hello')
    })

    it('tells why there is no connection, and lets it be read [R-528]', async () => {
      const closed = await freePort()
      const lookup = async (host: string) => {
        if (host === 'nobody.example') throw new Error('not known')
        return ['127.0.0.1']
      }
      const proxy = await start({ allow: ['127.0.0.1:*', 'nobody.example:*'], lookup })
      const answer = async (said: Buffer | string): Promise<Buffer> => {
        const client = await dial(proxy.port)
        client.write(said)
        const { bytes, cut } = await heard(client)
        assert.equal(cut, false)
        client.end()
        return bytes
      }
      assert.equal((await answer(socks5('127.0.0.1', closed)))[3], 5)
      assert.equal((await answer(socks5('127.0.0.2', 80)))[3], 2)
      assert.equal((await answer(socks5('nobody.example', 80)))[3], 4)
      const http = await answer(`CONNECT 127.0.0.2:80 HTTP/1.1\r\n\r\n${'and more '.repeat(10_000)}`)
      assert.match(http.toString(), /^HTTP\/1\.1 403 [^]*\r\nx-trunkline-code: ERR_DENIED\r\n/)
      await eventually(() => proxy.refused.length === 4, 'each is told')
      assert.deepEqual(proxy.refused, ['ERR_CONNECT_REFUSED', 'ERR_DENIED', 'ERR_NAME_NOT_FOUND', 'ERR_DENIED'])
    })

    it('has a name looked up once, and decides on the address that is dialled [R-529]', async () => {
      const server = await target()
      const asked: string[] = []
      // the first answer is harmless; whoever asked again would be led to the metadata service, or
      // to us
      const lookup = async (host: string) => {
        asked.push(host)
        return asked.length === 1 ? ['127.0.0.2'] : ['127.0.0.1', '169.254.169.254']
      }
      const proxy = await start({ allow: ['rebinds.example:*'], lookup })
      const client = await dial(proxy.port)
      client.write(socks5('rebinds.example', server.port))
      assert.equal((await heard(client)).bytes[3], 5, 'nobody listens at the first answer')
      assert.deepEqual(asked, ['rebinds.example'])
      assert.equal(server.sockets.length, 0)
    })

    it('reaches no address that no rule names, whatever a name resolves to [R-529]', async () => {
      const server = await target()
      const answers: Record<string, string[]> = {
        'metadata.example': ['169.254.169.254'],
        'unspecified.example': ['0.0.0.0', '::'],
        'inside.example': ['127.0.0.1'],
      }
      const lookup = async (host: string) => answers[host] ?? []
      const proxy = await start({ allow: ['metadata.example:*', 'unspecified.example:*', '10.0.0.0/8:*'], lookup })
      for (const host of Object.keys(answers)) {
        const client = await dial(proxy.port)
        client.write(socks5(host, server.port))
        assert.equal((await heard(client)).bytes[3], 2, host)
      }
      assert.equal(server.sockets.length, 0)
    })

    it('leaves a client that does not say in time what it wants, byte by byte or not at all [R-530]', async () => {
      const clock = manualClock()
      const proxy = await start({ allow: ['127.0.0.1:*'], clock })
      const clients = [await dial(proxy.port), await dial(proxy.port), await dial(proxy.port)]
      const ends = clients.map(heard)
      clients[1]?.write(Buffer.of(5, 1))
      clients[2]?.write('CONNECT 127.0.0.1:1 HTTP/1.1\r\n')
      await eventually(() => clock.pending >= 3, 'each has its time')
      // what was written has to be there before the time is over
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
      clock.advance(9_999)
      clients[2]?.write('x: y\r\n')
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
      assert.deepEqual(proxy.refused, [])
      clock.advance(1)
      const [silent, slow, head] = await Promise.all(ends)
      assert.equal(silent?.bytes.byteLength, 0)
      assert.equal(slow?.bytes.byteLength, 0)
      assert.match(head?.bytes.toString() ?? '', /^HTTP\/1\.1 408 /)
      // who was answered is heard to its end, not cut
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
      assert.equal(proxy.refused.length, 2)
      for (const client of clients) client.destroy()
      await eventually(() => proxy.refused.length === 3, 'each is told')
      assert.deepEqual(new Set(proxy.refused), new Set(['ERR_CONNECT_TIMEOUT']))
      await eventually(() => clock.pending === 0, 'no timer is left')
    })

    it('closes what speaks no language of its own, and goes on [R-531]', async () => {
      const server = await target((socket) => socket.pipe(socket))
      const proxy = await start({ allow: ['127.0.0.1:*'] })
      for (const garbage of ['\x16\x03\x01\x02\x00', '\0\0\0\0', 'get / HTTP/1.1\r\n\r\n', '\xff'.repeat(100_000)]) {
        const client = await dial(proxy.port)
        client.write(Buffer.from(garbage, 'latin1'))
        assert.equal((await heard(client)).bytes.byteLength, 0)
      }
      // one that comes and goes is nobody's business
      const scan = await dial(proxy.port)
      scan.destroy()
      const client = await dial(proxy.port)
      client.write(socks5('127.0.0.1', server.port))
      client.end('still here')
      assert.equal((await heard(client)).bytes.subarray(12).toString(), 'still here')
      assert.deepEqual(
        proxy.refused,
        Array.from({ length: 4 }, () => 'ERR_MESSAGE_INVALID'),
      )
    })

    it('passes one request to its server, and nothing that comes behind it [R-532]', async () => {
      const requests: string[] = []
      const server = await target((socket) => {
        socket.on('data', (chunk: Buffer) => {
          requests.push(chunk.toString())
          if (requests.join('').includes('0\r\n\r\n')) socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nyes')
        })
      })
      const proxy = await start({ allow: ['127.0.0.1:*'], http: true })
      const client = await dial(proxy.port)
      const host = `127.0.0.1:${server.port}`
      const first = get(host, 'Transfer-Encoding: chunked\r\n').replace('GET', 'PUT')
      client.write(`${first}5\r\nhello\r\n0\r\n\r\n${get('other.example', 'Cookie: secret\r\n')}`)
      client.write(get('other.example', 'Cookie: secret\r\n'))
      const { bytes } = await heard(client)
      assert.equal(bytes.toString(), 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nyes')
      assert.match(
        requests.join(''),
        /^PUT \/ HTTP\/1\.1\r\nhost: [^]*\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/,
      )
    })

    it('cuts a request whose body is none [R-532]', async () => {
      const server = await target()
      const proxy = await start({ allow: ['127.0.0.1:*'], http: true })
      const client = await dial(proxy.port)
      client.write(`${get(`127.0.0.1:${server.port}`, 'Transfer-Encoding: chunked\r\n')}5\r\nhello`)
      await eventually(() => server.sockets.length === 1, 'the connection is established')
      const [socket] = server.sockets
      assert.ok(socket)
      const ends = Promise.all([heard(socket), heard(client)])
      client.write('not the end of a chunk')
      const [there, here] = await ends
      assert.equal(there.cut, true, 'the server sees a reset, and no end of a body')
      assert.deepEqual(here, { bytes: Buffer.alloc(0), cut: true })
    })

    it('gives an attempt up whose client has left [R-533]', async () => {
      let signal: (() => void) | undefined
      const lookup = () => new Promise<string[]>((resolve) => (signal = () => resolve(['127.0.0.1'])))
      const server = await target()
      const proxy = await start({ allow: ['any'], lookup })
      const client = await dial(proxy.port)
      client.write(socks5('example.org', server.port))
      await eventually(() => signal !== undefined, 'the name is looked up')
      resetSocket(client)
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
      signal?.()
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
      assert.equal(server.sockets.length, 0)
      assert.deepEqual(proxy.refused, [])
    })

    it('asks for the user and the password that it was given', async () => {
      const server = await target((socket) => socket.end('hello'))
      const proxy = await start({ allow: ['127.0.0.1:*'], login: 'me:secret' })
      const said = async (password: string): Promise<string> => {
        const client = await dial(proxy.port)
        const encoded = Buffer.from(password).toString('base64')
        client.write(`CONNECT 127.0.0.1:${server.port} HTTP/1.1\r\nProxy-Authorization: Basic ${encoded}\r\n\r\n`)
        const { bytes } = await heard(client)
        client.end()
        return bytes.toString()
      }
      assert.match(await said('me:secret'), /^HTTP\/1\.1 200 [^]*hello$/)
      assert.match(await said('me:wrong'), /^HTTP\/1\.1 407 /)
      assert.equal(server.sockets.length, 1)
    })
  })

describe('a proxy through the peer', () => {
  it('waits in turn where the peer has the connections that it allows [R-534]', async () => {
    const [way] = WAYS.filter(({ name }) => name === 'here, the peer connects, net')
    assert.ok(way)
    const server = await target((socket) => socket.pipe(socket))
    const proxy = await way.start({ allow: ['127.0.0.1:*'], maxConnections: 1 })
    const first = await dial(proxy.port)
    first.write(socks5('127.0.0.1', server.port))
    await eventually(() => server.sockets.length === 1, 'the first stands')
    const second = await dial(proxy.port)
    second.end(Buffer.concat([socks5('127.0.0.1', server.port), Buffer.from('in turn')]))
    const answer = heard(second)
    first.destroy()
    assert.equal((await answer).bytes.subarray(12).toString(), 'in turn')
    assert.deepEqual(proxy.refused, [])
  })
})

describe('a proxy for the peer', () => {
  it('takes no more connections at a time than it is told [R-534]', async () => {
    const server = await target((socket) => socket.pipe(socket))
    const [near] = await trunkPair({}, { protocols: [tcpListener({ allow: ['127.0.0.1:*'] })] })
    open.push({ close: () => near.abort(new Error('the test is over')) })
    const listening = await tcpListen(near, { port: 0 }, { accepts: 1 })
    const over = proxyConnections(listening, { allow: ['127.0.0.1:*'], maxConnections: 2 })
    const clients = []
    for (let index = 0; index < 4; index++) {
      const client = await dial(listening.address.port)
      client.write(socks5('127.0.0.1', server.port))
      clients.push(client)
    }
    await eventually(() => server.sockets.length === 2, 'two stand')
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(server.sockets.length, 2)
    for (const client of clients.slice(0, 2)) client.destroy()
    await eventually(() => server.sockets.length === 4, 'the others have their turn')
    for (const client of clients) client.destroy()
    await listening.close()
    await over
  })

  it('takes a descriptor of its peer’s share for each connection, and gives it back [R-534]', async () => {
    const server = await target((socket) => socket.pipe(socket))
    const budgets = createBudgets({ descriptors: 128 })
    const [near] = await trunkPair({ budgets }, { protocols: [tcpListener({ allow: ['127.0.0.1:*'] })] })
    open.push({ close: () => near.abort(new Error('the test is over')) })
    const used = (): number => budgets.status().descriptors.used
    const listening = await tcpListen(near, { port: 0 })
    const refused: string[] = []
    const over = proxyConnections(listening, {
      allow: ['127.0.0.1:*'],
      trunk: near,
      onRefused: ({ code }) => refused.push(code),
    })
    const clients: Socket[] = []
    for (let index = 0; index < 100; index++) {
      const client = await dial(listening.address.port)
      client.write(socks5('127.0.0.1', server.port))
      client.resume()
      clients.push(client)
    }
    await eventually(() => server.sockets.length + refused.length === 100, 'each has its answer')
    assert.ok(used() > 50 && used() === server.sockets.length, `${used()} of ${server.sockets.length}`)
    assert.deepEqual(new Set(refused), new Set(['ERR_CONNECTION_LIMIT']))
    for (const client of clients) client.destroy()
    await eventually(() => used() === 0, 'they are given back')
    await listening.close()
    await over
  })

  it('throws for a bad rule before it takes anything', async () => {
    const none: AsyncIterable<never> = { [Symbol.asyncIterator]: () => assert.fail('it was asked') }
    assert.equal(await outcome(proxyConnections(none, { allow: ['*'] })), 'ERR_BAD_ARGUMENT')
    assert.equal(await outcome(proxyConnections(none, { allow: [], maxConnections: 0 })), 'ERR_BAD_ARGUMENT')
  })
})
