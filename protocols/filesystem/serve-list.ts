/**
 * Looking: `stat` of one entry and the listing of a directory. Links are shown as links. A listing
 * holds one batch at a time and goes on when the pipe takes it, so a directory of any size costs
 * the same memory, and a peer that leaves ends it.
 */
import { lstatSync, type Dir, type Stats } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { holding, inPool } from '../../src/runtime/budgets.ts'
import { encodeBatch, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, type WireEntry } from './entries.ts'
import { encodeReply, type FileReply, type FileType } from './messages.ts'
import { requirePath } from './path.ts'
import type { Folder } from './root.ts'
import { dateOf } from './times.ts'
import type { Operation } from './serving.ts'

/** Answers `stat`. */
export function serveStat({ message, request, serving }: Operation<'stat'>): void {
  const names = requirePath(message.path)
  const last = names.at(-1)
  const folder = serving.root.folder(names.slice(0, -1))
  try {
    const stats = last === undefined ? folder.stat() : lstatSync(folder.entry(last))
    request.accept(encodeReply('stat', describe(stats)))
  } finally {
    folder.close()
  }
}

/** Answers `list`: accepts when the directory is open. */
export async function serveList({ message, request, serving, account }: Operation<'list'>): Promise<void> {
  const { jobs, transfers } = account
  const folder = serving.root.folder(requirePath(message.path))
  try {
    await holding(transfers, MAX_BATCH_BYTES, request, async () => {
      const directory = await inPool(jobs, request, () => openDirectory(folder))
      try {
        const pipe = request.accept()
        for (;;) {
          const batch = await inPool(jobs, pipe, () => nextBatch(folder, directory))
          if (batch === undefined) return
          await pipe.write(batch)
        }
      } finally {
        await directory.close()
      }
    })
  } finally {
    folder.close()
  }
}

/** Opens a directory that was reached, so that names come as bytes. */
export async function openDirectory(folder: Folder): Promise<Dir> {
  // Node takes 'buffer' here and then gives names as buffers; its types know neither.
  return await opendir(folder.self, { encoding: 'buffer' as BufferEncoding, bufferSize: MAX_BATCH_ENTRIES })
}

/** The name of an entry of {@link openDirectory}. */
export function nameOf(entry: { name: string | Buffer }): Buffer {
  return typeof entry.name === 'string' ? Buffer.from(entry.name) : entry.name
}

async function nextBatch(folder: Folder, directory: Dir): Promise<Uint8Array | undefined> {
  const entries: WireEntry[] = []
  for (;;) {
    const found = await directory.read()
    if (found === null) return entries.length === 0 ? undefined : encodeBatch(entries)
    const nameBytes = nameOf(found)
    // Gone since it was read: then it is not listed.
    const stats = lstatSync(folder.entry(nameBytes), { throwIfNoEntry: false })
    if (stats === undefined) continue
    const { type, size, mode, modifiedMs } = describe(stats)
    entries.push({ nameBytes, type, size, mode, modifiedMs })
    if (entries.length === MAX_BATCH_ENTRIES) return encodeBatch(entries)
  }
}

function describe(stats: Stats): FileReply<'stat'> {
  return {
    type: typeOf(stats),
    size: stats.size,
    mode: stats.mode & 0o7777,
    modifiedMs: dateOf(stats.mtimeMs),
    accessedMs: dateOf(stats.atimeMs),
    links: stats.nlink,
  }
}

function typeOf(stats: Stats): FileType {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  return stats.isSymbolicLink() ? 'symlink' : 'other'
}
