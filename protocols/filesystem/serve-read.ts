/**
 * Reading and hashing a range of a file. The end of a file is where reading ends: what it is said to have is a guess (files of /proc say 0, those of /sys
 * a page). Promises that an ended pipe is the whole range: a file that became shorter meanwhile, which it is asked for again, is
 * ERR_FILE_CHANGED, never a short end. Holds two chunks per transfer, whatever the file's size, and 64 MiB of them in all.
 */
import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync } from 'node:fs'
import { TrunkError } from '../../src/errors.ts'
import type { Pipe } from '../../src/types.ts'
import { CHUNK_BYTES, giveChunk, readAt, readAtOnce, takeChunk } from './file-io.ts'
import { encodeReply, type RequestOf } from './messages.ts'
import { requirePath } from './path.ts'
import { requireRegular } from './root.ts'
import type { Operation, Serving } from './serving.ts'
import { Turns } from './turns.ts'

/** A file that says that it has at most this is read before it is accepted, and needs no pooled chunk. */
const SMALL_BYTES = 64 * 1024
/** Read of a file that says that it has nothing. */
const LEAST_BYTES = 4096

/** Transfers of this process that hold two chunks each, 64 MiB together: beyond them each holds one piece of {@link SMALL_BYTES}. */
const MAX_READING_AHEAD = 64
let readingAhead = 0
/**
 * Chunks of this process that are being hashed at a time, whichever trunks they are for: a turn is one chunk, so that any number of hashes leaves the
 * event loop and the thread pool to everybody else.
 */
const hashing = new Turns(2)

/** A range of an open file that is read from its start on. */
interface Range {
  readonly fd: number
  /** What the file said that it has when it was opened. */
  readonly size: number
  readonly offset: number
  /** Where the range ends, if the file does not end before. */
  readonly end: number
}

/** Answers `read`: the reply says how many bytes follow where that is known, the pipe carries them. */
export async function serveRead({ message, request, serving }: Operation<'read'>): Promise<void> {
  const range = openRange(serving, message)
  try {
    const { size } = range
    const small = readSmall(range)
    const isAll = small !== undefined && small.isAll
    const pipe = request.accept(encodeReply('read', { bytes: isAll ? small.content.byteLength : null, size }))
    if (small !== undefined && small.content.byteLength > 0) await pipe.write(small.content)
    if (!isAll) await sendRange(range, pipe, range.offset + (small?.content.byteLength ?? 0))
  } finally {
    closeSync(range.fd)
  }
}

/** Answers `sha256`: the digest is the reply, so a file that changes or a peer that leaves ends the work early. */
export async function serveSha256({ message, request, serving }: Operation<'sha256'>): Promise<void> {
  const range = openRange(serving, message)
  const chunk = takeChunk()
  try {
    const hash = createHash('sha256')
    let at = range.offset
    while (at < range.end) {
      const leave = await hashing.take(request.signal)
      let bytes: number
      try {
        bytes = await readAt(range.fd, chunk, Math.min(CHUNK_BYTES, range.end - at), at)
        if (bytes > 0) hash.update(chunk.subarray(0, bytes))
      } finally {
        leave()
      }
      if (bytes === 0) break
      at += bytes
    }
    requireEnd(range, at)
    const digest = new Uint8Array(hash.digest())
    request.accept(encodeReply('sha256', { sha256: digest, bytes: at - range.offset }))
  } finally {
    giveChunk(chunk)
    closeSync(range.fd)
  }
}

function openRange(serving: Serving, message: RequestOf<'read' | 'sha256'>): Range {
  const { path, offset, length = Infinity } = message
  const names = requirePath(path)
  if (names.length === 0) throw new TrunkError('ERR_IS_DIRECTORY', 'it is a directory')
  const { folder, name } = serving.root.parent(names)
  try {
    const found = serving.root.find(folder, name)
    try {
      requireRegular(found.stats)
      return { fd: found.open(constants.O_RDONLY), size: found.stats.size, offset, end: offset + length }
    } finally {
      found.close()
    }
  } finally {
    folder.close()
  }
}

/** The start of the range, which may be all of it; undefined where more is to be expected than is read at once. */
function readSmall({
  fd,
  size,
  offset,
  end,
}: Range): { readonly content: Buffer; readonly isAll: boolean } | undefined {
  const expected = Math.max(0, Math.min(size, end) - offset)
  if (expected > SMALL_BYTES) return undefined
  const buffer = Buffer.allocUnsafe(Math.min(end - offset, Math.max(expected + 1, LEAST_BYTES)))
  const bytes = readWhole(fd, buffer, offset, expected)
  // full: the range, or more than the file said
  const isAll = bytes < buffer.byteLength || offset + bytes === end
  if (isAll) requireEnd({ size, fd, end }, offset + bytes)
  return { content: buffer.subarray(0, bytes), isAll }
}

/**
 * Reads at once from `offset` on into `buffer` until it is full or the file ends, which is where a read gives nothing, and also behind the `expected`
 * bytes where there was room for more: one call is enough for nearly every file.
 */
export function readWhole(fd: number, buffer: Uint8Array, offset: number, expected: number): number {
  let bytes = 0
  while (bytes < buffer.byteLength) {
    const read = readAtOnce(fd, buffer.subarray(bytes), offset + bytes)
    if (read === 0) break
    bytes += read
    if (bytes === expected && bytes === read) break
  }
  return bytes
}

/** Reads one chunk ahead while the other is being sent; in small pieces where others hold all that may be read ahead. */
async function sendRange(range: Range, pipe: Pipe, from: number): Promise<void> {
  if (readingAhead >= MAX_READING_AHEAD) {
    await sendInPieces(range, pipe, from)
    return
  }
  readingAhead++
  try {
    await sendAhead(range, pipe, from)
  } finally {
    readingAhead--
  }
}

async function sendInPieces(range: Range, pipe: Pipe, from: number): Promise<void> {
  const piece = Buffer.allocUnsafeSlow(SMALL_BYTES)
  let at = from
  while (at < range.end) {
    const bytes = await readAt(range.fd, piece, Math.min(SMALL_BYTES, range.end - at), at)
    if (bytes === 0) break
    await pipe.write(piece.subarray(0, bytes))
    at += bytes
  }
  requireEnd(range, at)
}

async function sendAhead(range: Range, pipe: Pipe, from: number): Promise<void> {
  const { fd, end } = range
  let current = takeChunk()
  let other = takeChunk()
  let sending = Promise.resolve()
  let at = from
  while (at < end) {
    const bytes = await readAt(fd, current, Math.min(CHUNK_BYTES, end - at), at)
    if (bytes === 0) break
    await sending
    sending = pipe.write(current.subarray(0, bytes))
    // It is awaited one read later; until then its failure has an owner here.
    sending.catch(() => undefined)
    ;[current, other] = [other, current]
    at += bytes
  }
  await sending
  requireEnd(range, at)
  // Only here are both free for sure: after a failure the line may still hold them, and the collector takes them.
  giveChunk(current)
  giveChunk(other)
}

/** ERR_FILE_CHANGED where reading ended at `at`, before what the file said that it has, because it has become shorter. */
export function requireEnd({ fd, size, end }: Pick<Range, 'fd' | 'size' | 'end'>, at: number): void {
  if (at >= Math.min(size, end) || fstatSync(fd).size >= size) return
  throw new TrunkError('ERR_FILE_CHANGED', 'the file became shorter while it was read')
}
