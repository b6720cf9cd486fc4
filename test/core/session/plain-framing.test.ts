/**
 * The beginning of a link that is connected: the sync word, then frames; and what is no beginning.
 * The peer is played by hand.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeCbor } from '../../../src/core/cbor.ts'
import { DEFAULT_LIMITS } from '../../../src/contracts/limits.ts'
import { Engine } from '../../../src/core/session/engine.ts'
import { encodeHello } from '../../../src/core/session/hello.ts'
import { concat, encodeFrame, frame, SYNC, TYPE } from '../../helpers/naive-codec.ts'
import { helloOf } from '../../helpers/peer-hello.ts'

const [OWN, PEER] = [helloOf(1), helloOf(2)]
const HELLO = encodeFrame(frame(TYPE.HELLO, 0, encodeHello(PEER, 4096)))
const READY = encodeFrame(frame(TYPE.READY, 0, encodeCbor({ epoch: OWN.epoch }, 256, 'it')))

/** An engine that has heard `chunks`, with what became of it. */
function heard(chunks: readonly Uint8Array[], tickAt?: number): string[] {
  const told: string[] = []
  const engine = new Engine({
    hello: OWN,
    limits: DEFAULT_LIMITS,
    preferredFrameBytes: 1000,
    now: 0,
    host: {
      wake: () => undefined,
      established: (peer) => told.push(peer.name),
      incoming: () => undefined,
      ponged: () => undefined,
      ended: (error) => told.push(`${error?.code}: ${error?.message}`),
    },
  })
  for (const chunk of chunks) engine.receive(chunk, 0)
  if (tickAt !== undefined) engine.tick(tickAt)
  if (told.length === 0) told.push(`skipped ${engine.counters.skippedFrames}`)
  return told
}

describe('PlainFraming, the first bytes', () => {
  it('PlainFraming takes the sync word, then frames, however they are cut', () => {
    const bytes = concat(SYNC, HELLO, READY)
    assert.deepEqual(heard([bytes]), ['peer 2'])
    assert.deepEqual(heard([...bytes].map((byte) => Uint8Array.of(byte))), ['peer 2'])
    for (let at = 0; at <= 12; at++) assert.deepEqual(heard([bytes.subarray(0, at), bytes.subarray(at)]), ['peer 2'])
  })

  it('PlainFraming takes frames of any type that may be skipped after the sync word', () => {
    for (const type of [0x40, 0x7f])
      assert.deepEqual(heard([concat(SYNC, encodeFrame(frame(type)), HELLO, READY)]), ['peer 2'])
  })

  it('PlainFraming refuses a byte that is not the sync word’s, at any place', () => {
    for (let at = 0; at < 8; at++) {
      const bytes = concat(SYNC, HELLO)
      bytes[at]! ^= 1
      const [said] = heard([bytes])
      assert.match(said!, /^ERR_NOT_TRUNKLINE: ./)
    }
    assert.match(heard([Uint8Array.of(0)])[0]!, /^ERR_NOT_TRUNKLINE/)
  })

  it('PlainFraming knows the probe of a serial line by the eighth bit after the sync word', () => {
    for (const first of [0x80, 0xff]) {
      for (const chunks of [[concat(SYNC, Uint8Array.of(first))], [SYNC, Uint8Array.of(first)]])
        assert.match(heard(chunks)[0]!, /^ERR_LINE_MISMATCH: ./)
    }
  })

  it('PlainFraming waits for the sync word, and says that it is missing without a guess', () => {
    assert.deepEqual(heard([SYNC]), ['skipped 0'])
    assert.deepEqual(heard([], DEFAULT_LIMITS.helloTimeoutMs), [
      `ERR_HELLO_TIMEOUT: no session after ${DEFAULT_LIMITS.helloTimeoutMs} ms`,
    ])
  })
})
