/**
 * The checked decoder at its edges: what it waits for, what it counts, and what is damage as soon
 * as its header is there.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { stuffedLength } from '../../../src/core/checked-frame/checks.ts'
import { CheckedEar } from '../../helpers/checked-codec.ts'
import { concat, frame, SYNC, TYPE, type WireFrame } from '../../helpers/naive-codec.ts'
import * as naive from '../../helpers/naive-checked-codec.ts'

const START = 0x0bad_cafe
const PREFIX_BYTES = 11
const opening = concat(SYNC, naive.PROBE)

/** What is told last of the first bytes of a frame, behind a probe. */
function told(one: WireFrame, bytes: number, limit: number, start = START): string | undefined {
  const ear = new CheckedEar(start, () => limit)
  ear.hear([opening, naive.checkedFrame(one, start).bytes.subarray(0, bytes)])
  return ear.told.at(-1)?.type
}

describe('a checked decoder', () => {
  it('waits for more inside a probe, a header or a payload, and not between or outside of them', () => {
    const one = naive.encodeChecked(frame(TYPE.DATA, 1, new Uint8Array(20)), START).bytes
    const ear = new CheckedEar(START)
    const hears = (bytes: Uint8Array, waits: boolean, what: string): void => {
      ear.hear([bytes])
      assert.equal(ear.decoder.midFrame, waits, what)
    }
    hears(Uint8Array.of(1, 2, 3), false, 'noise')
    hears(SYNC, true, 'a sync word')
    hears(naive.PROBE.subarray(0, 255), true, 'a probe')
    hears(naive.PROBE.subarray(255), false, 'the end of a probe')
    hears(one.subarray(0, 1), true, 'a header')
    hears(one.subarray(1, PREFIX_BYTES), true, 'the end of a header')
    hears(one.subarray(PREFIX_BYTES, one.byteLength - 1), true, 'a payload')
    hears(one.subarray(one.byteLength - 1), false, 'the end of a frame')
    hears(one, false, 'damage')
  })

  it('counts every byte that it skips, and no other', () => {
    const ear = new CheckedEar(START)
    const good = naive.encodeChecked(frame(TYPE.DATA, 1, new Uint8Array(20)), START).bytes
    ear.hear([concat(new Uint8Array(7), opening, good, good, new Uint8Array(50)), new Uint8Array(30)])
    // the second is none of the running CRC, and known for damage by its header
    assert.equal(ear.decoder.skippedBytes, 7 + (good.byteLength - PREFIX_BYTES) + 50 + 30)
  })

  it('takes no byte alone for a plain hello', () => {
    const ear = new CheckedEar(START)
    ear.hear([SYNC, Uint8Array.of(TYPE.HELLO)])
    assert.deepEqual(ear.told, [])
    ear.hear([Uint8Array.of(1)])
    assert.deepEqual(ear.told, [])
    const other = new CheckedEar(START)
    other.hear([SYNC, Uint8Array.of(TYPE.HELLO), Uint8Array.of(0)])
    assert.deepEqual(other.told, [{ type: 'plain' }])
  })

  it('takes nothing of a running CRC before it has one: not of that which begins with nothing, either', () => {
    const ear = new CheckedEar(undefined)
    ear.hear([opening, naive.encodeChecked(frame(TYPE.PING, 0, new Uint8Array(16)), 0).bytes])
    assert.equal(ear.told.at(-1)?.type, 'damage')
    assert.deepEqual(ear.frames, [])
  })

  it('knows a frame that is too long by its header, and allows for what stuffing adds where it was stuffed', () => {
    const limit = 100
    const [most, mostStuffed] = [limit, stuffedLength(limit)]
    assert.equal(mostStuffed, 125)
    for (const [flags, length, is] of [
      [0, most, 'probe'],
      [0, most + 1, 'damage'],
      [0, mostStuffed, 'damage'],
      [naive.STUFFED, most + 1, 'probe'],
      [naive.STUFFED, mostStuffed, 'probe'],
      [naive.STUFFED, mostStuffed + 1, 'damage'],
    ] as const) {
      const one = frame(TYPE.DATA, 1, new Uint8Array(length), flags)
      assert.equal(told(one, PREFIX_BYTES, limit), is, `${length} bytes, flags ${flags}`)
    }
  })

  it('knows a type or flags above 127 for damage, by the header', () => {
    for (const one of [frame(0x80), frame(0xff), frame(TYPE.DONE, 1, new Uint8Array(0), 0x80)])
      assert.equal(told(one, PREFIX_BYTES, 100), 'damage')
    for (const one of [frame(0x7f), frame(TYPE.DONE, 1, new Uint8Array(0), 0x3f)])
      assert.equal(told(one, PREFIX_BYTES + 5, 100), 'frame')
  })
})
