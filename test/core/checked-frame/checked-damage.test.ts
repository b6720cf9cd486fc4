/**
 * A recorded checked run of frames, damaged in every place and every way: no frame is ever shown
 * that was not sent, none out of order, no byte of one wrong; the damage is noticed; and what it
 * costs is bounded.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { stuffedLength } from '../../../src/core/checked-frame/checks.ts'
import { atRandom, CHUNKINGS } from '../../helpers/chunkings.ts'
import { CheckedEar } from '../../helpers/checked-codec.ts'
import { seededBytes } from '../../helpers/link-traffic.ts'
import { memoryHeld } from '../../helpers/memory-held.ts'
import { bigEndian, concat, frame, fromHex, hex, SYNC, TYPE, utf8, type WireFrame } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-checked-codec.ts'
import { wireFixture } from '../../helpers/wire-fixtures.ts'

const golden = wireFixture('checked.json')
const START = parseInt(golden.runningCrcs.aToB, 16)
const opening = fromHex(golden.helloBursts[1]!.hex)

/** Short, long, empty, stuffed; two of them alike, so that only their order tells them apart. */
const sent: readonly WireFrame[] = [
  frame(TYPE.PING, 0, new Uint8Array(16)),
  frame(TYPE.DATA, 1, utf8('one')),
  frame(TYPE.DATA, 1, utf8('one')),
  frame(TYPE.CREDIT, 1, bigEndian(65_536, 8)),
  frame(TYPE.DATA, 1, concat(utf8('<'), SYNC, utf8('>'), SYNC.subarray(0, 5))),
  frame(TYPE.DONE, 1),
  frame(TYPE.DATA, 3, seededBytes(7, 300)),
  frame(TYPE.DATA, 3, new Uint8Array(40)),
  frame(TYPE.END, 3, bigEndian(340, 8)),
]
const runningCrc = naive.encodeSequence(sent, START).bytes
const recorded = concat(opening, runningCrc)

/** Where each frame of the running CRC ends in {@link recorded}. */
const ends = sent.map((_, i) => opening.byteLength + naive.encodeSequence(sent.slice(0, i + 1), START).bytes.byteLength)
/** How many frames are over before the byte at `at`. */
const untouched = (at: number): number => ends.filter((end) => end <= at).length

const text = (one: WireFrame): string => `${one.type} ${one.flags} ${one.pipe} ${hex(one.payload)}`
const helloBurstFrames = new Set([
  text(frame(TYPE.HELLO, 0, fromHex(golden.hello))),
  text(frame(TYPE.READY, 0, fromHex(golden.helloBursts[1]!.ready!))),
])
const sentTexts = sent.map(text)

/**
 * What a reader of `bytes` is shown: only what was sent, in order. Gives the number of frames of
 * the running CRC.
 */
function shown(bytes: Uint8Array, what: string, chunks = [bytes]): number {
  const ear = new CheckedEar(START)
  ear.hear(chunks)
  let count = 0
  for (const one of ear.frames) {
    if (one.type === TYPE.HELLO || one.type === TYPE.READY) assert.ok(helloBurstFrames.has(text(one)), what)
    else assert.equal(text(one), sentTexts[count++], what)
  }
  return count
}

/** The frames before the damage are shown, and none behind it. */
function stopsAt(at: number, bytes: Uint8Array, what: string, chunks = [bytes]): void {
  assert.equal(shown(bytes, what, chunks), untouched(at), what)
}

const without = (at: number, count = 1): Uint8Array => concat(recorded.subarray(0, at), recorded.subarray(at + count))
const withMore = (at: number, more: Uint8Array): Uint8Array =>
  concat(recorded.subarray(0, at), more, recorded.subarray(at))

