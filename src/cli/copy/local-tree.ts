/**
 * A local directory tree as entries, each directory before what is in it. Streams: one open directory per level, no list of the
 * whole tree. Directories are read with synchronous calls, as small files are (small-file.ts). Symbolic links are reported, never followed.
 */
import type { Dir, Dirent } from 'node:fs'
import { lstat, opendir } from 'node:fs/promises'
import { fromBytes, toBytes } from '../byte-string.ts'
import type { ByteString } from '../byte-string.ts'
import { HERE, joinPath } from '../remote-path.ts'
import type { EntryType, TreeEntry } from './copy-tree.ts'

/** Entries after which the event loop has its turn. */
const TURN = 256

interface Level {
  readonly relative: ByteString
  readonly dir: Dir
}

async function openLevel(root: ByteString, relative: ByteString): Promise<Level> {
  // Node takes 'buffer' here and gives names as bytes; its types know only the encodings of text.
  const path = toBytes(joinPath(root, relative))
  const dir = await opendir(path, { encoding: 'buffer' as BufferEncoding, bufferSize: 256 })
  return { relative, dir }
}

/** Undefined where the file system does not say it in a listing. */
function typeOf(entry: Dirent): EntryType | undefined {
  if (entry.isFile()) return 'file'
  if (entry.isDirectory()) return 'directory'
  if (entry.isSymbolicLink()) return 'symlink'
  const isOther = entry.isFIFO() || entry.isSocket() || entry.isCharacterDevice() || entry.isBlockDevice()
  return isOther ? 'other' : undefined
}

async function typeAt(path: ByteString): Promise<EntryType> {
  const stats = await lstat(toBytes(path))
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  return stats.isSymbolicLink() ? 'symlink' : 'other'
}

/** Every entry below `root`, which itself is not among them. Throws where the root cannot be listed. */
export async function* walkLocal(root: ByteString): AsyncGenerator<TreeEntry, void, undefined> {
  const levels: Level[] = [await openLevel(root, HERE)]
  let seen = 0
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      seen += 1
      // whoever takes the entries may do so at once
      if (seen % TURN === 0) await new Promise((resolve) => setImmediate(resolve))
      const next = level.dir.readSync()
      if (next === null) {
        levels.pop()
        level.dir.closeSync()
        continue
      }
      const relative = joinPath(level.relative, fromBytes(next.name as unknown as Uint8Array))
      const type = typeOf(next) ?? (await typeAt(joinPath(root, relative)))
      yield { relative, type }
      if (type !== 'directory') continue
      try {
        levels.push(await openLevel(root, relative))
      } catch (error) {
        yield { relative, type, error }
      }
    }
  } finally {
    for (const { dir } of levels) dir.closeSync()
  }
}
