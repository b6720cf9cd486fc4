/** Sessions that outlive their links, over real sockets with a proxy between that cuts them. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import {
  connect,
  serve,
  type ConnectionStatus,
  type ConnectOptions,
  type ServeOptions,
  type Server,
} from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import { faultProxy, proxyTarget } from '../helpers/fault-proxy.ts'
import { echo, protocol } from '../helpers/protocols.ts'
import { keyed, keyedReader } from '../helpers/keyed-stream.ts'

const BYTES = 24 * 1024 * 1024
const SERVER = 'tcp://127.0.0.1:0'

const digest = protocol('digest', async ({ accept }) => {
  const pipe = accept()
  const hash = createHash('sha256')
  for await (const bytes of pipe) for (const piece of bytes) hash.update(piece)
  await pipe.write(hash.digest())
})

async function pair(options: ConnectOptions = {}, served: ServeOptions = {}) {
  const server = await serve(SERVER, { resume: true, protocols: [echo, digest, keyed], ...served })
  const proxy = await faultProxy(proxyTarget(server.address))
  const trunk = await connect(proxy.address, { resume: true, ...options })
  return {
    server,
    proxy,
    trunk,
    async [Symbol.asyncDispose]() {
      trunk.abort(new Error('the test is over'))
      await server.close()
      proxy.close()
    },
  }
}

/** As a process that is killed: its session says nothing, and is known no more. */
async function kill(server: Server): Promise<void> {
  await eventually(() => server.trunks.size === 1, 'the session at the server')
  const [served] = [...server.trunks] as unknown as { cut(error: Error): void }[]
  served?.cut(new Error('killed'))
}

