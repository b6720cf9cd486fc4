/** Too much of everything, by hand: what it costs us, and when it ends the session. */
import assert from 'node:assert/strict'
import { performance } from 'node:perf_hooks'
import { describe, it } from 'node:test'
import { defineProtocol } from '../../src/index.ts'
import { MAX_STARTS } from '../../src/session/handler-scheduler.ts'
import { eventually } from '../helpers/eventually.ts'
import { held, waitingProtocol } from '../helpers/held-pipes.ts'
import { memoryHeld } from '../helpers/memory-held.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import { bigEndian, concat, decodeStatus, encodeFrame, encodeStatus, frame, TYPE } from '../helpers/naive-codec.ts'
import { helloFields, HIGHEST_EPOCH, type HelloFields } from '../helpers/raw-peer.ts'
import { endsWith, isCode, livesOn, over, rawSession, type RawSession } from '../helpers/raw-session.ts'

const MIB = 1024 * 1024
const reset = encodeStatus({ number: 64, name: '', sentence: '' })
const openHold = cbor({ protocol: 'hold' })

const standing = (options: Parameters<typeof rawSession>[0] = {}, hello: HelloFields = {}): Promise<RawSession> =>
  rawSession({ protocols: [waitingProtocol()], ...options }, { epoch: HIGHEST_EPOCH, ...hello })

/** `count` copies of what `make` gives, as one run of bytes. */
function many(count: number, make: (i: number) => Uint8Array): Uint8Array {
  return concat(...Array.from({ length: count }, (_, i) => make(i)))
}