describe('a damaged link with checked framing', () => {
  it('shows everything where nothing is damaged, cut anyhow', () => {
    for (const { cut, name } of CHUNKINGS) assert.equal(shown(recorded, name, cut(recorded)), sent.length)
  })

  it('shows nothing wrong for any bit that is flipped, and nothing behind it [R-056]', () => {
    for (let at = 0; at < recorded.byteLength; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const bytes = recorded.slice()
        bytes[at]! ^= 1 << bit
        stopsAt(at, bytes, `bit ${bit} of byte ${at}`)
      }
    }
  })

  it('shows nothing wrong for any byte that is dropped [R-056]', () => {
    for (let at = 0; at < recorded.byteLength; at++) stopsAt(at, without(at), `without byte ${at}`)
  })

  it('shows nothing wrong for any byte that is doubled, and any block [R-056]', () => {
    for (const length of [1, 2, 7, 16, 64, 300]) {
      for (let at = 0; at + length < recorded.byteLength; at++) {
        const bytes = withMore(at + length, recorded.subarray(at, at + length))
        const count = shown(bytes, `bytes ${at} to ${at + length} twice`)
        // a whole frame that comes twice is shown once; a hello burst may be right the second time
        if (at >= opening.byteLength) assert.equal(count, untouched(at + length), `bytes ${at} to ${at + length} twice`)
      }
    }
  })

  it('shows nothing wrong for any byte that is inserted, anywhere [R-053] [R-056]', () => {
    for (const value of [0x00, 0x01, 0x0a, 0x13, 0x7f, 0x80, 0xf4, 0xff]) {
      for (let at = 0; at < recorded.byteLength; at++)
        shown(withMore(at, Uint8Array.of(value)), `${value} before byte ${at}`)
    }
    for (let at = opening.byteLength; at < recorded.byteLength; at++) {
      // a value that differs from the byte that it comes before cannot be taken for it
      stopsAt(at, withMore(at, Uint8Array.of(recorded[at]! ^ 0x55)), `another value before byte ${at}`)
    }
  })

  it('shows nothing wrong for kernel messages between and inside of frames [R-053]', () => {
    const message = utf8('[   12.345678] random: crng init done\r\n')
    for (let at = opening.byteLength; at < recorded.byteLength; at++) {
      stopsAt(at, withMore(at, message), `a message before byte ${at}`)
      stopsAt(at, withMore(at, message), `a message before byte ${at}`, atRandom(at, 30).cut(withMore(at, message)))
    }
  })

  it('shows nothing wrong where blocks of 16 to 4,096 bytes are lost [R-056]', () => {
    // a run as long as that, of frames that look alike
    const many = Array.from({ length: 300 }, (_, i) => frame(TYPE.DATA, 1, utf8(`${i % 10}`.repeat(10 + (i % 5)))))
    const bytes = concat(opening, naive.encodeSequence(many, START).bytes)
    // the hello burst's two frames, and then a frame each
    const lengths = many.map(({ payload }) => payload.byteLength + naive.CHECKED_OVERHEAD)
    for (const length of [16, 17, 64, 100, 256, 1024, 4096]) {
      for (let at = opening.byteLength; at + length <= bytes.byteLength; at += 11) {
        const ear = new CheckedEar(START)
        ear.hear([concat(bytes.subarray(0, at), bytes.subarray(at + length))])
        const frames = ear.frames.slice(2)
        let end = opening.byteLength
        for (const [i, one] of frames.entries()) {
          end += lengths[i]!
          assert.ok(Buffer.compare(one.payload, many[i]!.payload) === 0, `frame ${i}, ${length} lost at ${at}`)
        }
        assert.ok(end <= at && end + lengths[frames.length]! > at, `${frames.length} frames, ${length} lost at ${at}`)
      }
    }
  })

  it('takes up again at the next hello burst, which begins no running CRC anew by itself', () => {
    const ear = new CheckedEar(START)
    ear.hear([concat(without(ends[3]! + 3), opening, runningCrc)])
    // hello burst, four frames, the damage, hello burst, and frames that are not the next ones
    assert.deepEqual(
      ear.told.map(({ type }) => type),
      ['probe', ...Array<string>(6).fill('frame'), 'damage', 'probe', 'frame', 'frame', 'damage'],
    )
  })

  it('says of a hello inside a frame that it broke the frame off', () => {
    for (const [at, cut] of [
      [ends[2]!, false],
      [ends[2]! + 1, true],
      [ends[2]! + 10, true],
      [ends[2]! + 11, true],
      [ends[2]! + 13, true],
    ] as const) {
      const ear = new CheckedEar(START)
      ear.hear([concat(recorded.subarray(0, at), opening)])
      const [hello, ready] = ear.told.slice(-2)
      assert.deepEqual(
        [hello?.type === 'frame' && hello.cut, ready?.type === 'frame' && ready.cut],
        [cut, false],
        `${at}`,
      )
    }
  })
})

