/** Numbers at the edges where signs and precision go wrong. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  readU16,
  readU24,
  readU32,
  readU64,
  writeU16,
  writeU24,
  writeU32,
  writeU64,
} from '../../../src/core/frame/numbers.ts'
import { decodeChunks, encodeFrames } from '../../helpers/frame-codec.ts'
import { bigEndian, frame, TYPE } from '../../helpers/naive-codec.ts'

const widths = [
  [2, readU16, writeU16],
  [3, readU24, writeU24],
  [4, readU32, writeU32],
  [8, readU64, writeU64],
] as const

/** Powers of two, one below and one above, as far as a width and 2^53 - 1 reach. */
function edges(bytes: number): number[] {
  const max = Math.min(2 ** (8 * bytes) - 1, Number.MAX_SAFE_INTEGER)
  const numbers = Array.from({ length: 54 }, (_, bit) => 2 ** bit).flatMap((value) => [value - 1, value, value + 1])
  return [...new Set(numbers)].filter((value) => value <= max)
}

describe('numbers in network byte order', () => {
  for (const [bytes, read, write] of widths) {
    it(`reads and writes ${8 * bytes} bits at every power of two [R-014]`, () => {
      for (const value of edges(bytes)) {
        const buffer = new Uint8Array(bytes + 2).fill(0xee)
        write(buffer, 1, value)
        assert.deepEqual(buffer.subarray(1, 1 + bytes), bigEndian(value, bytes), `${value}`)
        assert.deepEqual([buffer[0], buffer[bytes + 1]], [0xee, 0xee])
        assert.equal(read(buffer, 1), value)
      }
    })
  }

  it('gives -1 for 64 bits above 2^53 - 1 [R-014] [R-019]', () => {
    for (const value of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      assert.equal(readU64(bigEndian(value, 8), 0), -1, value.toString())
    }
  })

  it('carries pipe ids and lengths without a sign [R-014]', () => {
    for (const pipe of [0, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
      const [decoded] = decodeChunks([encodeFrames([frame(TYPE.PING, pipe, new Uint8Array(16))])])
      assert.equal(decoded?.pipe, pipe)
    }
    const large = new Uint8Array(2 ** 16 + 1)
    assert.equal(decodeChunks([encodeFrames([frame(TYPE.DATA, 1, large)])])[0]?.payload.byteLength, large.byteLength)
  })
})
