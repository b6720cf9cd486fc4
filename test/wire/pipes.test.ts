/**
 * A pipe's life by hand: what is allowed in which state, on both sides of it. The raw peer has the
 * odd ids.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { defineProtocol, TrunkError, type Pipe } from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import { held, waitingProtocol } from '../helpers/held-pipes.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import {
  bigEndian,
  concat,
  decodeStatus,
  encodeStatus,
  FINAL,
  frame,
  fromBigEndian,
  fromHex,
  TYPE,
  utf8,
  type WireFrame,
} from '../helpers/naive-codec.ts'
import { helloFields, HIGHEST_EPOCH, type HelloFields } from '../helpers/raw-peer.ts'
import { endsWith, isCode, livesOn, over, rawSession, type RawSession } from '../helpers/raw-session.ts'

type Options = Parameters<typeof rawSession>[0]

const VIOLATION = 'ERR_PROTOCOL_VIOLATION'
const reset = frame(TYPE.RESET, 0, encodeStatus({ number: 64, name: '', sentence: 'enough' }))

const standing = (options: Options = {}, hello: HelloFields = {}): Promise<RawSession> =>
  rawSession({ protocols: [waitingProtocol()], ...options }, { epoch: HIGHEST_EPOCH, ...hello })

/** A pipe that the peer opened and our handler holds. */
async function inbound(
  options: Options = {},
): Promise<RawSession & { pipe: Pipe; end(): void; fail(error: Error): void }> {
  const session = await standing(options)
  await session.peer.open(1, 'hold')
  await session.peer.expect('ACCEPT', 1)
  return { ...session, ...held(session.trunk, 1) }
}

/** A pipe that we opened and the peer accepted. */
async function outbound(options: Options = {}, hello: HelloFields = {}): Promise<RawSession & { pipe: Pipe }> {
  const session = await standing(options, hello)
  const opening = session.trunk.open('far')
  await session.peer.expect('OPEN', 2)
  await session.peer.send(frame(TYPE.ACCEPT, 2))
  return { ...session, pipe: await opening }
}

describe('a pipe by hand: credit', { timeout: 60_000 }, () => {
  it('ends the session one byte beyond the credit, in early data too [R-013] [R-018]', async () => {
    const early = await standing()
    await early.peer.open(1, 'hold')
    await early.peer.send(frame(TYPE.DATA, 1, new Uint8Array(65_536)), frame(TYPE.DATA, 1, new Uint8Array(1)))
    await endsWith(early, 'ERR_WINDOW_EXCEEDED', 27)

    const session = await inbound({ limits: { initialWindowBytes: 100 } })
    await session.peer.data(1, new Uint8Array(100))
    await livesOn(session)
    await session.pipe.source.next()
    const credit = await session.peer.expect('CREDIT', 1)
    const limit = Number(fromBigEndian(credit.payload))
    assert.ok(limit >= 150)
    await session.peer.data(1, new Uint8Array(limit - 100))
    await livesOn(session)
    await session.peer.data(1, new Uint8Array(1))
    await endsWith(session, 'ERR_WINDOW_EXCEEDED', 27)
  })

  it('counts a credit that gives nothing new and goes on [R-020]', async () => {
    const session = await inbound()
    for (const offset of [0, 1, 65_535, 65_536]) await session.peer.offset(TYPE.CREDIT, 1, offset)
    await livesOn(session)
    assert.equal(session.trunk.status().counters.staleCredits, 4)
    assert.equal(session.trunk.status().pipes[0]?.creditLeft, 65_536)
    await over(session)
  })

  it('takes the largest credit, and ends the session at one above 2^53 - 1 [R-014] [R-019]', async () => {
    const session = await inbound()
    await session.peer.offset(TYPE.CREDIT, 1, 2n ** 53n - 1n)
    await livesOn(session)
    assert.equal(session.trunk.status().pipes[0]?.creditLeft, Number.MAX_SAFE_INTEGER)
    await session.peer.offset(TYPE.CREDIT, 1, 2n ** 53n)
    await endsWith(session, VIOLATION, 26)
  })

  it('lets the writer wait where the peer never grants more, and only that pipe [R-027]', async () => {
    const session = await outbound()
    const writing = session.pipe.sink(
      (async function* () {
        for (;;) yield new Uint8Array(16_384)
      })(),
    )
    writing.catch(() => undefined)
    await session.peer.sync()
    await session.peer.sync()
    const sent = session.peer.received
      .filter(({ type }) => type === TYPE.DATA)
      .reduce((sum, { payload }) => sum + payload.byteLength, 0)
    assert.equal(sent, 65_536)
    assert.equal(session.trunk.status().pipes[0]?.waitsFor, 'credit')
    assert.ok(session.pipe.writableLength < 65_536)
    await session.peer.open(1, 'hold')
    await session.peer.expect('ACCEPT', 1)
    await held(session.trunk, 1).pipe.write(utf8('hello'))
    assert.deepEqual((await session.peer.expect('DATA', 1)).payload, utf8('hello'))
    session.pipe.abort(new TrunkError('ERR_ABORTED', 'enough'))
    await assert.rejects(writing, isCode('ERR_ABORTED'))
    await over(session)
  })
})

