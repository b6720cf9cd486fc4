/**
 * Serving a connectionless link: session after session over one opening of it, whatever the peers
 * do and whatever becomes of the line. The line is a memory link, the clock is turned by hand, and
 * at the end nothing is left.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { overLink, serve, type Server, type Trunk, type ServeOptions } from '../../src/index.ts'
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import { SharedLink } from '../../src/session/shared-link.ts'
import { memory } from '../../transports/memory.ts'
import { BareDevice } from '../helpers/bare-device.ts'
import { eventually, keptAlive, steady } from '../helpers/eventually.ts'
import { concat, encodeFrame, frame, hex, SYNC, TYPE, utf8 } from '../helpers/naive-codec.ts'
import { checkPattern, echo, outcome, pattern } from '../helpers/protocols.ts'
import { fieldsOf, CheckedVoice, HandOnLine } from '../helpers/raw-checked.ts'
import { isCode } from '../helpers/raw-session.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const TIMEOUT = { timeout: 60_000 }

/** A served device; `rejected` is what its server reported. */
interface Bench {
  readonly device: BareDevice
  readonly server: Server
  readonly rejected: string[]
}

/** Runs `use` with a served device, closes it, and checks that nothing is left. */
async function served(
  use: (bench: Bench) => Promise<void>,
  options: ServeOptions = {},
  bufferBytes?: number,
): Promise<void> {
  await keptAlive(async () => {
    const device = new BareDevice(bufferBytes)
    const rejected: string[] = []
    const server = await device.serve({
      protocols: [echo],
      onSessionError: ({ error }) => rejected.push((error as { code?: string }).code ?? String(error)),
      ...options,
    })
    try {
      await use({ device, server, rejected })
    } finally {
      await device.whileTimePasses(server.close())
    }
    assert.equal(server.trunks.size, 0)
    await eventually(() => device.clock.pending === 0, 'no timer is left')
  })
}

/** The trunk that the server has now. */
async function theTrunk(server: Server, what = 'a session'): Promise<Trunk> {
  await eventually(() => server.trunks.size === 1, what)
  return [...server.trunks][0]!
}

async function echoes(trunk: Trunk, bytes = 50_000): Promise<void> {
  const pipe = await trunk.open('echo', undefined, { body: pattern(bytes) })
  assert.equal(await checkPattern(pipe.source), bytes)
  await pipe.close()
}

