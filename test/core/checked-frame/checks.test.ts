/**
 * The small parts of checked framing, each by itself: in a whole decoder one check stands behind
 * another, so that a hole in one does not show.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SYNC_WORD } from '../../../src/core/frame/constants.ts'
import {
  checkMatches,
  CHECK_BYTES,
  CHECKSUM_BYTES,
  checksumMatches,
  stuff,
  stuffedLength,
  unstuff,
  writeCheck,
  writeChecksum,
} from '../../../src/core/checked-frame/checks.ts'
import { checksumTools } from '../../../src/session/checksum-tools.ts'
import { concat, hex } from '../../helpers/naive-codec.ts'

const SUMS = [0, 1, 0x7f, 0x80, 0x3fff, 0x12345678, 0x89abcdef, 0xf0e1d2c3, 0xffffffff]
const MARGIN = 3

/** Every bit of `length` bytes at `at`, flipped one at a time. */
function* flips(bytes: Uint8Array, at: number, length: number): Generator<Uint8Array> {
  for (let bit = 0; bit < length * 8; bit++) {
    const changed = bytes.slice()
    const place = at + (bit >> 3)
    changed[place] = changed[place]! ^ (1 << (bit & 7))
    yield changed
  }
}

describe('the checks of a checked frame', () => {
  it('fail for each bit of each of their bytes, wherever they stand [R-304]', () => {
    for (const sum of SUMS) {
      const check = new Uint8Array(CHECK_BYTES + 2 * MARGIN)
      writeCheck(check, MARGIN, sum)
      assert.ok(checkMatches(check, MARGIN, sum), `the check of ${sum}`)
      for (const changed of flips(check, MARGIN, CHECK_BYTES)) {
        assert.ok(!checkMatches(changed, MARGIN, sum), `the check of ${sum} as ${hex(changed)}`)
      }
      const checksum = new Uint8Array(CHECKSUM_BYTES + 2 * MARGIN)
      writeChecksum(checksum, MARGIN, sum)
      assert.ok(checksumMatches(checksum, MARGIN, sum), `the checksum ${sum}`)
      for (const changed of flips(checksum, MARGIN, CHECKSUM_BYTES)) {
        assert.ok(!checksumMatches(changed, MARGIN, sum), `the checksum ${sum} as ${hex(changed)}`)
      }
    }
  })

  it('carry all 32 bits of a sum, and no byte above 127 [R-304]', () => {
    for (let bit = 0; bit < 32; bit++) {
      const checksum = new Uint8Array(CHECKSUM_BYTES)
      writeChecksum(checksum, 0, (1 << bit) >>> 0)
      assert.ok(!checksumMatches(checksum, 0, 0), `bit ${bit} is lost`)
      assert.ok(Math.max(...checksum) < 128)
    }
  })
})

describe('stuffing', () => {
  const HALF = SYNC_WORD.subarray(0, 4)

  it('leaves a payload alone that holds no whole sync word, halves of one included [R-305]', () => {
    for (const payload of [
      new Uint8Array(0),
      SYNC_WORD.subarray(0, 7),
      SYNC_WORD.subarray(1),
      concat(HALF, HALF, HALF),
      new Uint8Array(64).fill(7),
    ]) {
      assert.equal(stuff(payload, checksumTools), undefined, hex(payload))
    }
  })

  it('takes the word out of any payload and gives it back, within the length that it announces [R-305]', () => {
    for (const around of [0, 1, 5]) {
      const rest = new Uint8Array(around).fill(1)
      for (const payload of [
        concat(rest, SYNC_WORD, rest),
        concat(rest, SYNC_WORD, SYNC_WORD, rest),
        concat(rest, HALF, SYNC_WORD, rest, HALF),
      ]) {
        const stuffed = stuff(payload, checksumTools)
        assert.ok(stuffed !== undefined, hex(payload))
        assert.ok(Buffer.from(stuffed).indexOf(SYNC_WORD) < 0, hex(stuffed))
        assert.ok(stuffed.byteLength <= stuffedLength(payload.byteLength))
        assert.equal(hex(unstuff(stuffed, checksumTools)!), hex(payload))
      }
    }
  })

  it('takes nothing in which a zero is missing, at the end either [R-305]', () => {
    assert.equal(unstuff(concat(HALF, Uint8Array.of(1)), checksumTools), undefined)
    assert.equal(unstuff(HALF, checksumTools), undefined)
  })
})
