/**
 * What unread bytes keep in memory of the link's chunks: when it is counted, when it is too much,
 * and what is done then.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ByteQueue } from '../../../src/core/mux/byte-queue.ts'
import { RetainedChunks } from '../../../src/core/mux/retained.ts'
import { PipeState } from '../../../src/core/mux/pipe-state.ts'

const MIB = 1024 * 1024

function pipeWithQueue(id: number): { pipe: PipeState; queue: ByteQueue } {
  const pipe = new PipeState(id, false, 65_536, 0)
  const queue = new ByteQueue()
  pipe.receiveQueue = queue
  return { pipe, queue }
}

/** Takes everything out; gives the bytes, and what the buffers behind them hold in all. */
function drain(queues: readonly ByteQueue[]): { bytes: number[]; held: number } {
  const buffers = new Set<ArrayBufferLike>()
  const bytes: number[] = []
  for (const queue of queues) {
    while (queue.length > 0) {
      const piece = queue.shift(queue.length)
      buffers.add(piece.buffer)
      bytes.push(...piece)
    }
  }
  let held = 0
  for (const buffer of buffers) held += buffer.byteLength
  return { bytes, held }
}

describe('RetainedChunks: views of the link’s chunks', () => {
  it('hold at most twice the unread bytes, 1 MiB and the chunk that is being filled [R-022]', () => {
    const retained = new RetainedChunks(() => undefined)
    const pipes = [1, 3, 5].map(pipeWithQueue)
    const expected: number[][] = [[], [], []]
    for (let readBuffer = 0; readBuffer < 60; readBuffer++) {
      const chunk = new Uint8Array(MIB).fill(readBuffer)
      for (const [index, { pipe, queue }] of pipes.entries()) {
        const piece = chunk.subarray(index * 4096, index * 4096 + 2048)
        queue.append(piece)
        retained.note(pipe, piece)
        expected[index]?.push(...piece)
      }
      retained.weigh()
    }
    const unread = pipes.reduce((sum, { queue }) => sum + queue.length, 0)
    const { bytes, held } = drain(pipes.map(({ queue }) => queue))
    assert.ok(held <= 2 * unread + 2 * MIB, `${held} bytes are held for ${unread}`)
    assert.deepEqual(bytes, expected.flat())
  })

  it('are let go of with their pipe, and what may still be read is copied out [R-365]', () => {
    const released: Uint8Array[] = []
    const retained = new RetainedChunks((piece) => released.push(piece))
    const readBuffer = new Uint8Array(64 * 1024).fill(7)
    const use = (id: number, readAll: boolean): ByteQueue => {
      const { pipe, queue } = pipeWithQueue(id)
      queue.append(readBuffer.subarray(0, 4096))
      // one read buffer, which is read into again: so little is noted that nothing is ever counted
      retained.note(pipe, readBuffer.subarray(0, 4096))
      retained.weigh()
      if (readAll) queue.shift(4096)
      retained.forget(pipe)
      return queue
    }
    for (let id = 1; id < 200; id += 2) assert.equal(use(id, true).length, 0)
    assert.equal(released.length, 0)
    const left = use(201, false)
    assert.equal(released.length, 1)
    const piece = left.shift(4096)
    assert.notEqual(piece.buffer, readBuffer.buffer)
    assert.deepEqual(piece, readBuffer.slice(0, 4096))
  })

  it('are never copied for a reader that keeps up', () => {
    const retained = new RetainedChunks(() => undefined)
    const { pipe, queue } = pipeWithQueue(1)
    for (let readBuffer = 0; readBuffer < 20; readBuffer++) {
      const chunk = new Uint8Array(MIB)
      queue.append(chunk)
      retained.note(pipe, chunk)
      retained.weigh()
      assert.equal(queue.shift(MIB).buffer, chunk.buffer)
    }
  })

  it('are not copied where the unread bytes are worth what they hold', () => {
    const retained = new RetainedChunks(() => undefined)
    const { pipe, queue } = pipeWithQueue(1)
    const chunks = Array.from({ length: 8 }, () => new Uint8Array(MIB))
    for (const chunk of chunks) {
      queue.append(chunk)
      retained.note(pipe, chunk)
      retained.weigh()
    }
    for (const chunk of chunks) assert.equal(queue.shift(MIB).buffer, chunk.buffer)
  })

  it('are copied out at the first chunk past 512 KiB for next to nothing, and given back', () => {
    const released: Uint8Array[] = []
    const retained = new RetainedChunks((piece) => released.push(piece))
    const { pipe, queue } = pipeWithQueue(1)
    const noteOne = (): Uint8Array => {
      const piece = new Uint8Array(64 * 1024).fill(7, 0, 1).subarray(0, 1)
      queue.append(piece)
      retained.note(pipe, piece)
      retained.weigh()
      return piece
    }
    const pieces = Array.from({ length: 8 }, noteOne)
    assert.equal(released.length, 0)
    pieces.push(noteOne())
    assert.deepEqual(released, pieces)
    const buffers = new Set<ArrayBufferLike>()
    queue.collectChunks(buffers)
    assert.deepEqual(
      [...buffers].map(({ byteLength }) => byteLength),
      [9],
    )
    // and from there the same again
    for (let i = 0; i < 8; i++) noteOne()
    assert.equal(released.length, 9)
    noteOne()
    assert.ok(released.length > 17)
    assert.deepEqual(drain([queue]).bytes, new Array<number>(18).fill(7))
  })

  it('are counted again only when 512 KiB more may be held, and weighed against twice what waits', () => {
    const released: Uint8Array[] = []
    const retained = new RetainedChunks((piece) => released.push(piece))
    const { pipe, queue } = pipeWithQueue(1)
    const note = (bytes: number): void => {
      const piece = new Uint8Array(64 * 1024).subarray(0, bytes)
      queue.append(piece)
      retained.note(pipe, piece)
      retained.weigh()
    }
    for (let i = 0; i < 9; i++) note(64 * 1024)
    // 576 KiB wait, in as many: 1,152 KiB and 512 more may be held for them, and for 17 single
    // bytes
    for (let i = 0; i < 17; i++) note(1)
    assert.equal(released.length, 0)
    note(1)
    assert.equal(released.length, 27)
    assert.equal(queue.length, 576 * 1024 + 18)
  })

  it('of one chunk count once, however many there are', () => {
    const released: Uint8Array[] = []
    const retained = new RetainedChunks((piece) => released.push(piece))
    const { pipe, queue } = pipeWithQueue(1)
    const chunks = [0, 1, 2].map(() => new Uint8Array(160 * 1024))
    for (let round = 0; round < 50; round++) {
      for (const chunk of chunks) {
        const piece = chunk.subarray(round, round + 1)
        queue.append(piece)
        retained.note(pipe, piece)
        retained.weigh()
      }
    }
    assert.equal(released.length, 0)
  })

  it('of pipes that have read everything are not asked for', () => {
    const released: Uint8Array[] = []
    const retained = new RetainedChunks((piece) => released.push(piece))
    const [idle, busy] = [pipeWithQueue(1), pipeWithQueue(3)]
    for (let i = 0; i < 50; i++) {
      for (const { pipe, queue } of [idle, busy]) {
        const piece = new Uint8Array(64 * 1024)
        queue.append(piece)
        retained.note(pipe, piece)
        retained.weigh()
        queue.shift(piece.byteLength)
      }
      if (i === 25) idle.pipe.clearData()
    }
    assert.equal(released.length, 0)
  })

  it('may be twice what waits and 512 KiB, to the byte', () => {
    for (const beyond of [0, 1]) {
      const released: Uint8Array[] = []
      const retained = new RetainedChunks((piece) => released.push(piece))
      const { pipe, queue } = pipeWithQueue(1)
      const piece = new Uint8Array(2 * 1000 + 512 * 1024 + beyond).subarray(0, 1000)
      queue.append(piece)
      retained.note(pipe, piece)
      retained.weigh()
      assert.equal(released.length, beyond)
    }
  })

  it('are not counted for more pieces of a chunk that is known, nor before 512 KiB of others have come', () => {
    const released: Uint8Array[] = []
    const retained = new RetainedChunks((piece) => released.push(piece))
    const { pipe, queue } = pipeWithQueue(1)
    const note = (piece: Uint8Array): void => {
      queue.append(piece)
      retained.note(pipe, piece)
      retained.weigh()
    }
    const chunks = Array.from({ length: 9 }, () => new Uint8Array(64 * 1024))
    for (const chunk of chunks) note(chunk)
    // the ninth was counted, and all of them were worth it; now one byte waits in the last
    for (let left = queue.length - 1; left > 0;) left -= queue.shift(left).byteLength
    assert.equal(queue.length, 1)
    for (let i = 0; i < 100; i++) note(chunks[8]!.subarray(i, i + 1))
    for (let i = 0; i < 8; i++) {
      const chunk = new Uint8Array(64 * 1024)
      note(chunk.subarray(0, 1))
      note(chunk.subarray(1, 2))
    }
    assert.equal(released.length, 0)
    note(new Uint8Array(64 * 1024).subarray(0, 1))
    assert.equal(released.length, 1 + 100 + 8 * 2 + 1)
  })

  it('count again after they were copied out: more pieces may come of the same chunk', () => {
    const released: Uint8Array[] = []
    const retained = new RetainedChunks((piece) => released.push(piece))
    const { pipe, queue } = pipeWithQueue(1)
    const chunk = new Uint8Array(600 * 1024)
    for (let piece = 1; piece <= 3; piece++) {
      const view = chunk.subarray(piece, piece + 1)
      queue.append(view)
      retained.note(pipe, view)
      retained.weigh()
      // the copy of those before, and the view
      assert.equal(released.at(-1), view)
    }
    assert.equal(released.filter(({ buffer }) => buffer === chunk.buffer).length, 3)
  })

  it('of a large chunk are weighed at its end: as much as its readers have left [R-326]', () => {
    for (const read of [false, true]) {
      const released: Uint8Array[] = []
      const retained = new RetainedChunks((piece) => released.push(piece))
      const { pipe, queue } = pipeWithQueue(1)
      const chunk = new Uint8Array(MIB)
      for (let at = 0; at < MIB; at += 65_536) {
        const piece = chunk.subarray(at, at + 65_536)
        queue.append(piece)
        retained.note(pipe, piece)
      }
      // all but a byte of it is read before the end, or nothing
      if (read) for (let left = MIB - 1; left > 0;) left -= queue.shift(left).byteLength
      retained.weigh()
      assert.equal(released.length, read ? 1 : 0)
    }
  })

  it('are weighed against what waits in chunks, not against what was copied out', () => {
    const released: Uint8Array[] = []
    const retained = new RetainedChunks((piece) => released.push(piece))
    const [copied, other] = [pipeWithQueue(1), pipeWithQueue(3)]
    const note = ({ pipe, queue }: ReturnType<typeof pipeWithQueue>, chunkBytes: number, bytes: number): void => {
      const piece = new Uint8Array(chunkBytes).subarray(0, bytes)
      queue.append(piece)
      retained.note(pipe, piece)
      retained.weigh()
    }
    for (let i = 0; i < 4; i++) note(copied, 300 * 1024, 75 * 1024 - 1)
    assert.equal(released.length, 4)
    for (let i = 0; i < 9; i++) note(other, 64 * 1024, 1)
    assert.equal(released.length, 4 + 9)
    assert.equal(copied.queue.length, 4 * (75 * 1024 - 1))
  })
})