describe('a session with resume', () => {
  it(
    '[R-743] brings every byte over, both ways, when its connection is cut again and again',
    { timeout: 120_000 },
    async () => {
      await using at = await pair()
      const { trunk, proxy, server } = at
      const up = await trunk.open('digest')
      const hash = createHash('sha256')
      let cuts = 0
      const upwards = (async () => {
        const chunk = Buffer.alloc(64 * 1024)
        for (let sent = 0; sent < BYTES; sent += chunk.byteLength) {
          chunk.fill((sent >>> 16) & 0xff)
          chunk.writeUInt32BE(sent, 0)
          hash.update(chunk)
          await up.write(chunk)
          // the chunk is ours again: whatever is still under way, or was lost, has a copy
          if (sent % (4 * 1024 * 1024) === 0 && sent > 0) {
            proxy.cut(cuts++ % 2 === 0 ? 'reset' : 'end')
          }
        }
        await up.closeWrite()
        const answer: Buffer[] = []
        for await (const bytes of up) answer.push(Buffer.from(bytes.subarray()))
        return Buffer.concat(answer).toString('hex')
      })()
      const downwards = (async () => {
        const down = await trunk.open('keyed', { key: 7, bytes: 1024 * 1024 })
        const check = keyedReader(7)
        for await (const bytes of down) for (const piece of bytes) check(piece)
        assert.equal(check.bytes, 1024 * 1024)
      })()
      const [told] = await Promise.all([upwards, downwards])
      assert.equal(told, hash.digest('hex'))
      assert.ok(cuts >= 4, `${cuts} cuts`)
      assert.ok(proxy.connections() > cuts, `${proxy.connections()} connections for ${cuts} cuts`)
      assert.equal(server.trunks.size, 1)
      await trunk.close()
      await eventually(() => server.trunks.size === 0, 'the end of the session at the server')
    },
  )

  it('ends well at both sides', async () => {
    await using at = await pair()
    await eventually(() => at.server.trunks.size === 1, 'the session at the server')
    const [served] = at.server.trunks
    await at.trunk.close()
    await at.trunk.closed
    await served?.closed
  })

  it('[R-744] fails its pipes with ERR_RESUME_UNKNOWN when the server was started again', async () => {
    const first = await serve(SERVER, { resume: true, protocols: [echo] })
    const told: ConnectionStatus['state'][] = []
    const trunk = await connect(first.address, {
      resume: true,
      onConnection: ({ state }) => told.push(state),
    })
    const pipe = await trunk.open('echo')
    const reading = assert.rejects(pipe.source.next(), { code: 'ERR_RESUME_UNKNOWN' })
    const { address } = first
    await kill(first)
    await first.close()
    await using second = await serve(address, { resume: true, protocols: [echo] })
    assert.equal(second.address, address)
    await reading
    await assert.rejects(trunk.closed, { code: 'ERR_RESUME_UNKNOWN' })
    assert.ok(told.includes('resuming'), told.join(' '))
  })

  it('[R-745] stands on the same connection as a fresh session where reconnect is asked for', async () => {
    const first = await serve(SERVER, { resume: true, protocols: [echo] })
    await using proxy = Object.assign(await faultProxy(proxyTarget(first.address)), {
      async [Symbol.asyncDispose]() {
        proxy.close()
      },
    })
    const trunk = await connect(proxy.address, { resume: true, reconnect: true })
    const { address } = first
    await kill(first)
    await first.close()
    await using second = await serve(address, { resume: true, protocols: [echo] })
    await eventually(() => trunk.connection.sessions === 2, 'the second session')
    const pipe = await trunk.open('echo')
    await pipe.write(Buffer.from('again'))
    const answer = await pipe.source.next()
    assert.equal(Buffer.from(answer.value?.subarray() ?? []).toString(), 'again')
    assert.equal(second.trunks.size, 1)
    trunk.abort(new Error('the test is over'))
  })

  it('[R-746] is given up after resumeMs without a link, at both sides', async () => {
    await using at = await pair({ limits: { resumeMs: 200 } })
    await eventually(() => at.server.trunks.size === 1, 'the session at the server')
    const [served] = at.server.trunks
    const pipe = await at.trunk.open('echo')
    at.proxy.close()
    at.proxy.cut('reset')
    await assert.rejects(pipe.source.next(), { code: 'ERR_RESUME_EXPIRED' })
    await assert.rejects(at.trunk.closed, { code: 'ERR_RESUME_EXPIRED' })
    await assert.rejects(served?.closed ?? Promise.resolve(), { code: 'ERR_RESUME_EXPIRED' })
  })

  it('is one that ends with its link where the other side wants no resume', async () => {
    for (const [here, there] of [
      [true, false],
      [false, true],
    ] as const) {
      await using at = await pair({ resume: here }, { resume: there })
      const pipe = await at.trunk.open('echo')
      at.proxy.cut('reset')
      await assert.rejects(pipe.source.next(), { code: 'ERR_LINK_RESET' })
    }
  })

  it('goes on with a token, and without the right one never begins', async () => {
    const token = 'sixteen bytes and more'
    await using at = await pair({ token }, { token })
    const pipe = await at.trunk.open('echo')
    at.proxy.cut('reset')
    await pipe.write(Buffer.from('still here'))
    const answer = await pipe.source.next()
    assert.equal(Buffer.from(answer.value?.subarray() ?? []).toString(), 'still here')
  })

  it('says that it waits while there is no link', async () => {
    await using at = await pair()
    const pipe = await at.trunk.open('echo')
    at.proxy.close()
    at.proxy.cut('reset')
    await eventually(() => at.trunk.status().state === 'waiting', 'waiting')
    assert.deepEqual(
      at.trunk.status().pipes.map(({ waitsFor }) => waitsFor),
      ['link'],
    )
    pipe.abort(new Error('enough'))
  })

  it('[R-843] answers pings that were asked before a loss, and while there was no link', async () => {
    const asked: Promise<number>[] = []
    await using at = await pair({
      onConnection: ({ state }) => {
        if (state === 'resuming') asked.push(at.trunk.ping())
      },
    })
    for (let ping = 0; ping < 5; ping++) await at.trunk.ping()
    at.proxy.blackHole()
    asked.push(at.trunk.ping())
    at.proxy.cut('reset')
    await eventually(() => asked.length === 2, 'the ping without a link')
    for (const answer of asked) assert.ok((await answer) >= 0)
  })

  it('is refused on a line where bytes can be lost', async () => {
    await assert.rejects(connect('serial:///dev/null', { resume: true }), { code: 'ERR_UNSUPPORTED' })
    await assert.rejects(serve('serial:///dev/null', { resume: true }), { code: 'ERR_UNSUPPORTED' })
  })
})
