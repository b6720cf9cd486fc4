/**
 * Small files of a tree, in one piece and with synchronous calls: each detour through the thread
 * pool costs ten times what such a call does, and a tree of small files is little else. A larger
 * file, whose calls may take the disk long, goes by local-file.ts. The promises are the same: no
 * symbolic link is followed, a target has all of the new content or is what it was.
 */
import { closeSync, fchmodSync, fstatSync, openSync, readSync, renameSync, writeSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { toBytes, type ByteString } from '../../../src/runtime/byte-string.ts'
import { MAX_SMALL_BYTES } from '../file-batch.ts'
import { keepTimes } from '../times.ts'
import { nameAnonymousOver, openAnonymous, removeQuietly } from '../anonymous-file.ts'
import { MODE_BITS } from './job.ts'
import type { Attributes } from './job.ts'
import { folderOf, READ_IN_TREE, temporaryBeside, WRITE_NEW } from './local-file.ts'

/** Small files that are read and sent in one turn of the event loop. */
const FILES_A_TURN = 16

/**
 * Cuts the sending of small files into portions. Without it as many as were answered at once would
 * be read before the first of them leaves, and the peer, whose part takes longer, would stand still
 * meanwhile.
 */
export class SendPacer {
  #left = FILES_A_TURN
  #next: Promise<void> | undefined

  /** To be waited for before each file. */
  async take(): Promise<void> {
    while (this.#left === 0) await (this.#next ??= this.#turn())
    this.#left--
  }

  async #turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    this.#left = FILES_A_TURN
    this.#next = undefined
  }
}

/**
 * All of a small file; undefined for one that is not small, changes while it is read, or is none.
 */
export function readSmall(path: ByteString): { readonly bytes: Uint8Array; readonly stats: Stats } | undefined {
  const fd = openSync(toBytes(path), READ_IN_TREE)
  try {
    const stats = fstatSync(fd)
    if (!stats.isFile() || stats.size > MAX_SMALL_BYTES) return undefined
    // one byte more than there should be: it shows a file that grew, and those of /proc, which say
    // 0 and have content
    const buffer = Buffer.allocUnsafe(stats.size + 1)
    const bytes = readSync(fd, buffer, 0, buffer.length, 0)
    return bytes === stats.size ? { bytes: buffer.subarray(0, bytes), stats } : undefined
  } finally {
    closeSync(fd)
  }
}

/**
 * As {@link replaceFile}, for all of a small file. Nothing runs in between, so no signal finds a
 * temporary file.
 */
export function replaceSmall(path: ByteString, bytes: Uint8Array, attributes: Attributes): void {
  const anonymous = openAnonymous(folderOf(path), 0o600)
  if (anonymous !== undefined) {
    try {
      fill(anonymous, bytes, attributes)
      nameAnonymousOver(anonymous, toBytes(path), () => temporaryBeside(path))
    } finally {
      closeSync(anonymous)
    }
    return
  }
  const temporary = temporaryBeside(path)
  const fd = openSync(temporary, WRITE_NEW, 0o600)
  try {
    fill(fd, bytes, attributes)
    renameSync(temporary, toBytes(path))
  } catch (error) {
    removeQuietly(temporary)
    throw error
  } finally {
    closeSync(fd)
  }
}

function fill(fd: number, bytes: Uint8Array, { mode, modifiedMs }: Attributes): void {
  // a full disk can cut a write short; what is left over is tried again, and then says why
  for (let rest = bytes; rest.byteLength > 0;) rest = rest.subarray(writeSync(fd, rest))
  fchmodSync(fd, mode & MODE_BITS)
  keepTimes(fd, { modifiedMs, accessedMs: modifiedMs })
}
