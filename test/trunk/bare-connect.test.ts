/**
 * Connecting over a connectionless link: one session over one opening of the device, which is
 * closed with it. Memory links, a clock turned by hand.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError, type Trunk } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'
import { BARE, BareDevice } from '../helpers/bare-device.ts'
import { eventually, keptAlive, steady } from '../helpers/eventually.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import { concat, encodeStatus, frame, SYNC, TYPE, utf8 } from '../helpers/naive-codec.ts'
import { checkPattern, echo, pattern } from '../helpers/protocols.ts'
import { CheckedVoice, HandOnLine } from '../helpers/raw-checked.ts'
import { isCode } from '../helpers/raw-session.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const TIMEOUT = { timeout: 60_000 }

/** A dial under way, and the hand at the device's other end. */
async function dialling(
  signal?: AbortSignal,
): Promise<{ device: BareDevice; trunk: Promise<Trunk>; hand: HandOnLine }> {
  const device = new BareDevice()
  const trunk = device.dial({ protocols: [echo], ...(signal === undefined ? {} : { signal }) })
  trunk.catch(() => undefined) // the test looks at it in its own time
  await eventually(() => device.dialled.length === 1, 'the device is opened')
  return { device, trunk, hand: new HandOnLine(device.dialled[0]!) }
}

/** The opening is closed, and nothing is left of it. */
async function nothingLeft(device: BareDevice, hand: HandOnLine): Promise<void> {
  await device.whileTimePasses(eventually(() => hand.over, 'the device is closed'))
  await eventually(() => device.clock.pending === 0, 'no timer is left')
}

