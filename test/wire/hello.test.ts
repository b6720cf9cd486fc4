/** The hello by hand: what is accepted, what is in force afterwards, and what ends it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Trunk } from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import { held, waitingProtocol } from '../helpers/held-pipes.ts'
import type { ManualClock } from '../helpers/manual-clock.ts'
import { cbor, fromCbor } from '../helpers/naive-cbor.ts'
import { concat, frame, fromHex, SYNC, TYPE } from '../helpers/naive-codec.ts'
import { helloFields, HIGHEST_EPOCH, LOWEST_EPOCH, type HelloFields, type RawPeer } from '../helpers/raw-peer.ts'
import { endsWith, isCode, livesOn, over, rawLine, rawSession } from '../helpers/raw-session.ts'

/** No session comes to be: both sides learn the code, and nothing is left. */
async function refusedWith(
  line: { trunk: Promise<Trunk>; peer: RawPeer; clock: ManualClock },
  code: string,
  number: number,
): Promise<void> {
  await assert.rejects(line.trunk, isCode(code, 'local'))
  assert.equal(await line.peer.expectStatus('BYE'), number)
  await line.peer.ended
  await eventually(() => line.clock.pending === 0, 'no timer is left')
}

const limits = (overrides: HelloFields): HelloFields => ({
  limits: { ...(helloFields().limits as HelloFields), ...overrides },
})

