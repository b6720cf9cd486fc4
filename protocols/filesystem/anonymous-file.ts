/**
 * Files that have no name until they are complete (Linux's O_TMPFILE): whoever is killed while it
 * writes one, by SIGKILL or with its machine, leaves nothing behind, since nothing was there. What
 * cannot make or name such a file (another system, no native addon, a file system that has none of
 * them) takes a temporary name instead, which only an end by itself removes.
 */
import { closeSync, constants, openSync, renameSync, unlinkSync } from 'node:fs'
import { loadNative, type NativeNaming } from '../../src/native/load.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'

/**
 * Not in `fs.constants`; __O_TMPFILE is the same number on every architecture that Node supports,
 * O_DIRECTORY is not.
 */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY

/** Says that a file system, or a kernel, has no files without a name. */
const UNKNOWN: ReadonlySet<string | undefined> = new Set(['EOPNOTSUPP', 'ENOTSUP', 'EISDIR', 'EINVAL', 'ENOENT'])

let known: boolean | undefined

/**
 * The flags that make one, of a directory's path, for writing; undefined where it could not be
 * named later.
 */
export function anonymousFlags(): number | undefined {
  known ??= process.platform === 'linux' && canName(loadNative())
  return known ? O_TMPFILE | constants.O_WRONLY : undefined
}

/**
 * Whether this process may name files at all: not where /proc is not mounted or a sandbox forbids
 * the call, which a writer would learn only with its last byte. Asked with the one name that is
 * always somebody's, so nothing is made.
 */
export function canName(native: NativeNaming | undefined): boolean {
  if (native === undefined) return false
  const fd = openSync('/', constants.O_RDONLY)
  try {
    native.name(fd, Buffer.from('/'))
    return false
  } catch (error) {
    return errnoOf(error) === 'EEXIST'
  } finally {
    closeSync(fd)
  }
}

/**
 * True for an error of opening with {@link anonymousFlags} that says that there are no such files
 * here.
 */
export function hasNoAnonymous(error: unknown): boolean {
  return UNKNOWN.has(errnoOf(error))
}

/** Makes one in `folder`; undefined where there are none. */
export function openAnonymous(folder: Buffer, mode: number): number | undefined {
  const flags = anonymousFlags()
  if (flags === undefined) return undefined
  try {
    return openSync(folder, flags, mode)
  } catch (error) {
    if (hasNoAnonymous(error)) return undefined
    throw error
  }
}

/** Gives it its name. Throws EEXIST where somebody has it, which stays as it is. */
export function nameAnonymous(fd: number, target: Buffer): void {
  loadNative()?.name(fd, target)
}

/**
 * Gives it its name, which it takes from whoever has it; for that it has the name `temporary`
 * between two system calls.
 */
export function nameAnonymousOver(fd: number, target: Buffer, temporary: () => Buffer): void {
  try {
    nameAnonymous(fd, target)
    return
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
  const between = temporary()
  nameAnonymous(fd, between)
  try {
    renameSync(between, target)
  } catch (error) {
    removeQuietly(between)
    throw error
  }
}

/** Removes a temporary name after a failure that matters more. */
export function removeQuietly(path: Buffer): void {
  try {
    unlinkSync(path)
  } catch {
    // Someone else removed it, or the directory is gone with it: it isn't there, which is what
    // counts.
  }
}
