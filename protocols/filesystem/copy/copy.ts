/** Copying between this machine and the peer: the calls that users make. */
import { lstat, stat } from 'node:fs/promises'
import { badArgument, abortError } from '../../../src/contracts/errors.ts'
import { raced } from '../../../src/runtime/abandon.ts'
import { joinPath, wirePath } from '../../../src/runtime/byte-path.ts'
import { byteString, fromBytes, toBytes, type ByteString } from '../../../src/runtime/byte-string.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { requireSignal } from '../../../src/runtime/on-abort.ts'
import type { FilesystemClient, FileStat } from '../client-types.ts'
import { clientPath, LONE_SURROGATE, type FilePath } from '../path.ts'
import { BetweenCopy } from './between.ts'
import { downloadFile, downloadTree } from './download.ts'
import { CopyErrors, sideByClass, type ErrorsOptions } from './errors.ts'
import type { CopyJob } from './job.ts'
import { walkLocal } from './local-tree.ts'
import { ProgressCount } from './progress.ts'
import { walkRemote } from './remote-tree.ts'
import type { CopyOptions, CopyResult, DownloadOptions, LocalPath } from './types.ts'
import { uploadFile, uploadTree } from './upload.ts'

/**
 * Copies a file, or a directory with all that is in it, from this machine to the peer. `remote` is
 * what the copy is called there: a directory that exists is filled, files in it are replaced, and
 * nothing is removed. Permission bits and modification times go along; setuid, setgid and sticky
 * bits do not.
 *
 * Each file is there in whole or is what it was. Symbolic links in the tree are not followed and
 * not copied; `local` itself may be one. Memory is bounded however many files there are. Nothing
 * waits for the peer's disk: a power cut may undo what was just copied.
 *
 * Rejects with the first failure, its path in front of the sentence (a peer's path with a colon),
 * unless there is `onFailure`. ERR_NOT_FOUND, ERR_ACCESS and so on from either side,
 * ERR_NOT_REGULAR where `local` is no file and no directory, ERR_PATH_INVALID for what can be no
 * path, the signal's reason.
 *
 * @example
 * ```ts
 * const { files, failed } = await upload(filesystemClient(trunk), 'site', 'var/www', {
 *   onFailure: ({ side, error }) => console.error(side, error.code, error.message),
 *   onProgress: ({ bytes, totalBytes }) => bar.update(bytes, totalBytes),
 *   measure: true,
 * })
 * ```
 */
export async function upload(
  files: FilesystemClient,
  local: LocalPath,
  remote: FilePath,
  options: CopyOptions = {},
): Promise<CopyResult> {
  const [from, to] = [localPath(local), remotePath(remote)]
  return await run(files, options, from, to, async (job) => {
    const isDirectory = (await raced(job, stat(toBytes(from)))).isDirectory()
    if (!isDirectory) await uploadFile(job, from, to)
    else await measured(job, options, localSizes(job, from), () => uploadTree(job, from, to))
  })
}

/**
 * Copies a file, or a directory with all that is in it, from the peer to this machine: {@link
 * upload} the other way round. The peer is not trusted: its names are single names, and in a tree
 * nothing is written through a link that is here already.
 *
 * Rejects as {@link upload} does, and with ERR_NOT_REGULAR where `local` is a device or the like.
 *
 * @example
 * ```ts
 * const files = filesystemClient(trunk)
 * await download(files, 'var/log', 'logs', { signal: AbortSignal.timeout(60_000) })
 * ```
 */
export async function download(
  files: FilesystemClient,
  remote: FilePath,
  local: LocalPath,
  options: DownloadOptions = {},
): Promise<CopyResult> {
  const [from, to] = [remotePath(remote), localPath(local)]
  return await run(files, options, to, from, async (job) => {
    const { signal } = job
    const status = options.stat ?? (await files.stat(wirePath(from), { signal }))
    if (status.type !== 'directory') await downloadFile(job, from, to, status)
    else await measured(job, options, remoteSizes(job, from), () => downloadTree(job, from, to, status))
  })
}

/** A copy from one peer to another. */
export interface BetweenOptions extends CopyOptions {
  /** What the source is. */
  stat: Pick<FileStat, 'type' | 'size' | 'mode' | 'modifiedMs'>
  atOnePeer: boolean
}