describe('hello by hand', { timeout: 60_000 }, () => {
  it('refuses another version at once, naming both sides’ [R-008]', async () => {
    for (const [versions, named] of [
      [[2, 3], /1.*2 to 3/],
      [[9, 9], /1.*9/],
    ] as const) {
      const line = rawLine()
      await line.peer.send(SYNC, frame(TYPE.HELLO, 0, cbor({ versions, somethingElse: true })))
      await assert.rejects(line.trunk, named)
      await refusedWith(line, 'ERR_VERSION_MISMATCH', 19)
    }
  })

  it('agrees with a newer peer that still speaks version 1 [R-060]', async () => {
    const session = await rawSession({}, { versions: [1, 7] })
    assert.equal(session.trunk.status().version, 1)
    await over(session)
  })

  it('ignores fields, limits and features that it does not know [R-060]', async () => {
    const session = await rawSession(
      {},
      { features: ['crc32', 'telepathy'], resume: { offset: 5 }, ['__proto__']: 7, ...limits({ wishes: 3 }) },
    )
    await livesOn(session)
    await over(session)
  })

  it('says its own fields as documented', async () => {
    const line = rawLine({ name: 'me', protocols: [waitingProtocol()] })
    const theirs = await line.peer.exchangeHellos()
    assert.deepEqual(Object.keys(theirs).sort(), [
      'epoch',
      'features',
      'limits',
      'name',
      'protocols',
      'role',
      'versions',
    ])
    assert.deepEqual(theirs.versions, [1, 1])
    assert.equal((theirs.epoch as Uint8Array).byteLength, 8)
    assert.deepEqual([theirs.name, theirs.role, theirs.protocols, theirs.features], ['me', 'peer', ['hold'], []])
    assert.deepEqual(theirs.limits, helloFields().limits)
    line.peer.cut()
    await assert.rejects(line.trunk)
  })

  it('takes the odd ids with the larger epoch, the even ones with the smaller [R-059]', async () => {
    for (const [epoch, first] of [
      [LOWEST_EPOCH, 1],
      [HIGHEST_EPOCH, 2],
    ] as const) {
      const session = await rawSession({}, { epoch })
      session.trunk.open('one').catch(() => undefined)
      session.trunk.open('two').catch(() => undefined)
      assert.deepEqual(
        [(await session.peer.expect('OPEN')).pipe, (await session.peer.expect('OPEN')).pipe],
        [first, first + 2],
      )
      await over(session)
    }
  })

  it('refuses its own epoch: an echo, or a restored copy of itself [R-057] [R-063]', async () => {
    const line = rawLine()
    const { payload } = await line.peer.expect('HELLO')
    await line.peer.send(SYNC, frame(TYPE.HELLO, 0, payload))
    await refusedWith(line, 'ERR_SELF_CONNECTION', 22)
  })

  it('is ended by a second hello, before the session is established and after [R-064]', async () => {
    const line = rawLine()
    await line.peer.exchangeHellos()
    await line.peer.send(frame(TYPE.HELLO, 0, line.peer.ownHello))
    await refusedWith(line, 'ERR_PROTOCOL_VIOLATION', 26)

    const session = await rawSession()
    await session.peer.send(frame(TYPE.HELLO, 0, session.peer.ownHello))
    await endsWith(session, 'ERR_PROTOCOL_VIOLATION', 26)
  })

  it('is ended by a READY before the hello, a second one, or one for somebody else [R-064]', async () => {
    const early = rawLine()
    await early.peer.send(SYNC, frame(TYPE.READY, 0, cbor({ epoch: HIGHEST_EPOCH })))
    await refusedWith(early, 'ERR_PROTOCOL_VIOLATION', 26)

    const session = await rawSession()
    await session.peer.ready()
    await endsWith(session, 'ERR_PROTOCOL_VIOLATION', 26)

    for (const epoch of [HIGHEST_EPOCH, new Uint8Array(0), 'x'.repeat(8), undefined]) {
      const line = rawLine()
      await line.peer.exchangeHellos()
      await line.peer.ready({ epoch })
      await refusedWith(line, 'ERR_HELLO_INVALID', 20)
    }
  })

  const wrong: [string, HelloFields][] = [
    ['no versions', { versions: undefined }],
    ['versions that are no pair', { versions: [1] }],
    ['version 0', { versions: [0, 1] }],
    ['no epoch', { epoch: undefined }],
    ['an epoch of 7 bytes', { epoch: new Uint8Array(7) }],
    ['a name of 65 characters', { name: 'x'.repeat(65) }],
    ['an unknown role', { role: 'king' }],
    ['no limits', { limits: undefined }],
    ['a missing limit', limits({ window: undefined })],
    ['a frame limit of 63', limits({ frame: 63 })],
    ['a frame limit of 2^24', limits({ frame: 2 ** 24 })],
    ['a window of 0', limits({ window: 0 })],
    ['a window of 2^31', limits({ window: 2 ** 31 })],
    ['a negative limit', limits({ pipes: -1 })],
    ['a limit with a fraction', limits({ waiting: 1.5 })],
    ['a limit as text', limits({ inFlight: '2000' })],
    ['an in-flight limit of 1023', limits({ inFlight: 1023 })],
    ['protocols that are no list', { protocols: 'all' }],
    ['a challenge of 31 bytes', { challenge: new Uint8Array(31) }],
  ]
  for (const [name, fields] of wrong) {
    it(`refuses a hello with ${name}`, async () => {
      const line = rawLine()
      await line.peer.send(SYNC, frame(TYPE.HELLO, 0, cbor(helloFields(fields))))
      await refusedWith(line, 'ERR_HELLO_INVALID', 20)
    })
  }

  const malformed: [string, string][] = [
    ['an indefinite map', 'bfff'],
    ['a key that is no text', 'a10102'],
    ['the same key twice', 'a2616101616102'],
    ['a longer head than needed', 'a1616118 01'],
    ['bytes behind it', 'a000'],
    ['text that is no UTF-8', 'a161ff01'],
    ['a tag', 'c100'],
    ['undefined', 'f7'],
    ['half a map', 'a2616101'],
    ['an array that claims 2^32 - 1 members', '9affffffff'],
    ['nesting 17 deep', '81'.repeat(17) + '01'],
  ]
  for (const [name, text] of malformed) {
    it(`refuses a hello that is ${name}`, async () => {
      const line = rawLine()
      await line.peer.send(SYNC, frame(TYPE.HELLO, 0, fromHex(text)))
      await refusedWith(line, 'ERR_HELLO_INVALID', 20)
    })
  }

  it('takes a hello of exactly the limit and none above [R-004]', async () => {
    const padded = (length: number): HelloFields => {
      const bare = cbor(helloFields({ padding: '' })).byteLength
      return { padding: 'x'.repeat(length - bare - 2) }
    }
    const session = await rawSession({}, padded(4096))
    assert.equal(session.peer.ownHello.byteLength, 4096)
    await over(session)
    const line = rawLine()
    await line.peer.send(SYNC, Uint8Array.of(TYPE.HELLO, 0, 0x10, 0x01, 0, 0, 0, 0, 0))
    await refusedWith(line, 'ERR_FRAME_TOO_LARGE', 25)
    await over(await rawSession({ limits: { maxHelloBytes: 1024 } }, padded(1024)))
    const small = rawLine({ limits: { maxHelloBytes: 1024 } })
    await small.peer.send(SYNC, Uint8Array.of(TYPE.HELLO, 0, 0x04, 0x01, 0, 0, 0, 0, 0))
    await refusedWith(small, 'ERR_FRAME_TOO_LARGE', 25)
  })

  it('takes frames that follow READY at once, and none before it', async () => {
    const line = rawLine({ protocols: [waitingProtocol()] })
    await line.peer.exchangeHellos({ epoch: HIGHEST_EPOCH })
    const theirs = fromCbor(line.peer.theirHello) as HelloFields
    await line.peer.send(
      frame(TYPE.READY, 0, cbor({ epoch: theirs.epoch })),
      frame(TYPE.OPEN, 1, cbor({ protocol: 'hold' })),
      frame(TYPE.DATA, 1, new Uint8Array(3)),
    )
    await line.peer.expect('ACCEPT', 1)
    const order = line.peer.received.map(({ type }) => type)
    assert.ok(order.indexOf(TYPE.READY) < order.indexOf(TYPE.ACCEPT))
    const trunk = await line.trunk
    assert.equal(held(trunk, 1).pipe.readableLength, 3)
    await over({ ...line, trunk })

    for (const type of [TYPE.OPEN, TYPE.PING, TYPE.CLOSING]) {
      const early = rawLine()
      await early.peer.exchangeHellos({ epoch: HIGHEST_EPOCH })
      await early.peer.send(frame(type, type === TYPE.OPEN ? 1 : 0, new Uint8Array(type === TYPE.PING ? 16 : 0)))
      await refusedWith(early, 'ERR_PROTOCOL_VIOLATION', 26)
    }
  })

  it('gives up after helloTimeoutMs, whether the peer said nothing or half of it [R-072]', async () => {
    for (const said of [[], [SYNC.subarray(0, 3)], [SYNC, frame(TYPE.HELLO, 0, cbor(helloFields()))]]) {
      const line = rawLine({ limits: { helloTimeoutMs: 700 } })
      await line.peer.expect('HELLO')
      if (said.length > 0) await line.peer.send(...said)
      if (said.length === 2) await line.peer.expect('READY')
      line.clock.advance(699)
      assert.equal(line.peer.count('BYE'), 0)
      line.clock.advance(1)
      await refusedWith(line, 'ERR_HELLO_TIMEOUT', 21)
    }
  })

  it('passes on why the peer refuses, and says when it leaves without a word', async () => {
    const told = rawLine()
    await told.peer.send(SYNC)
    await told.peer.status(TYPE.BYE, 0, 32, 'too many')
    await assert.rejects(told.trunk, isCode('ERR_SESSION_LIMIT', 'remote'))
    await told.peer.ended

    const left = rawLine()
    left.peer.end()
    await assert.rejects(left.trunk, isCode('ERR_LINK_LOST'))

    const early = rawLine()
    await early.peer.send(concat(SYNC))
    await early.peer.status(TYPE.BYE, 0, 16, 'no session to close')
    await assert.rejects(early.trunk, isCode('ERR_SESSION_CLOSED', 'remote'))
  })
})