describe('a pipe by hand: ends', { timeout: 60_000 }, () => {
  it('goes its whole way from OPEN to DONE, opened by the peer [R-030]', async () => {
    const session = await standing({
      protocols: [
        defineProtocol({
          name: 'echo',
          parse: (params) => params,
          async handle(request) {
            const pipe = request.accept({ seen: request.params })
            await pipe.sink(pipe.source)
          },
        }),
      ],
    })
    await session.peer.open(1, 'echo', { deep: [1, null, 'x'] })
    await session.peer.data(1, 'to and fro')
    await session.peer.offset(TYPE.END, 1, 10)
    assert.deepEqual((await session.peer.expect('ACCEPT', 1)).payload, cbor({ seen: { deep: [1, null, 'x'] } }))
    assert.deepEqual((await session.peer.expect('DATA', 1)).payload, utf8('to and fro'))
    assert.deepEqual((await session.peer.expect('END', 1)).payload, bigEndian(10, 8))
    assert.deepEqual((await session.peer.expect('DONE', 1)).payload, new Uint8Array(0))
    await session.peer.send(frame(TYPE.DONE, 1))
    await livesOn(session)
    assert.deepEqual(session.trunk.status().pipes, [])
    await over(session)
  })

  it('goes its whole way from OPEN to DONE, opened by us', async () => {
    const session = await outbound()
    await session.pipe.write(utf8('ask'))
    const closing = session.pipe.close()
    await session.peer.expect('END', 2)
    await session.peer.data(2, 'answer')
    assert.equal(Buffer.from((await session.pipe.source.next()).value!.subarray()).toString(), 'answer')
    await session.peer.offset(TYPE.END, 2, 6)
    await session.peer.send(frame(TYPE.DONE, 2))
    await closing
    assert.equal((await session.pipe.source.next()).done, true)
    await session.peer.expect('DONE', 2)
    assert.deepEqual(session.trunk.status().pipes, [])
    await over(session)
  })

  const late: [string, WireFrame][] = [
    ['data after the end', frame(TYPE.DATA, 1, new Uint8Array(1))],
    ['a second end', frame(TYPE.END, 1, bigEndian(3, 8))],
  ]
  for (const [name, one] of late) {
    it(`ends the session at ${name}, and does not deliver it [R-033]`, async () => {
      const session = await inbound()
      await session.peer.data(1, 'abc')
      await session.peer.offset(TYPE.END, 1, 3)
      await session.peer.send(one)
      await endsWith(session, VIOLATION, 26)
      assert.equal(session.pipe.readableLength, 0)
    })
  }

  it('ends the session at an end that is not where the data ended', async () => {
    for (const offset of [0n, 2n, 4n, 2n ** 32n + 3n, 2n ** 53n, 2n ** 64n - 1n]) {
      const session = await inbound()
      await session.peer.data(1, 'abc')
      await session.peer.offset(TYPE.END, 1, offset)
      await endsWith(session, VIOLATION, 26)
    }
  })

  it('ends the session at a DONE before our end, and at a second one', async () => {
    const before = await inbound()
    await before.peer.send(frame(TYPE.DONE, 1))
    await endsWith(before, VIOLATION, 26)

    const twice = await outbound()
    void twice.pipe.closeWrite()
    await twice.peer.expect('END', 2)
    await twice.peer.send(frame(TYPE.DONE, 2), frame(TYPE.DONE, 2))
    await endsWith(twice, VIOLATION, 26)
  })

  it('says in DONE that not everything was read', async () => {
    const session = await inbound()
    await session.peer.data(1, 'unread')
    await session.peer.offset(TYPE.END, 1, 6)
    await session.peer.sync()
    session.end()
    assert.equal(await session.peer.expectStatus('DONE', 1), 65)
    assert.equal(session.peer.count('STOP'), 0)
    await over(session)
  })

  it('rejects close with what the peer’s DONE says', async () => {
    const session = await outbound()
    const closing = session.pipe.close()
    await session.peer.expect('END', 2)
    await session.peer.status(TYPE.DONE, 2, 199, 'full')
    await assert.rejects(closing, isCode('ERR_NO_SPACE', 'remote'))
    await livesOn(session)
    await over(session)
  })
})

