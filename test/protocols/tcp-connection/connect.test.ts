import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { defineProtocol } from '../../../src/index.ts'
import { tcpConnect, tcpConnection, type TcpConnectionOptions } from '../../../protocols/tcp-connection.ts'
import { eventually } from '../../helpers/eventually.ts'
import { dialLoopback, freePort, loopbackServer, textOf, type LoopbackServer } from '../../helpers/loopback.ts'
import { KINDS, trunkTo as trunkOf } from '../../helpers/tcp-kinds.ts'
import { trunkPair } from '../../helpers/trunk-pair.ts'

for (const { kind, attempts, skip } of KINDS)
  describe(`tcp-connection, ${kind}`, { skip }, () => {
    const open: { close(): void }[] = []
    afterEach(() => {
      for (const thing of open.splice(0)) thing.close()
    })

    const trunkTo = (options: TcpConnectionOptions) => trunkOf(options, attempts, open)

    async function echo(): Promise<LoopbackServer> {
      const server = await loopbackServer((socket) => socket.pipe(socket))
      open.push(server)
      return server
    }

    it('reports the real addresses of a connection that is established', async () => {
      const server = await echo()
      const trunk = await trunkTo({ allow: [`127.0.0.1:${server.port}`] })
      const pipe = await tcpConnect(trunk, { host: '127.0.0.1', port: server.port })
      assert.equal(pipe.reply.remoteAddress, '127.0.0.1')
      assert.equal(pipe.reply.remotePort, server.port)
      await eventually(() => server.sockets.length === 1, 'the server has the connection')
      assert.equal(pipe.reply.localPort, server.sockets[0]?.remotePort)
      await pipe.write(Buffer.from('there and back'))
      await pipe.closeWrite()
      assert.equal(await textOf(pipe.source), 'there and back')
      await pipe.close()
    })

    it('tells refused, unreachable, denied and unknown names apart [R-108]', async () => {
      // The broadcast address of loopback: no TCP connection has a route there.
      const port = await freePort()
      const trunk = await trunkTo({ allow: ['127.0.0.1:*', '127.255.255.255:*', 'nobody.invalid:*', 'localhost:*'] })
      const refusal = async (host: string, to: number) => await codeOf(tcpConnect(trunk, { host, port: to }))
      assert.equal(await refusal('127.0.0.1', port), 'ERR_CONNECT_REFUSED')
      assert.equal(await refusal('127.255.255.255', port), 'ERR_CONNECT_UNREACHABLE')
      assert.equal(await refusal('127.0.0.2', port), 'ERR_DENIED')
      assert.equal(await refusal('nobody.invalid', port), 'ERR_NAME_NOT_FOUND')
    })

    it('decides on literals too, in every spelling [R-104]', async () => {
      const server = await echo()
      const trunk = await trunkTo({ allow: ['127.0.0.2:*', '[::1]:*'] })
      for (const host of [
        '127.0.0.1',
        '::ffff:127.0.0.1',
        '::ffff:7f00:1',
        '0.0.0.0',
        '::',
        '::127.0.0.1',
        'localhost',
      ]) {
        const code = await codeOf(tcpConnect(trunk, { host, port: server.port }))
        assert.ok(code === 'ERR_DENIED' || (host === 'localhost' && code === 'ERR_CONNECT_REFUSED'), `${host}: ${code}`)
      }
      assert.equal(server.sockets.length, 0)
    })

    it('reaches no metadata, link-local, multicast or broadcast address under any [R-103]', async () => {
      const trunk = await trunkTo({ allow: ['any'], connectTimeoutMs: 100 })
      for (const host of ['169.254.169.254', '224.0.0.1', '255.255.255.255', '0.0.0.0', 'fe80::1', '64:ff9b::7f00:1']) {
        assert.equal(await codeOf(tcpConnect(trunk, { host, port: 80 })), 'ERR_DENIED', host)
      }
    })

    it('refuses ports that are none, here and there [R-105]', async () => {
      const trunk = await trunkTo({ allow: ['any'] })
      for (const port of [0, -1, 65_536, '80x', '80', 22.5, NaN, null, undefined, 2n ** 60n, { port: 80 }, [80]]) {
        assert.equal(await codeOf(tcpConnect(trunk, { host: '127.0.0.1', port } as never)), 'ERR_BAD_ARGUMENT')
        if (typeof port === 'number' && Number.isNaN(port)) continue
        assert.equal(await codeOf(trunk.open('tcp-connection', { host: '127.0.0.1', port })), 'ERR_PARAMS_INVALID')
      }
    })

    it('takes no path, option object or number in disguise for a host [R-115]', async () => {
      const server = await echo()
      const trunk = await trunkTo({ allow: ['any'] })
      const hosts = [
        '/run/x.sock',
        './x',
        '',
        'a b',
        '127.1',
        '0x7f.1',
        '2130706433',
        '127。0。0。1',
        '127.0.0.1\0evil',
        'fe80::1%lo',
      ]
      for (const host of [
        ...hosts,
        { path: '/run/x.sock' },
        ['127.0.0.1'],
        2_130_706_433,
        null,
        undefined,
        'a'.repeat(300),
      ]) {
        assert.equal(await codeOf(tcpConnect(trunk, { host, port: server.port } as never)), 'ERR_BAD_ARGUMENT')
        assert.equal(await codeOf(trunk.open('tcp-connection', { host, port: server.port })), 'ERR_PARAMS_INVALID')
      }
      for (const params of [undefined, null, 'x', 7, [], { path: '/run/x.sock' }, { host: '127.0.0.1', path: '/x' }]) {
        assert.equal(await codeOf(trunk.open('tcp-connection', params)), 'ERR_PARAMS_INVALID')
      }
      assert.equal(server.sockets.length, 0)
    })

    it('ignores fields that it does not know', async () => {
      const server = await echo()
      const trunk = await trunkTo({ allow: ['127.0.0.1:*'] })
      const params = { host: '127.0.0.1', port: server.port, path: '/run/x.sock', localAddress: '127.0.0.9' }
      const pipe = await trunk.open('tcp-connection', params)
      assert.equal((pipe.reply as { localAddress: string }).localAddress, '127.0.0.1')
      pipe.abort(new Error('done'))
    })

    it('refuses more connections than allowed, and takes the next when one is over', async () => {
      const server = await echo()
      const trunk = await trunkTo({ allow: ['127.0.0.1:*'], maxConnections: 2 })
      const to = { host: '127.0.0.1', port: server.port }
      const [first] = [await tcpConnect(trunk, to), await tcpConnect(trunk, to)]
      assert.equal(await codeOf(tcpConnect(trunk, to)), 'ERR_CONNECTION_LIMIT')
      await first.closeWrite()
      await textOf(first.source)
      await first.close()
      const third = await tcpConnect(trunk, to)
      assert.equal(third.reply.remotePort, server.port)
    })

    it('counts connections per trunk', async () => {
      const server = await echo()
      const protocol = tcpConnection({ allow: ['127.0.0.1:*'], maxConnections: 1 })
      for (let i = 0; i < 2; i += 1) {
        const [near] = await trunkPair({}, { protocols: [protocol] })
        open.push({
          close: () => {
            near.abort(new Error('the test is over'))
          },
        })
        await tcpConnect(near, { host: '127.0.0.1', port: server.port })
      }
    })

    it('throws at once for a bad rule or number', () => {
      assert.throws(() => tcpConnection({ allow: ['127.1:80'] }), /127\.1:80/)
      assert.throws(() => tcpConnection({ allow: [], connectTimeoutMs: 0 }), { code: 'ERR_BAD_ARGUMENT' })
      assert.throws(() => tcpConnection({ allow: [], maxConnections: 0.5 }), { code: 'ERR_BAD_ARGUMENT' })
      assert.throws(() => tcpConnection({} as never), { code: 'ERR_BAD_ARGUMENT' })
    })

    it('does not believe a reply that is none, and resets the pipe', async () => {
      let ended: unknown
      const liar = defineProtocol({
        name: 'tcp-connection',
        parse: () => undefined,
        async handle(request) {
          const pipe = request.accept({
            remoteAddress: 'x'.repeat(100),
            remotePort: 80,
            localAddress: '',
            localPort: 1,
          })
          await textOf(pipe.source).catch((error: unknown) => (ended = error))
        },
      })
      const [near] = await trunkPair({}, { protocols: [liar] })
      open.push({
        close: () => {
          near.abort(new Error('the test is over'))
        },
      })
      assert.equal(await codeOf(tcpConnect(near, { host: '127.0.0.1', port: 80 })), 'ERR_MESSAGE_INVALID')
      await eventually(() => ended !== undefined, 'the pipe is reset')
    })

    it('gives the socket up when the asking side does', async () => {
      const server = await echo()
      const giveUp = new AbortController()
      const trunk = await trunkTo({
        allow: ['there.example:*'],
        lookup: () => {
          giveUp.abort(new Error('changed my mind'))
          return new Promise(() => undefined)
        },
      })
      const attempt = tcpConnect(trunk, { host: 'there.example', port: server.port }, { signal: giveUp.signal })
      await assert.rejects(attempt, /changed my mind/)
      await eventually(() => trunk.status().pipes.length === 0, 'the pipe is gone')
      assert.equal(server.sockets.length, 0)
    })

    it('leaves the trunk usable after every refusal', async () => {
      const server = await echo()
      const trunk = await trunkTo({ allow: ['127.0.0.1:*'] })
      for (let i = 0; i < 50; i += 1) await codeOf(tcpConnect(trunk, { host: '127.0.0.2', port: server.port }))
      const pipe = await tcpConnect(trunk, { host: '127.0.0.1', port: server.port })
      await pipe.closeWrite()
      assert.equal(await textOf(pipe.source), '')
      const direct = await dialLoopback(server.port)
      direct.destroy()
    })
  })

async function codeOf(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'no error'
}
