/**
 * File data, asynchronously, on plain descriptors. The callback functions of `fs` cost half of what
 * its promises do. Every call settles only when the kernel is done with the descriptor and the
 * buffer: closing one that is in use could hit another file.
 */
import { fsync, read, readSync, write, writeSync, writev } from 'node:fs'
import type { Uint8ArrayList } from 'uint8arraylist'
import { TrunkError } from '../../src/contracts/errors.ts'
import { toFailure } from '../../src/runtime/file-errors.ts'

/**
 * Bytes that are read from a file at once: few enough calls for a fast disk, small enough to share
 * the pool's memory.
 */
export const CHUNK_BYTES: number = 512 * 1024
/** Chunks kept for the next transfer. */
const MAX_SPARE_CHUNKS = 8

const spare: Uint8Array[] = []

/** A buffer of {@link CHUNK_BYTES} with unspecified content. */
export function takeChunk(): Uint8Array {
  return spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES)
}

/** Gives a buffer back. Nobody else may still be using it. */
export function giveChunk(chunk: Uint8Array): void {
  if (spare.length < MAX_SPARE_CHUNKS) spare.push(chunk)
}

/**
 * Reads up to `length` bytes at `position` into the start of `buffer`; 0 is the end of the file.
 * Errors are `TrunkError`s.
 */
export function readAt(fd: number, buffer: Uint8Array, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, length, position, (error, bytes) => {
      if (error === null) resolve(bytes)
      else reject(toFailure(error))
    })
  })
}

/**
 * As {@link readAt}, at once. For small files: the detour through the thread pool costs ten times
 * what the call does.
 */
export function readAtOnce(fd: number, buffer: Uint8Array, position: number): number {
  try {
    return readSync(fd, buffer, 0, buffer.byteLength, position)
  } catch (error) {
    throw toFailure(error)
  }
}

/** Writes what the disk takes of `data` at once; gives how much. See {@link readAtOnce}. */
export function writeAtOnce(fd: number, data: Uint8Array, position: number | null): number {
  try {
    return writeSync(fd, data, 0, data.byteLength, position)
  } catch (error) {
    throw toFailure(error)
  }
}

/**
 * Writes all of `data` at `position`; null is the descriptor's own position (the end, where it
 * appends).
 */
export async function writeAll(fd: number, data: Uint8ArrayList, position: number | null): Promise<void> {
  let pieces = [...data]
  let at = position
  while (pieces.length > 0) {
    const written = await writeSome(fd, pieces, at)
    if (written === 0) throw new TrunkError('ERR_IO', 'the disk took no bytes')
    if (at !== null) at += written
    pieces = after(pieces, written)
  }
}

/** Resolves when the disk has what was written. */
export function flush(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fsync(fd, (error) => {
      if (error === null) resolve()
      else reject(toFailure(error))
    })
  })
}

function writeSome(fd: number, pieces: Uint8Array[], position: number | null): Promise<number> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, bytes: number): void => {
      if (error === null) resolve(bytes)
      else reject(toFailure(error))
    }
    const [only] = pieces
    if (pieces.length === 1 && only !== undefined) write(fd, only, 0, only.byteLength, position, done)
    else writev(fd, pieces, position, done)
  })
}

/** What is left of `pieces` after `bytes` of them. */
function after(pieces: Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes
  let index = 0
  for (const piece of pieces) {
    if (left < piece.byteLength) break
    left -= piece.byteLength
    index++
  }
  const rest = pieces.slice(index)
  const first = rest[0]
  if (first !== undefined && left > 0) rest[0] = first.subarray(left)
  return rest
}
