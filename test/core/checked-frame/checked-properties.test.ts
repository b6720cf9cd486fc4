/**
 * The checked codec against the naive one, on whatever fast-check comes up with: payloads made of
 * pieces of the sync word above all.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { stuff, stuffedLength, unstuff } from '../../../src/core/checked-frame/checks.ts'
import { CheckedBatch } from '../../../src/core/checked-frame/checked-batch.ts'
import { PROBE } from '../../../src/core/checked-frame/probe.ts'
import { checksumTools } from '../../../src/session/checksum-tools.ts'
import { CheckedEar, writeChecked } from '../../helpers/checked-codec.ts'
import { concat, frame, hex, SYNC, TYPE, type WireFrame } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-checked-codec.ts'

/** Seed of this run: a new one each time, or the one to replay. */
const seed = Number(process.env.TRUNKLINE_SEED ?? Date.now() % 2 ** 31)

/** Runs a property; what fast-check throws names the seed, and TRUNKLINE_SEED replays it. */
function holds<T extends unknown[]>(property: fc.IProperty<T>, numRuns: number): void {
  fc.assert(property, { seed, numRuns })
}

// --- what is sent --------------------------------------------------------------------------------

/** Pieces of the word, as they are and with zeros among them. */
const pieceOfWord = fc.oneof(
  { weight: 4, arbitrary: fc.constant(SYNC) },
  { weight: 4, arbitrary: fc.constantFrom(SYNC.subarray(0, 4), SYNC.subarray(4)) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 8 }))
      .map(([from, to]) => SYNC.subarray(Math.min(from, to - 1), to)),
  },
  { weight: 1, arbitrary: fc.constantFrom(Uint8Array.of(0), Uint8Array.of(0, 0)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 5 }) },
)
const payload = fc.oneof(
  fc.array(pieceOfWord, { maxLength: 10 }).map((pieces) => concat(...pieces)),
  fc.uint8Array({ maxLength: 80 }),
)

const sequencedType = fc.oneof(
  fc.constantFrom(...Object.values(TYPE).filter((type) => type !== TYPE.HELLO && type !== TYPE.READY)),
  fc.integer({ min: 0x40, max: 0x7f }),
)
/** Ids that look like the word. */
const pipe = fc.oneof(
  fc.constantFrom(0, 1, 0xf49bd1a6, 0xe8b3c597, 0xc597f49b, 2 ** 32 - 1),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
)
const sequenced: fc.Arbitrary<WireFrame> = fc.record({
  type: sequencedType,
  flags: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0x3f })),
  pipe,
  payload,
})
const unsequenced: fc.Arbitrary<WireFrame> = fc.record({
  type: fc.constantFrom(TYPE.HELLO, TYPE.READY),
  flags: fc.constant(0),
  pipe: fc.constant(0),
  payload: payload.filter((bytes) => bytes.byteLength > 0),
})
const anyFrame = fc.oneof({ weight: 6, arbitrary: sequenced }, { weight: 1, arbitrary: unsequenced })
const start = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 ** 32 - 1 }))

/** Cuts `bytes` into pieces of these sizes, over and over. */
function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = []
  for (let at = 0, i = 0; at < bytes.byteLength; i++) {
    const size = sizes[i % sizes.length]!
    chunks.push(bytes.subarray(at, at + size))
    at += size
  }
  return chunks
}
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 4 })

/** Where the word occurs. */
function places(bytes: Uint8Array): number[] {
  const found: number[] = []
  const buffer = Buffer.from(bytes)
  for (let at = buffer.indexOf(SYNC); at >= 0; at = buffer.indexOf(SYNC, at + 1)) found.push(at)
  return found
}

const plainFrames = (frames: readonly WireFrame[]): WireFrame[] =>
  frames.map((one) => ({ ...one, payload: new Uint8Array(one.payload) }))

const opening = naive.helloBurst(Uint8Array.of(0xa0))

