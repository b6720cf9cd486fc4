/**
 * Local files for a copy. Reading: whole chunks with the next one already under way. Writing is
 * atomic: a file without a name, which gets the target's when everything is there. Where there are
 * none it is a temporary file beside the target, removed when anything goes wrong.
 */
import { constants } from 'node:fs'
import type { Stats } from 'node:fs'
import { open, realpath, rename, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Bytes } from '../../../src/contracts/types.ts'
import { raced, tidied } from '../../../src/runtime/abandon.ts'
import { folderPrefix, joinPath } from '../../../src/runtime/byte-path.ts'
import { byteString, fromBytes, toBytes, type ByteString } from '../../../src/runtime/byte-string.ts'
import { freshName } from '../../../src/runtime/fresh-bytes.ts'
import { statIfThere } from '../../../src/runtime/stat-if-there.ts'
import { keepTimes } from '../times.ts'
import { hasNoAnonymous, nameAnonymousOver, anonymousFlags } from '../anonymous-file.ts'
import { MODE_BITS } from './job.ts'
import type { Attributes, CopyJob } from './job.ts'

/**
 * Bytes of one read: large enough that the disk is not asked often, small enough for many files at
 * once.
 */
const CHUNK_BYTES = 1024 * 1024
/** Files of /proc and pipes have no size, and yet have something to read. */
const MIN_CHUNK_BYTES = 16 * 1024

/** Not through a symbolic link, and not caught by a FIFO. */
export const READ_IN_TREE: number = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW

/** Opens a file of a tree for reading. The caller closes it. */
export function openInTree(path: ByteString): Promise<FileHandle> {
  return open(toBytes(path), READ_IN_TREE)
}

/**
 * Opens what the user has named: a link is followed, and a FIFO is not waited for. The caller
 * closes it.
 */
export function openToCopy(path: ByteString): Promise<FileHandle> {
  return open(toBytes(path), constants.O_RDONLY | constants.O_NONBLOCK)
}

/**
 * The bytes of an open file from its position on. Two buffers take turns: one is being sent while
 * the other is being filled, so a chunk is good until the next one is asked for. The end is where
 * reading ends: `size` is only a hint, and what a file that has become shorter is told by, which is
 * an error.
 */
export async function* readChunks(
  file: Pick<FileHandle, 'read' | 'stat'>,
  size: number,
  chunkBytes: number = CHUNK_BYTES,
): AsyncGenerator<Uint8Array, void, undefined> {
  const length = Math.max(MIN_CHUNK_BYTES, Math.min(size + 1, chunkBytes))
  const buffers = [Buffer.allocUnsafeSlow(length), Buffer.allocUnsafeSlow(length)] as const
  let turn: 0 | 1 = 0
  let at = 0
  const readInto = (buffer: Buffer): Promise<{ bytesRead: number }> => {
    const result = file.read(buffer, 0, length, null)
    // It may fail while nobody waits for it yet; whoever asks for the next chunk is told.
    result.catch(() => undefined)
    return result
  }
  let reading = readInto(buffers[turn])
  try {
    for (;;) {
      const { bytesRead } = await reading
      if (bytesRead === 0) {
        await requireEnd(file, size, at)
        return
      }
      at += bytesRead
      const chunk = buffers[turn].subarray(0, bytesRead)
      turn = turn === 0 ? 1 : 0
      reading = readInto(buffers[turn])
      yield chunk
    }
  } finally {
    // The caller closes the file next, and must not do so under a read; why it failed no longer
    // matters.
    await reading.catch(() => undefined)
  }
}

/**
 * Fails where a file that said `size` has ended at `at` because it has become shorter. Files of
 * /sys say more than they have.
 */
async function requireEnd(file: Pick<FileHandle, 'stat'>, size: number, at: number): Promise<void> {
  if (size === Infinity || at >= size || (await file.stat()).size >= size) return
  throw Object.assign(new Error('became shorter while it was read'), { code: 'ESTALE' })
}