describe('floods by hand', { timeout: 60_000 }, () => {
  it('refuses the open above the limit, leaves the others, and ends after 100 refusals [R-065]', async () => {
    const session = await standing({ limits: { maxPipes: 2 } })
    await session.peer.open(1, 'hold')
    await session.peer.open(3, 'hold')
    await session.peer.expect('ACCEPT', 3)
    for (let i = 0; i < 100; i++) {
      await session.peer.open(5 + 2 * i, 'hold')
      assert.equal(await session.peer.expectStatus('REFUSE', 5 + 2 * i), 68)
    }
    await session.peer.data(1, 'still alive')
    await livesOn(session)
    assert.equal(held(session.trunk, 1).pipe.readableLength, 11)
    assert.equal(session.trunk.status().counters.refusedOpens, 100)
    await session.peer.open(1001, 'hold')
    await endsWith(session, 'ERR_REFUSAL_FLOOD', 29)
  })

  it('never starts the handler of a pipe that was reset before its turn, and frees its place [R-330]', async () => {
    let started = 0
    const session = await standing({
      protocols: [
        defineProtocol({
          name: 'count',
          parse: (params) => params,
          async handle(request) {
            started++
            request.accept()
            await new Promise<never>(() => undefined)
          },
        }),
      ],
    })
    const ids = Array.from({ length: MAX_STARTS + 20 }, (_, i) => 1 + 2 * i)
    const open = cbor({ protocol: 'count' })
    // one chunk: the resets are there before the last twenty have begun
    await session.peer.send(
      ...ids.map((id) => frame(TYPE.OPEN, id, open)),
      ...ids.slice(MAX_STARTS).map((id) => frame(TYPE.RESET, id, reset)),
    )
    await session.peer.sync()
    assert.equal(session.peer.count('REFUSE'), 0)
    assert.equal(started, MAX_STARTS)
    assert.equal(session.trunk.status().pipes.length, MAX_STARTS)
    await over(session)
  })

  it('lets 64 opens wait for the handler and refuses the next [R-071]', async () => {
    const accepts: (() => void)[] = []
    const session = await standing({
      protocols: [
        defineProtocol({
          name: 'busy',
          parse: (params) => params,
          async handle(request) {
            await new Promise<void>((resolve) => accepts.push(resolve))
            request.accept()
            await new Promise<never>(() => undefined)
          },
        }),
      ],
    })
    for (let i = 0; i < 65; i++) await session.peer.open(1 + 2 * i, 'busy')
    assert.equal(await session.peer.expectStatus('REFUSE', 129), 69)
    assert.equal(accepts.length, 64)
    accepts[0]?.()
    await session.peer.expect('ACCEPT', 1)
    await session.peer.open(131, 'busy')
    await session.peer.sync()
    assert.equal(accepts.length, 65)
    assert.equal(session.peer.count('REFUSE'), 1)
    await over(session)
  })

  it('holds the slots of pipes that are opened and reset, until their handlers have ended [R-066]', async () => {
    let started = 0
    const session = await standing({ limits: { maxPipes: 50 }, protocols: [waitingProtocol(() => started++)] })
    const rapid = many(120, (i) =>
      concat(encodeFrame(frame(TYPE.OPEN, 1 + 2 * i, openHold)), encodeFrame(frame(TYPE.RESET, 1 + 2 * i, reset))),
    )
    await session.peer.send(rapid)
    await livesOn(session)
    assert.equal(started, 50)
    assert.equal(session.peer.count('REFUSE'), 70)
    for (let id = 1; id < 100; id += 2) held(session.trunk, id).end()
    await eventually(() => session.peer.count('DONE') === 50, 'each slot is freed')
    await session.peer.open(1001, 'hold')
    await session.peer.expect('ACCEPT', 1001)
    await over(session)
  })

  it('ends the session when resets come faster than the bucket allows, late ones too [R-066]', async () => {
    const session = await standing()
    await session.peer.open(1, 'hold')
    const oneReset = encodeFrame(frame(TYPE.RESET, 1, reset))
    // twice the announced burst: a line that stood still may deliver what was paced
    await session.peer.send(many(2000, () => oneReset))
    await livesOn(session)
    session.clock.advance(1000)
    await session.peer.send(many(33, () => oneReset))
    await livesOn(session)
    await session.peer.send(oneReset)
    await endsWith(session, 'ERR_RESET_FLOOD', 28)
  })

  it('answers a flood of pings with few pongs while its output is stalled, in bounded memory [R-068]', async () => {
    const session = await standing()
    await session.peer.sync()
    const before = session.peer.count('PONG')
    session.peer.stall()
    const held0 = await memoryHeld()
    const pings = many(10_000, (i) => encodeFrame(frame(TYPE.PING, 0, concat(bigEndian(i, 8), new Uint8Array(8)))))
    for (let i = 0; i < 20; i++) await session.peer.send(pings)
    const growth = (await memoryHeld()) - held0
    assert.ok(growth < MIB, `${growth} bytes held`)
    session.peer.resume()
    await livesOn(session)
    const pongs = session.peer.count('PONG') - before
    assert.ok(pongs < 5000, `${pongs} pongs`)
    await over(session)
  })

  it('counts pongs that nobody asked for, and the same one twice [R-069]', async () => {
    const session = await standing()
    await session.peer.sync()
    const trips = session.trunk.status().roundTripMs
    const pong = frame(TYPE.PONG, 0, concat(bigEndian(1, 8), new Uint8Array(16)))
    const never = frame(TYPE.PONG, 0, new Uint8Array(24).fill(255))
    await session.peer.send(pong, pong, never)
    await livesOn(session)
    assert.equal(session.trunk.status().counters.strayPongs, 3)
    assert.equal(session.trunk.status().roundTripMs, trips)
    await over(session)
  })

  it('takes 200,000 credits quickly and keeps nothing of them [R-070]', async () => {
    const session = await standing()
    await session.peer.open(1, 'hold')
    await session.peer.expect('ACCEPT', 1)
    const credits = many(10_000, (i) => encodeFrame(frame(TYPE.CREDIT, 1, bigEndian(65_537 + i, 8))))
    await session.peer.send(credits)
    await session.peer.sync()
    const before = await memoryHeld()
    const start = performance.now()
    for (let i = 0; i < 20; i++) await session.peer.send(credits)
    await livesOn(session)
    const took = performance.now() - start
    const growth = (await memoryHeld()) - before
    assert.equal(session.trunk.status().counters.staleCredits, 200_000)
    assert.equal(session.trunk.status().pipes[0]?.creditLeft, 75_536)
    assert.ok(took < 5000, `took ${took} ms`)
    assert.ok(growth < MIB, `${growth} bytes held`)
    await over(session)
  })

  it('holds at most twice what is unread and 1 MiB, in frames of one byte [R-022]', async () => {
    const unread = MIB
    const wide = { limits: { ...(helloFields().limits as HelloFields), window: unread } as never }
    const session = await standing({ limits: { initialWindowBytes: unread } }, wide)
    await session.peer.open(1, 'hold')
    await session.peer.expect('ACCEPT', 1)
    const frames = many(unread / 16, (i) => encodeFrame(frame(TYPE.DATA, 1, Uint8Array.of(i))))
    const before = await memoryHeld()
    for (let i = 0; i < 16; i++) await session.peer.send(frames)
    await session.peer.sync()
    const growth = (await memoryHeld()) - before
    const { pipe } = held(session.trunk, 1)
    assert.equal(pipe.readableLength, unread)
    assert.ok(growth <= 2 * unread + MIB, `${growth} bytes held for ${unread}`)
    const bytes = (await pipe.source.next()).value!.subarray()
    assert.ok(bytes.every((byte, i) => byte === (i % (unread / 16)) % 256))
    await over(session)
  })

  it('holds no chunk of the line for one byte of it [R-022]', async () => {
    const session = await standing()
    for (let id = 1; id < 200; id += 2) await session.peer.open(id, 'hold')
    await session.peer.sync()
    const padding = encodeFrame(frame(0x40, 0, new Uint8Array(60_000)))
    const before = await memoryHeld()
    for (let id = 1; id < 200; id += 2) {
      await session.peer.send(concat(encodeFrame(frame(TYPE.DATA, id, Uint8Array.of(1))), padding))
    }
    await session.peer.sync()
    const growth = (await memoryHeld()) - before
    assert.equal(held(session.trunk, 199).pipe.readableLength, 1)
    assert.ok(growth < MIB, `${growth} bytes held for 100`)
    await over(session)
  })

  it('holds at most twice what is unread and 1 MiB, in pieces of chunks ten times as large [R-022]', async () => {
    const session = await standing()
    for (let id = 1; id < 200; id += 2) await session.peer.open(id, 'hold')
    await session.peer.sync()
    const padding = encodeFrame(frame(0x40, 0, new Uint8Array(40_000)))
    const before = await memoryHeld()
    for (let id = 1; id < 200; id += 2) {
      await session.peer.send(concat(encodeFrame(frame(TYPE.DATA, id, new Uint8Array(4096).fill(id))), padding))
    }
    await session.peer.sync()
    const growth = (await memoryHeld()) - before
    const unread = 100 * 4096
    assert.ok(growth <= 2 * unread + MIB, `${growth} bytes held for ${unread}`)
    for (let id = 1; id < 200; id += 2) {
      const { pipe } = held(session.trunk, id)
      assert.equal(pipe.readableLength, 4096)
      assert.ok((await pipe.source.next()).value!.subarray().every((byte) => byte === id))
    }
    await over(session)
  })

  it('holds 256 full windows that nobody reads in twice their bytes [R-023]', async () => {
    const pipes = 256
    const session = await standing({ limits: { maxWaitingPipes: pipes } })
    for (let i = 0; i < pipes; i++) await session.peer.open(1 + 2 * i, 'hold')
    await session.peer.sync()
    const before = await memoryHeld()
    for (let i = 0; i < pipes; i++) {
      const id = 1 + 2 * i
      for (let sent = 0; sent < 65_536; sent += 8192) await session.peer.data(id, new Uint8Array(8192).fill(i))
    }
    await session.peer.sync()
    const growth = (await memoryHeld()) - before
    assert.ok(growth <= 32 * MIB * 1.1, `${growth} bytes held`)
    for (let i = 0; i < pipes; i++) assert.equal(held(session.trunk, 1 + 2 * i).pipe.readableLength, 65_536)
    await livesOn(session)
    await over(session)
  })

  it('keeps nothing of data for finished pipes, and of optional frames', async () => {
    const session = await standing()
    await session.peer.open(1, 'nobody')
    await session.peer.expect('REFUSE', 1)
    const late = concat(
      encodeFrame(frame(TYPE.DATA, 1, new Uint8Array(250_000))),
      encodeFrame(frame(0x7f, 9, new Uint8Array(250_000))),
    )
    const before = await memoryHeld()
    for (let i = 0; i < 100; i++) await session.peer.send(late)
    await livesOn(session)
    const growth = (await memoryHeld()) - before
    assert.ok(growth < MIB, `${growth} bytes held`)
    assert.ok(session.peer.count('PARSED') > 0, 'late data counts as parsed')
    await over(session)
  })

  it('bounds the refusals that wait while its output is stalled', async () => {
    const session = await standing({ limits: { writeStallMs: 1000 } })
    session.peer.stall()
    // each is too long to be looked at: refused at once, and none is counted against the pipe limit
    const opens = many(200, (i) => encodeFrame(frame(TYPE.OPEN, 1 + 2 * i, new Uint8Array(5000))))
    let id = 0
    const flood = async (): Promise<void> => {
      while (session.trunk.status().state === 'open') {
        const chunk = new Uint8Array(opens)
        for (let i = 0; i < 200; i++) chunk.set(bigEndian(++id * 2 + 1, 4), i * 5009 + 4)
        await Promise.race([session.peer.send(chunk), session.trunk.closed.catch(() => undefined)])
      }
    }
    const flooding = flood()
    await eventually(() => session.trunk.status().state !== 'open', 'the flood ends the session')
    session.peer.resume()
    await assert.rejects(session.trunk.closed, isCode('ERR_REFUSAL_FLOOD', 'local'))
    session.peer.end()
    await flooding
    await eventually(() => session.clock.pending === 0, 'no timer is left')
  })

  it('drops what still comes after the end of the session', async () => {
    const session = await standing()
    await session.peer.open(1, 'hold')
    await session.peer.expect('ACCEPT', 1)
    const { pipe } = held(session.trunk, 1)
    await session.peer.send(
      frame(TYPE.BYE, 0, encodeStatus({ number: 17, name: '', sentence: 'mine' })),
      frame(TYPE.DATA, 1, new Uint8Array(9)),
      frame(0xff),
    )
    await assert.rejects(session.trunk.closed, isCode('ERR_SESSION_ABORTED', 'remote'))
    await assert.rejects(pipe.source.next(), isCode('ERR_SESSION_ABORTED', 'remote'))
    assert.equal(pipe.readableLength, 0)
    await session.peer.ended
    assert.equal(session.peer.count('BYE'), 0, 'nobody answers a goodbye')
    assert.equal(decodeStatus(reset).number, 64)
  })
})
