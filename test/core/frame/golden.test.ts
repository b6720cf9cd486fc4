/**
 * The codec against the golden vectors: encode gives these bytes, decode gives these fields,
 * however the line cuts them.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { FrameType } from '../../../src/core/frame/constants.ts'
import { CHUNKINGS, splitAt } from '../../helpers/chunkings.ts'
import { decodeChunks, encodeFrames } from '../../helpers/frame-codec.ts'
import { goldenFrames } from '../../helpers/golden-frames.ts'
import { concat, encodeFrame, frame, fromHex, hex, TYPE, type WireFrame } from '../../helpers/naive-codec.ts'
import { wireFixture } from '../../helpers/wire-fixtures.ts'

const golden = goldenFrames()
const bytes = concat(...golden.map(encodeFrame))

/** Compares without printing megabytes. */
function assertSame(actual: readonly WireFrame[], expected: readonly WireFrame[]): void {
  assert.equal(actual.length, expected.length)
  for (const [i, one] of expected.entries()) {
    const other = actual[i]!
    assert.deepEqual([other.type, other.flags, other.pipe], [one.type, one.flags, one.pipe], `frame ${i}`)
    assert.ok(Buffer.compare(other.payload, one.payload) === 0, `payload of frame ${i}`)
  }
}

describe('golden vectors', () => {
  it('knows the document’s frame types by the same numbers', () => {
    assert.deepEqual({ ...FrameType }, { ...TYPE })
  })

  for (const vector of wireFixture('frames.json').frames) {
    it(`encodes and decodes ${vector.name}`, () => {
      const fields = frame(vector.type, vector.pipe, fromHex(vector.payload), vector.flags)
      assert.equal(vector.type, TYPE[vector.typeName])
      assert.equal(hex(encodeFrames([fields])), vector.hex)
      assert.deepEqual(decodeChunks([fromHex(vector.hex)]), [fields])
      assert.deepEqual(
        decodeChunks([fromHex(vector.hex)], () => false),
        [fields],
      )
    })
  }

  it('makes the same thousand frames of the seed as when the vectors were made [R-001]', () => {
    const { count, bytes: length, sha256 } = wireFixture('golden-frames.json')
    assert.deepEqual([golden.length, bytes.byteLength], [count, length])
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256)
  })

  it('encodes the thousand frames to the same bytes, in one piece or in several [R-001]', () => {
    for (const pieces of [1, 3]) assert.ok(Buffer.compare(encodeFrames(golden, pieces), bytes) === 0)
  })

  for (const chunking of CHUNKINGS) {
    it(`decodes the thousand frames ${chunking.name} [R-001]`, () => {
      assertSame(decodeChunks(chunking.cut(bytes)), golden)
      assertSame(
        decodeChunks(chunking.cut(bytes), () => false),
        golden,
      )
    })
  }

  it('decodes frames split at every offset [R-001]', () => {
    const some = golden.filter(({ payload }) => payload.byteLength < 60).slice(0, 40)
    const few = concat(...some.map(encodeFrame))
    for (let offset = 0; offset <= few.byteLength; offset++) assertSame(decodeChunks(splitAt(offset).cut(few)), some)
  })

  it('leaves a chunk as it was, and hands on no byte twice when the chunk is used again [R-015]', () => {
    const chunk = new Uint8Array(bytes.subarray(0, 100_000))
    const before = hex(chunk)
    const seen: Uint8Array[] = []
    try {
      seen.push(...decodeChunks([chunk]).map(({ payload }) => payload))
    } catch {
      // The cut runs through a frame: only the chunk matters here.
    }
    assert.equal(hex(chunk), before)
  })
})