/**
 * Copies what is at `from` of one peer to `to` of another. In failures the source is the remote
 * side, and the target stands for the local.
 */
export async function between(
  files: FilesystemClient,
  from: FilePath,
  target: FilesystemClient,
  to: FilePath,
  options: BetweenOptions,
): Promise<CopyResult> {
  const { stat: status, atOnePeer } = options
  const ofSource = new WeakSet<Error>()
  const ends = { from: remotePath(from), target, to: remotePath(to), atOnePeer, ofSource }
  const sideOf: ErrorsOptions['sideOf'] = (error) =>
    error instanceof Error && ofSource.has(error) ? 'remote' : 'local'
  return await run(files, { ...options, sideOf }, ends.to, ends.from, async (job) => {
    const copy = new BetweenCopy(job, ends)
    if (status.type === 'directory') await measured(job, options, remoteSizes(job, ends.from), () => copy.tree(status))
    else await copy.file(status)
  })
}

async function run(
  files: FilesystemClient,
  options: CopyOptions & Partial<Pick<ErrorsOptions, 'sideOf'>>,
  local: ByteString,
  remote: ByteString,
  copy: (job: CopyJob) => Promise<void>,
): Promise<CopyResult> {
  const { onFailure, onProgress, onAbandoned, temporaries = new Set(), clock = systemClock } = options
  const { shown, sideOf = sideByClass, measure = false } = options
  const signal = options.signal === undefined ? new AbortController().signal : requireSignal(options.signal)
  if (signal.aborted) throw abortError(signal)
  const errors = new CopyErrors({ signal, sideOf, ...(onFailure && { onFailure }), ...(shown && { shown }) })
  const progress = new ProgressCount(onProgress, measure)
  const abandon = (work: Promise<unknown>): void => {
    work.catch(() => undefined)
    onAbandoned?.(work)
  }
  try {
    await copy({ files, signal, clock, errors, progress, abandon, temporaries })
  } catch (error) {
    const side = sideOf(error)
    throw errors.named(side, side === 'remote' ? remote : local, error)
  }
  const { bytes, files: count, directories } = progress.now
  return { bytes, files: count, directories, failed: errors.count }
}

/** Sizes of the files below the local directory `root`. */
async function* localSizes(job: CopyJob, root: ByteString): AsyncGenerator<number, void, undefined> {
  for await (const { relative, type } of walkLocal(job, root)) {
    if (type === 'file') yield (await raced(job, lstat(toBytes(joinPath(root, relative))))).size
  }
}

/** Sizes of the files below the peer's directory `root`. */
async function* remoteSizes({ files, signal }: CopyJob, root: ByteString): AsyncGenerator<number, void, undefined> {
  for await (const { type, size } of walkRemote(files, root, signal)) if (type === 'file') yield size
}

/** Runs `copy`, and where it is asked for takes the sum of `sizes` beside it. */
async function measured(
  { progress }: CopyJob,
  { measure = false }: CopyOptions,
  sizes: AsyncIterable<number>,
  copy: () => Promise<void>,
): Promise<void> {
  let over = false
  const add = async (): Promise<void> => {
    for await (const size of sizes) {
      if (over) return
      progress.expect(size)
    }
    progress.complete()
  }
  // What cannot be looked at is the copy's to tell; the total then stays unknown.
  const measuring = measure ? add().catch(() => undefined) : undefined
  try {
    await copy()
  } finally {
    over = true
    await measuring
  }
}

function remotePath(path: FilePath): ByteString {
  clientPath(path)
  return typeof path === 'string' ? byteString(path) : fromBytes(path)
}

function localPath(path: LocalPath): ByteString {
  const isText = typeof path === 'string'
  if (!isText && !(path instanceof Uint8Array)) throw badArgument(`a path is a string or bytes, not ${typeof path}`)
  if (path.length === 0) throw badArgument('a local path cannot be empty')
  // it has no bytes, and here it would stand for some
  if (isText && LONE_SURROGATE.test(path)) throw badArgument('a path must not contain a lone surrogate')
  return isText ? byteString(path) : fromBytes(path)
}