describe('a damaged length', () => {
  /** A header with its check, changed. */
  function noticed(one: WireFrame, change: (header: Uint8Array) => void): boolean {
    const bytes = naive.encodeChecked(one, START).bytes.slice(0, 11)
    change(bytes)
    const ear = new CheckedEar(START)
    // the byte behind it: a check may end as a sync word begins, and is not looked at before it is
    // known for none
    ear.hear([opening, bytes, Uint8Array.of(0)])
    return ear.told.at(-1)?.type === 'damage'
  }

  it('is noticed at the header, and its bytes are not waited for: each flip of one bit [R-055]', () => {
    for (const one of sent) {
      assert.equal(
        noticed(one, () => undefined),
        false,
      )
      for (let bit = 0; bit < 88; bit++)
        assert.ok(
          noticed(one, (header) => (header[bit >> 3]! ^= 1 << (bit & 7))),
          `bit ${bit} of ${text(one)}`,
        )
    }
  })

  it('is noticed at the header for each change of one byte [R-055]', () => {
    const [one] = sent
    for (let at = 0; at < 11; at++) {
      for (let by = 1; by < 256; by++)
        assert.ok(
          noticed(one!, (header) => (header[at]! ^= by)),
          `byte ${at} by ${by}`,
        )
    }
  })

  it('is noticed at the header for all but one in thousands of random headers [R-055]', () => {
    let missed = 0
    const runs = 20_000
    const random = seededBytes(11, runs * 8)
    for (let i = 0; i < runs; i++) {
      const header = concat(
        Uint8Array.of(TYPE.DATA),
        random.subarray(i * 8, i * 8 + 8),
        Uint8Array.of(i & 0x7f, i >> 8),
      )
      const ear = new CheckedEar(START)
      ear.hear([opening, header])
      if (ear.told.at(-1)?.type !== 'damage') missed++
    }
    // 14 bits: one in 16,384
    assert.ok(missed <= 8, `${missed} of ${runs}`)
  })
})

describe('what a checked decoder holds', () => {
  const MIB = 1024 * 1024

  it('is nothing of 64 MiB of noise, before a hello burst and behind damage', async () => {
    const noise = seededBytes(5, 65_536)
    for (const before of [new Uint8Array(0), concat(opening, Uint8Array.of(1))]) {
      const ear = new CheckedEar(START)
      ear.hear([before])
      const held = await memoryHeld()
      for (let i = 0; i < 1024; i++) ear.decoder.push(Uint8Array.from(noise))
      const growth = (await memoryHeld()) - held
      assert.ok(growth < MIB / 4, `${growth} bytes held`)
      assert.ok(ear.decoder.skippedBytes > 64 * MIB - 20)
    }
  })

  it('is at most the limit for a header that promises the limit, and nothing before a byte of it came', async () => {
    const limit = 4 * MIB
    const header = (length: number, flags: number): Uint8Array =>
      naive.checkedFrame(frame(TYPE.DATA, 1, new Uint8Array(length), flags), START).bytes.slice(0, 11)
    const plain = header(limit, 0)
    const stuffed = header(stuffedLength(limit), naive.STUFFED)
    for (const [prefix, most] of [
      [plain, limit],
      [stuffed, stuffedLength(limit)],
    ] as const) {
      const ear = new CheckedEar(START, () => limit)
      ear.hear([opening])
      const held = await memoryHeld()
      ear.hear([prefix])
      assert.ok((await memoryHeld()) - held < MIB / 4, 'a header alone')
      ear.hear([Uint8Array.of(0)])
      const growth = (await memoryHeld()) - held
      assert.ok(growth > most - MIB / 4 && growth < most + MIB / 4, `${growth} bytes held for ${most}`)
      assert.equal(ear.decoder.midFrame, true)
      // given up with the next sync word
      ear.hear([opening])
      assert.ok((await memoryHeld()) - held < MIB / 4, 'after the next hello burst')
    }
    for (const [length, flags] of [
      [limit + 1, 0],
      [stuffedLength(limit) + 1, naive.STUFFED],
    ] as const) {
      const ear = new CheckedEar(START, () => limit)
      ear.hear([opening, header(length, flags)])
      assert.equal(ear.told.at(-1)?.type, 'damage')
      assert.equal(ear.decoder.midFrame, false)
    }
  })

  it('is no part of the line’s chunks: they are as they were', () => {
    for (const { cut, name } of CHUNKINGS) {
      const bytes = recorded.slice()
      new CheckedEar(START).hear(cut(bytes))
      assert.equal(hex(bytes), hex(recorded), name)
    }
  })
})
