/**
 * Copies from the peer to this machine: one file, or a tree. The peer is not trusted: its names are
 * single names, its modes lose setuid, setgid and sticky, and in a tree nothing is written through
 * a link that is already here.
 */
import { chmod, lstat, mkdir } from 'node:fs/promises'
import { lstatSync } from 'node:fs'
import type { Stats } from 'node:fs'
import type { Bytes } from '../../../src/contracts/types.ts'
import { raced } from '../../../src/runtime/abandon.ts'
import { HERE, joinPath, wirePath } from '../../../src/runtime/byte-path.ts'
import { byteString, toBytes, type ByteString } from '../../../src/runtime/byte-string.ts'
import { errnoOf } from '../../../src/runtime/system-errors.ts'
import { MAX_SMALL_BYTES } from '../file-batch.ts'
import { keepTimes } from '../times.ts'
import { copyTree, FILLING_MODE } from './copy-tree.ts'
import { outOfLocal } from './into-itself.ts'
import { counted, MODE_BITS } from './job.ts'
import type { Attributes, CopyJob } from './job.ts'
import { notRegular, replaceFile, writeLocalFile } from './local-file.ts'
import { walkRemote } from './remote-tree.ts'
import type { RemoteEntry } from './remote-tree.ts'
import { replaceSmall } from './small-file.ts'

/** What the peer says about a file. */
export type RemoteStatus = Pick<RemoteEntry, 'size' | 'mode' | 'modifiedMs'>

/** What is written before the next of it is asked for: it may be borrowed. */
function receive(job: CopyJob, remote: ByteString, { size }: RemoteStatus): AsyncGenerator<Bytes, void, undefined> {
  const chunks = job.files.read(wirePath(remote), { signal: job.signal, borrowed: true })
  return counted<Bytes>(job.progress, chunks, size)
}

/** Copies one file of the peer to `local`. */
export async function downloadFile(
  job: CopyJob,
  remote: ByteString,
  local: ByteString,
  status: RemoteStatus,
): Promise<void> {
  job.progress.expect(status.size)
  job.progress.complete()
  await writeLocalFile(job, local, receive(job, remote, status), status)
  job.progress.file()
}

/**
 * Copies the peer's directory `remote` and what is in it to the directory `local`, which is made if
 * it is not there.
 */
export async function downloadTree(
  job: CopyJob,
  remote: ByteString,
  local: ByteString,
  status: RemoteStatus,
): Promise<void> {
  const here = (relative: ByteString): ByteString => joinPath(local, relative)
  const there = (relative: ByteString): ByteString => joinPath(remote, relative)
  const { size, mode, modifiedMs } = status
  await copyTree<RemoteEntry>(
    job,
    { relative: HERE, type: 'directory', size, mode, modifiedMs },
    {
      entries: outOfLocal(job, remote, local, (isTarget) => walkRemote(job.files, remote, job.signal, isTarget)),
      makeFolder: (entry) => raced(job, makeFolder(here(entry.relative), entry)),
      async finishFolder(relative, attributes) {
        const path = toBytes(here(relative))
        keepTimes(path, { modifiedMs: attributes.modifiedMs, accessedMs: attributes.modifiedMs })
        await raced(job, chmod(path, attributes.mode))
      },
      async copyFile(entry) {
        const path = here(entry.relative)
        checkTarget(path)
        const source = there(entry.relative)
        if (await receiveSmall(job, source, path, entry)) return
        await replaceFile(job, path, receive(job, source, entry), entry)
      },
      source: 'remote',
      pathOf: (side, relative) => (side === 'remote' ? there(relative) : here(relative)),
    },
  )
}

/**
 * A small file of a tree comes in one piece, and with others. False where it is none, and nothing
 * was written.
 */
async function receiveSmall(job: CopyJob, remote: ByteString, local: ByteString, entry: RemoteEntry): Promise<boolean> {
  const { size } = entry
  if (size > MAX_SMALL_BYTES) return false
  const bytes = await job.files.readSmall(wirePath(remote), { size, signal: job.signal })
  if (bytes === undefined) return false
  replaceSmall(local, bytes, entry)
  job.progress.add(bytes.byteLength)
  job.progress.correct(bytes.byteLength - size)
  return true
}

/**
 * A file of a tree may replace a file or a link, and nothing else: renaming onto a device would
 * replace the device.
 */
function checkTarget(local: ByteString): void {
  const existing = lstatSync(toBytes(local), { throwIfNoEntry: false })
  if (existing === undefined || existing.isFile() || existing.isSymbolicLink()) return
  throw notRegular(existing)
}

async function makeFolder(local: ByteString, entry: RemoteEntry): Promise<Attributes | undefined> {
  const mode = entry.mode & MODE_BITS
  try {
    await mkdir(toBytes(local), { mode: mode | FILLING_MODE })
    return { mode, modifiedMs: entry.modifiedMs }
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
    // The top one may be a link that the user has made and named; below it no link is followed.
    const existing = await lstatIfThere(entry.relative === HERE ? joinPath(local, byteString('.')) : local)
    if (existing?.isDirectory() === true) return undefined
    throw Object.assign(new Error('exists here and is not a directory', { cause: error }), { code: 'ENOTDIR' })
  }
}

async function lstatIfThere(path: ByteString): Promise<Stats | undefined> {
  try {
    return await lstat(toBytes(path))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
