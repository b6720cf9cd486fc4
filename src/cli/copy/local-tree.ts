/**
 * A local directory tree as entries, each directory before what is in it. Streams: one open directory per level, no list of the
 * whole tree. Symbolic links are reported, never followed.
 */
import type { Dir, Dirent } from 'node:fs'
import { lstat, opendir } from 'node:fs/promises'
import { fromBytes, toBytes } from '../byte-string.ts'
import { joinPath } from '../remote-path.ts'
import type { EntryType, TreeEntry } from './copy-tree.ts'

interface Level {
  readonly relative: string
  readonly entries: AsyncIterator<Dirent>
  readonly dir: Dir
}

async function openLevel(root: string, relative: string): Promise<Level> {
  // Node takes 'buffer' here and gives names as bytes; its types know only the encodings of text.
  const options = { encoding: 'buffer', bufferSize: 256 } as unknown as { bufferSize: number }
  const dir = await opendir(toBytes(joinPath(root, relative)), options)
  return { relative, dir, entries: dir[Symbol.asyncIterator]() }
}

async function typeOf(path: string, entry: Dirent): Promise<EntryType> {
  if (entry.isFile()) return 'file'
  if (entry.isDirectory()) return 'directory'
  if (entry.isSymbolicLink()) return 'symlink'
  if (entry.isFIFO() || entry.isSocket() || entry.isCharacterDevice() || entry.isBlockDevice()) return 'other'
  // Some file systems don't say what an entry is when they list it.
  const stats = await lstat(toBytes(path))
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  return stats.isSymbolicLink() ? 'symlink' : 'other'
}

/** Every entry below `root`, which itself is not among them. Throws where the root cannot be listed. */
export async function* walkLocal(root: string): AsyncGenerator<TreeEntry, void, undefined> {
  const levels: Level[] = [await openLevel(root, '')]
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const next = await level.entries.next()
      if (next.done === true) {
        levels.pop()
        continue
      }
      const relative = joinPath(level.relative, fromBytes(next.value.name as unknown as Uint8Array))
      const type = await typeOf(joinPath(root, relative), next.value)
      yield { relative, type }
      if (type !== 'directory') continue
      try {
        levels.push(await openLevel(root, relative))
      } catch (error) {
        yield { relative, type, error }
      }
    }
  } finally {
    // A level's iterator closes its directory at its end and when it is returned from.
    for (const level of levels) await level.entries.return?.()
  }
}
