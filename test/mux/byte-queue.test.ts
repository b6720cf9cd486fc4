import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ByteQueue } from '../../src/mux/byte-queue.ts'
import { seeded } from '../helpers/link-traffic.ts'
import { pattern } from '../helpers/protocols.ts'

describe('a byte queue', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    it(`gives back what went in, whatever the pieces (seed ${seed})`, () => {
      const next = seeded(seed)
      const queue = new ByteQueue()
      let put = 0
      let got = 0
      for (let step = 0; step < 5000; step++) {
        const size = 1 + (next() % [3, 100, 9000][next() % 3]!)
        if (next() % 2 === 0) {
          const bytes = pattern(size, put)
          if (next() % 2 === 0) queue.append(bytes)
          else {
            queue.appendCopy(bytes)
            bytes.fill(0xff)
          }
          put += size
        } else if (queue.length > 0) {
          const piece = queue.shift(size)
          assert.ok(piece.byteLength > 0 && piece.byteLength <= size)
          assert.ok(pattern(piece.byteLength, got).equals(piece), `at ${got}`)
          got += piece.byteLength
        }
        assert.equal(queue.length, put - got)
      }
      while (queue.length > 0) {
        const piece = queue.shift(1000)
        assert.ok(pattern(piece.byteLength, got).equals(piece))
        got += piece.byteLength
      }
      assert.equal(got, put)
      assert.throws(() => queue.shift(1), RangeError)
    })
  }

  it('never changes a piece that it has given away', () => {
    const queue = new ByteQueue()
    queue.appendCopy(pattern(10))
    const piece = queue.shift(10)
    const kept = Buffer.from(piece)
    for (let i = 0; i < 100; i++) queue.appendCopy(Buffer.alloc(7, 0xee))
    assert.ok(kept.equals(piece))
  })

  it('holds at most about twice its bytes for a million single ones [R-022]', () => {
    const queue = new ByteQueue()
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 1_000_000; i++) queue.appendCopy(Uint8Array.of(i))
    assert.equal(queue.length, 1_000_000)
    let held = 0
    const buffers = new Set<ArrayBufferLike>()
    for (let left = 1_000_000; left > 0;) {
      const piece = queue.shift(left)
      left -= piece.byteLength
      buffers.add(piece.buffer)
    }
    for (const buffer of buffers) held += buffer.byteLength
    assert.ok(held <= 2_000_000 + 65_536, `${held} bytes behind 1,000,000`)
    assert.ok(buffers.size < 100, `${buffers.size} buffers, ${before}`)
  })

  it('forgets everything', () => {
    const queue = new ByteQueue()
    queue.append(pattern(10))
    queue.appendCopy(pattern(10))
    queue.clear()
    assert.equal(queue.length, 0)
    queue.appendCopy(Uint8Array.of(7))
    assert.deepEqual([...queue.shift(10)], [7])
  })
})
