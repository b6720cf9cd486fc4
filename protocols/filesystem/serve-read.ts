/**
 * Reading and hashing a range of a file. The end of a file is where reading ends: what it is said
 * to have is a guess (files of /proc say 0, those of /sys a page). Promises that an ended pipe is
 * the whole range: a file that became shorter meanwhile, which it is asked for again, is
 * ERR_FILE_CHANGED, never a short end. Holds two chunks per transfer, whatever the file's size, of
 * what all trunks may read ahead; a piece where there is less.
 */
import { createHash, type Hash } from 'node:crypto'
import { closeSync, constants, fstatSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { inPool, type Account } from '../../src/runtime/budgets.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Share } from '../../src/runtime/fair-budget.ts'
import type { Pipe } from '../../src/contracts/types.ts'
import { CHUNK_BYTES, giveChunk, readAt, readAtOnce, takeChunk } from './file-io.ts'
import { encodeReply, type RequestOf } from './messages.ts'
import { requirePath } from './path.ts'
import { requireRegular } from './root.ts'
import type { Operation, Serving } from './serving.ts'
import { Semaphore } from '../../src/runtime/semaphore.ts'

/**
 * A file that says that it has at most this is read before it is accepted, and needs no pooled
 * chunk.
 */
const SMALL_BYTES = 64 * 1024
/** Read of a file that says that it has nothing. */
const LEAST_BYTES = 4096

/** What a transfer holds at full speed: one chunk is read while the other is sent. */
const AHEAD_BYTES = 2 * CHUNK_BYTES
/** What it holds at least. */
const PIECE_BYTES = 16 * 1024
/**
 * Chunks of this process that are being hashed: one at a time, and so much of it in a turn of the
 * event loop, which everybody else needs as well.
 */
const hashing = new Semaphore(1)
const HASH_BYTES = 64 * 1024

/** A range of an open file that is read from its start on. */
interface Range {
  readonly fd: number
  /** What the file said that it has when it was opened. */
  readonly size: number
  readonly offset: number
  /** Where the range ends, if the file does not end before. */
  readonly end: number
}

/**
 * Answers `read`: the reply says how many bytes follow where that is known, the pipe carries them.
 */
export async function serveRead({ message, request, serving, account }: Operation<'read'>): Promise<void> {
  const range = openRange(serving, message)
  const room = new Room(account)
  try {
    const { size } = range
    const wanted = smallBytes(range)
    await room.takePiece(wanted ?? PIECE_BYTES, request)
    const small = wanted !== undefined && room.takeWhole(wanted) ? readSmall(range, wanted) : undefined
    const isAll = small !== undefined && small.isAll
    const pipe = request.accept(encodeReply('read', { bytes: isAll ? small.content.byteLength : null, size }))
    if (small !== undefined && small.content.byteLength > 0) await pipe.write(small.content)
    if (!isAll) await new Sending(range, pipe, account.jobs, room).run(range.offset + (small?.content.byteLength ?? 0))
  } finally {
    room.give()
    closeSync(range.fd)
  }
}

/**
 * Answers `sha256`: the digest is the reply, so a file that changes or a peer that leaves ends the
 * work early.
 */
export async function serveSha256({ message, request, serving, account }: Operation<'sha256'>): Promise<void> {
  const range = openRange(serving, message)
  try {
    const hash = createHash('sha256')
    let at = range.offset
    while (at < range.end) {
      // a turn is one chunk, which is hashed in it: so those of all trunks go on at the same pace
      const bytes = await inPool(account.jobs, request, () => hashChunk(hash, range, at, request.signal))
      if (bytes === 0) break
      at += bytes
      request.working()
    }
    requireEnd(range, at)
    const digest = new Uint8Array(hash.digest())
    request.accept(encodeReply('sha256', { sha256: digest, bytes: at - range.offset }))
  } finally {
    closeSync(range.fd)
  }
}

async function hashChunk(hash: Hash, range: Range, at: number, signal: AbortSignal): Promise<number> {
  const chunk = takeChunk()
  try {
    const bytes = await readAt(range.fd, chunk, Math.min(CHUNK_BYTES, range.end - at), at)
    const leave = await hashing.take(signal)
    try {
      for (let done = 0; done < bytes; done += HASH_BYTES) {
        if (done > 0) await nextTurn()
        hash.update(chunk.subarray(done, Math.min(bytes, done + HASH_BYTES)))
      }
    } finally {
      leave()
    }
    return bytes
  } finally {
    giveChunk(chunk)
  }
}

/**
 * What one transfer has of what all may hold: a piece from its start to its end, and more while
 * there is more.
 */
class Room {
  readonly #account: Account
  pieceBytes = 0
  #moreBytes = 0

  constructor(account: Account) {
    this.#account = account
  }

  /** Takes a piece of at most `bytes`; waits where there is none. */
  async takePiece(bytes: number, whose: { readonly signal: AbortSignal }): Promise<void> {
    const { transfers } = this.#account
    const piece = Math.min(bytes, PIECE_BYTES)
    if (!transfers.take(piece)) await transfers.wait(piece, whose.signal)
    this.pieceBytes = piece
  }

  /** Takes what so many bytes need beside the piece, if there is so much. */
  takeWhole(bytes: number): boolean {
    const more = bytes - this.pieceBytes - this.#moreBytes
    if (more > 0 && !this.#account.readAhead.take(more)) return false
    this.#moreBytes += Math.max(0, more)
    return true
  }

  give(): void {
    this.#account.transfers.give(this.pieceBytes)
    this.#account.readAhead.give(this.#moreBytes)
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

/**
 * How much is read at once of a range of which little is to be expected; undefined where that is
 * more.
 */
function smallBytes({ size, offset, end }: Range): number | undefined {
  const expected = Math.max(0, Math.min(size, end) - offset)
  return expected > SMALL_BYTES ? undefined : Math.min(end - offset, Math.max(expected + 1, LEAST_BYTES))
}

/** The start of the range, which may be all of it. */
function readSmall(
  { fd, size, offset, end }: Range,
  wanted: number,
): { readonly content: Buffer; readonly isAll: boolean } {
  const buffer = Buffer.allocUnsafe(wanted)
  const bytes = readWhole(fd, buffer, offset, Math.max(0, Math.min(size, end) - offset))
  // full: the range, or more than the file said
  const isAll = bytes < buffer.byteLength || offset + bytes === end
  if (isAll) requireEnd({ size, fd, end }, offset + bytes)
  return { content: buffer.subarray(0, bytes), isAll }
}

/**
 * Reads at once from `offset` on into `buffer` until it is full or the file ends, which is where a
 * read gives nothing, and also behind the `expected` bytes where there was room for more: one call
 * is enough for nearly every file.
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

/**
 * Sends a range: one chunk ahead of what is being sent, or in pieces for as long as others hold
 * what may be read ahead.
 */
class Sending {
  readonly #range: Range
  readonly #pipe: Pipe
  readonly #jobs: Share
  readonly #room: Room

  constructor(range: Range, pipe: Pipe, jobs: Share, room: Room) {
    this.#range = range
    this.#pipe = pipe
    this.#jobs = jobs
    this.#room = room
  }

  async run(from: number): Promise<void> {
    const at = this.#room.takeWhole(AHEAD_BYTES) ? from : await this.#inPieces(from)
    if (at !== undefined) await this.#ahead(at)
  }

  /** Until the end, or until there is room for more; then it gives where to go on. */
  async #inPieces(from: number): Promise<number | undefined> {
    const piece = Buffer.allocUnsafeSlow(Math.max(LEAST_BYTES, this.#room.pieceBytes))
    let at = from
    while (at < this.#range.end) {
      const bytes = await this.#read(piece, piece.byteLength, at)
      if (bytes === 0) break
      await this.#pipe.write(piece.subarray(0, bytes))
      at += bytes
      if (this.#room.takeWhole(AHEAD_BYTES)) return at
    }
    requireEnd(this.#range, at)
    return undefined
  }

  async #ahead(from: number): Promise<void> {
    let current = takeChunk()
    let other = takeChunk()
    let sending = Promise.resolve()
    let at = from
    while (at < this.#range.end) {
      const bytes = await this.#read(current, CHUNK_BYTES, at)
      if (bytes === 0) break
      await sending
      sending = this.#pipe.write(current.subarray(0, bytes))
      // It is awaited one read later; until then its failure has an owner here.
      sending.catch(() => undefined)
      ;[current, other] = [other, current]
      at += bytes
    }
    await sending
    requireEnd(this.#range, at)
    // Only here are both free for sure: after a failure the line may still hold them, and the
    // collector takes them.
    giveChunk(current)
    giveChunk(other)
  }

  #read(into: Uint8Array, most: number, at: number): Promise<number> {
    const { fd, end } = this.#range
    return inPool(this.#jobs, this.#pipe, () => readAt(fd, into, Math.min(most, end - at), at))
  }
}

/**
 * ERR_FILE_CHANGED where reading ended at `at`, before what the file said that it has, because it
 * has become shorter.
 */
export function requireEnd({ fd, size, end }: Pick<Range, 'fd' | 'size' | 'end'>, at: number): void {
  if (at >= Math.min(size, end) || fstatSync(fd).size >= size) return
  throw new TrunkError('ERR_FILE_CHANGED', 'the file became shorter while it was read')
}
