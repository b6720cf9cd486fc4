/**
 * The operating system's errors about this machine's files as codes, decided by `error.code`, never
 * by a message.
 */
import { TrunkError, type ErrorCode } from '../contracts/errors.ts'

/** `ENOENT` and the like; undefined for what is no error of the system, or of Node. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** What went wrong on this machine, by the operating system's own name for it. */
const LOCAL: Readonly<Record<string, readonly [code: ErrorCode, sentence: string]>> = {
  ENOENT: ['ERR_NOT_FOUND', 'no such file or directory'],
  EACCES: ['ERR_ACCESS', 'permission denied'],
  EPERM: ['ERR_ACCESS', 'operation not permitted'],
  EROFS: ['ERR_ACCESS', 'the file system here is read-only'],
  EEXIST: ['ERR_EXISTS', 'exists already'],
  ENOTDIR: ['ERR_NOT_DIRECTORY', 'not a directory'],
  EISDIR: ['ERR_IS_DIRECTORY', 'is a directory'],
  ENOTEMPTY: ['ERR_NOT_EMPTY', 'the directory here is not empty'],
  ENOSPC: ['ERR_NO_SPACE', 'no space is left on the disk'],
  EDQUOT: ['ERR_QUOTA', 'the disk quota here is used up'],
  EFBIG: ['ERR_FILE_TOO_LARGE', 'the file is too large for the file system'],
  ELOOP: ['ERR_NOT_REGULAR', 'is a symbolic link'],
  ENAMETOOLONG: ['ERR_PATH_INVALID', 'the name is too long'],
  EMFILE: ['ERR_HANDLE_LIMIT', 'too many files are open'],
  EBUSY: ['ERR_BUSY', 'is busy'],
  ESTALE: ['ERR_FILE_CHANGED', 'changed while it was read'],
  EBADF: ['ERR_IO', 'is closed, or open for the other direction'],
  EFTYPE: ['ERR_NOT_REGULAR', 'is not a regular file'],
  ENXIO: ['ERR_NOT_REGULAR', 'is a socket, or a device that is not there'],
  EINVAL: ['ERR_IO', 'cannot be read or written like this'],
  EIO: ['ERR_IO', 'the device reported an error'],
}

/** An error of Node or of this machine as a {@link TrunkError}; itself if it is one. */
export function localError(thrown: unknown): TrunkError {
  if (thrown instanceof TrunkError) return thrown
  const errno = errnoOf(thrown) ?? ''
  const known = Object.hasOwn(LOCAL, errno) ? LOCAL[errno] : undefined
  if (known !== undefined) return new TrunkError(known[0], known[1], { cause: thrown })
  if (errno === 'ABORT_ERR') return new TrunkError('ERR_ABORTED', 'interrupted', { cause: thrown })
  return new TrunkError('ERR_IO', thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown })
}
