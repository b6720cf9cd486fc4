/**
 * Silence, stalls and ends by hand, with the clock turned by hand: keepalive, write stall, close,
 * orphans, the last goodbye.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { overLink, TrunkError, type Clock } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'
import { eventually, steady } from '../helpers/eventually.ts'
import { held, waitingProtocol } from '../helpers/held-pipes.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { bigEndian, decodeStatus, FINAL, fromBigEndian, frame, TYPE } from '../helpers/naive-codec.ts'
import { HIGHEST_EPOCH, RawPeer } from '../helpers/raw-peer.ts'
import { endsWith, isCode, livesOn, over, rawSession, type RawSession } from '../helpers/raw-session.ts'

const standing = (options: Parameters<typeof rawSession>[0] = {}): Promise<RawSession> =>
  rawSession({ protocols: [waitingProtocol()], ...options }, { epoch: HIGHEST_EPOCH })

/** With one pipe that the peer opened and our handler holds. */
async function withPipe(options: Parameters<typeof rawSession>[0] = {}): Promise<RawSession & ReturnType<typeof held>> {
  const session = await standing(options)
  await session.peer.open(1, 'hold')
  await session.peer.expect('ACCEPT', 1)
  return { ...session, ...held(session.trunk, 1) }
}

describe('keepalive by hand', { timeout: 60_000 }, () => {
  it('asks a silent peer after 15 s and ends the session 10 s later, every operation with it [R-049]', async () => {
    const session = await withPipe()
    await session.peer.sync()
    session.peer.answersPings = false
    const before = session.peer.count('PING')
    const reading = session.pipe.source.next()
    const opening = session.trunk.open('far')
    await session.peer.expect('OPEN')
    session.clock.advance(14_999)
    await session.peer.send() // nothing: only turns of the event loop
    assert.equal(session.peer.count('PING'), before)
    session.clock.advance(1)
    await eventually(() => session.peer.count('PING') === before + 1, 'a ping')
    const pinging = session.trunk.ping()
    session.clock.advance(9_999)
    assert.equal(session.trunk.status().state, 'open')
    session.clock.advance(1)
    for (const pending of [reading, opening, pinging])
      await assert.rejects(pending, isCode('ERR_KEEPALIVE_TIMEOUT', 'local'))
    await endsWith(session, 'ERR_KEEPALIVE_TIMEOUT', 30)
  })

  it('is content with any byte, half a frame included', async () => {
    const session = await standing()
    session.peer.answersPings = false
    const ping = frame(TYPE.PING, 0, new Uint8Array(16))
    for (let i = 0; i < 3; i++) {
      session.clock.advance(24_000)
      const bytes = session.trunk.status().bytesRead
      await session.peer.send(ping)
      await eventually(() => session.trunk.status().bytesRead > bytes, 'the ping has arrived')
    }
    assert.equal(session.trunk.status().state, 'open')
    await over(session)
  })

  it('gives the peer a fresh interval when it stood still itself [R-133]', async () => {
    const inner = manualClock()
    let skew = 0
    const clock: Clock = { now: () => inner.now() + skew, after: (ms, call) => inner.after(ms, call) }
    const [near, far] = memoryPair({ clock })
    const peer = new RawPeer(far)
    const starting = overLink(near, { clock })
    await peer.hello()
    const trunk = await starting
    await peer.sync()
    peer.answersPings = false
    inner.advance(15_000)
    skew = 3_600_000
    inner.advance(10_000)
    assert.equal(trunk.status().state, 'open', 'an hour of standing still proves nothing about the peer')
    inner.advance(10_000)
    assert.equal(await peer.expectStatus('BYE'), 30)
    await assert.rejects(trunk.closed, isCode('ERR_KEEPALIVE_TIMEOUT'))
  })

  it('measures the round trip by the peer’s answer', async () => {
    const session = await standing()
    await session.peer.sync()
    session.peer.answersPings = false
    const { length } = session.peer.received
    const pinging = session.trunk.ping()
    await eventually(() => session.peer.received.length > length, 'the ping')
    const ping = session.peer.received.at(-1)!
    assert.equal(ping.type, TYPE.PING)
    session.clock.advance(250)
    await session.peer.send(frame(TYPE.PONG, 0, Buffer.concat([ping.payload, new Uint8Array(8)])))
    assert.equal(await pinging, 250)
    await over(session)
  })

  it('answers a ping with its sixteen bytes and its own time', async () => {
    const session = await standing()
    session.clock.advance(1234)
    const payload = new Uint8Array(16).map((_, i) => 255 - i)
    await session.peer.send(frame(TYPE.PING, 0, payload))
    const pong = await session.peer.expect('PONG')
    assert.deepEqual(pong.payload.subarray(0, 16), payload)
    assert.equal(fromBigEndian(pong.payload.subarray(16)), 1_234_000n)
    await over(session)
  })
})