/** As {@link replaceFile}, for what the user has named: a link there is followed. */
export async function writeLocalFile(
  job: CopyJob,
  path: ByteString,
  chunks: AsyncIterable<Bytes>,
  attributes: Attributes,
): Promise<void> {
  const existing = await raced(job, statIfThere(toBytes(path)))
  // renaming onto a device would replace it
  if (existing?.isFile() === false) throw notRegular(existing)
  // Renaming onto a symbolic link would replace the link; a copy changes what it points to.
  await replaceFile(job, existing === undefined ? path : await raced(job, resolved(path)), chunks, attributes)
}

/** For what is here and is no file, so that it is not read as one or replaced by one. */
export function notRegular(here: Stats): Error {
  const code = here.isDirectory() ? 'EISDIR' : 'EFTYPE'
  return Object.assign(new Error('is here and is not a regular file'), { code })
}

/** Where `path` really is. Node would give it as text, and so lose what is not UTF-8. */
async function resolved(path: ByteString): Promise<ByteString> {
  return fromBytes(await realpath(toBytes(path), 'buffer'))
}

/** For a file that nobody else has made. */
export const WRITE_NEW: number = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/** A new name in the folder of `path`. */
export function temporaryBeside(path: ByteString): Buffer {
  return toBytes(joinPath(folderPrefix(path), byteString(`.trunkline-${freshName()}.part`)))
}

/** The folder of `path`. */
export function folderOf(path: ByteString): Buffer {
  return toBytes(joinPath(folderPrefix(path), byteString('.')))
}

/**
 * Writes `chunks` to a file without a name, or a temporary one beside `path` where there are none;
 * gives it its attributes and its name.
 */
export async function replaceFile(
  job: CopyJob,
  path: ByteString,
  chunks: AsyncIterable<Bytes>,
  attributes: Attributes,
): Promise<void> {
  const anonymous = await raced(job, openAnonymous(folderOf(path)), (late) => late?.close())
  if (anonymous !== undefined) {
    try {
      await fill(job, anonymous, chunks, attributes)
      nameAnonymousOver(anonymous.fd, toBytes(path), () => temporaryBeside(path))
    } finally {
      await tidied(job, anonymous.close())
    }
    return
  }
  const temporary = temporaryBeside(path)
  // Gone already, or never made: either way it isn't there, which is what counts.
  const remove = (): Promise<void> => unlink(temporary).catch(() => undefined)
  job.temporaries.add(temporary)
  try {
    const file = await raced(job, open(temporary, WRITE_NEW, 0o600), (late) => late.close().then(remove, remove))
    try {
      await fill(job, file, chunks, attributes)
    } finally {
      await tidied(job, file.close())
    }
    await raced(job, rename(temporary, toBytes(path)))
  } catch (error) {
    await tidied(job, remove())
    throw error
  } finally {
    job.temporaries.delete(temporary)
  }
}

async function fill(
  job: CopyJob,
  file: FileHandle,
  chunks: AsyncIterable<Bytes>,
  attributes: Attributes,
): Promise<void> {
  for await (const chunk of chunks) await raced(job, writeAll(file, chunk))
  await raced(job, file.chmod(attributes.mode & MODE_BITS))
  keepTimes(file.fd, { modifiedMs: attributes.modifiedMs, accessedMs: attributes.modifiedMs })
}

async function openAnonymous(folder: Buffer): Promise<FileHandle | undefined> {
  const flags = anonymousFlags()
  if (flags === undefined) return undefined
  try {
    return await open(folder, flags, 0o600)
  } catch (error) {
    if (hasNoAnonymous(error)) return undefined
    throw error
  }
}

async function writeAll(file: FileHandle, chunk: Bytes): Promise<void> {
  const { bytesWritten } = chunk instanceof Uint8Array ? await file.write(chunk) : await file.writev([...chunk])
  // A full disk or a signal can cut a write short; what is left over is tried again, and then says
  // why.
  let rest = bytesWritten < chunk.byteLength ? chunk.subarray(bytesWritten) : undefined
  while (rest !== undefined && rest.byteLength > 0) rest = rest.subarray((await file.write(rest)).bytesWritten)
}
