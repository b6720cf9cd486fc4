/**
 * A local directory tree as entries, each directory before what is in it. One directory is open at
 * a time, however deep the tree is; what is kept is a few words per directory that is yet to be
 * looked into. Directories are read with synchronous calls, as small files are (small-file.ts).
 * Symbolic links are reported, never followed.
 */
import type { Dir, Dirent } from 'node:fs'
import { lstat, opendir } from 'node:fs/promises'
import { raced } from '../../../src/runtime/abandon.ts'
import type { Waiter } from '../../../src/runtime/abandon.ts'
import { HERE, joinPath } from '../../../src/runtime/byte-path.ts'
import { fromBytes, toBytes, type ByteString } from '../../../src/runtime/byte-string.ts'
import type { EntryType, TreeEntry } from './copy-tree.ts'
import { intoItself, NO_TARGET, type IsTarget } from './into-itself.ts'

/** Entries after which the event loop has its turn. */
const TURN = 256

async function openFolder(waiter: Waiter, path: ByteString): Promise<Dir> {
  // Node takes 'buffer' here and gives names as bytes; its types know only the encodings of text.
  const opening = opendir(toBytes(path), { encoding: 'buffer' as BufferEncoding, bufferSize: 256 })
  return await raced(waiter, opening, (late) => late.close())
}

/** Undefined where the file system does not say it in a listing. */
function typeOf(entry: Dirent): EntryType | undefined {
  if (entry.isFile()) return 'file'
  if (entry.isDirectory()) return 'directory'
  if (entry.isSymbolicLink()) return 'symlink'
  const isOther = entry.isFIFO() || entry.isSocket() || entry.isCharacterDevice() || entry.isBlockDevice()
  return isOther ? 'other' : undefined
}

async function typeAt(waiter: Waiter, path: ByteString): Promise<EntryType> {
  const stats = await raced(waiter, lstat(toBytes(path)))
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  return stats.isSymbolicLink() ? 'symlink' : 'other'
}

/**
 * Every entry below `root`, which itself is not among them. Throws where the root cannot be listed;
 * that a directory below it cannot be is its own affair: it comes once more, with the error, and
 * the rest goes on. What is copied to comes with an error, without what is in it. Ends with the
 * reason of the waiter's signal.
 */
export async function* walkLocal(
  waiter: Waiter,
  root: ByteString,
  isTarget: IsTarget = NO_TARGET,
): AsyncGenerator<TreeEntry, void, undefined> {
  const folders: ByteString[] = [HERE]
  let seen = 0
  for (let relative = folders.pop(); relative !== undefined; relative = folders.pop()) {
    try {
      for await (const entry of entriesOf(waiter, root, relative)) {
        seen += 1
        // whoever takes the entries may do so at once
        if (seen % TURN === 0) await new Promise((resolve) => setImmediate(resolve))
        if (entry.type === 'directory') {
          if (await isTarget(entry.relative)) {
            yield intoItself(entry)
            continue
          }
          folders.push(entry.relative)
        }
        yield entry
      }
    } catch (error) {
      if (relative === HERE || waiter.signal.aborted) throw error
      yield { relative, type: 'directory', error }
    }
  }
}

async function* entriesOf(
  waiter: Waiter,
  root: ByteString,
  folder: ByteString,
): AsyncGenerator<TreeEntry, void, undefined> {
  const dir = await openFolder(waiter, joinPath(root, folder))
  try {
    for (let next = dir.readSync(); next !== null; next = dir.readSync()) {
      const relative = joinPath(folder, fromBytes(next.name as unknown as Uint8Array))
      yield { relative, type: typeOf(next) ?? (await typeAt(waiter, joinPath(root, relative))) }
    }
  } finally {
    dir.closeSync()
  }
}
