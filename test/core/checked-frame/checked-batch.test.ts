/**
 * One batch of checked frames: it grows with what is put into it, loses nothing of what was there,
 * and says when it is full.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CheckedBatch } from '../../../src/core/checked-frame/checked-batch.ts'
import { checksumTools } from '../../../src/session/checksum-tools.ts'
import { seededBytes } from '../../helpers/link-traffic.ts'
import { concat, frame, hex, SYNC, TYPE, type WireFrame } from '../../helpers/naive-codec.ts'
import { encodeSequence, CHECKED_OVERHEAD } from '../../helpers/naive-checked-codec.ts'

const KIB = 1024
const START = 0x1234_5678
const FIRST = 4 * KIB
const FULL = 96 * KIB

const data = (length: number): WireFrame => frame(TYPE.DATA, 1, seededBytes(length, length))

function batchOf(...frames: readonly WireFrame[]): CheckedBatch {
  const batch = new CheckedBatch(checksumTools)
  batch.runningCrc = START
  put(batch, ...frames)
  return batch
}

function put(batch: CheckedBatch, ...frames: readonly WireFrame[]): void {
  for (const { type, flags, pipe, payload } of frames) batch.frame(type, flags, pipe, payload)
}

const bytesOf = (batch: CheckedBatch): Uint8Array => concat(...batch.finish())
const scratchBytes = (batch: CheckedBatch): number => batch.finish()[0]!.buffer.byteLength

describe('a checked batch', () => {
  it('is one piece, whatever its frames, and grows with them', () => {
    for (const frames of [
      Array.from({ length: 60 }, (_, i) => data(i * 20)),
      [data(10), data(16 * KIB), data(16 * KIB)],
      [data(70_000)],
    ]) {
      const batch = batchOf(...frames)
      assert.equal(batch.finish().length, 1)
      const { bytes, sum } = encodeSequence(frames, START)
      assert.equal(hex(bytesOf(batch)), hex(bytes))
      assert.equal(batch.bytes, bytes.byteLength)
      assert.equal(batch.runningCrc, sum)
      // written anew in the same place
      const large = scratchBytes(batch)
      batch.reset()
      assert.equal(batch.bytes, 0)
      batch.runningCrc = START
      put(batch, ...frames)
      assert.equal(hex(bytesOf(batch)), hex(bytes))
      assert.equal(scratchBytes(batch), large)
    }
  })

  it('grows for bytes that are no frame, and keeps what was before them', () => {
    const batch = batchOf(data(100))
    const before = bytesOf(batch)
    const noise = seededBytes(1, 10 * KIB)
    batch.raw(SYNC)
    batch.raw(noise)
    assert.equal(hex(bytesOf(batch)), hex(concat(before, SYNC, noise)))
  })

  it('grows to twice its size, or to what is needed, and no sooner than it has to', () => {
    const batch = new CheckedBatch(checksumTools)
    batch.raw(new Uint8Array(FIRST))
    assert.equal(scratchBytes(batch), FIRST)
    batch.raw(Uint8Array.of(1))
    assert.equal(scratchBytes(batch), 2 * FIRST)
    batch.raw(new Uint8Array(9 * FIRST))
    assert.equal(scratchBytes(batch), 10 * FIRST + 1)
  })

  it('has a place for each byte of a frame, where that ends with the last byte there is, and one further', () => {
    const empty = frame(TYPE.DONE, 1)
    const { bytes } = encodeSequence([empty], START)
    for (let missing = 0; missing < CHECKED_OVERHEAD; missing++) {
      const batch = batchOf()
      batch.raw(new Uint8Array(FIRST - CHECKED_OVERHEAD + missing))
      put(batch, empty)
      assert.equal(scratchBytes(batch), missing === 0 ? FIRST : 2 * FIRST)
      assert.equal(hex(bytesOf(batch).subarray(-CHECKED_OVERHEAD)), hex(bytes))
    }
  })

  it('has room until it holds 96 KiB', () => {
    const batch = new CheckedBatch(checksumTools)
    assert.equal(batch.hasRoom, true)
    batch.raw(new Uint8Array(FULL - 1))
    assert.equal(batch.hasRoom, true)
    batch.raw(Uint8Array.of(1))
    assert.equal(batch.hasRoom, false)
    batch.reset()
    assert.equal(batch.hasRoom, true)
  })
})