describe('limits in force are the smaller of both', { timeout: 60_000 }, () => {
  const opened = async (
    hello: HelloFields,
    options: Parameters<typeof rawSession>[0] = {},
  ): Promise<{ session: Awaited<ReturnType<typeof rawSession>>; sent(): number; frames(): number[] }> => {
    const session = await rawSession(options, hello)
    session.trunk.open('far', null, { early: new Uint8Array(5000) }).catch(() => undefined)
    await session.peer.expect('OPEN')
    await session.peer.sync()
    const frames = (): number[] => {
      return session.peer.received.filter(({ type }) => type === TYPE.DATA).map(({ payload }) => payload.byteLength)
    }
    return { session, frames, sent: () => frames().reduce((sum, length) => sum + length, 0) }
  }

  it('keeps to the peer’s window and to its frame size [R-060] [R-017]', async () => {
    const window = await opened(limits({ window: 100 }))
    assert.equal(window.sent(), 100)
    await over(window.session)
    const own = await opened({}, { limits: { initialWindowBytes: 70 } })
    assert.equal(own.sent(), 70)
    await over(own.session)
    const small = await opened(limits({ frame: 64 }))
    assert.deepEqual([...new Set(small.frames())].sort(), [64, 5000 % 64].sort())
    await over(small.session)
  })

  it('keeps to the peer’s in-flight bound until PARSED says more', async () => {
    const { session, sent, frames } = await opened(limits({ inFlight: 1024, frame: 100 }))
    assert.ok(sent() + 9 * frames().length <= 1024, `${sent()} bytes in ${frames().length} frames`)
    while (sent() < 5000) {
      const before = sent()
      await session.peer.offset(TYPE.PARSED, 0, sent() + 9 * frames().length)
      await session.peer.sync()
      assert.ok(sent() > before)
    }
    await session.peer.offset(TYPE.PARSED, 0, 12)
    await livesOn(session)
    await session.peer.offset(TYPE.PARSED, 0, 5000 + 9 * frames().length + 1)
    await endsWith(session, 'ERR_PROTOCOL_VIOLATION', 26)
  })

  it('opens no more than the peer takes, and no more at a time than it lets wait', async () => {
    const session = await rawSession({}, limits({ pipes: 3, waiting: 1 }))
    const opens = ['a', 'b', 'c'].map((name) => session.trunk.open(name))
    await assert.rejects(session.trunk.open('d'), isCode('ERR_PIPE_LIMIT', 'local'))
    await session.peer.sync()
    assert.equal(session.peer.count('OPEN'), 1)
    for (const opening of opens) {
      const { pipe } = await session.peer.expect('OPEN')
      await session.peer.status(TYPE.REFUSE, pipe, 78)
      await assert.rejects(opening, isCode('ERR_DENIED', 'remote'))
    }
    await livesOn(session)
    await over(session)
  })

  it('throws at once for a first frame above the peer’s limit', async () => {
    const session = await rawSession({}, limits({ open: 64 }))
    await assert.rejects(session.trunk.open('x', 'y'.repeat(64)), isCode('ERR_BAD_ARGUMENT', 'local'))
    await livesOn(session)
    assert.equal(session.peer.count('OPEN'), 0)
    await over(session)
  })
})