/** A first frame for the protocol `hold` of so many bytes. */
function firstFrameOf(bytes: number): Uint8Array {
  const spare = cbor({ protocol: 'hold', params: 'x'.repeat(bytes) }).byteLength - bytes
  const head = cbor({ protocol: 'hold', params: 'x'.repeat(bytes - spare) })
  assert.equal(head.byteLength, bytes)
  return head
}

describe('a pipe by hand: the answer to the open', { timeout: 60_000 }, () => {
  it('refuses what it cannot read as a first frame, and goes on [R-073]', async () => {
    const heads: [string, Uint8Array, number][] = [
      ['nothing', new Uint8Array(0), 75],
      ['no CBOR', fromHex('ff'), 75],
      ['a list', cbor(['hold']), 75],
      ['no name', cbor({ params: 1 }), 75],
      ['a name that is no text', cbor({ protocol: 5 }), 75],
      ['an empty name', cbor({ protocol: '' }), 75],
      ['a name of 256 bytes', cbor({ protocol: 'x'.repeat(256) }), 75],
      ['a name of 128 characters in 256 bytes', cbor({ protocol: 'ü'.repeat(128) }), 75],
      ['a name of 255 bytes', cbor({ protocol: 'x'.repeat(255) }), 73],
      ['a name that is no UTF-8', fromHex('a1 68 70726f746f636f6c 62 c328'), 75],
      // valid but for their length, or the length would not be what they are refused for
      ['a first frame of 4097 bytes', firstFrameOf(4097), 75],
      ['a first frame of 100000 bytes', firstFrameOf(100_000), 75],
      ['__proto__', cbor({ protocol: '__proto__' }), 73],
      ['constructor', cbor({ protocol: 'constructor' }), 73],
      ['toString', cbor({ protocol: 'toString' }), 73],
      ['a key __proto__', cbor({ ['__proto__']: { protocol: 'hold' } }), 75],
      ['another version', cbor({ protocol: 'hold', version: 2 }), 74],
      ['a version that is none', cbor({ protocol: 'hold', version: 'x' }), 75],
      [
        'nesting 40 deep',
        concat(
          fromHex('a2 68 70726f746f636f6c 64 686f6c64 66 706172616d73'),
          new Uint8Array(40).fill(0x81),
          fromHex('01'),
        ),
        75,
      ],
    ]
    const session = await standing()
    let id = 1
    for (const [name, head, number] of heads) {
      await session.peer.send(frame(TYPE.OPEN, id, head), frame(TYPE.DATA, id, new Uint8Array(5)))
      const refusal = decodeStatus((await session.peer.expect('REFUSE', id)).payload)
      assert.equal(refusal.number, number, `${name}: ${refusal.sentence}`)
      id += 2
    }
    await livesOn(session)
    assert.deepEqual(session.trunk.status().pipes, [])
    assert.equal(({} as Record<string, unknown>).protocol, undefined)
    await over(session)
  })

  it('takes a first frame and a reply of exactly 4096 bytes [R-004]', async () => {
    const bare = cbor({ protocol: 'hold', params: 'x'.repeat(4000) }).byteLength
    const session = await standing()
    await session.peer.open(1, 'hold', 'x'.repeat(4096 - bare + 4000))
    await session.peer.expect('ACCEPT', 1)
    await over(session)

    const opener = await standing()
    const opening = opener.trunk.open('far')
    await opener.peer.expect('OPEN', 2)
    await opener.peer.send(frame(TYPE.ACCEPT, 2, cbor('x'.repeat(4093))))
    assert.equal(((await opening).reply as string).length, 4093)
    opener.trunk.open('far').catch(() => undefined)
    await opener.peer.expect('OPEN', 4)
    await opener.peer.send(frame(TYPE.ACCEPT, 4, cbor('x'.repeat(4094))))
    await endsWith(opener, VIOLATION, 26)
  })

  const early: [string, WireFrame][] = [
    ['data', frame(TYPE.DATA, 2, new Uint8Array(1))],
    ['an end', frame(TYPE.END, 2, bigEndian(0, 8))],
    ['a DONE', frame(TYPE.DONE, 2)],
  ]
  for (const [name, one] of early) {
    it(`ends the session at ${name} before the answer`, async () => {
      const session = await standing()
      const opening = session.trunk.open('far')
      await session.peer.expect('OPEN', 2)
      await session.peer.send(one)
      await assert.rejects(opening, isCode(VIOLATION))
      await endsWith(session, VIOLATION, 26)
    })
  }

  it('ends the session at a second answer, and at an answer to the peer’s own open', async () => {
    const refusal = encodeStatus({ number: 78, name: '', sentence: '' })
    for (const one of [frame(TYPE.ACCEPT, 2), frame(TYPE.REFUSE, 2, refusal)]) {
      const session = await outbound()
      await session.peer.send(one)
      await endsWith(session, VIOLATION, 26)
    }
    for (const one of [frame(TYPE.ACCEPT, 1), frame(TYPE.REFUSE, 1, refusal)]) {
      const session = await inbound()
      await session.peer.send(one)
      await endsWith(session, VIOLATION, 26)
    }
  })

  it('ends the session at a second open of a live id [R-034]', async () => {
    const session = await inbound()
    await session.peer.open(1, 'hold')
    await endsWith(session, VIOLATION, 26)
  })

  it('resets a pipe whose reply it cannot read, and goes on', async () => {
    const session = await standing()
    const opening = session.trunk.open('far')
    await session.peer.expect('OPEN', 2)
    await session.peer.send(frame(TYPE.ACCEPT, 2, fromHex('ff')))
    await assert.rejects(opening, isCode('ERR_MESSAGE_INVALID', 'local'))
    assert.equal(await session.peer.expectStatus('RESET', 2), 77)
    await livesOn(session)
    await over(session)
  })

  it('passes codes on: known, a plugin’s, and from a newer version', async () => {
    const session = await standing()
    const cases: [Uint8Array, string][] = [
      [encodeStatus({ number: 78, name: '', sentence: 'no' }), 'ERR_DENIED'],
      [encodeStatus({ number: 0, name: 'CLIPBOARD_LOCKED', sentence: 'no' }), 'CLIPBOARD_LOCKED'],
      [encodeStatus({ number: 40_000, name: '', sentence: 'no' }), 'ERR_PIPE_RESET'],
    ]
    for (const [payload, code] of cases) {
      const opening = session.trunk.open('far')
      const { pipe } = await session.peer.expect('OPEN')
      await session.peer.send(frame(TYPE.REFUSE, pipe, payload))
      await assert.rejects(opening, isCode(code, 'remote'))
    }
    await livesOn(session)
    await over(session)
  })

  it('takes control characters out of a peer’s sentence', async () => {
    const session = await standing()
    const opening = session.trunk.open('far')
    await session.peer.expect('OPEN', 2)
    await session.peer.status(TYPE.REFUSE, 2, 78, '\u001b[2Jboo\r\nERR\u0085\u2028')
    await assert.rejects(opening, { message: ' [2Jboo  ERR  ' })
    await over(session)
  })

  const badStatuses: [string, string][] = [
    ['two bytes', '0040'],
    ['a name longer than the rest', '00000941'],
    ['number 0 and no name', '000000'],
    ['a name beside a number', '004003 414243'],
    ['a name in small letters', '000003 616263'],
    ['a known code by name', '00000a 4552525f44454e494544'],
    ['a sentence that is no UTF-8', '004000 c328'],
    ['a name that is no UTF-8', '000003 4142ff'],
  ]
  for (const [name, text] of badStatuses) {
    it(`ends the session at a status with ${name}`, async () => {
      const session = await standing()
      session.trunk.open('far').catch(() => undefined)
      await session.peer.expect('OPEN', 2)
      await session.peer.send(frame(TYPE.REFUSE, 2, fromHex(text)))
      await endsWith(session, VIOLATION, 26)
    })
  }

  it('sends no message of an error that is no TrunkError [R-099]', async () => {
    const secret = '/home/somebody/.ssh/id_ed25519'
    const failing = (name: string, accept: boolean, error: unknown): ReturnType<typeof defineProtocol> =>
      defineProtocol({
        name,
        parse: (params) => {
          if (params === 'bad') throw new TypeError(secret)
          return params
        },
        async handle(request) {
          if (accept) request.accept()
          throw error
        },
      })
    const session = await standing({
      protocols: [
        failing('before', false, new Error(secret)),
        failing('after', true, new Error(secret)),
        failing('string', false, secret),
        failing('told', false, new TrunkError('ERR_DENIED', 'that is not served', { cause: new Error(secret) })),
      ],
    })
    const { peer } = session
    await peer.open(1, 'before')
    assert.equal(await peer.expectStatus('REFUSE', 1), 76)
    await peer.open(3, 'after')
    assert.equal(await peer.expectStatus('RESET', 3), 76)
    await peer.open(5, 'string')
    assert.equal(await peer.expectStatus('REFUSE', 5), 76)
    await peer.open(7, 'told', 'bad')
    assert.equal(await peer.expectStatus('REFUSE', 7), 75)
    await peer.open(9, 'told')
    assert.deepEqual(decodeStatus((await peer.expect('REFUSE', 9)).payload), {
      number: 78,
      name: '',
      sentence: 'that is not served',
    })
    for (const { payload } of peer.received) assert.equal(Buffer.from(payload).includes('somebody'), false)
    await livesOn(session)
    await over(session)
  })
})