describe('a peer that reads nothing', { timeout: 60_000 }, () => {
  it('is waited for with little queued, then lost after 10 s, on both sides [R-075] [R-076]', async () => {
    const session = await withPipe()
    await session.peer.offset(TYPE.CREDIT, 1, 100_000_000)
    await session.peer.sync()
    session.peer.stall()
    let written = 0
    const writing = (async () => {
      for (;;) {
        await session.pipe.write(new Uint8Array(16_384))
        written += 16_384
      }
    })()
    writing.catch(() => undefined)
    await steady(() => written)
    assert.ok(written < 2 * 1024 * 1024, `${written} bytes taken`)
    session.clock.advance(9_999)
    assert.equal(session.trunk.status().state, 'open')
    session.clock.advance(1)
    await assert.rejects(writing, isCode('ERR_WRITE_STALLED', 'local'))
    session.clock.advance(1_000) // the goodbye cannot leave: the line is dropped
    await assert.rejects(session.trunk.closed, isCode('ERR_WRITE_STALLED', 'local'))
    session.peer.resume()
    await session.peer.ended
    await eventually(() => session.clock.pending === 0, 'no timer is left')
  })

  it('is not lost as long as it takes something', async () => {
    const session = await standing()
    const payload = new Uint8Array(16)
    for (let i = 0; i < 5; i++) {
      session.clock.advance(9_000)
      await session.peer.send(frame(TYPE.PING, 0, payload))
      await session.peer.expect('PONG')
    }
    await livesOn(session)
    await over(session)
  })

  it('does not hold up the end: after a second without the peer’s end the line is dropped', async () => {
    const session = await standing()
    session.peer.stall()
    await session.peer.send(frame(TYPE.OPEN, 2))
    await eventually(() => session.trunk.status().state === 'closed', 'the violation')
    session.clock.advance(999)
    assert.ok(session.clock.pending > 0)
    session.clock.advance(1)
    await assert.rejects(session.trunk.closed, isCode('ERR_PROTOCOL_VIOLATION'))
    session.peer.resume()
    await eventually(() => session.clock.pending === 0, 'no timer is left')
  })
})

