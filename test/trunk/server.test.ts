import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connect, serve, type Trunk, type ServeOptions } from '../../src/index.ts'
import { eventually, steady } from '../helpers/eventually.ts'
import { dialLoopback, isFree } from '../helpers/loopback.ts'
import { expectNoLeaks } from '../helpers/no-leaks.ts'
import { checkPattern, echo, outcome, pattern, produce } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const ANY = 'tcp://127.0.0.1:0'

async function echoes(trunk: Trunk): Promise<number> {
  const pipe = await trunk.open('echo', undefined, { body: pattern(100) })
  return await checkPattern(pipe.source)
}

describe('a server', () => {
  it('serves whether or not it is iterated', async () => {
    await expectNoLeaks(async () => {
      await using server = await serve(ANY, { protocols: [echo] })
      assert.match(server.address, /^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/)
      const trunks = await Promise.all([1, 2, 3].map(() => connect(server.address)))
      assert.deepEqual(await Promise.all(trunks.map(echoes)), [100, 100, 100])
      assert.equal(server.trunks.size, 3)
      await trunks[0]?.close()
      await eventually(() => server.trunks.size === 2, 'a closed trunk is let go of')
    })
  })

  it('gives each trunk to one iteration, those from before included, and ends the iterations when it closes', async () => {
    const server = await serve(ANY, { protocols: [echo] })
    const early = await connect(server.address, { name: 'early' })
    await eventually(() => server.trunks.size === 1, 'it stands')
    const names: string[] = []
    const iterate = async (): Promise<void> => {
      for await (const trunk of server) names.push(trunk.status().peer.name)
    }
    const iterations = [iterate(), iterate()]
    const late = await connect(server.address, { name: 'late' })
    await eventually(() => names.length === 2, 'both are given')
    assert.deepEqual(names.sort(), ['early', 'late'])
    await server.close()
    await Promise.all(iterations)
    await Promise.all([early.closed, late.closed])
  })

  it('forgets a trunk that nobody took and that has closed', async () => {
    const server = await serve(ANY)
    const gone = await connect(server.address, { name: 'gone' })
    await eventually(() => server.trunks.size === 1, 'it stands')
    await gone.close()
    await eventually(() => server.trunks.size === 0, 'it is gone')
    const stays = await connect(server.address, { name: 'stays' })
    for await (const trunk of server) {
      assert.equal(trunk.status().peer.name, 'stays')
      break
    }
    await stays.close()
    await server.close()
  })

  it('refuses sessions beyond maxSessions by code, and takes them again when others have left', async () => {
    const rejected: string[] = []
    const onSessionError: ServeOptions['onSessionError'] = ({ error }) =>
      rejected.push((error as { code?: string }).code ?? '')
    const server = await serve(ANY, { protocols: [echo], limits: { maxSessions: 2 }, onSessionError })
    const first = await connect(server.address)
    const second = await connect(server.address)
    assert.equal(await outcome(connect(server.address)), 'ERR_SESSION_LIMIT')
    assert.deepEqual(rejected, ['ERR_SESSION_LIMIT'])
    assert.deepEqual([await echoes(first), await echoes(second)], [100, 100])
    await first.close()
    await eventually(() => server.trunks.size === 1, 'one has left')
    const third = await connect(server.address)
    assert.equal(await echoes(third), 100)
    await Promise.all([second.close(), third.close()])
    await server.close()
  })

  it('says who was rejected and why, and only those: a session that breaks later is none', async () => {
    const rejected: { peer: string; error: Error }[] = []
    const server = await serve(ANY, { onSessionError: (rejection) => rejected.push(rejection) })
    const stranger = await dialLoopback(Number(server.address.split(':').pop()))
    stranger.end('GET / HTTP/1.1\r\n\r\n')
    await eventually(() => rejected.length === 1, 'the stranger is rejected')
    assert.equal((rejected[0]?.error as { code?: string } | undefined)?.code, 'ERR_NOT_TRUNKLINE')
    assert.match(rejected[0]?.peer ?? '', /^127\.0\.0\.1:\d+$/)
    const trunk = await connect(server.address)
    await eventually(() => server.trunks.size === 1, 'it stands')
    trunk.abort(new Error('broken'))
    await eventually(() => server.trunks.size === 0, 'it is gone')
    await steady(() => rejected.length, 20)
    assert.equal(rejected.length, 1)
    await server.close()
  })

  it('closes with its trunks: pipes that are open finish, the address is free, nothing is left', async () => {
    await expectNoLeaks(async () => {
      const server = await serve(ANY, { protocols: [produce] })
      const trunk = await connect(server.address)
      const pipe = await trunk.open('produce', 2_000_000)
      const hello = await dialLoopback(Number(server.address.split(':').pop()))
      const closing = Promise.all([server.close(), server.close(), server[Symbol.asyncDispose]()])
      assert.equal(await checkPattern(pipe.source), 2_000_000)
      await closing
      assert.ok(await isFree(Number(server.address.split(':').pop())))
      assert.equal(await outcome(connect(server.address)), 'ERR_CONNECT_REFUSED')
      await trunk.closed
      hello.destroy()
    })
  })

  it('takes fifty that say hello at once without a warning', async () => {
    const server = await serve(ANY, { protocols: [echo] })
    const trunks = await Promise.all(Array.from({ length: 50 }, () => connect(server.address)))
    assert.equal((await Promise.all(trunks.map(echoes))).length, 50)
    await Promise.all(trunks.map((trunk) => trunk.close()))
    await server.close()
  })

  it('says that an address is taken', async () => {
    const server = await serve(ANY)
    assert.equal(await outcome(serve(server.address)), 'ERR_ADDRESS_IN_USE')
    await server.close()
  })
})

describe('a token', () => {
  it('lets in who has it, and says to both sides who has not', async () => {
    const token = 'a secret of sixteen bytes or more'
    const rejected: string[] = []
    const onSessionError: ServeOptions['onSessionError'] = ({ error }) =>
      rejected.push((error as { code?: string }).code ?? '')
    const server = await serve(ANY, { protocols: [echo], token, onSessionError })
    const trunk = await connect(server.address, { token: Buffer.from(token) })
    assert.equal(await echoes(trunk), 100)
    assert.equal(await outcome(connect(server.address)), 'ERR_AUTH_REQUIRED')
    assert.equal(await outcome(connect(server.address, { token: `${token}!` })), 'ERR_AUTH_FAILED')
    await eventually(() => rejected.length === 2, 'the server knows of both')
    assert.deepEqual(rejected, ['ERR_AUTH_REQUIRED', 'ERR_AUTH_FAILED'])
    await trunk.close()
    await server.close()
  })
})
