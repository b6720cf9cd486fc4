import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import { loadNative } from '../../../src/native/load.ts'
import { tcpConnect, type TcpConnectionOptions } from '../../../protocols/tcp-connection.ts'
import { eventually } from '../../helpers/eventually.ts'
import { freePort, loopbackServer } from '../../helpers/loopback.ts'
import { manualClock } from '../../helpers/manual-clock.ts'
import { KINDS, trunkTo as trunkOf } from '../../helpers/tcp-kinds.ts'

const native = loadNative()

for (const { kind, attempts, skip } of KINDS)
  describe(`tcp-connection to a name, ${kind}`, { skip }, () => {
    const open: { close(): void }[] = []
    afterEach(() => {
      for (const thing of open.splice(0)) thing.close()
    })

    const trunkTo = (options: TcpConnectionOptions) => trunkOf(options, attempts, open)

    /** A port that never answers: its backlog is full, so the kernel drops each further SYN. */
    async function silentPort(host: string, port: number): Promise<void> {
      assert.ok(native)
      const fd = native.listen({ family: 'ipv4', address: host, port }, 1)
      const fillers: Socket[] = []
      open.push({
        close() {
          native.close(fd)
          for (const filler of fillers) filler.destroy()
        },
      })
      for (let i = 0; i < 6; i += 1) fillers.push(connect({ host, port }).on('error', () => undefined))
      await eventually(() => fillers.some((filler) => !filler.connecting), 'the backlog fills')
    }

    it('looks a name up once, checks every answer and dials only those that passed [R-116]', async () => {
      const good = await loopbackServer()
      const evil = await loopbackServer(undefined, { host: '127.0.0.3', port: good.port })
      open.push(good, evil)
      let lookups = 0
      const trunk = await trunkTo({
        allow: ['127.0.0.1:*'],
        lookup: () => {
          lookups += 1
          // A second answer would be another one: rebinding.
          return Promise.resolve(
            lookups > 1 ? ['127.0.0.3'] : ['127.0.0.3', '169.254.169.254', 'not an address', '127.0.0.1'],
          )
        },
      })
      const pipe = await tcpConnect(trunk, { host: 'rebind.example', port: good.port })
      assert.equal(pipe.reply.remoteAddress, '127.0.0.1')
      assert.equal(lookups, 1)
      assert.equal(evil.sockets.length, 0)
    })

    it('looks the name up anew for each connection, and judges the new answer [R-235]', async () => {
      const good = await loopbackServer()
      const evil = await loopbackServer(undefined, { host: '127.0.0.3', port: good.port })
      open.push(good, evil)
      const answers = [['127.0.0.1'], ['127.0.0.3'], ['127.0.0.3', '127.0.0.1'], ['::ffff:127.0.0.3']]
      const trunk = await trunkTo({ allow: ['127.0.0.1:*'], lookup: () => Promise.resolve(answers.shift() ?? []) })
      const to = { host: 'rebind.example', port: good.port }
      assert.equal((await tcpConnect(trunk, to)).reply.remoteAddress, '127.0.0.1')
      await assert.rejects(tcpConnect(trunk, to), { code: 'ERR_DENIED' })
      assert.equal((await tcpConnect(trunk, to)).reply.remoteAddress, '127.0.0.1')
      await assert.rejects(tcpConnect(trunk, to), { code: 'ERR_DENIED' })
      assert.equal(evil.sockets.length, 0)
    })

    it('takes no spelling of a denied address from a resolver either [R-236]', async () => {
      const server = await loopbackServer()
      open.push(server)
      const spellings = [
        '127.0.0.1',
        '127.1',
        '127.0.1',
        '0x7f.1',
        '0x7f000001',
        '2130706433',
        '017700000001',
        '127.0.0.01',
        '127。0。0。1',
        '127．0．0．1',
        '127.0.0.1\0evil',
        '127.0.0.1 ',
        '127.0.0.1%lo',
        'localhost',
        '0',
        '0.0.0.0',
        '::',
        '::1%lo',
        '::ffff:127.0.0.1',
        '::ffff:7f00:1',
        '0:0:0:0:0:FFFF:7F00:0001',
        '::127.0.0.1',
        '::7f00:1',
        '::ffff:0:127.0.0.1',
        '64:ff9b::7f00:1',
        '64:ff9b::127.0.0.1',
        '64:ff9b:1::7f00:1',
        '2002:7f00:1::',
        '2001:0:7f00:1::',
        '/run/x.sock',
        '',
      ]
      for (const allow of [
        ['127.0.0.2:*', '[::1]:*', '10.0.0.0/8:*'],
        ['odd.example:*', '127.0.0.2:*'],
      ]) {
        for (const spelling of spellings) {
          // a rule for the name allows ordinary addresses, loopback among them, and nothing that
          // hides one
          if (allow[0] === 'odd.example:*' && /^(127\.0\.0\.1|::ffff:7|::ffff:127|0:0:0:0:0:FFFF)/.test(spelling))
            continue
          const trunk = await trunkTo({ allow, lookup: () => Promise.resolve([spelling]) })
          const attempt = tcpConnect(trunk, { host: 'odd.example', port: server.port })
          await assert.rejects(attempt, { code: 'ERR_DENIED' }, JSON.stringify(spelling))
        }
      }
      assert.equal(server.sockets.length, 0)
    })

    it('denies a name whose every answer is denied, and its own name does not open special addresses [R-103]', async () => {
      const server = await loopbackServer()
      open.push(server)
      const trunk = await trunkTo({
        allow: ['metadata.example:*', '127.0.0.9:*'],
        lookup: (name) => Promise.resolve(name === 'metadata.example' ? ['169.254.169.254', '0.0.0.0'] : ['127.0.0.1']),
      })
      for (const host of ['metadata.example', 'other.example']) {
        await assert.rejects(tcpConnect(trunk, { host, port: server.port }), { code: 'ERR_DENIED' })
      }
      assert.equal(server.sockets.length, 0)
    })

    it('does not even look up a name that no rule could allow', async () => {
      let lookups = 0
      const trunk = await trunkTo({
        allow: ['known.example:443', '10.0.0.0/8:80'],
        lookup: () => {
          lookups += 1
          return Promise.resolve([])
        },
      })
      await assert.rejects(tcpConnect(trunk, { host: 'secret-in-a-label.example', port: 443 }), { code: 'ERR_DENIED' })
      assert.equal(lookups, 0)
      await assert.rejects(tcpConnect(trunk, { host: 'known.example', port: 443 }), { code: 'ERR_NAME_NOT_FOUND' })
      assert.equal(lookups, 1)
    })

    it('tries the next address at once when one refuses, and reports refusal when all do [R-116]', async () => {
      const server = await loopbackServer(undefined, { host: '127.0.0.4' })
      open.push(server)
      const trunk = await trunkTo({
        allow: ['127.0.0.0/8:*'],
        lookup: () => Promise.resolve(['127.0.0.2', '127.0.0.3', '127.0.0.4']),
        // Time stands still: nothing but the refusals moves it on.
        clock: manualClock(),
      })
      const pipe = await tcpConnect(trunk, { host: 'many.example', port: server.port })
      assert.equal(pipe.reply.remoteAddress, '127.0.0.4')
      const port = await freePort()
      await assert.rejects(tcpConnect(trunk, { host: 'many.example', port }), { code: 'ERR_CONNECT_REFUSED' })
    })

    it(
      'starts the next address after 250 ms of silence and keeps the first that stands [R-116]',
      { skip: !native },
      async () => {
        const server = await loopbackServer(undefined, { host: '127.0.0.6' })
        open.push(server)
        await silentPort('127.0.0.5', server.port)
        const clock = manualClock()
        const trunk = await trunkTo({
          allow: ['127.0.0.0/8:*'],
          lookup: () => Promise.resolve(['127.0.0.5', '127.0.0.6']),
          clock,
        })
        const attempt = tcpConnect(trunk, { host: 'slow.example', port: server.port })
        await eventually(() => clock.pending === 2, 'the first attempt is under way')
        clock.advance(249)
        assert.equal(server.sockets.length, 0)
        clock.advance(1)
        assert.equal((await attempt).reply.remoteAddress, '127.0.0.6')
        assert.equal(clock.pending, 0)
      },
    )

    it('gives up after the connect timeout, all addresses together [R-108] [R-116]', { skip: !native }, async () => {
      const port = await freePort()
      const hosts = ['127.0.0.7', '127.0.0.8']
      for (const host of hosts) await silentPort(host, port)
      const clock = manualClock()
      const trunk = await trunkTo({ allow: ['127.0.0.0/8:*'], lookup: () => Promise.resolve(hosts), clock })
      const attempt = tcpConnect(trunk, { host: 'silent.example', port })
      await eventually(() => clock.pending === 2, 'the first attempt is under way')
      clock.advance(9_999)
      await trunk.ping()
      assert.equal(trunk.status().pipes.length, 1)
      clock.advance(1)
      await assert.rejects(attempt, { code: 'ERR_CONNECT_TIMEOUT' })
      assert.equal(clock.pending, 0)
    })

    it('counts the lookup into the connect timeout [R-116]', async () => {
      const clock = manualClock()
      const lookup = () => new Promise<never>(() => undefined)
      const trunk = await trunkTo({ allow: ['any'], lookup, clock, connectTimeoutMs: 700 })
      const attempt = tcpConnect(trunk, { host: 'lost.example', port: 80 })
      await eventually(() => clock.pending === 1, 'the lookup is under way')
      clock.advance(700)
      await assert.rejects(attempt, { code: 'ERR_CONNECT_TIMEOUT' })
    })
  })
