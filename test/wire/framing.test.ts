/** What a peer may do to frames, and what it hears for it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bigEndian, concat, encodeFrame, frame, TYPE } from '../helpers/naive-codec.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import { HIGHEST_EPOCH } from '../helpers/raw-peer.ts'
import { endsWith, isCode, livesOn, over, rawLine, rawSession, type RawSession } from '../helpers/raw-session.ts'
import { waitingProtocol, held } from '../helpers/held-pipes.ts'

const VIOLATION = 26
const standing = (options = {}): Promise<RawSession> =>
  rawSession({ protocols: [waitingProtocol()], ...options }, { epoch: HIGHEST_EPOCH })

describe('frames by hand', { timeout: 60_000 }, () => {
  it('passes over unknown types from 0x40 to 0x7f by their length, with any pipe id and flags [R-006]', async () => {
    const session = await standing()
    for (const type of [0x40, 0x55, 0x7f]) {
      await session.peer.send(frame(type, 77, new Uint8Array(300), 0x7f), frame(type))
    }
    await livesOn(session)
    assert.equal(session.trunk.status().counters.skippedFrames, 6)
    await over(session)
  })

  for (const type of [0x00, 0x08, 0x0f, 0x19, 0x3f, 0x80, 0xff]) {
    it(`ends the session at unknown type 0x${type.toString(16)} [R-006]`, async () => {
      const session = await standing()
      await session.peer.send(frame(type, type >= 0x10 ? 1 : 0))
      await endsWith(session, 'ERR_PROTOCOL_VIOLATION', VIOLATION)
    })
  }

  const flagged: [string, number, number, Uint8Array, number][] = [
    ['PING', TYPE.PING, 0, new Uint8Array(16), 1],
    ['DATA', TYPE.DATA, 1, new Uint8Array(1), 1],
    ['DATA with the top bit', TYPE.DATA, 1, new Uint8Array(1), 0x80],
    ['END', TYPE.END, 1, new Uint8Array(8), 0x40],
    ['RESET beyond FINAL', TYPE.RESET, 1, Uint8Array.of(0, 64, 0), 3],
    ['an optional type with the top bit', 0x40, 0, new Uint8Array(0), 0x80],
  ]
  for (const [name, type, pipe, payload, flags] of flagged) {
    it(`ends the session at an undefined flag on ${name} [R-007]`, async () => {
      const session = await standing()
      await session.peer.open(1, 'hold')
      await session.peer.send(frame(type, pipe, payload, flags))
      await endsWith(session, 'ERR_PROTOCOL_VIOLATION', VIOLATION)
    })
  }

  const badIds: [string, Uint8Array][] = [
    ['an open with our own parity', encodeFrame(frame(TYPE.OPEN, 2, cbor({ protocol: 'hold' })))],
    ['pipe id 0 for data', encodeFrame(frame(TYPE.DATA, 0, new Uint8Array(1)))],
    ['pipe id 0 for an open', encodeFrame(frame(TYPE.OPEN, 0, cbor({ protocol: 'hold' })))],
    ['a session frame with a pipe id', encodeFrame(frame(TYPE.PING, 1, new Uint8Array(16)))],
  ]
  for (const [name, bytes] of badIds) {
    it(`ends the session at ${name} [R-009]`, async () => {
      const session = await standing()
      await session.peer.send(bytes)
      await endsWith(session, 'ERR_PROTOCOL_VIOLATION', VIOLATION)
    })
  }

  it('takes pipe ids with gaps, and ends the session when one is not above the last [R-010]', async () => {
    const session = await standing()
    for (const id of [1, 5, 0xffff_fffd]) await session.peer.open(id, 'hold')
    await livesOn(session)
    assert.equal(session.trunk.status().pipes.length, 3)
    await session.peer.open(7, 'hold')
    await endsWith(session, 'ERR_PROTOCOL_VIOLATION', VIOLATION)
  })

  const lengths: [keyof typeof TYPE, readonly number[]][] = [
    ['CLOSING', [1]],
    ['BYE', [0, 2, 580]],
    ['PING', [0, 15, 17]],
    ['PONG', [16, 23, 25]],
    ['PARSED', [0, 7, 9]],
    ['CREDIT', [0, 4, 9]],
    ['END', [0, 7, 9]],
    ['REFUSE', [0, 580]],
    ['DONE', [1, 580]],
    ['STOP', [0, 580]],
    ['RESET', [0, 580]],
    ['DATA', [0]],
  ]
  for (const [name, wrong] of lengths) {
    for (const length of wrong) {
      it(`ends the session at ${name} with ${length} bytes, and handles nothing behind it [R-011]`, async () => {
        let opens = 0
        const session = await standing({ protocols: [waitingProtocol(() => opens++)] })
        await session.peer.open(1, 'hold')
        await session.peer.expect('ACCEPT', 1)
        const pipe = TYPE[name] >= 0x10 ? 1 : 0
        if (name === 'DONE') held(session.trunk, 1).end()
        if (name === 'DONE') await session.peer.expect('END', 1)
        await session.peer.send(
          frame(TYPE[name], pipe, new Uint8Array(length)),
          frame(TYPE.OPEN, 3, cbor({ protocol: 'hold' })),
        )
        await endsWith(session, 'ERR_PROTOCOL_VIOLATION', VIOLATION)
        assert.equal(opens, 1)
      })
    }
  }

  it('ends the session at a length above the limit before the payload arrives [R-003] [R-004]', async () => {
    for (const [length, limit] of [
      [2 ** 24 - 1, 262_144],
      [262_145, 262_144],
      [65, 64],
    ] as const) {
      const session = await standing({ limits: { maxFrameBytes: limit } })
      await session.peer.open(1, 'hold')
      await session.peer.send(concat(bigEndian(TYPE.DATA, 1), bigEndian(length, 3), bigEndian(1, 4), Uint8Array.of(0)))
      await endsWith(session, 'ERR_FRAME_TOO_LARGE', 25)
    }
  })

  it('takes a data frame of exactly the limit [R-004]', async () => {
    for (const limit of [64, 1000, 65_536]) {
      const session = await standing({ limits: { maxFrameBytes: limit } })
      await session.peer.open(1, 'hold')
      await session.peer.data(1, new Uint8Array(limit))
      await livesOn(session)
      assert.equal(session.trunk.status().pipes[0]?.unread, limit)
      await over(session)
    }
  })

  it('opens, refuses and resets although its frame limit is smaller than a status [R-004]', async () => {
    const session = await standing({ limits: { maxFrameBytes: 64 } })
    const opening = session.trunk.open('far')
    const { pipe } = await session.peer.expect('OPEN')
    await session.peer.status(TYPE.REFUSE, pipe, 78, 'x'.repeat(512))
    await assert.rejects(opening, isCode('ERR_DENIED', 'remote'))
    await session.peer.open(1, 'hold', { padding: 'y'.repeat(1000) })
    await session.peer.expect('ACCEPT', 1)
    await livesOn(session)
    await over(session)
  })

  it('ends the session at data for an id that was never opened, keeping nothing [R-003] [R-036]', async () => {
    for (const id of [1, 2]) {
      const session = await standing()
      await session.peer.send(
        concat(bigEndian(TYPE.DATA, 1), bigEndian(200_000, 3), bigEndian(id, 4), Uint8Array.of(0)),
      )
      await endsWith(session, 'ERR_PROTOCOL_VIOLATION', VIOLATION)
    }
  })

  it('ends the session at a frame cut short by the end of the line, without delivering the part [R-005]', async () => {
    const whole = encodeFrame(frame(TYPE.DATA, 1, new Uint8Array(100)))
    for (const cut of [1, 8, 9, 10, 108]) {
      const session = await standing()
      await session.peer.open(1, 'hold')
      await session.peer.expect('ACCEPT', 1)
      const handler = held(session.trunk, 1)
      await session.peer.send(whole.subarray(0, cut))
      session.peer.end()
      await assert.rejects(session.trunk.closed, isCode('ERR_FRAME_TRUNCATED', 'local'))
      assert.equal(handler.pipe.readableLength, 0)
      await assert.rejects(handler.pipe.source.next(), isCode('ERR_FRAME_TRUNCATED'))
      assert.equal(session.clock.pending, 0)
    }
  })

  it('ends every pipe with a code when the line ends between frames without a goodbye', async () => {
    const session = await standing()
    await session.peer.open(1, 'hold')
    await session.peer.expect('ACCEPT', 1)
    const { pipe } = held(session.trunk, 1)
    session.peer.end()
    await assert.rejects(session.trunk.closed, isCode('ERR_LINK_LOST', 'local'))
    await assert.rejects(pipe.source.next(), isCode('ERR_LINK_LOST'))
  })

  it('names what does not speak trunkline', async () => {
    for (const helloBurst of ['SSH-2.0-OpenSSH_9.2\r\n', 'GET / HTTP/1.1\r\n\r\n', '\0']) {
      const { trunk, peer } = rawLine()
      await peer.send(Buffer.from(helloBurst))
      await assert.rejects(trunk, isCode('ERR_NOT_TRUNKLINE'))
      assert.equal(await peer.expectStatus('BYE'), 18)
      await peer.ended
    }
  })
})
