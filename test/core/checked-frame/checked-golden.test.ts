/**
 * The checked codec against the golden vectors: encode gives these bytes, decode gives these
 * frames, however the line cuts them.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SYNC_WORD } from '../../../src/core/frame/constants.ts'
import { PROBE } from '../../../src/core/checked-frame/probe.ts'
import { checksumTools } from '../../../src/session/checksum-tools.ts'
import { CHUNKINGS } from '../../helpers/chunkings.ts'
import { CheckedEar, writeChecked } from '../../helpers/checked-codec.ts'
import { concat, frame, fromHex, hex, TYPE, type WireFrame } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-checked-codec.ts'
import { wireFixture, type FrameFields } from '../../helpers/wire-fixtures.ts'

const golden = wireFixture('checked.json')
const sumOf = (text: string): number => parseInt(text, 16)
const start = sumOf(golden.runningCrcs.aToB)
const helloBurst = golden.helloBursts[0]!.hex

const frameOf = ({ typeName, pipe, flags, payload }: FrameFields): WireFrame =>
  frame(TYPE[typeName], pipe, fromHex(payload), flags)

describe('golden vectors of connectionless links', () => {
  it('has the documented sync word and probe', () => {
    assert.equal(hex(SYNC_WORD), golden.sync)
    assert.equal(hex(PROBE), golden.probe)
  })

  it('sums up as zlib does, continued from any start', () => {
    for (const { hex: text, start: from, sum } of golden.sums) {
      assert.equal(checksumTools.crc32(fromHex(text), sumOf(from)), sumOf(sum))
      assert.equal(naive.crc(fromHex(text), sumOf(from)), sumOf(sum))
    }
  })

  it('begins the running CRCs with both epochs', () => {
    const { a, b } = golden.epochs
    const runningCrc = (sender: string, receiver: string): number =>
      checksumTools.crc32(fromHex(receiver), checksumTools.crc32(fromHex(sender), 0))
    assert.equal(runningCrc(a, b), start)
    assert.equal(runningCrc(b, a), sumOf(golden.runningCrcs.bToA))
    assert.equal(runningCrc(a, '00'.repeat(8)), sumOf(golden.runningCrcs.aToNobody))
  })

  for (const { state, ready, hex: text } of golden.helloBursts) {
    it(`writes and reads a hello burst ${state === null ? 'without READY' : `that says ${state}`}`, () => {
      const frames = [frame(TYPE.HELLO, 0, fromHex(golden.hello))]
      if (ready !== undefined) frames.push(frame(TYPE.READY, 0, fromHex(ready)))
      // HELLO and READY are outside of the running CRC: whatever it is, they are the same, and
      // leave it alone
      const { bytes, sum } = writeChecked(frames, 12_345)
      assert.equal(hex(concat(SYNC_WORD, PROBE, bytes)), text)
      assert.equal(sum, 12_345)
      for (const { cut } of CHUNKINGS) {
        const ear = new CheckedEar(undefined)
        ear.hear(cut(fromHex(text)))
        assert.deepEqual(ear.frames, frames)
        assert.equal(ear.decoder.runningCrc, undefined)
      }
    })
  }

  it('writes and reads frames as long as they are beside each other, both ways, however the line cuts them [R-379]', () => {
    for (const from of ['a', 'b'] as const) {
      const sent = golden.bulk.filter((vector) => vector.from === from)
      const runningCrc = sumOf(from === 'a' ? golden.runningCrcs.aToB : golden.runningCrcs.bToA)
      const { bytes, sum } = writeChecked(sent.map(frameOf), runningCrc)
      assert.equal(hex(bytes), sent.map((vector) => vector.hex).join(''))
      assert.equal(sum, sumOf(sent.at(-1)?.sum ?? ''))
      for (const { cut } of CHUNKINGS) {
        const ear = new CheckedEar(runningCrc)
        ear.hear(cut(concat(fromHex(helloBurst), bytes)))
        assert.deepEqual(ear.frames.slice(1), sent.map(frameOf))
      }
    }
  })

  it('writes the frames of a running CRC', () => {
    let sum = start
    for (const vector of golden.sequenced) {
      assert.equal(sum, sumOf(vector.start))
      for (const pieces of [1, 2, 5]) {
        const written = writeChecked([frameOf(vector)], sum, pieces)
        assert.equal(hex(written.bytes), vector.hex, vector.what)
        assert.equal(written.sum, sumOf(vector.sum), vector.what)
      }
      sum = sumOf(vector.sum)
    }
    const whole = writeChecked(golden.sequenced.map(frameOf), start)
    assert.equal(hex(whole.bytes), golden.sequenced.map((vector) => vector.hex).join(''))
  })

  for (const chunking of CHUNKINGS) {
    it(`reads the frames of a running CRC ${chunking.name}`, () => {
      const ear = new CheckedEar(start)
      const bytes = fromHex(helloBurst + golden.sequenced.map((vector) => vector.hex).join(''))
      ear.hear(chunking.cut(bytes))
      assert.deepEqual(ear.frames.slice(1), golden.sequenced.map(frameOf))
      assert.ok(!ear.told.some(({ type }) => type === 'damage'))
      assert.equal(ear.decoder.runningCrc, sumOf(golden.sequenced.at(-1)!.sum))
    })
  }

  for (const { what, hex: text } of golden.damage) {
    it(`takes as damage: ${what}`, () => {
      const limit = (): number => 1000
      for (const { cut } of CHUNKINGS) {
        const ear = new CheckedEar(start, limit)
        ear.hear(cut(fromHex(helloBurst + text)))
        // the promised payload may be longer than what came: it is the check that notices it then
        assert.deepEqual(
          ear.told.slice(2).map(({ type }) => type),
          ['damage'],
        )
        assert.equal(ear.decoder.runningCrc, start)
      }
      const found = naive.readChecked(fromHex(helloBurst + text), start, limit)
      assert.equal(found[2]?.type, 'damage')
    })
  }

  it('takes a BYE that is meant for it, or for whoever is there', () => {
    for (const text of [golden.farewells.toB, golden.farewells.toNobody]) {
      const ear = new CheckedEar(start)
      ear.decoder.farewell = sumOf(golden.runningCrcs.aToNobody)
      ear.hear([fromHex(text)])
      assert.equal(ear.frames.at(-1)?.type, TYPE.BYE)
      // nobody that does not know its sender can tell that it is one
      const stranger = new CheckedEar(undefined)
      stranger.hear([fromHex(text)])
      assert.deepEqual(
        stranger.told.map(({ type }) => type),
        ['probe', 'frame', 'damage'],
      )
    }
  })

  it('takes no other frame that is meant for whoever is there', () => {
    const nobody = sumOf(golden.runningCrcs.aToNobody)
    const ping = naive.encodeChecked(frame(TYPE.PING, 0, new Uint8Array(16)), nobody).bytes
    const ear = new CheckedEar(start)
    ear.decoder.farewell = nobody
    ear.hear([fromHex(helloBurst), ping])
    assert.equal(ear.told.at(-1)?.type, 'damage')
  })
})
