/**
 * The codec against the naive one, on whatever fast-check comes up with. A failure prints its seed
 * and path.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeStatus, encodeStatus, MAX_STATUS_BYTES } from '../../../src/core/frame/status.ts'
import { decodeChunks, encodeFrames } from '../../helpers/frame-codec.ts'
import * as naive from '../../helpers/naive-codec.ts'

const edges = fc.constantFrom(0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1)
const anyFrame: fc.Arbitrary<naive.WireFrame> = fc.record({
  type: fc.integer({ min: 0, max: 255 }),
  flags: fc.integer({ min: 0, max: 255 }),
  pipe: fc.oneof(edges, fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  payload: fc.uint8Array({ maxLength: 80 }),
})

/** Seed of this run: a new one each time, or the one to replay. */
const seed = Number(process.env.TRUNKLINE_SEED ?? Date.now() % 2 ** 31)

/** Runs a property; what fast-check throws names the seed, and TRUNKLINE_SEED replays it. */
function holds<T extends unknown[]>(property: fc.IProperty<T>, numRuns: number): void {
  fc.assert(property, { seed, numRuns })
}

describe(`frame codec, seed ${seed}`, () => {
  it('encodes as the naive codec does, and decodes what it encoded, cut anywhere [R-002]', () => {
    holds(
      fc.property(fc.array(anyFrame, { maxLength: 6 }), fc.integer({ min: 1, max: 40 }), (frames, size) => {
        const bytes = naive.concat(...frames.map(naive.encodeFrame))
        assert.equal(naive.hex(encodeFrames(frames)), naive.hex(bytes))
        const chunks: Uint8Array[] = []
        for (let at = 0; at < bytes.byteLength; at += size) chunks.push(bytes.subarray(at, at + size))
        const decoded = decodeChunks(chunks)
        assert.deepEqual(
          decoded,
          frames.map((frame) => ({ ...frame, payload: new Uint8Array(frame.payload) })),
        )
        assert.deepEqual(naive.decodeFrames(bytes).frames, decoded)
      }),
      10_000,
    )
  })

  it('decodes a status as the naive codec does, and never throws on what is none [R-002]', () => {
    holds(
      fc.property(fc.uint8Array({ maxLength: 700 }), (payload) => {
        const error = decodeStatus(payload, 'ERR_PIPE_RESET')
        if (error === undefined) return
        assert.ok(payload.byteLength <= MAX_STATUS_BYTES)
        const { number, name, sentence } = naive.decodeStatus(payload)
        assert.equal(number === 0, error.code === name)
        assert.equal(error.message.length, sentence.length)
      }),
      10_000,
    )
  })

  it('brings any sentence across, cut at 512 bytes and never inside a character [R-002]', () => {
    holds(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (sentence) => {
        const payload = encodeStatus('ERR_IO', sentence)
        assert.ok(payload.byteLength <= MAX_STATUS_BYTES)
        const error = decodeStatus(payload, 'ERR_PIPE_RESET')
        assert.equal(error?.code, 'ERR_IO')
        assert.equal(error.message.includes('\ufffd'), sentence.slice(0, error.message.length).includes('\ufffd'))
        assert.equal(error.message.length <= sentence.length, true)
      }),
      2000,
    )
  })
})
