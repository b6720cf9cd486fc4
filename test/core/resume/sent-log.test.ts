import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { SentLog } from '../../../src/core/resume/sent-log.ts'

const BLOCK = 64 * 1024

/** Byte `offset` of a stream that never repeats within a block. */
const byteAt = (offset: number): number => (offset * 31 + (offset >>> 8) * 7) & 0xff
const bytesFrom = (offset: number, count: number): Uint8Array =>
  Uint8Array.from({ length: count }, (_, index) => byteAt(offset + index))

function taken(log: SentLog, maxBytes: number): number[] {
  return log.take(maxBytes).flatMap((piece) => [...piece])
}

describe('sent log', () => {
  it('gives each byte to the link once, and again from where the peer stands', () => {
    const log = new SentLog()
    log.add(bytesFrom(0, 100))
    assert.deepEqual(taken(log, 60), [...bytesFrom(0, 60)])
    assert.equal(log.isBehind, true)
    assert.deepEqual(taken(log, 60), [...bytesFrom(60, 40)])
    assert.equal(log.isBehind, false)
    log.rewind(30)
    assert.equal(log.acknowledged, 30)
    assert.deepEqual(taken(log, 1000), [...bytesFrom(30, 70)])
    assert.equal(log.resentBytes, 70)
  })

  it('[R-740] keeps its bytes when their owner changes the chunk', () => {
    const log = new SentLog()
    const chunk = bytesFrom(0, 3 * BLOCK)
    log.add(chunk)
    log.take(Infinity)
    chunk.fill(0xee)
    log.rewind(BLOCK + 5)
    assert.deepEqual(taken(log, Infinity), [...bytesFrom(BLOCK + 5, 2 * BLOCK - 5)])
  })

  it('takes 0 for a position, before and after the first byte', () => {
    const log = new SentLog()
    log.rewind(0)
    log.add(bytesFrom(0, 5))
    log.rewind(0)
    assert.deepEqual(taken(log, Infinity), [...bytesFrom(0, 5)])
  })

  it('refuses a position that the peer cannot have, or whose bytes are gone', () => {
    const log = new SentLog()
    log.add(bytesFrom(0, 50))
    log.acknowledge(20)
    assert.equal(log.has(19), false)
    assert.equal(log.has(20), true)
    assert.equal(log.has(50), true)
    assert.equal(log.has(51), false)
    assert.throws(() => {
      log.rewind(19)
    }, RangeError)
    assert.throws(() => {
      log.rewind(51)
    }, RangeError)
  })

  it('[R-741] holds blocks for what is not confirmed, and four more at most', () => {
    const log = new SentLog()
    const buffers = new Set<ArrayBufferLike>()
    for (let round = 0; round < 200; round++) {
      log.add(bytesFrom(log.end, BLOCK))
      for (const piece of log.take(Infinity)) buffers.add(piece.buffer)
      log.acknowledge(log.end - 1000)
    }
    assert.ok(buffers.size <= 6, `${buffers.size} blocks for ${log.retained} bytes`)
  })

  it('is the same stream for any way in which it is added, taken, confirmed and rewound', () => {
    const step = fc.oneof(
      fc.record({ add: fc.integer({ min: 1, max: 150_000 }) }),
      fc.record({ take: fc.integer({ min: 1, max: 200_000 }) }),
      fc.record({ confirm: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ rewind: fc.double({ min: 0, max: 1, noNaN: true }) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const log = new SentLog()
        for (const one of steps) {
          if ('add' in one) log.add(bytesFrom(log.end, one.add))
          else if ('take' in one) {
            let at = log.next
            for (const piece of log.take(one.take))
              for (const byte of piece) assert.equal(byte, byteAt(at++), `byte ${at - 1}`)
            assert.equal(at, log.next)
          } else if ('confirm' in one)
            log.acknowledge(log.acknowledged + Math.floor((log.next - log.acknowledged) * one.confirm))
          else log.rewind(log.acknowledged + Math.floor((log.next - log.acknowledged) * one.rewind))
          assert.ok(log.acknowledged <= log.next && log.next <= log.end)
        }
      }),
      { numRuns: 60 },
    )
  })
})
