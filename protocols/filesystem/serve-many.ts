/**
 * Many small files in one pipe, each as if it had come alone: the same walk, checks, limits and
 * codes, and a failure concerns its file only. What the company saves is the pipe, and the walk to
 * a directory that the file before was in. Holds one directory and one file at a time. Synchronous
 * calls, since the detour through the thread pool costs ten times what such a call does; others get
 * their turn after a few files.
 */
import { closeSync, constants } from 'node:fs'
import { holding } from '../../src/runtime/budgets.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import { toFailure } from '../../src/runtime/file-errors.ts'
import {
  decodePaths,
  decodeWrites,
  encodeDone,
  encodeReads,
  MAX_FILE_BATCH_BYTES,
  MAX_SMALL_BYTES,
  FILE_BATCH_BYTES,
  receiveFileBatch,
  type SmallRead,
} from './file-batch.ts'
import { requirePath } from './path.ts'
import { requireRegular, type Folder } from './root.ts'
import { readWhole, requireEnd } from './serve-read.ts'
import { replaceAtOnce } from './serve-write.ts'
import type { Operation, Serving } from './serving.ts'

/** Files that are read or written in one turn of the event loop. */
const FILES_A_TURN = 16

/**
 * Answers `writeMany`. What of it has happened when the peer leaves has happened; the rest does
 * not.
 */
export function serveWriteMany({ request, serving, account }: Operation<'writeMany'>): Promise<void> {
  return holding(account.transfers, MAX_FILE_BATCH_BYTES, request, () => writeMany(request.accept(), request, serving))
}

async function writeMany(pipe: Pipe, request: ManyRequest, serving: Serving): Promise<void> {
  const files = unwrap(decodeWrites(await receiveFileBatch(pipe.borrowed)))
  const outcomes = await eachOf(files, serving, request, (file, walk) => {
    const { folder, name } = walk.to(file.path)
    replaceAtOnce(serving, folder, name, file)
    return undefined
  })
  await pipe.write(encodeDone(outcomes))
}

/**
 * Answers `readMany`. Files that are too large for company, or more than the answer has room for,
 * are to be read alone.
 */
export function serveReadMany({ request, serving, account }: Operation<'readMany'>): Promise<void> {
  const bytes = MAX_FILE_BATCH_BYTES + FILE_BATCH_BYTES
  return holding(account.transfers, bytes, request, () => readMany(request.accept(), request, serving))
}

async function readMany(pipe: Pipe, request: ManyRequest, serving: Serving): Promise<void> {
  const paths = unwrap(decodePaths(await receiveFileBatch(pipe.borrowed)))
  let room = FILE_BATCH_BYTES
  const results = await eachOf<Uint8Array, SmallRead>(paths, serving, request, (path, walk) => {
    const content = readFile(serving, walk, path, room)
    if (content === undefined) return 'unbatched'
    room -= content.byteLength
    return content
  })
  await pipe.write(encodeReads(results))
}

type ManyRequest = Operation<'readMany' | 'writeMany'>['request']

/** Does `work` for each item; what it throws is the result for that item. */
async function eachOf<Item, Result>(
  items: readonly Item[],
  serving: Serving,
  request: ManyRequest,
  work: (item: Item, walk: Walk) => Result,
): Promise<(Result | TrunkError)[]> {
  const walk = new Walk(serving)
  const results: (Result | TrunkError)[] = []
  try {
    for (const item of items) {
      if (results.length > 0 && results.length % FILES_A_TURN === 0) {
        await new Promise((resolve) => setImmediate(resolve))
        request.signal.throwIfAborted()
        request.working()
      }
      try {
        results.push(work(item, walk))
      } catch (error) {
        results.push(toFailure(error))
      }
    }
  } finally {
    walk.close()
  }
  return results
}

/**
 * All of a small file; undefined for one that is larger than that or than `room`, or that does not
 * know its size.
 */
function readFile(serving: Serving, walk: Walk, path: Uint8Array, room: number): Uint8Array | undefined {
  if (requirePath(path).length === 0) throw new TrunkError('ERR_IS_DIRECTORY', 'it is a directory')
  const { folder, name } = walk.to(path)
  const found = serving.root.find(folder, name)
  try {
    requireRegular(found.stats)
    const { size } = found.stats
    if (size > Math.min(MAX_SMALL_BYTES, room)) return undefined
    const fd = found.open(constants.O_RDONLY)
    try {
      // one byte more than there should be: it is filled where the file says less than it has, as
      // those of /proc do
      const buffer = Buffer.allocUnsafe(size + 1)
      const bytes = readWhole(fd, buffer, 0, size)
      if (bytes > size) return undefined
      requireEnd({ fd, size, end: Infinity }, bytes)
      return buffer.subarray(0, bytes)
    } finally {
      closeSync(fd)
    }
  } finally {
    found.close()
  }
}

/**
 * The way to one file after another: the directory that was reached last is kept while the next one
 * is in it, too.
 */
class Walk {
  readonly #serving: Serving
  #folder: Folder | undefined
  #path = ''

  constructor(serving: Serving) {
    this.#serving = serving
  }

  /** The directory that a file is in, open until the next call, and the file's name there. */
  to(path: Uint8Array): { folder: Folder; name: Uint8Array } {
    const names = requirePath(path)
    const name = names.at(-1)
    if (name === undefined) throw new TrunkError('ERR_DENIED', 'not to be done to the root itself')
    // one character for each byte
    const parent = Buffer.from(path.buffer, path.byteOffset, path.byteLength - name.byteLength).toString('latin1')
    if (this.#folder === undefined || this.#path !== parent) {
      this.close()
      this.#folder = this.#serving.root.folder(names.slice(0, -1))
      this.#path = parent
    }
    return { folder: this.#folder, name }
  }

  close(): void {
    this.#folder?.close()
    this.#folder = undefined
  }
}
