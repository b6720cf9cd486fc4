/**
 * One batch of plain frames: which bytes are copied, which go by reference, how many pieces the
 * link gets, and how large the scratch buffer is.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FrameBatch } from '../../../src/core/frame/batch.ts'
import { FrameType, HEADER_BYTES } from '../../../src/core/frame/constants.ts'
import { concat, encodeFrame, frame, SYNC, TYPE } from '../../helpers/naive-codec.ts'

const KIB = 1024
/** What is copied at most, and what a payload leaves free. */
const [COPIED, LEFT] = [2 * KIB, KIB]

const put = (batch: FrameBatch, length: number): void => {
  batch.frame(FrameType.DATA, 0, 1, new Uint8Array(length))
}
const lengths = (batch: FrameBatch): number[] => batch.finish().map(({ byteLength }) => byteLength)
/** Bytes of the scratch buffer that a batch's first piece lies in. */
const scratchBytes = (batch: FrameBatch): number => batch.finish()[0]!.buffer.byteLength

/** Fills a batch until it takes no more; gives how many bytes went into it. */
function fill(batch: FrameBatch): number {
  while (batch.hasRoom) put(batch, 1)
  return batch.bytes
}

describe('the pieces of a batch', () => {
  it('are none where there is nothing to send', () => {
    const batch = new FrameBatch()
    assert.deepEqual(lengths(batch), [])
    assert.equal(batch.bytes, 0)
    put(batch, 5)
    batch.reset()
    assert.deepEqual(lengths(batch), [])
    assert.equal(batch.bytes, 0)
  })

  it('are one where all that is in it is small, bytes that are no frame too', () => {
    const batch = new FrameBatch()
    batch.raw(SYNC)
    assert.equal(batch.bytes, 8)
    put(batch, COPIED)
    batch.offsetFrame(FrameType.CREDIT, 1, 77)
    assert.deepEqual(lengths(batch), [8 + 9 + COPIED + 17])
    assert.equal(batch.bytes, 8 + 9 + COPIED + 17)
  })

  it('are the very payload where that is large, with what is small between, and never empty', () => {
    const batch = new FrameBatch()
    const large = new Uint8Array(COPIED + 1).fill(7)
    batch.header(FrameType.DATA, 0, 1, 2 * large.byteLength)
    batch.payload(large)
    batch.payload(large)
    put(batch, 3)
    const parts = batch.finish()
    assert.deepEqual(
      parts.map(({ byteLength }) => byteLength),
      [HEADER_BYTES, COPIED + 1, COPIED + 1, HEADER_BYTES + 3],
    )
    assert.equal(parts[1], large)
    assert.equal(parts[2], large)
    const expected = concat(
      encodeFrame(frame(TYPE.DATA, 1, concat(large, large))),
      encodeFrame(frame(TYPE.DATA, 1, new Uint8Array(3))),
    )
    assert.deepEqual(Buffer.concat(parts), Buffer.from(expected))
    assert.equal(batch.bytes, expected.byteLength)
  })

  it('hold a payload while there is room for what may follow it, to the byte', () => {
    for (const [spare, pieces] of [
      [0, 1],
      [1, 2],
    ] as const) {
      const batch = new FrameBatch()
      for (let i = 0; i < 7; i++) put(batch, COPIED)
      put(batch, 16 * KIB - LEFT - HEADER_BYTES - batch.bytes + spare)
      assert.equal(batch.finish().length, pieces)
    }
  })
})

describe('the scratch buffer of a batch', () => {
  it('is small until a batch was full, then large, and no larger', () => {
    const batch = new FrameBatch()
    put(batch, 1)
    assert.equal(scratchBytes(batch), 16 * KIB)
    for (let i = 0; i < 3; i++) {
      batch.reset()
      put(batch, 1)
      assert.equal(scratchBytes(batch), 16 * KIB)
    }
    assert.ok(fill(batch) <= 16 * KIB)
    batch.reset()
    put(batch, 1)
    assert.equal(scratchBytes(batch), 128 * KIB)
    const first = batch.finish()[0]!.buffer
    batch.reset()
    put(batch, 1)
    assert.equal(batch.finish()[0]!.buffer, first, 'it is written anew')
    assert.ok(fill(batch) > 120 * KIB)
    batch.reset()
    put(batch, 1)
    assert.equal(batch.finish()[0]!.buffer, first, 'full once more, it is large enough')
  })

  it('has room as long as four KiB of it are free, to the byte', () => {
    const batch = new FrameBatch()
    for (let i = 0; i < 11; i++) put(batch, KIB - HEADER_BYTES)
    put(batch, KIB - HEADER_BYTES)
    assert.equal(batch.bytes, 12 * KIB)
    assert.equal(batch.hasRoom, true)
    batch.raw(Uint8Array.of(1))
    assert.equal(batch.hasRoom, false)
  })
})
