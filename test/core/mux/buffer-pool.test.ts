/**
 * Buffers that are used again: never while bytes of theirs are in a batch that the line still
 * holds. By themselves, behind a queue, and through whole muxers whose pipes are written, reset,
 * stopped and held up at random.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { ByteQueue } from '../../../src/core/mux/byte-queue.ts'
import type { PipeState } from '../../../src/core/mux/pipe-state.ts'
import { POOLED_BYTES, BufferPool } from '../../../src/core/mux/buffer-pool.ts'
import { seeded } from '../../helpers/link-traffic.ts'
import { MuxSeat, status } from '../../helpers/mux-seat.ts'
import { concat, decodeFrames, TYPE } from '../../helpers/naive-codec.ts'
import { pattern } from '../../helpers/protocols.ts'

/**
 * Single bytes that do not fit the tails below the pool's: from here on a buffer of the pool is
 * written into.
 */
const BEFORE_POOL = 1 + 64 + 128 + 256 + 512 + 1024 + 2048

function fill(queue: ByteQueue, bytes: number, from = 0): void {
  for (let at = 0; at < bytes; at++) queue.appendCopy(Uint8Array.of((from + at) % 251))
}

function drain(queue: ByteQueue): Uint8Array[] {
  const pieces: Uint8Array[] = []
  while (queue.length > 0) pieces.push(queue.shift(queue.length))
  return pieces
}

describe('BufferPool', () => {
  it('gives a buffer again when the batch it went into has left, and not before', () => {
    const pool = new BufferPool()
    const buffer = pool.take()
    assert.equal(buffer.byteLength, 65_536)
    assert.equal(POOLED_BYTES, 65_536)
    const other = pool.take()
    assert.notEqual(other, buffer)
    pool.spent(buffer)
    assert.notEqual(pool.take(), buffer)
    pool.batchLeft()
    assert.equal(pool.take(), buffer)
    assert.notEqual(pool.take(), buffer)
  })

  it('gives no buffer twice, however often batches leave', () => {
    const pool = new BufferPool()
    const buffer = pool.take()
    pool.spent(buffer)
    pool.batchLeft()
    pool.batchLeft()
    pool.batchLeft()
    const taken = [pool.take(), pool.take(), pool.take()]
    assert.equal(new Set(taken).size, 3)
  })

  it('keeps four at most', () => {
    const pool = new BufferPool()
    const buffers = new Set(Array.from({ length: 7 }, () => pool.take()))
    for (const buffer of buffers) pool.spent(buffer)
    pool.batchLeft()
    const again = Array.from({ length: 7 }, () => pool.take())
    assert.equal(again.filter((buffer) => buffers.has(buffer)).length, 4)
  })
})

describe('ByteQueue with a BufferPool', () => {
  it('takes from it for many small pieces only, and gives back what is sent', () => {
    const pool = new BufferPool()
    const own = pool.take()
    pool.spent(own)
    pool.batchLeft()

    const queue = new ByteQueue(pool)
    fill(queue, BEFORE_POOL)
    assert.ok(drain(queue).every((piece) => piece.buffer !== own.buffer))
    fill(queue, BEFORE_POOL + 1)
    const last = drain(queue).at(-1)
    assert.equal(last?.buffer, own.buffer)
    assert.equal(last.byteLength, 1)

    // all of it is in the batch that is being made: not free yet
    assert.notEqual(pool.take(), own)
    pool.batchLeft()
    assert.equal(pool.take(), own)
  })

  it('does not give back a buffer of which bytes are still queued', () => {
    const pool = new BufferPool()
    const own = pool.take()
    pool.spent(own)
    pool.batchLeft()
    const queue = new ByteQueue(pool)
    fill(queue, BEFORE_POOL + 100)
    while (queue.length > 1) queue.shift(queue.length - 1)
    pool.batchLeft()
    assert.notEqual(pool.take(), own)
    assert.deepEqual([...queue.shift(10)], [(BEFORE_POOL + 99) % 251])
    pool.batchLeft()
    assert.equal(pool.take(), own)
  })

  it('gives no small tail back for a large one', () => {
    const pool = new BufferPool()
    const queue = new ByteQueue(pool)
    for (const bytes of [40, BEFORE_POOL + 10, 40]) {
      fill(queue, bytes)
      drain(queue)
    }
    pool.batchLeft()
    for (let i = 0; i < 4; i++) assert.equal(pool.take().byteLength, POOLED_BYTES)
  })

  it('gives nothing back that it was told to forget: the line may hold some of it', () => {
    const pool = new BufferPool()
    const own = pool.take()
    pool.spent(own)
    pool.batchLeft()
    const queue = new ByteQueue(pool)
    fill(queue, BEFORE_POOL + 10)
    while (queue.length > 5) queue.shift(queue.length - 5)
    queue.clear()
    pool.batchLeft()
    assert.notEqual(pool.take(), own)
  })

  it('fills each buffer whole before it takes the next', () => {
    const pool = new BufferPool()
    const queue = new ByteQueue(pool)
    fill(queue, BEFORE_POOL + 3 * POOLED_BYTES)
    const pieces = drain(queue)
    assert.deepEqual(
      pieces.map(({ byteLength }) => byteLength),
      [1, 64, 128, 256, 512, 1024, 2048, POOLED_BYTES, POOLED_BYTES, POOLED_BYTES],
    )
    assert.ok(pattern(BEFORE_POOL + 3 * POOLED_BYTES).equals(concat(...pieces)))
  })
})