describe('connecting over a connectionless link', TIMEOUT, () => {
  it('gives a trunk, and closes the device with it', async () => {
    await keptAlive(async () => {
      const { device, trunk, hand } = await dialling()
      await hand.meet()
      const session = await trunk
      assert.deepEqual(session.status().transport, { scheme: 'bare', traits: BARE })
      hand.send(hand.voice.say(frame(TYPE.BYE, 0, encodeStatus({ number: 16, name: '', sentence: 'closed' }))))
      await session.closed
      await nothingLeft(device, hand)
    })
  })

  it('carries bytes of every kind, sync words among them', async () => {
    await keptAlive(async () => {
      const device = new BareDevice()
      const [near, far] = memoryPair({ clock: device.clock })
      const [a, b] = await Promise.all([device.over(near, { protocols: [echo] }), device.over(far)])
      const words = concat(...Array.from({ length: 5000 }, (_, i) => concat(SYNC, SYNC.subarray(0, i % 9))))
      const pipe = await b.open('echo')
      const writing = pipe.write(words).then(() => pipe.closeWrite())
      const back: Uint8Array[] = []
      for await (const chunk of pipe.source) back.push(chunk.subarray())
      await writing
      assert.equal(Buffer.compare(Buffer.concat(back), words), 0)
      const large = await b.open('echo')
      const sending = large.write(pattern(3_000_000)).then(() => large.closeWrite())
      assert.equal(await checkPattern(large.source), 3_000_000)
      await sending
      await Promise.all([b.close(), a.closed])
      await eventually(() => device.clock.pending === 0, 'no timer is left')
    })
  })

  it('gives up after 10 s, says what was seen, and closes the device', async () => {
    await keptAlive(async () => {
      const { device, trunk, hand } = await dialling()
      hand.send(utf8('login: '))
      await eventually(() => hand.voice.theirHello !== undefined, 'a hello')
      await steady(() => 0, 20)
      for (let i = 0; i < 9; i++) {
        device.clock.advance(1000)
        await eventually(() => hand.voice.count('HELLO') === i + 2, 'a hello each second')
      }
      device.clock.advance(1000)
      await assert.rejects(trunk, isCode('ERR_HELLO_TIMEOUT', 'local'))
      await assert.rejects(trunk, /7 bytes came that are not trunkline's/)
      await nothingLeft(device, hand)
    })
  })

  it('is aborted by its signal at once', async () => {
    await keptAlive(async () => {
      const stop = new AbortController()
      const { device, trunk, hand } = await dialling(stop.signal)
      await eventually(() => hand.voice.theirHello !== undefined, 'a hello')
      stop.abort(new Error('never mind'))
      await assert.rejects(trunk, /never mind/)
      await nothingLeft(device, hand)
      assert.equal(hand.voice.count('BYE'), 0)
    })
  })

  it('says why it cannot be, and closes the device', async () => {
    await keptAlive(async () => {
      const { device, trunk, hand } = await dialling()
      const voice = hand.next(new CheckedVoice({ versions: [3, 4] }))
      hand.send(voice.helloBurst())
      await assert.rejects(trunk, isCode('ERR_VERSION_MISMATCH', 'local'))
      await eventually(() => voice.byeNumber === 19, 'the goodbye')
      await nothingLeft(device, hand)
    })
  })

  it('fails every operation when the peer starts anew, and the next connect has a session', async () => {
    await keptAlive(async () => {
      const { device, trunk, hand } = await dialling()
      await hand.meet()
      const session = await trunk
      const opening = session.open('something')
      await eventually(() => hand.voice.count('OPEN') === 1, 'an open')
      const next = hand.next()
      hand.send(next.helloBurst())
      for (const pending of [opening, session.ping(), session.closed])
        await assert.rejects(pending, isCode('ERR_PEER_RESTARTED', 'local'))
      await nothingLeft(device, hand)

      const again = device.dial()
      await eventually(() => device.dialled.length === 2, 'the device is opened')
      await new HandOnLine(device.dialled[1]!).meet()
      const second = await again
      second.abort(new TrunkError('ERR_SESSION_ABORTED', 'the test is over'))
      await assert.rejects(second.closed, isCode('ERR_SESSION_ABORTED'))
      await device.whileTimePasses(eventually(() => device.clock.pending === 0, 'no timer is left'))
    })
  })

  it('is told by the peer why it ends, and waits for nothing: such a line has no end', async () => {
    await keptAlive(async () => {
      const { device, trunk, hand } = await dialling()
      await hand.meet()
      const session = await trunk
      const before = device.clock.now()
      session.abort(new TrunkError('ERR_SESSION_ABORTED', 'enough'))
      await assert.rejects(session.closed, isCode('ERR_SESSION_ABORTED', 'local'))
      await eventually(() => hand.voice.byeNumber === 17, 'the goodbye')
      assert.equal(device.clock.now(), before, 'no second is waited for the other end')
      await nothingLeft(device, hand)

      // nor where nobody reads it: the line has it, and more cannot be known
      const deaf = await dialling()
      await deaf.hand.meet()
      const other = await deaf.trunk
      deaf.hand.stall()
      other.abort(new TrunkError('ERR_SESSION_ABORTED', 'enough'))
      await assert.rejects(other.closed, isCode('ERR_SESSION_ABORTED', 'local'))
      assert.equal(deaf.device.clock.now(), 0, 'no second is waited for the other end')
      deaf.hand.resume()
      await nothingLeft(deaf.device, deaf.hand)
    })
  })
})

describe('a line that tells, but changes bytes', TIMEOUT, () => {
  const traits = { ...BARE, connected: true }

  it('is checked too, and its end is an end', async () => {
    await keptAlive(async () => {
      const device = new BareDevice()
      const [near, far] = memoryPair({ clock: device.clock })
      const trunk = device.over(near, { traits })
      const hand = new HandOnLine(far)
      await hand.meet()
      const session = await trunk
      const open = hand.voice.say(frame(TYPE.OPEN, 1, cbor({ protocol: 'x' })))
      hand.send(open.subarray(0, 10))
      await eventually(() => session.status().bytesRead > 0, 'half a frame')
      hand.unplug()
      await assert.rejects(session.closed, (error) => error instanceof TrunkError && error.scope === 'link')
      await eventually(() => device.clock.pending === 0, 'no timer is left')
    })
  })

  it('closes well at both ends', async () => {
    await keptAlive(async () => {
      const device = new BareDevice()
      const [near, far] = memoryPair({ clock: device.clock })
      const [a, b] = await Promise.all([device.over(near, { traits }), device.over(far, { traits })])
      await Promise.all([a.close(), b.closed])
      await eventually(() => device.clock.pending === 0, 'no timer is left')
    })
  })
})
