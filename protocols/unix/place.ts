/**
 * Sockets as files, held by descriptors: what is found is what is then connected to, listened
 * beside or removed, whatever somebody renames meanwhile. `/proc/self/fd/N/NAME` names them for the
 * kernel, which also lifts the 107 bytes of `sockaddr_un`. Where there is no /proc, paths stand for
 * descriptors.
 */
import { closeSync, fstatSync, openSync, statSync, type Stats } from 'node:fs'
import { TrunkError } from '../../src/contracts/errors.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import { canWalk, O_PATH, Root, type Folder, type Found } from '../filesystem/root.ts'
import type { UnixAddress } from './address.ts'
import type { AllowedPlace } from './policy.ts'

/** The folder of a socket, held. */
export interface SocketFolder {
  readonly folder: Folder
  /** The socket's name in it. */
  readonly name: Uint8Array
  /**
   * What has the name now, a link being what it is. The caller closes it. Throws a system error.
   */
  find(): Found
  close(): void
}

/** A socket that was found. */
export interface FoundSocket {
  /** Where it is, for `connect`; good until `close`. */
  readonly path: Buffer
  readonly stats: Stats
  close(): void
}

const SLASH = 0x2f

/** A place as this machine's own user writes it: whatever leads there, links too. */
export function ownPlace({ path, names }: Extract<UnixAddress, { type: 'file' }>): AllowedPlace {
  const bytes = Buffer.from(path)
  return { folder: bytes.subarray(0, Math.max(1, bytes.lastIndexOf(SLASH))), names: names.slice(-1) }
}

/**
 * Walks to the folder of `place`. The caller closes it. Throws the walk's error: {@link whyNot}
 * says what it means.
 */
export function folderOf(place: AllowedPlace): SocketFolder {
  const root = new Root(place.folder)
  const leave = root.use()
  try {
    const { folder, name } = root.parent(place.names)
    return {
      folder,
      name,
      find: () => root.find(folder, name),
      close() {
        folder.close()
        leave()
      },
    }
  } catch (error) {
    leave()
    throw error
  }
}

/**
 * Finds what is at `place`, a link being no socket. The caller closes it. Throws as {@link
 * folderOf}.
 */
export function findSocket(place: AllowedPlace): FoundSocket {
  const root = new Root(place.folder)
  const leave = root.use()
  try {
    const { folder, name } = root.parent(place.names)
    try {
      const found = root.find(folder, name)
      return { path: found.self, stats: found.stats, close: () => found.close() }
    } finally {
      folder.close()
    }
  } finally {
    leave()
  }
}

/**
 * Finds what is at a path of this machine's own user, by links too. The caller closes it. Throws a
 * system error.
 */
export function findOwnSocket({ path }: Extract<UnixAddress, { type: 'file' }>): FoundSocket {
  // on other systems, and without /proc, there is nothing to hold it by
  if (!canWalk()) return { path: Buffer.from(path), stats: statSync(Buffer.from(path)), close: () => undefined }
  const fd = openSync(Buffer.from(path), O_PATH)
  return { path: Buffer.from(`/proc/self/fd/${fd}`), stats: fstatSync(fd), close: () => closeSync(fd) }
}

/** The walk's errors by their codes. */
const WALK: ReadonlyMap<string, string> = new Map([
  ['ERR_NOT_FOUND', 'ENOENT'],
  ['ERR_NOT_DIRECTORY', 'ENOTDIR'],
  ['ERR_ACCESS', 'EACCES'],
])

/** What a walk has failed with: a system's error for net-errors.ts, or ERR_DENIED for a link. */
export function whyNot(error: unknown, target: string): unknown {
  if (errnoOf(error) === 'ELOOP' || (error instanceof TrunkError && error.code === 'ERR_SYMLINK')) {
    return new TrunkError('ERR_DENIED', `${target} is not allowed here: a symbolic link is in its path`, {
      cause: error,
    })
  }
  const code = error instanceof TrunkError ? WALK.get(error.code) : undefined
  return code === undefined ? error : Object.assign(new Error(code, { cause: error }), { code })
}