describe('a pipe by hand: STOP and RESET', { timeout: 60_000 }, () => {
  it('stops writing at STOP, with its code, and ends where it was', async () => {
    const session = await outbound()
    await session.pipe.write(new Uint8Array(10))
    await session.peer.expect('DATA', 2)
    await session.peer.status(TYPE.STOP, 2, 199, 'full')
    assert.deepEqual((await session.peer.expect('END', 2)).payload, bigEndian(10, 8))
    await assert.rejects(session.pipe.write(new Uint8Array(1)), isCode('ERR_NO_SPACE', 'remote'))
    await session.peer.data(2, 'the other way goes on')
    assert.equal((await session.pipe.source.next()).value?.byteLength, 21)
    await session.peer.status(TYPE.STOP, 2, 65)
    await endsWith(session, VIOLATION, 26)
  })

  it('sends nothing before its answer, not even the end that a STOP asks for', async () => {
    let answer: (() => void) | undefined
    const session = await standing({
      protocols: [
        defineProtocol({
          name: 'slow',
          parse: (params) => params,
          async handle(request) {
            await new Promise<void>((resolve) => {
              answer = resolve
            })
            request.accept()
          },
        }),
      ],
    })
    await session.peer.open(1, 'slow')
    await session.peer.status(TYPE.STOP, 1, 65)
    await session.peer.sync()
    assert.equal(session.peer.count('END'), 0)
    answer?.()
    await session.peer.expect('END', 1)
    const order = session.peer.received.filter(({ pipe }) => pipe === 1).map(({ type }) => type)
    assert.equal(order[0], TYPE.ACCEPT)
    await livesOn(session)
    await over(session)
  })

  it('drops data after its own STOP, but not beyond the credit', async () => {
    const session = await inbound({ limits: { initialWindowBytes: 100 } })
    session.pipe.stopReading('ERR_NO_SPACE')
    assert.equal(await session.peer.expectStatus('STOP', 1), 199)
    await session.peer.data(1, new Uint8Array(100))
    await livesOn(session)
    assert.equal(session.pipe.readableLength, 0)
    assert.equal(session.peer.count('CREDIT'), 0)
    await session.peer.data(1, new Uint8Array(1))
    await endsWith(session, 'ERR_WINDOW_EXCEEDED', 27)
  })

  it('holds a reset pipe’s slot until the handler has ended, then says DONE [R-066]', async () => {
    const session = await inbound({ limits: { maxPipes: 1 } })
    await session.peer.send({ ...reset, pipe: 1 })
    await assert.rejects(session.pipe.source.next(), isCode('ERR_PIPE_RESET', 'remote'))
    assert.equal(session.pipe.signal.aborted, true)
    await session.peer.open(3, 'hold')
    assert.equal(await session.peer.expectStatus('REFUSE', 3), 68)
    assert.equal(session.peer.count('DONE'), 0)
    session.end()
    await session.peer.expect('DONE', 1)
    await session.peer.open(5, 'hold')
    await session.peer.expect('ACCEPT', 5)
    await livesOn(session)
    await over(session)
  })

  it('resets with FINAL when the handler fails, and frees the slot at once', async () => {
    const session = await inbound({ limits: { maxPipes: 1 } })
    session.fail(new TrunkError('ERR_NO_SPACE', 'full'))
    const one = await session.peer.expect('RESET', 1)
    assert.equal(one.flags, FINAL)
    assert.equal(decodeStatus(one.payload).number, 199)
    await session.peer.open(3, 'hold')
    await session.peer.expect('ACCEPT', 3)
    await over(session)
  })

  it('resets without FINAL while the handler runs, and says DONE when it has ended', async () => {
    const session = await inbound()
    session.pipe.abort(new TrunkError('ERR_BUSY', 'no'))
    const one = await session.peer.expect('RESET', 1)
    assert.equal(one.flags, 0)
    await session.peer.sync()
    assert.equal(session.peer.count('DONE'), 0)
    session.end()
    await session.peer.expect('DONE', 1)
    assert.deepEqual(session.trunk.status().pipes, [])
    await over(session)
  })

  it('holds its own slot after a reset until the peer frees it', async () => {
    const onePipe = { limits: { ...(helloFields().limits as HelloFields), pipes: 1 } as never }
    for (const answer of [
      frame(TYPE.DONE, 2),
      { ...reset, pipe: 2, flags: FINAL },
      { ...reset, pipe: 2, type: TYPE.REFUSE },
    ]) {
      const session = await outbound({}, onePipe)
      session.pipe.abort(new Error('enough'))
      const one = await session.peer.expect('RESET', 2)
      assert.equal(one.flags, 0)
      await assert.rejects(session.trunk.open('far'), isCode('ERR_PIPE_LIMIT', 'local'))
      await session.peer.send({ ...reset, pipe: 2 })
      await session.peer.sync()
      await assert.rejects(session.trunk.open('far'), isCode('ERR_PIPE_LIMIT', 'local'))
      await session.peer.send(answer)
      await session.peer.sync()
      session.trunk.open('far').catch(() => undefined)
      await session.peer.expect('OPEN', 4)
      await over(session)
    }
  })

  it('frees the slot at the peer’s FINAL, and holds it after a RESET without', async () => {
    const session = await outbound()
    await session.peer.send({ ...reset, pipe: 2 })
    await assert.rejects(session.pipe.source.next(), isCode('ERR_PIPE_RESET', 'remote'))
    await livesOn(session)
    await session.peer.send(frame(TYPE.DONE, 2))
    await livesOn(session)
    session.trunk.open('far').catch(() => undefined)
    await session.peer.expect('OPEN', 4)
    await session.peer.send(frame(TYPE.ACCEPT, 4), { ...reset, pipe: 4, flags: FINAL })
    await livesOn(session)
    await over(session)
  })

  it('takes an open back that has not been sent [R-038]', async () => {
    const session = await standing()
    const aborted = new AbortController()
    const opening = session.trunk.open('far', null, { signal: aborted.signal })
    const other = session.trunk.open('other')
    other.catch(() => undefined)
    aborted.abort(new Error('changed my mind'))
    await assert.rejects(opening, /changed my mind/)
    assert.equal((await session.peer.expect('OPEN')).pipe, 4)
    await session.peer.sync()
    assert.equal(session.peer.count('OPEN'), 1)
    assert.equal(session.peer.count('RESET'), 0)
    assert.equal(session.trunk.status().pipes.length, 1)
    await over(session)
  })

  it('keeps to the peer’s reset bucket, and resets although a DONE came meanwhile', async () => {
    const slow = {
      limits: { ...(helloFields().limits as HelloFields), resetBurst: 1, resetRate: 1, pipes: 2 } as never,
    }
    const session = await outbound({}, slow)
    const opening = session.trunk.open('far')
    await session.peer.expect('OPEN', 4)
    await session.peer.send(frame(TYPE.ACCEPT, 4))
    const second = await opening
    void second.closeWrite()
    await session.peer.expect('END', 4)
    session.pipe.abort(new Error('first'))
    second.abort(new Error('second'))
    await session.peer.expect('RESET', 2)
    // sent by an acceptor that has not heard of the reset: it still waits for our DONE
    await session.peer.offset(TYPE.END, 4, 0)
    await session.peer.send(frame(TYPE.DONE, 4))
    await session.peer.sync()
    assert.equal(session.peer.count('RESET'), 1)
    await assert.rejects(session.trunk.open('far'), isCode('ERR_PIPE_LIMIT', 'local'))
    session.clock.advance(1000)
    await session.peer.expect('RESET', 4)
    session.trunk.open('far').catch(() => undefined)
    await session.peer.expect('OPEN', 6)
    await over(session)
  })

  it('frees the slot at once where the reset comes after its own DONE', async () => {
    const session = await inbound({ limits: { maxPipes: 1 } })
    await session.peer.offset(TYPE.END, 1, 0)
    assert.equal((await session.pipe.source.next()).done, true)
    session.end()
    await session.peer.expect('DONE', 1)
    await session.peer.send({ ...reset, pipe: 1 }, frame(TYPE.OPEN, 3, cbor({ protocol: 'hold' })))
    await session.peer.expect('ACCEPT', 3)
    assert.equal(session.peer.count('DONE', 1), 1)
    await over(session)
  })
})

