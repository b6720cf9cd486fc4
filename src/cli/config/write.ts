/**
 * Writes the configuration: to a file beside it, which then gets its name, so that a reader has all
 * of it, old or new. The file beside it has a fixed name and is made by one alone, so it is also
 * what keeps two writers apart: the second waits LOCK_MS for the first. A file that is there keeps
 * its mode and owner; a new one has mode 0600.
 */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs'
import { pause } from '../context.ts'
import type { Context } from '../context.ts'
import { folderPrefix } from '../../runtime/byte-path.ts'
import { fromBytes, toBytes } from '../../runtime/byte-string.ts'
import { printable } from '../../runtime/printable.ts'
import { localError } from '../../runtime/file-errors.ts'
import { errnoOf } from '../../runtime/system-errors.ts'
import { EXIT, Failure } from '../failure.ts'
import { removeQuietly } from '../../../protocols/filesystem/anonymous-file.ts'
import { configError } from './file.ts'
import type { ConfigPlace } from './file.ts'

/** How long another writer is waited for: it needs a few milliseconds. */
const LOCK_MS = 3_000
const AGAIN_MS = 20

/** Has `change` make the new text while nobody else writes, and writes it. */
export async function changeConfiguration(context: Context, place: ConfigPlace, change: () => string): Promise<void> {
  const path = realPath(place)
  const lock = Buffer.concat([path, Buffer.from('.new')])
  const fd = await openLock(context, lock)
  context.temporaries.add(lock)
  try {
    try {
      const bytes = Buffer.from(change())
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at)
      keepOwnership(fd, path)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(lock, path)
  } catch (error) {
    removeQuietly(lock)
    throw error instanceof Failure ? error : configError(`${place.shown}: ${localError(error).message}`, error)
  } finally {
    context.temporaries.delete(lock)
  }
}

/** No bit lets anybody else write it: such a file is not read. */
const MODE_BITS = 0o755
const GROUP_BITS = 0o070

/** Gives `fd` the mode and owner of the file at `path`, where there is one. */
function keepOwnership(fd: number, path: Buffer): void {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return
  let mode = stats.mode & MODE_BITS
  try {
    fchownSync(fd, stats.uid, stats.gid)
  } catch (error) {
    if (errnoOf(error) !== 'EPERM') throw error
    // the group is another one, which was given nothing
    mode &= ~GROUP_BITS
  }
  fchmodSync(fd, mode)
}

/** Where the file is: a link to it stays one. */
function realPath({ path }: ConfigPlace): Buffer {
  try {
    return realpathSync.native(toBytes(path), 'buffer')
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw localError(error)
    return toBytes(path)
  }
}

async function openLock(context: Context, lock: Buffer): Promise<number> {
  const shown = printable(fromBytes(lock))
  const until = context.clock.now() + LOCK_MS
  for (;;) {
    try {
      return openLockNow(lock)
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw configError(`${shown}: ${localError(error).message}`, error)
      if (context.clock.now() >= until) {
        const sentence = `${shown}: another command writes the configuration; where none does, remove this file`
        throw new Failure('ERR_BUSY', sentence, EXIT.failed)
      }
      await pause(context, AGAIN_MS)
    }
  }
}

function openLockNow(lock: Buffer): number {
  try {
    return openSync(lock, 'wx', 0o600)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    mkdirSync(toBytes(folderPrefix(fromBytes(lock))), { recursive: true, mode: 0o700 })
    return openSync(lock, 'wx', 0o600)
  }
}
