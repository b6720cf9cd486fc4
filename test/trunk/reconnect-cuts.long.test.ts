/**
 * A thousand lines that are cut, each in a moment of its own: while it is dialled, in the hello,
 * while pipes run.
 */
import assert from 'node:assert/strict'
import { getEventListeners, once } from 'node:events'
import { connect as connectTo, createServer, type AddressInfo, type Server } from 'node:net'
import { describe, it } from 'node:test'
import { resetSocket } from '../../protocols/tcp/reset-socket.ts'
import { connect, serve, type ReconnectingTrunk, type TrunkError } from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import { memoryHeld } from '../helpers/memory-held.ts'
import { expectNoLeaks } from '../helpers/no-leaks.ts'
import { checkPattern, echo, pattern } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { Random } from '../sim/random.ts'

noStrayRejections()

const SEED = 62
const CUTS = 1_000
const WARM_UP = 200
const MAX_GROWTH_BYTES = 5 * 1024 * 1024
const SEVERAL_AT_ONCE = 2
const LIMITS = { reconnectMinMs: 1, reconnectMaxMs: 3 }

/** Turns of the event loop: the unit of these moments. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

/**
 * A proxy on loopback that cuts each of its connections some turns after it came, by an end or a
 * reset; `cuts` counts them.
 */
class CuttingProxy {
  cuts = 0
  /** It holds no connection that is over: what is counted is trunkline's. */
  readonly #server: Server

  constructor(target: number, random: Random) {
    this.#server = createServer((near) => {
      const far = connectTo({ port: target, host: '127.0.0.1' })
      for (const socket of [near, far]) socket.on('error', () => undefined)
      near.pipe(far).pipe(near)
      void turns(random.scale(1, 40)).then(() => {
        this.cuts++
        for (const socket of [near, far]) {
          if (random.chance(0.5)) resetSocket(socket)
          else socket.destroy()
        }
      })
    })
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return `tcp://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.close()
  }
}

/**
 * Opens pipes until `over`; each works, or fails with a code of its line's end. Gives how many
 * worked.
 */
async function useWhile(trunk: ReconnectingTrunk, signal: AbortSignal, isOver: () => boolean): Promise<number> {
  let worked = 0
  while (!isOver()) {
    try {
      const pipe = await trunk.open('echo', undefined, { body: pattern(3_000), signal })
      assert.equal(await checkPattern(pipe.source), 3_000)
      worked++
    } catch (error) {
      assert.match((error as TrunkError).code, /^ERR_(LINK_RESET|LINK_LOST|FRAME_TRUNCATED)$/)
    }
  }
  return worked
}

describe('a reconnecting trunk', () => {
  it(`works between ${CUTS} cuts at random instants, and they leave nothing [R-062]`, async (t) => {
    t.diagnostic(`seed ${SEED}`)
    await expectNoLeaks(async () => {
      const server = await serve('tcp://127.0.0.1:0', { protocols: [echo] })
      const line = new CuttingProxy(Number(new URL(server.address).port), new Random(SEED))
      const { signal } = new AbortController()
      const trunk = await connect(await line.listen(), { reconnect: true, limits: LIMITS, signal })
      const run = async (until: number): Promise<number> => {
        const isOver = (): boolean => line.cuts >= until
        const workers = Array.from({ length: SEVERAL_AT_ONCE }, () => useWhile(trunk, signal, isOver))
        return (await Promise.all(workers)).reduce((sum, worked) => sum + worked, 0)
      }
      await run(WARM_UP)
      const before = await memoryHeld()
      const worked = await run(WARM_UP + CUTS)
      const { sessions } = trunk.connection
      assert.ok(worked > CUTS / 10 && sessions > CUTS / 10, `${worked} pipes worked in ${sessions} sessions`)
      assert.ok(sessions < WARM_UP + CUTS, 'none was cut before its session was established')
      await trunk.close()
      await eventually(() => server.trunks.size === 0, 'the server has let go')
      const grown = (await memoryHeld()) - before
      t.diagnostic(`${worked} pipes in ${sessions} sessions; ${Math.round(grown / 1024)} KiB more are held`)
      assert.ok(grown < MAX_GROWTH_BYTES, `${grown} bytes more are held`)
      assert.equal(getEventListeners(signal, 'abort').length, 0)
      await server.close()
      line.close()
    })
  })
})
