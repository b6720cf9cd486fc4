/**
 * Local files for a copy. Reading: whole chunks with the next one already under way. Writing is
 * atomic: a file without a name, which gets the target's when everything is there. Where there are
 * none it is a temporary file beside the target, removed when anything goes wrong; at the second
 * Ctrl-C as well.
 */
import { constants } from 'node:fs'
import { open, realpath, rename, stat, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Stats } from 'node:fs'
import { keepTimes } from '../../../protocols/filesystem/times.ts'
import { hasNoAnonymous, nameAnonymousOver, anonymousFlags } from '../../../protocols/filesystem/anonymous-file.ts'
import { freshName } from '../../runtime/fresh-bytes.ts'
import type { Bytes } from '../../contracts/types.ts'
import { byteString, fromBytes, toBytes } from '../byte-string.ts'
import type { ByteString } from '../byte-string.ts'
import { raced, tidied } from '../context.ts'
import type { Context } from '../context.ts'
import { openToWrite } from '../descriptor/open.ts'
import { DescriptorOutput } from '../descriptor/output.ts'
import { errnoOf } from '../failure.ts'
import { folderPrefix, joinPath } from '../remote-path.ts'
import { MODE_BITS } from './job.ts'
import type { Attributes } from './job.ts'

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

/**
 * Writes `chunks` to `path`. What is there already and is not a regular file (a device, a FIFO) is
 * written to as it is.
 */
export async function writeLocalFile(
  context: Context,
  path: ByteString,
  chunks: AsyncIterable<Bytes>,
  attributes: Attributes,
): Promise<void> {
  const existing = await raced(context, statIfThere(path))
  if (existing !== undefined && !existing.isFile()) await writeInPlace(context, path, existing.isFIFO(), chunks)
  // Renaming onto a symbolic link would replace the link; a copy changes what it points to.
  else
    await replaceFile(context, existing === undefined ? path : await raced(context, resolved(path)), chunks, attributes)
}

/** Where `path` really is. Node would give it as text, and so lose what is not UTF-8. */
async function resolved(path: ByteString): Promise<ByteString> {
  return fromBytes(await realpath(toBytes(path), 'buffer'))
}

/** The status of what `path` leads to; undefined where there is nothing. */
export async function statIfThere(path: ByteString): Promise<Stats | undefined> {
  try {
    return await stat(toBytes(path))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

async function writeInPlace(
  context: Context,
  path: ByteString,
  isFifo: boolean,
  chunks: AsyncIterable<Bytes>,
): Promise<void> {
  const output = new DescriptorOutput(await openToWrite(context, toBytes(path), isFifo), context.clock, 'any')
  try {
    for await (const chunk of chunks) {
      await raced(context, output.write(chunk instanceof Uint8Array ? [chunk] : [...chunk]))
    }
  } finally {
    output.close()
  }
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
  context: Context,
  path: ByteString,
  chunks: AsyncIterable<Bytes>,
  attributes: Attributes,
): Promise<void> {
  const anonymous = await raced(context, openAnonymous(folderOf(path)), (file) => void file?.close())
  if (anonymous !== undefined) {
    try {
      await fill(context, anonymous, chunks, attributes)
      nameAnonymousOver(anonymous.fd, toBytes(path), () => temporaryBeside(path))
    } finally {
      await tidied(context, anonymous.close())
    }
    return
  }
  const temporary = temporaryBeside(path)
  context.temporaries.add(temporary)
  try {
    const file = await raced(context, open(temporary, WRITE_NEW, 0o600))
    try {
      await fill(context, file, chunks, attributes)
    } finally {
      await tidied(context, file.close())
    }
    await rename(temporary, toBytes(path))
  } catch (error) {
    // Gone already, or never made: either way it isn't there, which is what counts.
    await unlink(temporary).catch(() => undefined)
    throw error
  } finally {
    context.temporaries.delete(temporary)
  }
}

async function fill(
  context: Context,
  file: FileHandle,
  chunks: AsyncIterable<Bytes>,
  attributes: Attributes,
): Promise<void> {
  for await (const chunk of chunks) await raced(context, writeAll(file, chunk))
  await raced(context, file.chmod(attributes.mode & MODE_BITS))
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
