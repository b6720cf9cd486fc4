/**
 * Writing. `replace` is atomic: the data go to a file without a name (anonymous-file.ts), which
 * takes the target's only after the last byte (and the disk's word for it, where asked); whatever
 * fails before that leaves the target as it was and nothing beside it. `append` and `update` change
 * a file in place. Never writes through a symbolic link, to anything but a regular file, beyond
 * `maxFileBytes`, and in place not to a file that has other names unless that is allowed.
 */
import { closeSync, constants, fchmodSync, fstatSync, linkSync, lstatSync, openSync, renameSync } from 'node:fs'
import type { Uint8ArrayList } from 'uint8arraylist'
import { inPool } from '../../src/runtime/budgets.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { freshName } from '../../src/runtime/fresh-bytes.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import { flush, writeAll, writeAtOnce } from './file-io.ts'
import type { RequestOf } from './messages.ts'
import type { SmallWrite } from './file-batch.ts'
import { requirePath } from './path.ts'
import { requireRegular, type Folder } from './root.ts'
import type { Operation, Serving } from './serving.ts'
import { keepTimes } from './times.ts'
import { nameAnonymous, nameAnonymousOver, removeQuietly } from './anonymous-file.ts'

const { O_APPEND, O_CREAT, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_WRONLY } = constants
/** Permission bits that a peer may set: never setuid, setgid or sticky (CVE-2018-20685). */
export const PERMISSION_BITS = 0o777
/** New files, before the umask. */
const NEW_FILE_MODE = 0o666
const SPECIAL_BITS = 0o6000
/** What is written without the thread pool: so little that the kernel takes it into its memory. */
const AT_ONCE_BYTES = 32 * 1024

/** Answers `write`: accepts when the file is open, returns when the data have their name. */
export async function serveWrite(operation: Operation<'write'>): Promise<void> {
  const { message, serving } = operation
  const { folder, name } = serving.root.parent(requirePath(message.path))
  try {
    if (message.offset > serving.options.maxFileBytes) throw overQuota(serving)
    if (message.how === 'replace') await replace(operation, folder, name)
    else await changeInPlace(operation, folder, name)
  } finally {
    folder.close()
  }
}

async function replace(operation: Operation<'write'>, folder: Folder, name: Uint8Array): Promise<void> {
  const { message, request, account } = operation
  const replacement = beginReplacing(folder, name, message)
  const { fd } = replacement
  try {
    await receive(operation, fd, 0, 0)
    giveAttributes(replacement, message)
    if (message.durable) {
      await inPool(account.jobs, request, () => flush(fd))
      // The peer may have gone while the disk was busy: what nobody waits for any more does not
      // happen.
      request.signal.throwIfAborted()
    }
    takeName(replacement, message.exclusive)
  } catch (error) {
    if (replacement.temporary !== undefined) removeQuietly(replacement.temporary)
    throw error
  } finally {
    closeSync(fd)
  }
}

/**
 * A small file whose content is all there, in one piece and as atomically as {@link serveWrite}
 * does it; without waiting for the disk.
 */
export function replaceAtOnce(serving: Serving, folder: Folder, name: Uint8Array, file: SmallWrite): void {
  if (file.content.byteLength > serving.options.maxFileBytes) throw overQuota(serving)
  const replacement = beginReplacing(folder, name, file)
  const { fd } = replacement
  try {
    for (let rest = file.content; rest.byteLength > 0;) {
      const written = writeAtOnce(fd, rest, null)
      if (written === 0) throw new TrunkError('ERR_IO', 'the disk took no bytes')
      rest = rest.subarray(written)
    }
    giveAttributes(replacement, file)
    takeName(replacement, false)
  } catch (error) {
    if (replacement.temporary !== undefined) removeQuietly(replacement.temporary)
    throw error
  } finally {
    closeSync(fd)
  }
}

/** A file that has no name of its own yet, for the one whose name it is to take. */
interface Replacement {
  readonly fd: number
  readonly folder: Folder
  readonly target: Buffer
  /** Its name until then; undefined where it has none. */
  readonly temporary: Buffer | undefined
  /** What it gets when it is complete; undefined where the umask has decided. */
  readonly mode: number | undefined
}

/**
 * Checks what is there and makes the file, which the caller closes, and names; on a failure it
 * removes the temporary one.
 */
function beginReplacing(
  folder: Folder,
  name: Uint8Array,
  { mode: asked, exclusive = false }: { readonly mode?: number | undefined; readonly exclusive?: boolean },
): Replacement {
  const target = folder.entry(name)
  const before = lstatSync(target, { throwIfNoEntry: false })
  if (before !== undefined) {
    requireRegular(before)
    if (exclusive) throw new TrunkError('ERR_EXISTS', 'it exists already')
  }
  const mode = asked ?? before?.mode
  // Until it is complete nobody else gets to read what will have narrower permissions.
  const first = mode === undefined ? NEW_FILE_MODE : 0o600
  const anonymous = folder.anonymous(first)
  if (anonymous !== undefined) return { fd: anonymous, folder, target, temporary: undefined, mode }
  const temporary = folder.entry(temporaryName())
  const fd = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY, first)
  return { fd, folder, target, temporary, mode }
}

