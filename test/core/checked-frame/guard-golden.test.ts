/** The guarded codec against the golden vectors: encode gives these bytes, decode gives these frames, however the line cuts them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SYNC_WORD } from '../../../src/core/frame/constants.ts'
import { PROBE } from '../../../src/core/checked-frame/probe.ts'
import { guardTools } from '../../../src/session/guard-tools.ts'
import { CHUNKINGS } from '../../helpers/chunkings.ts'
import { GuardedEar, writeGuarded } from '../../helpers/guarded-codec.ts'
import { concat, frame, fromHex, hex, TYPE, type WireFrame } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-guarded-codec.ts'
import { wireFixture, type FrameFields } from '../../helpers/wire-fixtures.ts'

const golden = wireFixture('guarded.json')
const sumOf = (text: string): number => parseInt(text, 16)
const start = sumOf(golden.chains.aToB)
const greeting = golden.greetings[0]!.hex

const frameOf = ({ typeName, pipe, flags, payload }: FrameFields): WireFrame =>
  frame(TYPE[typeName], pipe, fromHex(payload), flags)

describe('golden vectors of lines that do not tell', () => {
  it('has the documented sync word and probe', () => {
    assert.equal(hex(SYNC_WORD), golden.sync)
    assert.equal(hex(PROBE), golden.probe)
  })

  it('sums up as zlib does, continued from any start', () => {
    for (const { hex: text, start: from, sum } of golden.sums) {
      assert.equal(guardTools.crc32(fromHex(text), sumOf(from)), sumOf(sum))
      assert.equal(naive.crc(fromHex(text), sumOf(from)), sumOf(sum))
    }
  })

  it('begins the chains with both epochs', () => {
    const { a, b } = golden.epochs
    const chain = (sender: string, receiver: string): number =>
      guardTools.crc32(fromHex(receiver), guardTools.crc32(fromHex(sender), 0))
    assert.equal(chain(a, b), start)
    assert.equal(chain(b, a), sumOf(golden.chains.bToA))
    assert.equal(chain(a, '00'.repeat(8)), sumOf(golden.chains.aToNobody))
  })

  for (const { state, ready, hex: text } of golden.greetings) {
    it(`writes and reads a greeting ${state === null ? 'without READY' : `that says ${state}`}`, () => {
      const frames = [frame(TYPE.HELLO, 0, fromHex(golden.hello))]
      if (ready !== undefined) frames.push(frame(TYPE.READY, 0, fromHex(ready)))
      // HELLO and READY are outside of the chain: whatever it is, they are the same, and leave it alone
      const { bytes, sum } = writeGuarded(frames, 12_345)
      assert.equal(hex(concat(SYNC_WORD, PROBE, bytes)), text)
      assert.equal(sum, 12_345)
      for (const { cut } of CHUNKINGS) {
        const ear = new GuardedEar(undefined)
        ear.hear(cut(fromHex(text)))
        assert.deepEqual(ear.frames, frames)
        assert.equal(ear.decoder.chain, undefined)
      }
    })
  }

  it('R-379: writes and reads frames as long as they are beside each other, both ways, however the line cuts them', () => {
    for (const from of ['a', 'b'] as const) {
      const sent = golden.bulk.filter((vector) => vector.from === from)
      const chain = sumOf(from === 'a' ? golden.chains.aToB : golden.chains.bToA)
      const { bytes, sum } = writeGuarded(sent.map(frameOf), chain)
      assert.equal(hex(bytes), sent.map((vector) => vector.hex).join(''))
      assert.equal(sum, sumOf(sent.at(-1)?.sum ?? ''))
      for (const { cut } of CHUNKINGS) {
        const ear = new GuardedEar(chain)
        ear.hear(cut(concat(fromHex(greeting), bytes)))
        assert.deepEqual(ear.frames.slice(1), sent.map(frameOf))
      }
    }
  })

  it('writes the frames of a chain', () => {
    let sum = start
    for (const vector of golden.chained) {
      assert.equal(sum, sumOf(vector.start))
      for (const pieces of [1, 2, 5]) {
        const written = writeGuarded([frameOf(vector)], sum, pieces)
        assert.equal(hex(written.bytes), vector.hex, vector.what)
        assert.equal(written.sum, sumOf(vector.sum), vector.what)
      }
      sum = sumOf(vector.sum)
    }
    const whole = writeGuarded(golden.chained.map(frameOf), start)
    assert.equal(hex(whole.bytes), golden.chained.map((vector) => vector.hex).join(''))
  })

  for (const chunking of CHUNKINGS) {
    it(`reads the frames of a chain ${chunking.name}`, () => {
      const ear = new GuardedEar(start)
      const bytes = fromHex(greeting + golden.chained.map((vector) => vector.hex).join(''))
      ear.hear(chunking.cut(bytes))
      assert.deepEqual(ear.frames.slice(1), golden.chained.map(frameOf))
      assert.ok(!ear.told.some(({ type }) => type === 'damage'))
      assert.equal(ear.decoder.chain, sumOf(golden.chained.at(-1)!.sum))
    })
  }

  for (const { what, hex: text } of golden.damage) {
    it(`takes as damage: ${what}`, () => {
      const limit = (): number => 1000
      for (const { cut } of CHUNKINGS) {
        const ear = new GuardedEar(start, limit)
        ear.hear(cut(fromHex(greeting + text)))
        // the promised payload may be longer than what came: it is the check that notices it then
        assert.deepEqual(
          ear.told.slice(2).map(({ type }) => type),
          ['damage'],
        )
        assert.equal(ear.decoder.chain, start)
      }
      const found = naive.readGuarded(fromHex(greeting + text), start, limit)
      assert.equal(found[2]?.type, 'damage')
    })
  }

  it('takes a BYE that is meant for it, or for whoever is there', () => {
    for (const text of [golden.farewells.toB, golden.farewells.toNobody]) {
      const ear = new GuardedEar(start)
      ear.decoder.farewell = sumOf(golden.chains.aToNobody)
      ear.hear([fromHex(text)])
      assert.equal(ear.frames.at(-1)?.type, TYPE.BYE)
      // nobody that does not know its sender can tell that it is one
      const stranger = new GuardedEar(undefined)
      stranger.hear([fromHex(text)])
      assert.deepEqual(
        stranger.told.map(({ type }) => type),
        ['probe', 'frame', 'damage'],
      )
    }
  })

  it('takes no other frame that is meant for whoever is there', () => {
    const nobody = sumOf(golden.chains.aToNobody)
    const ping = naive.encodeGuarded(frame(TYPE.PING, 0, new Uint8Array(16)), nobody).bytes
    const ear = new GuardedEar(start)
    ear.decoder.farewell = nobody
    ear.hear([fromHex(greeting), ping])
    assert.equal(ear.told.at(-1)?.type, 'damage')
  })
})