describe('a server of a connectionless link', TIMEOUT, () => {
  it('has session after session over one opening, and each is offered to who iterates', async () => {
    await served(async ({ device, server, rejected }) => {
      const far = new SharedLink(device.plug())
      const offered = server[Symbol.asyncIterator]()
      const epochs = new Set<string>()
      for (let i = 0; i < 5; i++) {
        const trunk = await device.over(far.take(), { name: `guest ${i}` })
        await echoes(trunk)
        epochs.add(trunk.status().peer.epoch)
        const next = await offered.next()
        assert.equal(next.done === false && next.value.status().peer.name, `guest ${i}`)
        await trunk.close()
        await far.free()
        await eventually(() => server.trunks.size === 0, 'it is over there too')
      }
      assert.equal(epochs.size, 5, 'each session has an epoch of its own')
      assert.equal(device.openings, 1)
      assert.deepEqual(rejected, [])
      assert.equal(far.over, false)
      await far.close()
    })
  })

  it('outlives peers that are killed at any byte: the next one has a session, and none of the old bytes [R-051]', async () => {
    await served(async ({ device, server, rejected }) => {
      const hand = new HandOnLine(device.plug())
      for (const bytes of [0, 1, 12, 30, 1000]) {
        const voice = hand.next()
        await hand.meet()
        const trunk = await theTrunk(server)
        hand.send(voice.say(frame(0x7f, 0, new Uint8Array(2000))).subarray(0, bytes))
        const next = hand.next()
        hand.send(next.helloBurst())
        await assert.rejects(trunk.closed, isCode('ERR_PEER_RESTARTED', 'local'))
        device.clock.advance(1000)
        await eventually(() => next.theirHello !== undefined, 'a hello of the next session')
        assert.notEqual(hex(next.theirEpoch), hex(voice.theirEpoch))
        assert.equal(next.count('BYE'), 0)
      }
      assert.deepEqual(rejected, [])
    })
  })

  it('tells a peer that it cannot have a session, once, and serves the next one', async () => {
    await served(async ({ device, server, rejected }) => {
      const hand = new HandOnLine(device.plug())
      for (let i = 0; i < 3; i++) {
        const voice = hand.next(new CheckedVoice({ versions: [7, 9] }))
        hand.send(voice.helloBurst())
        await eventually(() => voice.byeNumber === 19, 'ERR_VERSION_MISMATCH')
      }
      assert.deepEqual(rejected, ['ERR_VERSION_MISMATCH'], 'told once per kind')
      const asked = hand.next(new CheckedVoice({ challenge: new Uint8Array(32), role: 'connect' }))
      hand.send(asked.helloBurst())
      await eventually(() => asked.byeNumber === 23, 'ERR_AUTH_REQUIRED')
      assert.deepEqual(rejected, ['ERR_VERSION_MISMATCH', 'ERR_AUTH_REQUIRED'])
      const good = hand.next()
      await hand.meet()
      const trunk = await theTrunk(server)
      hand.send(good.say(frame(TYPE.BYE, 0, Uint8Array.of(0, 16, 0))))
      await trunk.closed
      // after a session that went well what is wrong is news again
      const again = hand.next(new CheckedVoice({ challenge: new Uint8Array(32), role: 'connect' }))
      hand.send(again.helloBurst())
      await eventually(() => again.byeNumber === 23, 'ERR_AUTH_REQUIRED again')
      assert.deepEqual(rejected, ['ERR_VERSION_MISMATCH', 'ERR_AUTH_REQUIRED', 'ERR_AUTH_REQUIRED'])
    })
  })

  it('starts again five times at once after sessions that come to no good end, and then once a second [R-064]', async () => {
    await served(async ({ device }) => {
      const hand = new HandOnLine(device.plug())
      const epochs = new Set<string>()
      const sayHello = (): CheckedVoice => {
        const voice = hand.next(new CheckedVoice({ versions: [7, 7] }))
        hand.send(voice.helloBurst())
        return voice
      }
      /** So many sessions tell us that there can be none, and then nobody has the line. */
      const refusedBy = async (sessions: number): Promise<void> => {
        for (let i = 0; i < sessions; i++) {
          const voice = sayHello()
          await eventually(() => voice.byeNumber !== undefined, 'a goodbye')
          epochs.add(hex(fieldsOf(voice.received[0]!).epoch as Uint8Array))
        }
        const unheard = sayHello()
        await steady(() => unheard.received.length, 50)
        assert.deepEqual(unheard.received, [])
      }
      // the first one, and five more
      await refusedBy(6)
      for (let seconds = 1; seconds <= 5; seconds++) {
        device.clock.advance(999)
        await refusedBy(0)
        device.clock.advance(1)
        await steady(() => 0, 5)
        await refusedBy(1)
      }
      assert.equal(epochs.size, 11, 'each with an epoch of its own')
    })
  })

  it('goes on when its last words are stuck: the next session waits for the line, and loses nothing', async () => {
    await served(
      async ({ device, server, rejected }) => {
        const hand = new HandOnLine(device.plug(), new CheckedVoice({ versions: [7, 7] }))
        hand.stall()
        // nobody reads, and hello bursts fill the line
        for (let i = 0; i < 5; i++) {
          device.clock.advance(1000)
          await steady(() => i, 5)
        }
        hand.send(hand.voice.helloBurst())
        await eventually(() => rejected.length > 0, 'ERR_VERSION_MISMATCH')
        // the goodbye is given up after a second; the next session has the line, which still takes
        // nothing
        device.clock.advance(1000)
        await eventually(() => device.clock.pending === 0, 'the first one is gone')
        hand.next()
        hand.resume()
        const epochs = ({ received }: CheckedVoice): Set<string> =>
          new Set(
            received.filter(({ type }) => type === TYPE.HELLO).map((one) => hex(fieldsOf(one).epoch as Uint8Array)),
          )
        // each hello burst has an epoch of its own while nobody is known: four that filled the
        // line, and the next session's
        await hand.until((voice) => epochs(voice).size === 5, 'hello bursts of before, and of the next session')
        await hand.meet()
        await theTrunk(server)
        hand.voice.assertClean()
        assert.equal(hand.voice.count('BYE'), 0)
      },
      {},
      600,
    )
  })

  it('serves the next opening when the line has ended, in a session or before one', async () => {
    await served(async ({ device, server }) => {
      const first = new HandOnLine(device.plug())
      await first.meet()
      const trunk = await theTrunk(server)
      first.unplug()
      assert.match(await outcome(trunk.closed), /^ERR_LINK_/)
      const second = new HandOnLine(device.plug())
      await eventually(() => second.voice.theirHello !== undefined, 'a hello')
      second.unplug()
      const third = new HandOnLine(device.plug())
      await third.meet()
      await theTrunk(server)
    })
  })

  it('serves several openings at once: a device may be opened anew before the old one is over', async () => {
    await served(async ({ device, server }) => {
      const hands = [new HandOnLine(device.plug()), new HandOnLine(device.plug())]
      await Promise.all(hands.map((hand) => hand.meet()))
      await eventually(() => server.trunks.size === 2, 'two sessions')
    })
  })

  it('asks a silent peer after 5 s, unless its limits say otherwise', async () => {
    for (const [options, ms] of [
      [{}, 5_000],
      [{ limits: { keepaliveMs: 7_000 } }, 7_000],
    ] as const) {
      await served(async ({ device, server }) => {
        const hand = new HandOnLine(device.plug())
        await hand.meet()
        await theTrunk(server)
        const before = hand.voice.count('PING')
        device.clock.advance(ms - 1)
        await steady(() => hand.voice.count('PING'), 20)
        assert.equal(hand.voice.count('PING'), before)
        device.clock.advance(1)
        await eventually(() => hand.voice.count('PING') > before, 'a ping')
      }, options)
    }
  })
})

