/**
 * Who has proved nothing yet: how many a server has in their hello, and who goes when there are too
 * many.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connect, serve, type TrunkOptions } from '../../src/index.ts'
import { addressGroup, Strangers } from '../../src/session/strangers.ts'
import { eventually } from '../helpers/eventually.ts'
import { dialLoopback } from '../helpers/loopback.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import { concat, encodeFrame, frame, SYNC, TYPE } from '../helpers/naive-codec.ts'
import { expectNoLeaks } from '../helpers/no-leaks.ts'
import { outcome } from '../helpers/protocols.ts'
import { helloFields } from '../helpers/raw-peer.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const ANY = 'tcp://127.0.0.1:0'
const token = 'x'.repeat(32)

describe('[R-400] strangers', () => {
  const stand = (max: number) => {
    const cut: string[] = []
    const strangers = new Strangers(max)
    const add = (peer: string) => strangers.add(peer, () => cut.push(peer))
    return { strangers, cut, add }
  }

  it('are as many as there is room for, and the oldest of the greediest address goes for the next one', () => {
    const { strangers, cut, add } = stand(4)
    for (const peer of ['10.0.0.1:1', '10.0.0.2:1', '10.0.0.2:2', '10.0.0.3:1']) add(peer)
    assert.equal(cut.length, 0)
    add('10.0.0.4:1')
    assert.deepEqual(cut, ['10.0.0.2:1'])
    assert.equal(strangers.count, 4)
    for (let port = 1; port <= 20; port++) add(`10.0.0.9:${port}`)
    // whoever has many loses its own, and one of each address stays
    assert.deepEqual(new Set(cut.slice(4).map((peer) => peer.split(':')[0])), new Set(['10.0.0.9']))
    assert.equal(strangers.count, 4)
    assert.equal(strangers.cut, 21)
  })

  it('leave once, also after they were cut', () => {
    const { strangers, add } = stand(2)
    const leave = [add('a:1'), add('a:2'), add('a:3')]
    for (const one of [...leave, ...leave]) one()
    assert.equal(strangers.count, 0)
  })

  it('are known by what one of them has: a whole address, or the first half of one of IPv6', () => {
    const groups: readonly [string, string][] = [
      ['127.0.0.1:4000', '127.0.0.1'],
      ['[2001:db8:1:2:3:4:5:6]:1', '2001:db8:1:2'],
      ['[2001:db8:1:2::7]:1', '2001:db8:1:2'],
      ['[2001:db8::]:1', '2001:db8:0:0'],
      ['[::1]:1', '0:0:0:0'],
      ['[fe80::1%eth0]:1', 'fe80:0:0:0'],
      ['[::ffff:10.0.0.1]:1', '10.0.0.1'],
      ['', ''],
    ]
    for (const [peer, group] of groups) assert.equal(addressGroup(peer), group, peer)
  })
})

describe('[R-401] a server with a token', () => {
  /** A hello that is right as far as it goes: its proof never comes. */
  const halfOpen = concat(
    SYNC,
    encodeFrame(frame(TYPE.HELLO, 0, cbor({ ...helloFields(), role: 'connect', challenge: new Uint8Array(32) }))),
  )

  async function flooded(
    limits: TrunkOptions['limits'] & object,
    strangers: number,
    use: (address: string, made: () => number) => Promise<void>,
  ) {
    const server = await serve(ANY, { token, limits })
    const port = Number(server.address.split(':').pop())
    let over = false
    let made = 0
    const sockets = new Set<Awaited<ReturnType<typeof dialLoopback>>>()
    /** One half-open hello after the other: renewed as soon as it is cut. */
    const stranger = async (): Promise<void> => {
      while (!over) {
        const socket = await dialLoopback(port)
        made++
        sockets.add(socket)
        await new Promise<void>((resolve) => {
          socket.on('error', () => undefined) // a reset is what it is there for
          socket.on('end', () => socket.destroy()) // dialLoopback's sockets may stay half open
          socket.on('close', () => resolve())
          socket.resume()
          socket.write(halfOpen)
        })
        sockets.delete(socket)
      }
    }
    const all = Promise.all(Array.from({ length: strangers }, stranger))
    await eventually(() => made >= strangers, 'they are there', 20_000)
    try {
      await use(server.address, () => made)
    } finally {
      over = true
      await server.close()
      for (const socket of sockets) socket.destroy()
      await outcome(all)
    }
  }

  it('lets whoever has the token in beside strangers that fill its room, and beside those that keep coming', async () => {
    await expectNoLeaks(async () => {
      await flooded({ maxHandshakes: 40, maxSessions: 4 }, 60, async (address, made) => {
        for (let i = 0; i < 20; i++) {
          const trunk = await connect(address, { token })
          await trunk.ping()
          await trunk.close()
        }
        await eventually(() => made() > 60, 'one of them is cut, and comes again')
      })
    })
  })

  it('keeps its sessions for those who have proved who they are, and says to one too many why', async () => {
    await flooded({ maxHandshakes: 40, maxSessions: 2 }, 20, async (address) => {
      const trunks = [await connect(address, { token }), await connect(address, { token })]
      assert.equal(await outcome(connect(address, { token })), 'ERR_SESSION_LIMIT')
      assert.equal(await outcome(connect(address, { token: 'y'.repeat(32) })), 'ERR_AUTH_FAILED')
      await trunks[0]?.close()
      await eventually(() => true, 'a turn')
      let again = await outcome(connect(address, { token }).then((trunk) => trunk.close()))
      for (let i = 0; again === 'ERR_SESSION_LIMIT' && i < 100; i++) {
        again = await outcome(connect(address, { token }).then((trunk) => trunk.close()))
      }
      assert.equal(again, 'resolved')
      await trunks[1]?.close()
    })
  })
})

describe('[R-402] a server without a token', () => {
  it('refuses those beyond its last place before they have a session, however many come at once', async () => {
    const server = await serve(ANY, { limits: { maxSessions: 3 } })
    const made = await Promise.allSettled(Array.from({ length: 12 }, () => connect(server.address)))
    const codes = made.map((one) => (one.status === 'fulfilled' ? 'resolved' : (one.reason as { code: string }).code))
    assert.equal(codes.filter((code) => code === 'resolved').length, 3, codes.join())
    assert.equal(codes.filter((code) => code === 'ERR_SESSION_LIMIT').length, 9, codes.join())
    for (const one of made) if (one.status === 'fulfilled') await one.value.close()
    await server.close()
  })
})