interface Writer {
  readonly pipe: PipeState
  /** Where its pattern begins, so that bytes of one pipe in another show. */
  readonly salt: number
  written: number
  received: number
}

/** A few writers on a line that holds each batch while they go on. */
class Play {
  readonly #next: () => number
  readonly #seat = new MuxSeat({ maxOutbound: 1000, peerResetBurst: 100_000, resetBurst: 100_000, splitBytes: 8192 })
  #writing: Writer[] = []
  readonly #all = new Map<number, Writer>()
  /** How far each buffer of the pool has been sent. */
  readonly #sentTo = new Map<ArrayBufferLike, number>()
  #batches = 0
  #parsed = 0
  bytes = 0
  /** How often a buffer of the pool was seen to begin anew. */
  usedAgain = 0

  constructor(seed: number) {
    this.#next = seeded(seed)
  }

  round(): void {
    while (this.#writing.length < 3) this.#open()
    this.#write()
    this.#carry(1 + (this.#next() % 100_000), () => {
      this.#disturb()
      this.#write()
    })
    if (this.#next() % 3 !== 0) this.#seat.mux.peerParsed(this.#parsed, 0)
    // credit in part: a pipe may have to wait with half of what is in its tail
    for (const { pipe, received } of this.#writing) {
      const limit = received + 1 + (this.#next() % 60_000)
      if (limit > pipe.creditLimit) this.#seat.offset('CREDIT', pipe.id, limit)
    }
  }

  #open(): void {
    const pipe = this.#seat.open()
    const writer = { pipe, salt: pipe.id * 31, written: 0, received: 0 }
    this.#all.set(pipe.id, writer)
    this.#carry(1, () => undefined)
    this.#seat.take('ACCEPT', pipe.id)
    this.#writing.push(writer)
  }

  #write(): void {
    for (const writer of this.#writing) {
      for (let many = this.#next() % 200; many > 0 && writer.pipe.queued < 200_000; many--) {
        const size = this.#next() % 50 === 0 ? 8193 + (this.#next() % 4000) : 1 + (this.#next() % 300)
        this.#seat.mux.write(writer.pipe, Uint8Array.from(pattern(size, writer.salt + writer.written)))
        writer.written += size
      }
    }
  }

  /** A batch goes over the line; what happens meanwhile must not show in it. */
  #carry(maxBytes: number, meanwhile: () => void): void {
    const before = this.#seat.hold(maxBytes)
    const { parts } = this.#seat
    this.#batches++
    for (const { buffer, byteOffset, byteLength } of parts) {
      if (buffer.byteLength !== POOLED_BYTES) continue
      if (byteOffset < (this.#sentTo.get(buffer) ?? 0)) this.usedAgain++
      this.#sentTo.set(buffer, byteOffset + byteLength)
    }
    meanwhile()
    const { frames } = decodeFrames(concat(...parts))
    assert.ok(frames.length === before.length, `batch ${this.#batches} was changed on its way`)
    for (const { type, pipe: id, payload } of frames) {
      if (type !== TYPE.DATA) continue
      const writer = this.#all.get(id)
      assert.ok(writer !== undefined)
      const expected = pattern(payload.byteLength, writer.salt + writer.received)
      assert.ok(expected.equals(payload), `batch ${this.#batches}: what pipe ${id} wrote is not what is sent`)
      writer.received += payload.byteLength
      assert.ok(writer.received <= writer.pipe.creditLimit)
      this.#parsed += payload.byteLength + 9
      this.bytes += payload.byteLength
    }
    this.#seat.mux.batchLeft()
  }

  /** One pipe in eight is over: by us, by the peer's stop, or by its reset. */
  #disturb(): void {
    const one = this.#writing[this.#next() % (this.#writing.length * 8)]
    if (one === undefined) return
    this.#writing = this.#writing.filter((writer) => writer !== one)
    const how = this.#next() % 3
    if (how === 0) this.#seat.mux.reset(one.pipe, new TrunkError('ERR_ABORTED', 'the seed wants it'))
    else if (how === 1) this.#seat.take('STOP', one.pipe.id, status(65))
    else this.#seat.take('RESET', one.pipe.id, status(64))
  }
}

describe('MuxCores that gather small writes', () => {
  for (const seed of [1, 2, 3, 4]) {
    it(`never write into what the line holds (seed ${seed})`, () => {
      const play = new Play(seed)
      for (let round = 0; round < 150; round++) play.round()
      assert.ok(play.bytes > 500_000, `only ${play.bytes} bytes went through`)
      assert.ok(play.usedAgain > 0, 'no buffer was used again: nothing was tried')
    })
  }
})
