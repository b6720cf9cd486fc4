import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FrameBatch } from '../../../src/core/frame/batch.ts'
import { FrameType, HEADER_BYTES } from '../../../src/core/frame/constants.ts'
import { FrameDecoder } from '../../../src/core/frame/decoder.ts'

describe('a batch that is nearly full', () => {
  for (const grown of [false, true]) {
    it(`loses no byte of what follows a payload of many small pieces (${grown ? 'grown' : 'first'} scratch buffer) [R-322]`, () => {
      const fill = (batch: FrameBatch): void => {
        while (batch.hasRoom) batch.frame(FrameType.DATA, 0, 1, new Uint8Array(1000))
      }
      const small = new FrameBatch()
      fill(small)
      // from every place at which a frame may still begin
      for (let lead = 1; lead <= 1100; lead++) {
        const batch = new FrameBatch()
        if (grown) {
          fill(batch)
          batch.reset()
          fill(batch)
        }
        const full = grown ? batch.bytes : small.bytes
        batch.reset()
        const expected: number[] = []
        const put = (length: number): void => {
          batch.frame(FrameType.DATA, 0, 1, new Uint8Array(length))
          expected.push(length)
        }
        put(lead)
        while (batch.bytes + 2 * 1009 < full) put(1000)
        assert.ok(batch.hasRoom)
        // pieces of 500 bytes, together more than what is kept free
        const pieces = 12
        batch.header(FrameType.DATA, 0, 1, pieces * 500)
        for (let i = 0; i < pieces; i++) batch.payload(new Uint8Array(500))
        expected.push(pieces * 500)
        batch.offsetFrame(FrameType.END, 1, 12_345)
        batch.frame(FrameType.DONE, 0, 1, new Uint8Array(0))

        const seen: number[] = []
        let arriving = 0
        let ends = 0
        const decoder = new FrameDecoder({
          header(type, _flags, pipe, length) {
            assert.equal(pipe, 1)
            if (type === FrameType.DATA) arriving = length
            return type === FrameType.DATA
          },
          piece(_bytes, last) {
            if (last) seen.push(arriving)
          },
          frame(type) {
            assert.ok(type === FrameType.END || type === FrameType.DONE)
            ends++
          },
        })
        const bytes = Buffer.concat(batch.finish())
        assert.equal(bytes.byteLength, batch.bytes, `lead of ${lead}`)
        decoder.push(bytes)
        assert.deepEqual(seen, expected, `lead of ${lead}`)
        assert.equal(ends, 2)
        assert.ok(decoder.atBoundary)
        assert.ok(bytes.byteLength > HEADER_BYTES)
      }
    })
  }
})
