import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MAX_READ_BYTES, PooledReader, ReadBuffers } from '../../transports/internal/pooled-reader.ts'
import { seeded } from '../helpers/link-traffic.ts'
import { memoryHeld } from '../helpers/memory-held.ts'

const KIB = 1024

/** Reads `length` bytes of `value`, as a socket would. */
function read(readBuffers: ReadBuffers, length: number, value: number): Uint8Array {
  readBuffers.room().fill(value, 0, length)
  return readBuffers.take(length)
}

/** True where each byte of `view` is `value`. */
function holds(view: Uint8Array, value: number): boolean {
  return view.every((byte) => byte === value)
}

describe('read buffers', () => {
  it('write no byte twice where nothing is given back', () => {
    const readBuffers = new ReadBuffers()
    const chunks = Array.from({ length: 400 }, (_, index) =>
      read(readBuffers, 1 + ((index * 7919) % (16 * KIB)), index % 251),
    )
    for (const [index, chunk] of chunks.entries()) assert.ok(holds(chunk, index % 251), `chunk ${index}`)
  })

  it('read into the same memory again where nothing of a chunk is kept', () => {
    const readBuffers = new ReadBuffers()
    const buffers = new Set<ArrayBufferLike>()
    for (let index = 0; index < 1000; index++) {
      const chunk = read(readBuffers, 5000, index)
      buffers.add(chunk.buffer)
      readBuffers.settle(chunk, 0)
    }
    assert.equal(buffers.size, 1)
  })

  it('are three, of 256 KiB at most, where each chunk is given back two reads later', () => {
    const readBuffers = new ReadBuffers()
    const buffers = new Set<ArrayBufferLike>()
    const late: Uint8Array[] = []
    for (let index = 0; index < 1000; index++) {
      const room = readBuffers.room()
      const chunk = readBuffers.take(room.byteLength)
      readBuffers.settle(chunk, chunk.byteLength)
      if (index >= 100) buffers.add(chunk.buffer)
      late.push(chunk)
      if (late.length > 2) readBuffers.release(late.shift() ?? chunk)
    }
    assert.equal(buffers.size, 3)
    for (const buffer of buffers) assert.equal(buffer.byteLength, 256 * KIB)
  })

  it('are as many as a slow reader keeps at once, sixteen at most, and used again by its next turn', () => {
    const readBuffers = new ReadBuffers()
    const buffers = new Set<ArrayBufferLike>()
    const turn = (count: number): void => {
      const chunks = Array.from({ length: count }, () => {
        const chunk = readBuffers.take(readBuffers.room().byteLength)
        readBuffers.settle(chunk, chunk.byteLength)
        return chunk
      })
      for (const { buffer } of chunks) buffers.add(buffer)
      for (const chunk of chunks) readBuffers.release(chunk)
    }
    for (let index = 0; index < 10; index++) turn(1) // read buffers grow to their size
    buffers.clear()
    for (let index = 0; index < 100; index++) turn(1 + (index % 16))
    assert.ok(buffers.size <= 16, `${buffers.size} read buffers`)
    for (let index = 0; index < 10; index++) turn(20)
    assert.ok(buffers.size > 16, 'the four that are too many are not known any more')
  })

  it('leave to the collector what was needed and is spare, but for three', async () => {
    const readBuffers = new ReadBuffers()
    const busy = (): void => {
      const chunks = Array.from({ length: 16 }, () => {
        const chunk = readBuffers.take(readBuffers.room().byteLength)
        readBuffers.settle(chunk, chunk.byteLength)
        return chunk
      })
      for (const chunk of chunks) readBuffers.release(chunk)
    }
    const before = await memoryHeld()
    for (let index = 0; index < 10; index++) busy()
    const idle = (await memoryHeld()) - before
    readBuffers.room() // it is still held itself
    assert.ok(idle < 4 * 256 * KIB, `${idle} bytes`)
  })

  it('are no larger once anything was given back, whoever keeps the rest', () => {
    const readBuffers = new ReadBuffers()
    const take = (): Uint8Array => {
      const chunk = readBuffers.take(readBuffers.room().byteLength)
      readBuffers.settle(chunk, chunk.byteLength)
      return chunk
    }
    for (let index = 0; index < 20; index++) take()
    assert.equal(take().buffer.byteLength, 1024 * KIB)
    readBuffers.release(take())
    for (let index = 0; index < 20; index++) assert.ok(take().buffer.byteLength <= 256 * KIB)
  })

  it('go on when a view of one is never given back', () => {
    const readBuffers = new ReadBuffers()
    const stuck = read(readBuffers, 100, 7)
    readBuffers.settle(stuck, 100)
    for (let index = 0; index < 1000; index++) {
      const chunk = read(readBuffers, 16 * KIB, 9)
      readBuffers.settle(chunk, chunk.byteLength)
      readBuffers.release(chunk)
    }
    assert.ok(holds(stuck, 7))
  })

  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
    it(`change no byte of what somebody keeps, whatever is kept and given back (seed ${seed})`, () => {
      const next = seeded(seed)
      const readBuffers = new ReadBuffers()
      let kept: { view: Uint8Array; value: number }[] = []
      for (let round = 0; round < 3000; round++) {
        const value = round % 251
        const room = readBuffers.room()
        assert.ok(room.byteLength >= 16 * KIB)
        const length = next() % 4 === 0 ? room.byteLength : 1 + (next() % 20_000)
        const bytes = Math.min(length, room.byteLength)
        room.fill(value, 0, bytes)
        const chunk = readBuffers.take(bytes)
        // some of its bytes are kept, by views that do not touch
        const at = next() % chunk.byteLength
        const views = [chunk.subarray(0, at), chunk.subarray(at)].filter(
          (view) => view.byteLength > 0 && next() % 2 === 0,
        )
        readBuffers.settle(
          chunk,
          views.reduce((sum, view) => sum + view.byteLength, 0),
        )
        kept.push(...views.map((view) => ({ view, value })))
        for (const one of kept) assert.ok(holds(one.view.subarray(0, 64), one.value), `round ${round}`)
        kept = kept.filter((one) => {
          if (next() % 3 !== 0) return true
          assert.ok(holds(one.view, one.value), `round ${round}`)
          readBuffers.release(one.view)
          return false
        })
        // a few are kept for ever
        if (kept.length > 12) kept = kept.slice(-12)
      }
    })
  }
})

