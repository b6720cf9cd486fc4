/**
 * What both sides of `bench` do with bytes: send them, and count those that come. Sends one shared
 * chunk that is never changed, so that a pipe costs no memory of its own.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Bytes, Pipe } from '../../src/contracts/types.ts'
import type { Bounds } from './messages.ts'

/** Bytes of one write. */
const CHUNK_BYTES = 64 * 1024

let chunk: Uint8Array | undefined

/** Random, so that nothing on the way can make it smaller. */
function sharedChunk(): Uint8Array {
  chunk ??= randomBytes(CHUNK_BYTES)
  return chunk
}

/**
 * Writes until `bounds` are reached or the reader wants no more, then ends our side. Rejects when
 * the pipe fails.
 */
export async function send(pipe: Pipe, bounds: Bounds, clock: Clock): Promise<void> {
  const until = clock.now() + bounds.milliseconds
  const piece = sharedChunk()
  await unlessStopped(async () => {
    for (let left = bounds.bytes; left > 0 && clock.now() < until; left -= piece.byteLength) {
      await pipe.write(left < piece.byteLength ? piece.subarray(0, left) : piece)
    }
    await pipe.closeWrite()
  })
}

/** Runs `work`. A reader that has enough and says so makes it no failure. */
export async function unlessStopped(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof TrunkError && error.code === 'ERR_PIPE_STOPPED')) throw error
  }
}

/**
 * Reads until `bounds` are reached or the peer has ended. What was read, and the time from the call
 * to its end: until the last byte where the bytes were reached, else all the time that there was.
 * The bytes that `each` is given are counted when it has settled.
 */
export async function receive(
  pipe: Pipe,
  bounds: Bounds,
  clock: Clock,
  each?: (bytes: Bytes) => Promise<void>,
): Promise<Bounds> {
  const start = clock.now()
  const until = start + bounds.milliseconds
  // A line that stands still wakes no loop.
  const timer = clock.after(bounds.milliseconds, () => pipe.stopReading(), true)
  let bytes = 0
  try {
    for await (const arrived of pipe.borrowed) {
      const counted = Math.min(arrived.byteLength, bounds.bytes - bytes)
      if (each !== undefined) await each(counted < arrived.byteLength ? arrived.sublist(0, counted) : arrived)
      bytes += counted
      if (bytes >= bounds.bytes || clock.now() >= until) break
    }
  } finally {
    timer.cancel()
  }
  return { bytes, milliseconds: clock.now() - start }
}