/** The file is complete: it gets its name, from whoever has it unless that is excluded. */
function takeName({ fd, folder, target, temporary }: Replacement, exclusive: boolean | undefined): void {
  if (temporary !== undefined) {
    if (exclusive === true) nameExclusively(temporary, target)
    else renameSync(temporary, target)
  } else if (exclusive === true) nameAnonymous(fd, target)
  else nameAnonymousOver(fd, target, () => folder.entry(temporaryName()))
}

function giveAttributes({ fd, mode }: Replacement, times: { readonly modifiedMs?: number | undefined }): void {
  if (mode !== undefined) fchmodSync(fd, mode & PERMISSION_BITS)
  keepTimes(fd, { modifiedMs: times.modifiedMs, accessedMs: times.modifiedMs })
}

async function changeInPlace(operation: Operation<'write'>, folder: Folder, name: Uint8Array): Promise<void> {
  const { message, request, serving, account } = operation
  const fd = openInPlace(serving, folder, name, message)
  try {
    const size = fstatSync(fd).size
    const position = message.how === 'append' ? null : message.offset
    await receive(operation, fd, position, position ?? size)
    if (message.mode !== undefined) fchmodSync(fd, message.mode & PERMISSION_BITS)
    keepTimes(fd, { modifiedMs: message.modifiedMs, accessedMs: message.modifiedMs })
    if (message.durable) await inPool(account.jobs, request, () => flush(fd))
  } finally {
    closeSync(fd)
  }
}

/** Opens what is there, or creates it; someone may do either in between, hence the second try. */
function openInPlace(serving: Serving, folder: Folder, name: Uint8Array, message: RequestOf<'write'>): number {
  const flags = O_WRONLY | (message.how === 'append' ? O_APPEND : 0)
  for (let attempt = 1; ; attempt++) {
    try {
      if (message.exclusive) return createInPlace(folder, name, flags)
      return openExisting(serving, folder, name, flags) ?? createInPlace(folder, name, flags)
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST' || message.exclusive || attempt === 2) throw error
    }
  }
}

function createInPlace(folder: Folder, name: Uint8Array, flags: number): number {
  return openSync(folder.entry(name), flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY, NEW_FILE_MODE)
}

function openExisting(serving: Serving, folder: Folder, name: Uint8Array, flags: number): number | undefined {
  if (lstatSync(folder.entry(name), { throwIfNoEntry: false }) === undefined) return undefined
  const found = serving.root.find(folder, name)
  try {
    requireRegular(found.stats)
    requireOneName(found.stats.nlink, serving)
    const fd = found.open(flags)
    // The kernel clears these bits when a user writes, but not when root does.
    if ((found.stats.mode & SPECIAL_BITS) !== 0) fchmodSync(fd, found.stats.mode & PERMISSION_BITS)
    return fd
  } finally {
    found.close()
  }
}

/**
 * A file with several names may be reached from outside the root: changing it in place would change
 * that too.
 */
export function requireOneName(links: number, serving: Serving): void {
  if (links <= 1 || serving.options.allowHardLinkWrites) return
  throw new TrunkError('ERR_DENIED', 'the file has several names (hard links) and is not changed in place')
}

/**
 * Writes what the pipe carries. Reads on only when the disk has taken the last portion: that is the
 * back-pressure.
 */
async function receive(
  { request, serving, account }: Operation<'write'>,
  fd: number,
  position: number | null,
  base: number,
): Promise<void> {
  const pipe = request.accept()
  // Nothing is said this way but that it is over: told now, it travels with the accept.
  void pipe.closeWrite()
  let bytes = 0
  for await (const data of pipe.borrowed) {
    if (base + bytes + data.byteLength > serving.options.maxFileBytes) throw overQuota(serving)
    const at = position === null ? null : position + bytes
    const rest = bytes === 0 ? firstAtOnce(fd, data, at) : data
    if (rest.byteLength > 0) {
      const start = at === null ? null : at + data.byteLength - rest.byteLength
      await inPool(account.jobs, pipe, () => writeAll(fd, rest, start))
    }
    bytes += data.byteLength
  }
}

/**
 * Writes the first portion of a file at once where it is small, which a small file is in whole.
 * Gives what is left.
 */
function firstAtOnce(fd: number, data: Uint8ArrayList, position: number | null): Uint8ArrayList {
  if (data.byteLength > AT_ONCE_BYTES) return data
  return data.sublist(writeAtOnce(fd, data.subarray(), position))
}

/**
 * Gives the file its name only if nobody else has it: a hard link is atomic; where there are none,
 * the name is reserved first.
 */
function nameExclusively(temporary: Buffer, target: Buffer): void {
  try {
    linkSync(temporary, target)
    removeQuietly(temporary)
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(errnoOf(error) ?? '')) throw error
    closeSync(openSync(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600))
    renameSync(temporary, target)
  }
}

function temporaryName(): Uint8Array {
  return Buffer.from(`.trunkline-${freshName()}.tmp`)
}

function overQuota(serving: Serving): TrunkError {
  return new TrunkError('ERR_QUOTA', `a file may have at most ${serving.options.maxFileBytes} bytes here`)
}