describe('a read buffer reader', () => {
  it('lets others have a turn after a full read that took long, and after no other [R-344]', async () => {
    let now = 0
    let takes = 0
    let resumed = 0
    const reader = new PooledReader()
    const chunks: number[] = []
    const turns = { now: () => now, resume: () => (resumed += 1) }
    reader.start(
      (chunk) => {
        chunks.push(chunk.byteLength)
        now += takes
      },
      undefined,
      turns,
    )
    const { onread } = reader
    const room = (): number => (onread.buffer as () => Uint8Array)().byteLength
    const read = (bytes: number): boolean => onread.callback(bytes, new Uint8Array(0))
    assert.equal(read(room()), true, 'a short one')
    takes = 50
    assert.equal(read(room() - 1), true, 'all there was')
    assert.equal(read(room()), false, 'a long one')
    assert.equal(resumed, 0)
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(resumed, 1)
    for (let index = 0; index < 50; index++) {
      const bytes = room()
      assert.ok(bytes <= MAX_READ_BYTES, `a read of ${bytes} bytes`)
      read(bytes)
    }
    assert.ok(chunks.includes(MAX_READ_BYTES))
    // whoever takes over resumes by itself
    read(room())
    reader.stop(new Uint8Array(0))
    const before = resumed
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(resumed, before)
  })
})
