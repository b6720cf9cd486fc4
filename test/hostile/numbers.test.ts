/**
 * Every number of the wire at its edges: 0, around 2^31 and 2^32, above 2^53, and the largest. What
 * holds is what docs/reference/wire-format.md says of each field.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { waitingProtocol } from '../helpers/held-pipes.ts'
import { cbor, type CborValue } from '../helpers/naive-cbor.ts'
import { bigEndian, concat, encodeStatus, frame, TYPE, type WireFrame } from '../helpers/naive-codec.ts'
import { helloFields, HIGHEST_EPOCH, type HelloFields } from '../helpers/raw-peer.ts'
import { endsWith, isCode, livesOn, over, rawLine, rawSession, type RawSession } from '../helpers/raw-session.ts'

const EDGES = [
  0n,
  1n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
]
const LARGEST_OFFSET = 2n ** 53n - 1n

async function standing(): Promise<RawSession> {
  const session = await rawSession({ protocols: [waitingProtocol()] }, { epoch: HIGHEST_EPOCH })
  await session.peer.open(1, 'hold')
  await session.peer.expect('ACCEPT', 1)
  return session
}

/** Sends a frame to a fresh session with one open pipe, 1, and looks at what comes of it. */
async function sends(one: WireFrame, fine: boolean): Promise<void> {
  const session = await standing()
  await session.peer.send(one)
  if (!fine) {
    await endsWith(session, 'ERR_PROTOCOL_VIOLATION', 26)
    return
  }
  await livesOn(session)
  for (const { creditLeft, unread } of session.trunk.status().pipes) {
    assert.ok(creditLeft >= 0 && Number.isSafeInteger(creditLeft), `${creditLeft} credit`)
    assert.ok(unread >= 0 && Number.isSafeInteger(unread), `${unread} unread`)
  }
  await over(session)
}

describe('offsets and numbers of eight bytes [R-231]', () => {
  for (const edge of EDGES) {
    const word = bigEndian(edge, 8)
    const isOffset = edge <= LARGEST_OFFSET
    it(`CREDIT ${edge}`, () => sends(frame(TYPE.CREDIT, 1, word), isOffset))
    it(`END ${edge}, where no byte came`, () => sends(frame(TYPE.END, 1, word), edge === 0n))
    // one byte of our own pings' frames is no data: nothing was sent that could have been parsed
    it(`PARSED ${edge}, where no data was sent`, () => sends(frame(TYPE.PARSED, 0, word), edge === 0n))
    it(`PING ${edge}`, () => sends(frame(TYPE.PING, 0, concat(word, word)), true))
    it(`PONG ${edge}`, () => sends(frame(TYPE.PONG, 0, concat(word, word, word)), true))
  }
})

describe('pipe ids [R-232]', () => {
  for (const edge of [0n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 31n + 1n, 2n ** 32n - 2n, 2n ** 32n - 1n]) {
    const id = Number(edge)
    it(`OPEN of ${edge}`, () => sends(frame(TYPE.OPEN, id, cbor({ protocol: 'hold' })), id % 2 === 1))
    it(`DATA for ${edge}, which nobody has opened`, () => sends(frame(TYPE.DATA, id, Uint8Array.of(1)), false))
    it(`PING with the pipe id ${edge}`, () => sends(frame(TYPE.PING, id, new Uint8Array(16)), id === 0))
  }

  it('the largest id works as any other, and is the last', async () => {
    const session = await standing()
    const last = 2 ** 32 - 1
    await session.peer.open(last, 'hold')
    await session.peer.expect('ACCEPT', last)
    await session.peer.data(last, 'up here')
    await session.peer.sync()
    const pipe = session.trunk.status().pipes.find(({ id }) => id === last)
    assert.equal(pipe?.unread, 7)
    await session.peer.open(last, 'hold')
    await endsWith(session, 'ERR_PROTOCOL_VIOLATION', 26)
  })
})

describe('codes in a status [R-233]', () => {
  for (const [number, fine] of [
    [0, false],
    [1, true],
    [64, true],
    [32_767, true],
    [32_768, true],
    [65_535, true],
  ] as const) {
    for (const type of ['STOP', 'RESET'] as const) {
      it(`${type} with ${number}`, () =>
        sends(frame(TYPE[type], 1, encodeStatus({ number, name: '', sentence: '' })), fine))
    }
  }
})

/** The bounds of the document's table. */
const LIMITS: Readonly<Record<string, readonly [min: bigint, max: bigint]>> = {
  frame: [64n, 2n ** 24n - 1n],
  window: [1n, 2n ** 31n - 1n],
  inFlight: [1024n, 2n ** 31n - 1n],
  open: [64n, 65_535n],
  pipes: [1n, 2n ** 31n - 1n],
  waiting: [1n, 2n ** 31n - 1n],
  resetBurst: [1n, 2n ** 31n - 1n],
  resetRate: [1n, 2n ** 31n - 1n],
}

describe('limits in a hello [R-234]', () => {
  async function meets(fields: HelloFields, fine: boolean): Promise<void> {
    if (fine) {
      const session = await rawSession({ protocols: [waitingProtocol()] }, { epoch: HIGHEST_EPOCH, ...fields })
      await livesOn(session)
      await over(session)
      return
    }
    const line = rawLine()
    await line.peer.exchangeHellos(fields)
    assert.equal(await line.peer.expectStatus('BYE'), 20)
    await assert.rejects(line.trunk, isCode('ERR_HELLO_INVALID', 'local'))
    await line.peer.ended
    await eventually(() => line.clock.pending === 0, 'no timer is left')
  }

  const given = helloFields().limits as Record<string, CborValue>
  for (const [name, [min, max]] of Object.entries(LIMITS)) {
    for (const value of new Set([...EDGES, -1n, min - 1n, min, max, max + 1n])) {
      const fine = value >= min && value <= max
      it(`${name} ${value}: ${fine ? 'taken' : 'refused'}`, () => meets({ limits: { ...given, [name]: value } }, fine))
    }
    for (const odd of [1.5, NaN, Infinity, -Infinity, '64', null, true, [64], { value: 64 }] as CborValue[]) {
      it(`${name} ${JSON.stringify(odd)} (${typeof odd}): refused`, () =>
        meets({ limits: { ...given, [name]: odd } }, false))
    }
  }

  for (const name of ['__proto__', 'constructor', 'toString']) {
    it(`a limit, a field and a feature named ${name}: passed over`, async () => {
      const named = (value: CborValue): { [key: string]: CborValue } => Object.fromEntries([[name, value]])
      await meets(
        { ...named(7), limits: { ...given, ...named({ frame: 1 }) }, features: [name], protocols: [name] },
        true,
      )
      assert.deepEqual(Object.keys(Object.prototype), [])
    })
  }
})
