/**
 * Reading and hashing a range of a file. Promises that an ended pipe is the whole range: a file that shrinks meanwhile is
 * ERR_FILE_CHANGED, never a short end and never invented bytes. Holds two chunks per transfer, whatever the file's size.
 */
import { createHash } from 'node:crypto'
import { closeSync, constants } from 'node:fs'
import { TrunkError } from '../../src/errors.ts'
import type { Pipe } from '../../src/types.ts'
import { CHUNK_BYTES, giveChunk, readAt, readAtOnce, takeChunk } from './file-io.ts'
import { encodeReply } from './messages.ts'
import { requirePath } from './path.ts'
import { requireRegular } from './root.ts'
import type { Operation, Serving } from './serving.ts'

/** A file at or below this size needs no pooled chunk. */
const SMALL_BYTES = 64 * 1024

/** Answers `read`: the reply says how many bytes follow, the pipe carries them. */
export async function serveRead({ message, request, serving }: Operation<'read'>): Promise<void> {
  const file = openForReading(serving, message.path)
  try {
    const end = rangeEnd(message.offset, message.length, file.size)
    // Files of /proc and the like say 0 and have content: they are read until they end.
    const bytes = file.size === 0 && message.offset === 0 ? null : end - message.offset
    const pipe = request.accept(encodeReply('read', { bytes, size: file.size }))
    if (bytes === null) await sendUntilEnd(file.fd, pipe, message.length ?? Infinity)
    else if (bytes <= SMALL_BYTES) await sendSmall(file.fd, pipe, message.offset, bytes)
    else await sendRange(file.fd, pipe, message.offset, end)
  } finally {
    closeSync(file.fd)
  }
}

/** Answers `sha256`: the digest is the reply, so a file that changes or a peer that leaves ends the work early. */
export async function serveSha256({ message, request, serving }: Operation<'sha256'>): Promise<void> {
  const file = openForReading(serving, message.path)
  const chunk = takeChunk()
  try {
    const end = rangeEnd(message.offset, message.length, file.size)
    const hash = createHash('sha256')
    for (let at = message.offset; at < end;) {
      request.signal.throwIfAborted()
      const bytes = await readAt(file.fd, chunk, Math.min(CHUNK_BYTES, end - at), at)
      if (bytes === 0) throw shrunk()
      hash.update(chunk.subarray(0, bytes))
      at += bytes
    }
    const digest = new Uint8Array(hash.digest())
    request.accept(encodeReply('sha256', { sha256: digest, bytes: end - message.offset }))
  } finally {
    giveChunk(chunk)
    closeSync(file.fd)
  }
}

function openForReading(serving: Serving, path: Uint8Array): { fd: number; size: number } {
  const names = requirePath(path)
  if (names.length === 0) throw new TrunkError('ERR_IS_DIRECTORY', 'it is a directory')
  const { folder, name } = serving.root.parent(names)
  try {
    const found = serving.root.find(folder, name)
    try {
      requireRegular(found.stats)
      return { fd: found.open(constants.O_RDONLY), size: found.stats.size }
    } finally {
      found.close()
    }
  } finally {
    folder.close()
  }
}

/** Where the range ends: the file's end cuts it. Never before `offset`. */
function rangeEnd(offset: number, length: number | undefined, size: number): number {
  return Math.max(offset, Math.min(size, length === undefined ? size : offset + length))
}

async function sendSmall(fd: number, pipe: Pipe, offset: number, bytes: number): Promise<void> {
  const buffer = Buffer.allocUnsafe(bytes)
  for (let done = 0; done < bytes;) {
    const read = readAtOnce(fd, buffer.subarray(done), offset + done)
    if (read === 0) throw shrunk()
    done += read
  }
  if (bytes > 0) await pipe.write(buffer)
}

/** Reads one chunk ahead while the other is being sent. */
async function sendRange(fd: number, pipe: Pipe, offset: number, end: number): Promise<void> {
  let current = takeChunk()
  let other = takeChunk()
  let sending = Promise.resolve()
  for (let at = offset; at < end;) {
    const bytes = await readAt(fd, current, Math.min(CHUNK_BYTES, end - at), at)
    if (bytes === 0) throw shrunk()
    await sending
    sending = pipe.write(current.subarray(0, bytes))
    // It is awaited one read later; until then its failure has an owner here.
    sending.catch(() => undefined)
    ;[current, other] = [other, current]
    at += bytes
  }
  await sending
  // Only here are both free for sure: after a failure the line may still hold them, and the collector takes them.
  giveChunk(current)
  giveChunk(other)
}

async function sendUntilEnd(fd: number, pipe: Pipe, limit: number): Promise<void> {
  for (let at = 0; at < limit;) {
    const buffer = Buffer.allocUnsafe(SMALL_BYTES)
    const bytes = await readAt(fd, buffer, Math.min(SMALL_BYTES, limit - at), at)
    if (bytes === 0) return
    await pipe.write(buffer.subarray(0, bytes))
    at += bytes
  }
}

/** What a file is that has fewer bytes than it had when it was opened. */
export function shrunk(): TrunkError {
  return new TrunkError('ERR_FILE_CHANGED', 'the file became shorter while it was read')
}