describe(`checked codec, seed ${seed}`, () => {
  it('encodes as the naive codec does, and decodes what it encoded, cut anywhere [R-002]', () => {
    holds(
      fc.property(
        fc.array(anyFrame, { maxLength: 6 }),
        start,
        sizes,
        fc.integer({ min: 1, max: 7 }),
        (frames, from, chunkSizes, pieces) => {
          const written = writeChecked(frames, from, pieces)
          let sum = from
          const expected = frames.map((one) => {
            const free = one.type === TYPE.HELLO || one.type === TYPE.READY
            const { bytes, sum: next } = naive.encodeChecked(one, free ? 0 : sum)
            if (!free) sum = next
            return bytes
          })
          assert.equal(hex(written.bytes), hex(concat(...expected)))
          assert.equal(written.sum, sum)
          const ear = new CheckedEar(from)
          ear.hear(cut(concat(opening, written.bytes), chunkSizes))
          assert.deepEqual(ear.frames.slice(1), plainFrames(frames))
          assert.equal(ear.decoder.midFrame, false)
          assert.deepEqual(
            naive.framesOf(naive.readChecked(concat(opening, written.bytes), from)).slice(1),
            ear.frames.slice(1),
          )
        },
      ),
      5000,
    )
  })

  it('lets no sync word occur in what is sent but before a probe, in any frame, across frames, writes and batches', () => {
    holds(
      fc.property(fc.array(fc.array(anyFrame, { maxLength: 5 }), { maxLength: 4 }), start, (batches, from) => {
        const batch = new CheckedBatch(checksumTools)
        batch.runningCrc = from
        const sent: Uint8Array[] = []
        const helloBursts: number[] = []
        let length = 0
        for (const [i, frames] of batches.entries()) {
          batch.reset()
          // hello bursts may come between any two frames
          if (i % 2 === 0) {
            helloBursts.push(length)
            batch.raw(SYNC)
            batch.raw(PROBE)
          }
          for (const one of frames) batch.frame(one.type, one.flags, one.pipe, one.payload)
          const bytes = concat(...batch.finish())
          sent.push(bytes)
          length += bytes.byteLength
        }
        assert.deepEqual(places(concat(...sent)), helloBursts)
      }),
      5000,
    )
  })

  it('lets no sync word come together from the bytes around a payload', () => {
    // every beginning of the word at the end of a payload, every end at its beginning, whatever
    // check and checksum come out as
    for (let from = 0; from < 300; from++) {
      for (let length = 1; length < 8; length++) {
        const one = frame(TYPE.DATA, 0xf49bd1a6 + from, concat(SYNC.subarray(length), SYNC.subarray(0, length)))
        assert.deepEqual(places(writeChecked([one, one], from).bytes), [])
      }
    }
  })

  it('adds bytes below 0x80 alone, so nothing that it adds can be part of a sync word', () => {
    holds(
      fc.property(sequenced, start, (one, from) => {
        const { bytes } = writeChecked([one], from)
        const added = [bytes[0]!, bytes[8]!, ...bytes.subarray(9, 11), ...bytes.subarray(-5)]
        assert.ok(added.every((byte) => byte < 0x80))
      }),
      2000,
    )
  })

  it('stuffs a payload only where it holds a whole word, by a quarter at most, and takes it out again', () => {
    holds(
      fc.property(payload, (bytes) => {
        const stuffed = stuff(bytes, checksumTools)
        assert.equal(stuffed !== undefined, places(bytes).length > 0)
        if (stuffed === undefined) return
        assert.equal(hex(stuffed), hex(naive.stuff(bytes)))
        assert.ok(stuffed.byteLength <= stuffedLength(bytes.byteLength))
        assert.deepEqual(places(stuffed), [])
        assert.equal(hex(unstuff(stuffed, checksumTools)!), hex(bytes))
      }),
      5000,
    )
    const densest = concat(...Array.from({ length: 500 }, () => SYNC.subarray(0, 4)), SYNC)
    assert.equal(stuff(densest, checksumTools)!.byteLength, densest.byteLength + 501)
    assert.ok(stuffedLength(densest.byteLength) >= densest.byteLength + 501)
  })

  it('takes out zeros as the naive codec does, and nothing else than zeros', () => {
    holds(
      fc.property(payload, (sent) => {
        const [ours, theirs] = [unstuff(sent, checksumTools), naive.unstuff(sent)]
        assert.equal(ours && hex(ours), theirs && hex(theirs))
      }),
      5000,
    )
  })

  it('reads whatever comes as the naive codec does: noise, words, probes, frames, and frames that are none', () => {
    const limit = (type: number): number => (type === TYPE.DATA ? 60 : 100)
    const part = fc.oneof(
      { weight: 3, arbitrary: fc.constant(opening) },
      { weight: 4, arbitrary: sequenced.map((one) => ({ one, checked: true })) },
      { weight: 1, arbitrary: sequenced.map((one) => ({ one, checked: false })) },
      { weight: 2, arbitrary: pieceOfWord },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }) },
    )
    holds(
      fc.property(fc.array(part, { maxLength: 10 }), start, sizes, fc.nat(), (parts, from, chunkSizes, place) => {
        let sum = from
        const stream = concat(
          ...parts.map((one) => {
            if (one instanceof Uint8Array) return one
            const made = one.checked ? naive.encodeChecked(one.one, sum) : naive.checkedFrame(one.one, sum)
            sum = made.sum
            return made.bytes
          }),
        )
        // sometimes one byte is missing
        const whole =
          place % 3 === 0 ? concat(stream.subarray(0, place % 500), stream.subarray((place % 500) + 1)) : stream
        // a last byte that begins no word: what may begin one is not judged yet
        const bytes = concat(whole, Uint8Array.of(0x61))
        const ear = new CheckedEar(from, limit)
        const told = ear
          .hear(cut(bytes, chunkSizes))
          .map((one) => (one.type === 'frame' ? { ...one, cut: false } : one))
        const expected = naive
          .readChecked(bytes, from, limit)
          .filter(({ type }) => type !== 'skipped' && type !== 'cut')
          .map((one) => (one.type === 'frame' ? { type: 'frame', frame: one.frame, cut: false } : one))
        const withDamage = expected.flatMap((one) =>
          one.type === 'probe' && 'bytes' in one && hex(one.bytes) !== hex(naive.PROBE)
            ? [one, { type: 'damage' }]
            : [one],
        )
        assert.deepEqual(told, withDamage)
      }),
      5000,
    )
  })
})