describe('closing by hand', { timeout: 60_000 }, () => {
  it('says CLOSING, refuses new pipes, lets the others finish, says BYE [R-041]', async () => {
    const session = await withPipe()
    const closing = session.trunk.close()
    await session.peer.expect('CLOSING')
    await session.peer.open(3, 'hold')
    assert.equal(await session.peer.expectStatus('REFUSE', 3), 16)
    await assert.rejects(session.trunk.open('far'), isCode('ERR_SESSION_CLOSED'))
    await session.peer.data(1, 'more')
    await session.peer.offset(TYPE.END, 1, 4)
    assert.equal((await session.pipe.source.next()).value?.byteLength, 4)
    session.end()
    await session.peer.expect('DONE', 1)
    assert.equal(session.peer.count('BYE'), 0)
    await session.peer.send(frame(TYPE.DONE, 1))
    assert.equal(await session.peer.expectStatus('BYE'), 16)
    await closing
    await session.trunk.closed
    assert.equal(session.clock.pending, 0)
  })

  it('cuts what has not finished after 5 s [R-041]', async () => {
    const session = await withPipe()
    const closing = session.trunk.close()
    await session.peer.expect('CLOSING')
    session.clock.advance(4_999)
    assert.equal(session.trunk.status().state, 'closing')
    session.clock.advance(1)
    assert.equal(await session.peer.expectStatus('BYE'), 33)
    await closing
    await session.trunk.closed
    await assert.rejects(session.pipe.source.next(), isCode('ERR_CLOSE_TIMEOUT'))
    await eventually(() => session.clock.pending === 0, 'no timer is left')
  })

  it('opens nothing after the peer’s CLOSING, finishes, and ends well at its BYE', async () => {
    const session = await withPipe()
    await session.peer.send(frame(TYPE.CLOSING))
    await session.peer.sync()
    assert.equal(session.trunk.status().state, 'closing')
    await assert.rejects(session.trunk.open('far'), isCode('ERR_SESSION_CLOSED'))
    await session.pipe.write(new Uint8Array(5))
    await session.peer.expect('DATA', 1)
    await session.peer.send(frame(TYPE.CLOSING))
    await session.peer.sync()
    await session.peer.status(TYPE.BYE, 0, 16)
    await session.trunk.closed
    await assert.rejects(session.pipe.source.next(), isCode('ERR_SESSION_CLOSED', 'remote'))
    await session.peer.ended
    assert.equal(session.clock.pending, 0)
  })

  it('tells the peer why it aborts, by a plugin’s code too', async () => {
    const session = await standing()
    session.trunk.abort(new TrunkError('BATTERY_EMPTY', 'plug me in'))
    assert.deepEqual(decodeStatus((await session.peer.expect('BYE')).payload), {
      number: 0,
      name: 'BATTERY_EMPTY',
      sentence: 'plug me in',
    })
    await session.peer.ended
    await assert.rejects(session.trunk.closed, isCode('BATTERY_EMPTY', 'local'))
  })

  it('resets a pipe that the peer never confirms after 60 s, with FINAL, and goes on', async () => {
    const session = await withPipe({ limits: { keepaliveMs: 600_000 } })
    session.end()
    assert.equal(await session.peer.expectStatus('STOP', 1), 65)
    await session.peer.expect('END', 1)
    session.clock.advance(59_999)
    assert.equal(session.trunk.status().pipes.length, 1)
    session.clock.advance(1)
    const one = await session.peer.expect('RESET', 1)
    assert.equal(one.flags, FINAL)
    assert.equal(decodeStatus(one.payload).number, 71)
    await session.peer.offset(TYPE.END, 1, 0)
    await session.peer.send(frame(TYPE.CREDIT, 1, bigEndian(1, 8)))
    await livesOn(session)
    assert.deepEqual(session.trunk.status().pipes, [])
    await over(session)
  })
})

describe('orphans by hand', { timeout: 60_000 }, () => {
  /** Minutes pass, and the peer gives its signs of life. */
  async function tenSeconds(session: RawSession, times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      session.clock.advance(10_000)
      await livesOn(session)
    }
  }

  it('resets a pipe whose handler has ended when a stop is not answered for 60 s', async () => {
    const session = await withPipe()
    session.end()
    await session.peer.expect('STOP', 1)
    await tenSeconds(session, 5)
    assert.equal(session.peer.count('RESET'), 0)
    session.clock.advance(10_000)
    const reset = await session.peer.expect('RESET', 1)
    assert.equal(decodeStatus(reset.payload).number, 71)
    assert.equal(reset.flags, FINAL)
    await livesOn(session)
    await over(session)
  })

  it('waits for an application that reads slowly, however long', async () => {
    const session = await withPipe()
    await session.peer.offset(TYPE.END, 1, 0)
    session.end()
    await session.peer.expect('END', 1)
    await tenSeconds(session, 20)
    assert.equal(session.peer.count('RESET'), 0)
    assert.equal(session.trunk.status().pipes.length, 1)
    await session.peer.send(frame(TYPE.DONE, 1))
    await livesOn(session)
    assert.equal(session.trunk.status().pipes.length, 0)
    await over(session)
  })
})
