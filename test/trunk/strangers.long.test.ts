/** Strangers in numbers, on real sockets. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connect, serve, type TrunkOptions } from '../../src/index.ts'
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
