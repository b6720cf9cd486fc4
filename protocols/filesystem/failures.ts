/**
 * The operating system's errors as codes. What travels to the peer is a code and a sentence of
 * ours: the original message holds absolute local paths, so it stays here as `cause`.
 */
import { TrunkError, type KnownCode } from '../../src/contracts/errors.ts'

const FAILURES: ReadonlyMap<string, readonly [KnownCode, string]> = new Map([
  ['ENOENT', ['ERR_NOT_FOUND', 'no such file or directory']],
  ['EEXIST', ['ERR_EXISTS', 'it exists already']],
  ['ENOTDIR', ['ERR_NOT_DIRECTORY', 'not a directory']],
  ['EISDIR', ['ERR_IS_DIRECTORY', 'it is a directory']],
  ['ENOTEMPTY', ['ERR_NOT_EMPTY', 'the directory is not empty']],
  ['EACCES', ['ERR_ACCESS', 'permission denied']],
  ['EPERM', ['ERR_ACCESS', 'operation not permitted']],
  ['EROFS', ['ERR_READ_ONLY', 'the file system is read-only']],
  ['ENOSPC', ['ERR_NO_SPACE', 'no space left']],
  ['EDQUOT', ['ERR_QUOTA', 'disk quota exceeded']],
  ['EIO', ['ERR_IO', 'the disk reported an error']],
  ['ELOOP', ['ERR_SYMLINK', 'symbolic links are not followed']],
  ['EFBIG', ['ERR_FILE_TOO_LARGE', 'the file would be larger than the file system allows']],
  ['EOVERFLOW', ['ERR_FILE_TOO_LARGE', 'the file is larger than can be handled']],
  ['EXDEV', ['ERR_CROSS_DEVICE', 'both names must be on the same file system']],
  ['EMFILE', ['ERR_HANDLE_LIMIT', 'too many open files']],
  ['ENFILE', ['ERR_HANDLE_LIMIT', 'too many open files']],
  ['EBUSY', ['ERR_BUSY', 'it is in use']],
  ['ETXTBSY', ['ERR_BUSY', 'it is being executed']],
  ['ENAMETOOLONG', ['ERR_PATH_INVALID', 'the name is too long for the file system']],
  ['EILSEQ', ['ERR_PATH_INVALID', 'the file system does not take this name']],
  ['EINVAL', ['ERR_UNSUPPORTED', 'the file system does not support this']],
  ['ENOTSUP', ['ERR_UNSUPPORTED', 'the file system does not support this']],
  ['EOPNOTSUPP', ['ERR_UNSUPPORTED', 'the file system does not support this']],
])

/** Anything thrown, as what the peer may see. */
export function toFailure(thrown: unknown): TrunkError {
  if (thrown instanceof TrunkError) return thrown
  const [code, message] = FAILURES.get(errnoOf(thrown) ?? '') ?? ['ERR_IO', 'the operation failed']
  return new TrunkError(code, message, { cause: thrown })
}

/** `ENOENT` and so on; undefined for what is no system error. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined
  return typeof thrown.code === 'string' ? thrown.code : undefined
}
