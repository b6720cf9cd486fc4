/**
 * What the operating system's errors mean: the one table of them. One of them means something else
 * on each occasion, so a row has a column for each. net-errors.ts and file-errors.ts make errors of
 * it; a sentence of theirs may travel to a peer and names nothing of this machine.
 *
 * Not here: what a device, vsock or the launch of a program adds to it, each beside its caller.
 */
import type { KnownCode } from '../contracts/errors.ts'

/** A code, and why, as it ends a sentence. */
export type Meaning = readonly [code: KnownCode, why: string]

/**
 * `connect`: dialling. `listen`: binding and listening. `link`: a link that was established.
 * `local`: a file of this machine's own user. `served`: a file that is served to a peer.
 */
export type Occasion = 'connect' | 'listen' | 'link' | 'local' | 'served'

/**
 * Of dialling, ENOENT is a unix socket that is not there: nobody listens, as with ECONNREFUSED.
 */
const MEANINGS: Readonly<Record<string, Readonly<Partial<Record<Occasion, Meaning>>>>> = {
  ENOENT: {
    local: ['ERR_NOT_FOUND', 'no such file or directory'],
    served: ['ERR_NOT_FOUND', 'no such file or directory'],
    connect: ['ERR_CONNECT_REFUSED', 'there is no such socket'],
    listen: ['ERR_ADDRESS_UNAVAILABLE', 'the folder does not exist'],
  },
  EACCES: {
    local: ['ERR_ACCESS', 'permission denied'],
    served: ['ERR_ACCESS', 'permission denied'],
    connect: ['ERR_DENIED', 'permission denied'],
    listen: ['ERR_BIND_DENIED', 'permission denied'],
  },
  EPERM: {
    local: ['ERR_ACCESS', 'operation not permitted'],
    served: ['ERR_ACCESS', 'operation not permitted'],
    connect: ['ERR_DENIED', 'permission denied'],
    listen: ['ERR_BIND_DENIED', 'permission denied'],
  },
  EROFS: {
    local: ['ERR_ACCESS', 'the file system here is read-only'],
    served: ['ERR_READ_ONLY', 'the file system is read-only'],
    listen: ['ERR_BIND_DENIED', 'the file system is read-only'],
  },
  EEXIST: {
    local: ['ERR_EXISTS', 'exists already'],
    served: ['ERR_EXISTS', 'it exists already'],
    listen: ['ERR_ADDRESS_IN_USE', 'the address is in use'],
  },
  ENOTDIR: {
    local: ['ERR_NOT_DIRECTORY', 'not a directory'],
    served: ['ERR_NOT_DIRECTORY', 'not a directory'],
    connect: ['ERR_CONNECT_REFUSED', 'a part of the path is no folder'],
    listen: ['ERR_ADDRESS_UNAVAILABLE', 'a part of the path is no folder'],
  },
  EISDIR: { local: ['ERR_IS_DIRECTORY', 'is a directory'], served: ['ERR_IS_DIRECTORY', 'it is a directory'] },
  ENOTEMPTY: {
    local: ['ERR_NOT_EMPTY', 'the directory here is not empty'],
    served: ['ERR_NOT_EMPTY', 'the directory is not empty'],
  },
  ENOSPC: {
    local: ['ERR_NO_SPACE', 'no space is left on the disk'],
    served: ['ERR_NO_SPACE', 'no space left'],
    listen: ['ERR_NO_SPACE', 'no space left'],
  },
  EDQUOT: {
    local: ['ERR_QUOTA', 'the disk quota here is used up'],
    served: ['ERR_QUOTA', 'disk quota exceeded'],
    listen: ['ERR_QUOTA', 'disk quota exceeded'],
  },
  EFBIG: {
    local: ['ERR_FILE_TOO_LARGE', 'the file is too large for the file system'],
    served: ['ERR_FILE_TOO_LARGE', 'the file would be larger than the file system allows'],
  },
  ELOOP: {
    local: ['ERR_NOT_REGULAR', 'is a symbolic link'],
    served: ['ERR_SYMLINK', 'symbolic links are not followed'],
  },
  ENAMETOOLONG: {
    local: ['ERR_PATH_INVALID', 'the name is too long'],
    served: ['ERR_PATH_INVALID', 'the name is too long for the file system'],
  },
  EMFILE: {
    local: ['ERR_HANDLE_LIMIT', 'too many files are open'],
    served: ['ERR_HANDLE_LIMIT', 'too many open files'],
  },
  EBUSY: { local: ['ERR_BUSY', 'is busy'], served: ['ERR_BUSY', 'it is in use'] },
  ESTALE: { local: ['ERR_FILE_CHANGED', 'changed while it was read'] },
  EBADF: { local: ['ERR_IO', 'is closed, or open for the other direction'] },
  EFTYPE: { local: ['ERR_NOT_REGULAR', 'is not a regular file'] },
  ENXIO: { local: ['ERR_NOT_REGULAR', 'is a socket, or a device that is not there'] },
  EINVAL: {
    local: ['ERR_IO', 'cannot be read or written like this'],
    served: ['ERR_UNSUPPORTED', 'the file system does not support this'],
    connect: ['ERR_ADDRESS_UNAVAILABLE', 'the address cannot be used here'],
    listen: ['ERR_ADDRESS_UNAVAILABLE', 'the address cannot be bound'],
  },
  EIO: { local: ['ERR_IO', 'the device reported an error'], served: ['ERR_IO', 'the disk reported an error'] },
  EOVERFLOW: { served: ['ERR_FILE_TOO_LARGE', 'the file is larger than can be handled'] },
  EXDEV: { served: ['ERR_CROSS_DEVICE', 'both names must be on the same file system'] },
  ENFILE: { served: ['ERR_HANDLE_LIMIT', 'too many open files'] },
  ETXTBSY: { served: ['ERR_BUSY', 'it is being executed'] },
  EILSEQ: { served: ['ERR_PATH_INVALID', 'the file system does not take this name'] },
  ENOTSUP: { served: ['ERR_UNSUPPORTED', 'the file system does not support this'] },
  EOPNOTSUPP: { served: ['ERR_UNSUPPORTED', 'the file system does not support this'] },
  ECONNREFUSED: { connect: ['ERR_CONNECT_REFUSED', 'nobody listens there'] },
  ECONNRESET: {
    connect: ['ERR_CONNECT_REFUSED', 'it hung up at once'],
    link: ['ERR_LINK_RESET', 'the peer reset the line'],
  },
  EPIPE: {
    connect: ['ERR_CONNECT_REFUSED', 'it hung up at once'],
    link: ['ERR_LINK_RESET', 'the peer no longer reads'],
  },
  ENOTSOCK: { connect: ['ERR_CONNECT_REFUSED', 'that is no socket'] },
  EPROTOTYPE: { connect: ['ERR_CONNECT_REFUSED', 'that is a socket of another kind'] },
  EAGAIN: { connect: ['ERR_CONNECT_REFUSED', 'its backlog is full'] },
  EHOSTUNREACH: {
    connect: ['ERR_CONNECT_UNREACHABLE', 'no route to the host'],
    link: ['ERR_LINK_LOST', 'the peer can no longer be reached'],
  },
  ENETUNREACH: {
    connect: ['ERR_CONNECT_UNREACHABLE', 'no route to the network'],
    link: ['ERR_LINK_LOST', 'the peer can no longer be reached'],
  },
  EHOSTDOWN: { connect: ['ERR_CONNECT_UNREACHABLE', 'the host is down'] },
  ENETDOWN: {
    connect: ['ERR_CONNECT_UNREACHABLE', 'the network is down'],
    link: ['ERR_LINK_LOST', 'the network is down'],
  },
  ENODEV: { connect: ['ERR_CONNECT_UNREACHABLE', 'there is no device for it'] },
  EADDRNOTAVAIL: {
    connect: ['ERR_ADDRESS_UNAVAILABLE', 'the address cannot be used here'],
    listen: ['ERR_ADDRESS_UNAVAILABLE', 'no interface here has that address'],
  },
  EAFNOSUPPORT: {
    connect: ['ERR_ADDRESS_UNAVAILABLE', 'this kind of address is not supported here'],
    listen: ['ERR_ADDRESS_UNAVAILABLE', 'this kind of address is not supported here'],
  },
  ETIMEDOUT: {
    connect: ['ERR_CONNECT_TIMEOUT', 'no answer in time'],
    link: ['ERR_LINK_LOST', 'the peer no longer answers'],
  },
  ERR_SOCKET_CONNECTION_TIMEOUT: { connect: ['ERR_CONNECT_TIMEOUT', 'no answer in time'] },
  ENOTFOUND: {
    connect: ['ERR_NAME_NOT_FOUND', 'the name is not known'],
    listen: ['ERR_NAME_NOT_FOUND', 'the name is not known'],
  },
  EADDRINUSE: { listen: ['ERR_ADDRESS_IN_USE', 'the address is in use'] },
  ECONNABORTED: { link: ['ERR_LINK_RESET', 'the line was aborted'] },
  ENOTCONN: { link: ['ERR_LINK_LOST', 'the line is gone'] },
}

/** What `error` means on that occasion; undefined for what the table does not have. */
export function meaningOf(error: unknown, occasion: Occasion): Meaning | undefined {
  const errno = errnoOf(error)
  return errno !== undefined && Object.hasOwn(MEANINGS, errno) ? MEANINGS[errno]?.[occasion] : undefined
}

/**
 * `ENOENT` and the like; undefined for what is no error of the system, or of Node. Several attempts
 * (AggregateError) count as their first.
 */
export function errnoOf(error: unknown): string | undefined {
  if (!isError(error)) return undefined
  if ('code' in error && typeof error.code === 'string') return error.code
  return error instanceof AggregateError && error.errors.length > 0 ? errnoOf(error.errors[0]) : undefined
}

/** Not by its class: under some runners of tests Node's errors are of another realm. */
function isError(value: unknown): value is Error {
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]'
}