describe('closing a server of a connectionless link', TIMEOUT, () => {
  it('ends at once while nobody is there, and rejects nobody', async () => {
    await served(async ({ device, server, rejected }) => {
      const hand = new HandOnLine(device.plug())
      await eventually(() => hand.voice.theirHello !== undefined, 'a hello')
      await server.close()
      await eventually(() => hand.over, 'the line is closed')
      assert.deepEqual(rejected, [])
      assert.equal(hand.voice.count('BYE'), 0, 'it concerns nobody')
    })
  })

  it('ends at once where nobody reads what it has said', async () => {
    await served(
      async ({ device, server }) => {
        const far = device.plug()
        for (let i = 0; i < 5; i++) {
          device.clock.advance(1000)
          await steady(() => i, 5)
        }
        await device.whileTimePasses(server.close())
        far.abort(new Error('over'))
      },
      {},
      100,
    )
  })

  it('ends an established session well, at both ends', async () => {
    await served(async ({ device, server }) => {
      const far = new SharedLink(device.plug())
      const trunk = await device.over(far.take())
      await theTrunk(server)
      await echoes(trunk)
      const closing = server.close()
      await trunk.closed
      await far.close()
      await closing
    })
  })

  it('ends while it waits with the next session', async () => {
    await served(async ({ device, server }) => {
      const hand = new HandOnLine(device.plug())
      for (let i = 0; i < 6; i++) {
        const voice = hand.next(new CheckedVoice({ versions: [7, 7] }))
        hand.send(voice.helloBurst())
        await eventually(() => voice.byeNumber === 19, 'ERR_VERSION_MISMATCH')
      }
      await eventually(() => device.clock.pending === 1, 'it waits')
      await server.close()
      assert.equal(device.clock.pending, 0)
    })
  })

  it('ends in the middle of a hello', async () => {
    await served(async ({ device, server, rejected }) => {
      const hand = new HandOnLine(device.plug())
      hand.send(hand.voice.helloBurst())
      await eventually(() => hand.voice.count('READY') > 0, 'their answer')
      await server.close()
      assert.deepEqual(rejected, [])
    })
  })
})

describe('lines of two kinds at two ends', TIMEOUT, () => {
  it('give ERR_LINE_MISMATCH to both: a plain peer on a line that is served as a serial one', async () => {
    await served(async ({ device, rejected }) => {
      assert.equal(await outcome(overLink(device.plug(), { clock: device.clock })), 'ERR_LINE_MISMATCH')
      await eventually(() => rejected.length > 0, 'the other side knows')
      assert.equal(rejected[0], 'ERR_LINE_MISMATCH')
    })
  })

  it('give it to both however slowly the plain hello comes, and however short it is', async () => {
    await served(async ({ device, rejected }) => {
      const hand = new HandOnLine(device.plug())
      for (const byte of concat(SYNC, encodeFrame(frame(TYPE.HELLO, 0, utf8('x'))))) hand.send(Uint8Array.of(byte))
      await eventually(() => rejected.length > 0, 'the other side knows')
      assert.equal(rejected[0], 'ERR_LINE_MISMATCH')
    })
  })

  it('give it to both: a serial address that dials what is served as a plain line', async () => {
    await keptAlive(async () => {
      const device = new BareDevice()
      const { clock } = device
      const rejected: string[] = []
      const address = memory('memory:mismatch')
      const server = await serve(address, {
        clock,
        onSessionError: ({ error }) => rejected.push((error as { code?: string }).code ?? ''),
      })
      const link = await address.connect({ signal: new AbortController().signal, clock, limits: DEFAULT_LIMITS })
      assert.equal(await outcome(device.over(link)), 'ERR_LINE_MISMATCH')
      await eventually(() => rejected.length > 0, 'the other side knows')
      assert.deepEqual(rejected, ['ERR_LINE_MISMATCH'])
      await server.close()
      await eventually(() => clock.pending === 0, 'no timer is left')
    })
  })
})
