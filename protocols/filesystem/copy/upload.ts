/** Copies from this machine to the peer: one file, or a tree. */
import { lstat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { raced, tidied } from '../../../src/runtime/abandon.ts'
import { HERE, joinPath, wirePath } from '../../../src/runtime/byte-path.ts'
import { byteString, toBytes, type ByteString } from '../../../src/runtime/byte-string.ts'
import { dateOf } from '../times.ts'
import { copyTree, FILLING_MODE } from './copy-tree.ts'
import type { TreeEntry } from './copy-tree.ts'
import { outOfRemote } from './into-itself.ts'
import { counted, MODE_BITS, TREE_CHUNK_BYTES } from './job.ts'
import type { Attributes, CopyJob } from './job.ts'
import { notRegular, openInTree, openToCopy, readChunks } from './local-file.ts'
import { walkLocal } from './local-tree.ts'
import { SendPacer, readSmall } from './small-file.ts'

/** Copies one regular file; a link to one is followed. */
export async function uploadFile(job: CopyJob, local: ByteString, remote: ByteString): Promise<void> {
  const { progress } = job
  const file = await raced(job, openToCopy(local), (late) => late.close())
  try {
    progress.expect((await raced(job, file.stat())).size)
    progress.complete()
    await send(job, file, remote)
    progress.file()
  } finally {
    await tidied(job, file.close())
  }
}

async function send(job: CopyJob, file: FileHandle, remote: ByteString, chunkBytes?: number): Promise<void> {
  const stats = await raced(job, file.stat())
  if (!stats.isFile()) throw notRegular(stats)
  const interruptible = {
    read: (...args: Parameters<FileHandle['read']>) => raced(job, file.read(...args)),
    stat: () => raced(job, file.stat()),
  } as Pick<FileHandle, 'read' | 'stat'>
  const chunks = readChunks(interruptible, stats.size, chunkBytes)
  const attributes = { mode: stats.mode & MODE_BITS, modifiedMs: dateOf(stats.mtimeMs) }
  await job.files.write(wirePath(remote), counted(job.progress, chunks, stats.size), { ...attributes, ...howOf(job) })
}

/**
 * No copy waits for the disk, whichever way it goes: as with cp and scp, a power cut may undo what
 * was just copied.
 */
function howOf(job: CopyJob): { signal: AbortSignal; durable: boolean } {
  return { signal: job.signal, durable: false }
}

/**
 * A small file of a tree travels with its request, in one round trip. False where it is none, and
 * nothing was sent.
 */
async function sendSmall(job: CopyJob, local: ByteString, remote: ByteString): Promise<boolean> {
  const small = readSmall(local)
  if (small === undefined) return false
  const { bytes, stats } = small
  const attributes = { mode: stats.mode & MODE_BITS, modifiedMs: dateOf(stats.mtimeMs) }
  await job.files.write(wirePath(remote), bytes, { ...attributes, ...howOf(job) })
  job.progress.add(bytes.byteLength)
  return true
}

/**
 * Copies the directory `local` and what is in it to the directory `remote`, which is made if it is
 * not there.
 */
export async function uploadTree(job: CopyJob, local: ByteString, remote: ByteString): Promise<void> {
  const here = (relative: ByteString): ByteString => joinPath(local, relative)
  const there = (relative: ByteString): ByteString => joinPath(remote, relative)
  const root: TreeEntry = { relative: HERE, type: 'directory' }
  const pacer = new SendPacer()
  await copyTree<TreeEntry>(job, root, {
    entries: outOfRemote(job, local, remote, (isTarget) => walkLocal(job, local, isTarget)),
    makeFolder: ({ relative }) =>
      makeFolder(job, relative === HERE ? joinPath(local, byteString('.')) : here(relative), there(relative)),
    async finishFolder(relative, attributes) {
      await job.files.setAttributes(wirePath(there(relative)), { ...attributes, signal: job.signal })
    },
    async copyFile({ relative }) {
      await pacer.take()
      if (await sendSmall(job, here(relative), there(relative))) return
      const file = await raced(job, openInTree(here(relative)), (late) => late.close())
      try {
        await send(job, file, there(relative), TREE_CHUNK_BYTES)
      } finally {
        await tidied(job, file.close())
      }
    },
    source: 'local',
    pathOf: (side, relative) => (side === 'remote' ? there(relative) : here(relative)),
  })
}

async function makeFolder(job: CopyJob, local: ByteString, remote: ByteString): Promise<Attributes | undefined> {
  const { mode, mtimeMs } = await raced(job, lstat(toBytes(local)))
  const path = wirePath(remote)
  if (path.length === 0) return undefined // the peer's root is always there
  try {
    await job.files.mkdir(path, { mode: (mode & MODE_BITS) | FILLING_MODE, signal: job.signal })
    return { mode: mode & MODE_BITS, modifiedMs: dateOf(mtimeMs) }
  } catch (error) {
    if (!(error instanceof TrunkError) || error.code !== 'ERR_EXISTS') throw error
    const { type } = await job.files.stat(path, { signal: job.signal })
    if (type === 'directory') return undefined
    throw new TrunkError('ERR_NOT_DIRECTORY', 'it exists and is not a directory', { origin: 'remote', cause: error })
  }
}