describe('a pipe by hand: after its end', { timeout: 60_000 }, () => {
  const frames: [string, Uint8Array][] = [
    ['DATA', new Uint8Array(1000)],
    ['CREDIT', bigEndian(1_000_000, 8)],
    ['END', bigEndian(5, 8)],
    ['DONE', new Uint8Array(0)],
    ['STOP', reset.payload],
    ['RESET', reset.payload],
    ['ACCEPT', cbor('late')],
    ['REFUSE', reset.payload],
  ]

  it('counts late frames of a finished pipe and drops them [R-036]', async () => {
    const session = await standing()
    await session.peer.open(1, 'nobody')
    await session.peer.expect('REFUSE', 1)
    for (const [name, payload] of frames) await session.peer.send(frame(TYPE[name as 'DATA'], 1, payload))
    await livesOn(session)
    assert.equal(session.trunk.status().counters.lateFrames, frames.length)
    await over(session)
  })

  for (const [name, payload] of frames) {
    it(`ends the session at ${name} for a pipe that never was, of either side [R-036]`, async () => {
      for (const id of [3, 2]) {
        const session = await inbound()
        await session.peer.send(frame(TYPE[name as 'DATA'], id, payload))
        await endsWith(session, VIOLATION, 26)
      }
    })
  }

  it('leaves nothing of a thousand pipes that came and went', async () => {
    const session = await standing({ protocols: [waitingProtocol()] })
    for (let id = 1; id < 2000; id += 2) {
      await session.peer.open(id, 'hold')
      await session.peer.offset(TYPE.END, id, 0)
      await session.peer.expect('ACCEPT', id)
      const one = held(session.trunk, id)
      assert.equal((await one.pipe.source.next()).done, true)
      one.end()
      await session.peer.expect('DONE', id)
      await session.peer.send(frame(TYPE.DONE, id))
    }
    await livesOn(session)
    await eventually(() => session.trunk.status().pipes.length === 0, 'no pipe is left')
    await over(session)
  })
})
