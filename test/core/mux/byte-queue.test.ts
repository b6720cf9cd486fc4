/**
 * What waits in one direction of one pipe: order, pieces, and how much memory stands behind them.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ByteQueue } from '../../../src/core/mux/byte-queue.ts'
import { seeded } from '../../helpers/link-traffic.ts'
import { pattern } from '../../helpers/protocols.ts'

describe('ByteQueue', () => {
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
      assert.throws(() => queue.shift(1), { name: 'RangeError', message: /empty/ })
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

  it('ByteQueue is empty after clear', () => {
    const queue = new ByteQueue()
    queue.append(pattern(10))
    queue.appendCopy(pattern(10))
    queue.clear()
    assert.equal(queue.length, 0)
    queue.appendCopy(Uint8Array.of(7))
    assert.deepEqual([...queue.shift(10)], [7])
  })

  it('copies a lone piece as it is, and gathers more in tails that double up to 64 KiB', () => {
    const queue = new ByteQueue()
    const total = 1 + 131_072 - 64 + 65_536 + 10
    for (let i = 0; i < total; i++) queue.appendCopy(Uint8Array.of(i % 251))
    const pieces: Uint8Array[] = []
    while (queue.length > 0) pieces.push(queue.shift(queue.length))
    const tails = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 65_536]
    assert.deepEqual(
      pieces.map(({ byteLength }) => byteLength),
      [1, ...tails, 10],
    )
    assert.deepEqual(
      pieces.map(({ buffer }) => buffer.byteLength),
      [1, ...tails, 65_536],
    )
    assert.ok(pattern(total).equals(Buffer.concat(pieces)))
  })

  it('makes room for a piece that is larger than the next tail would be', () => {
    const queue = new ByteQueue()
    const sizes = [10, 100, 150, 50, 401, 1]
    for (const size of sizes) queue.appendCopy(pattern(size))
    const pieces: Uint8Array[] = []
    while (queue.length > 0) pieces.push(queue.shift(queue.length))
    assert.deepEqual(
      pieces.map(({ byteLength, buffer }) => [byteLength, buffer.byteLength]),
      [
        [10, 10],
        [100, 100],
        [200, 200],
        [401, 401],
        [1, 802],
      ],
    )
  })

  it('keeps the order of what is queued as it is and what is gathered', () => {
    const queue = new ByteQueue()
    const put: number[] = []
    for (let i = 0; i < 30; i++) {
      const piece = Uint8Array.of(i, i, i)
      if (i % 3 === 0) queue.append(piece)
      else queue.appendCopy(piece)
      put.push(i, i, i)
    }
    const got: number[] = []
    while (queue.length > 0) got.push(...queue.shift(2))
    assert.deepEqual(got, put)
  })

  it('goes on gathering while the pieces before are taken', () => {
    const queue = new ByteQueue()
    queue.append(pattern(100))
    queue.appendCopy(Uint8Array.of(1))
    assert.equal(queue.shift(10).byteLength, 10)
    queue.appendCopy(Uint8Array.of(2))
    assert.equal(queue.shift(90).byteLength, 90)
    queue.appendCopy(Uint8Array.of(3))
    assert.deepEqual([...queue.shift(10)], [1, 2, 3])
    assert.equal(queue.length, 0)
  })

  it('takes as long for a piece of a long list as for one of a short list', () => {
    // what is taken must not be moved up for each piece: that would be a minute here, not a moment
    const pieces = 200_000
    const queue = new ByteQueue()
    const piece = Uint8Array.of(1)
    for (let i = 0; i < pieces; i++) queue.append(piece)
    for (let i = 0; i < pieces; i++) if (queue.shift(10) !== piece) assert.fail(`piece ${i}`)
    assert.equal(queue.length, 0)
  })

  it('names the buffers behind what is queued, and none that was taken', () => {
    const queue = new ByteQueue()
    const chunks = Array.from({ length: 150 }, (_, i) => Uint8Array.of(i))
    for (const chunk of chunks) queue.append(chunk)
    for (let taken = 0; taken <= 150; taken++) {
      const buffers = new Set<ArrayBufferLike>()
      queue.collectChunks(buffers)
      assert.deepEqual(buffers, new Set(chunks.slice(taken).map(({ buffer }) => buffer)), `${taken} taken`)
      if (taken < 150) assert.equal(queue.shift(1), chunks[taken])
    }
  })

  it('copies itself into one buffer, and gives back each piece that it held', () => {
    const queue = new ByteQueue()
    const released: Uint8Array[] = []
    queue.compact((piece) => released.push(piece))
    assert.equal(released.length, 0)
    assert.equal(queue.length, 0)
    const chunks = [pattern(1000, 0), pattern(3000, 1000), pattern(5, 4000)]
    for (const chunk of chunks) queue.append(chunk)
    const first = queue.shift(10)
    queue.compact((piece) => released.push(piece))
    assert.equal(queue.length, 3995)
    assert.deepEqual(
      released.map(({ byteLength }) => byteLength),
      [990, 3000, 5],
    )
    assert.ok(released.every((piece, i) => piece.buffer === chunks[i]?.buffer))
    const piece = queue.shift(queue.length)
    assert.equal(piece.byteLength, 3995)
    assert.equal(piece.buffer.byteLength, 3995)
    assert.ok(pattern(4005).equals(Buffer.concat([first, piece])))
    assert.equal(queue.length, 0)
  })
})
