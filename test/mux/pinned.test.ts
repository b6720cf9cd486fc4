import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ByteQueue } from '../../src/mux/byte-queue.ts'
import { PinnedChunks } from '../../src/mux/pinned.ts'
import { PipeState } from '../../src/mux/pipe-state.ts'

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

describe('views of the link’s chunks', () => {
  it('hold at most twice the unread bytes, 1 MiB and the chunk that is being filled [R-022]', () => {
    const pinned = new PinnedChunks(() => undefined)
    const pipes = [1, 3, 5].map(pipeWithQueue)
    const expected: number[][] = [[], [], []]
    for (let slab = 0; slab < 60; slab++) {
      const chunk = new Uint8Array(MIB).fill(slab)
      for (const [index, { pipe, queue }] of pipes.entries()) {
        const piece = chunk.subarray(index * 4096, index * 4096 + 2048)
        queue.append(piece)
        pinned.note(pipe, piece)
        expected[index]?.push(...piece)
      }
    }
    const unread = pipes.reduce((sum, { queue }) => sum + queue.length, 0)
    const { bytes, held } = drain(pipes.map(({ queue }) => queue))
    assert.ok(held <= 2 * unread + 2 * MIB, `${held} bytes are held for ${unread}`)
    assert.deepEqual(bytes, expected.flat())
  })

  it('are never copied for a reader that keeps up', () => {
    const pinned = new PinnedChunks(() => undefined)
    const { pipe, queue } = pipeWithQueue(1)
    for (let slab = 0; slab < 20; slab++) {
      const chunk = new Uint8Array(MIB)
      queue.append(chunk)
      pinned.note(pipe, chunk)
      assert.equal(queue.shift(MIB).buffer, chunk.buffer)
    }
  })

  it('are not copied where the unread bytes are worth what they hold', () => {
    const pinned = new PinnedChunks(() => undefined)
    const { pipe, queue } = pipeWithQueue(1)
    const chunks = Array.from({ length: 8 }, () => new Uint8Array(MIB))
    for (const chunk of chunks) {
      queue.append(chunk)
      pinned.note(pipe, chunk)
    }
    for (const chunk of chunks) assert.equal(queue.shift(MIB).buffer, chunk.buffer)
  })
})
