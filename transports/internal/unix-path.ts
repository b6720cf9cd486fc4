/**
 * The file of a listening unix socket: who may have the path, and whose it is afterwards.
 *
 * The socket is bound under a temporary name beside the path, given its mode, and only then shown
 * under the path: nobody can connect before the mode is right, and libuv, which removes the name
 * that was bound, cannot remove a successor's file. Assumes: who may write to the folder is
 * trusted. Two listeners that replace the same stale file in the same instant may both succeed; the
 * later one has the path.
 */
import { chmodSync, chownSync, linkSync, lstatSync, renameSync, rmSync } from 'node:fs'
import { access as accessible, lstat } from 'node:fs/promises'
import { connect } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { TrunkError } from '../../src/contracts/errors.ts'
import { freshBytes } from '../../src/runtime/fresh-bytes.ts'
import { listenError } from '../../src/runtime/net-errors.ts'
import { resolveAccess, type SocketAccess } from './socket-access.ts'
import { MAX_SOCKET_PATH_BYTES } from './unix-address.ts'

/** A path that may be listened at. */
export interface PathClaim {
  /** Bind here first. */
  readonly temporaryPath: string
  /**
   * Shows the bound socket under its path; throws the file system's error, or ERR_ADDRESS_IN_USE
   * where someone was faster.
   */
  publish(): void
  /** Removes the file under the path if it is the one that was published. Never throws. */
  readonly release: () => void
}

/**
 * Claims `path`; rejects with ERR_ADDRESS_IN_USE where someone answers there or the file is no
 * socket.
 */
export async function claimSocketPath(path: string, written: string, access: SocketAccess = {}): Promise<PathClaim> {
  const inUse = (what: string): TrunkError =>
    new TrunkError('ERR_ADDRESS_IN_USE', `cannot listen at ${written}: ${what}`, { scope: 'link' })
  try {
    await accessible(dirname(path))
  } catch (error) {
    // Binding would say EACCES for a folder that is missing: libuv maps it so.
    throw listenError(error, written, 'link')
  }
  // whatever hinders it will hinder binding, too, and is told then
  const found = await lstat(path).catch(() => undefined)
  if (found !== undefined) {
    if (!found.isSocket()) throw inUse('a file that is no socket is there')
    if (await isAnswered(path)) throw inUse('the address is in use')
  }
  const { mode, gid } = await resolveAccess(access, written)
  const temporaryPath = temporaryBeside(path)
  let published: { dev: number; ino: number } | undefined
  return {
    temporaryPath,
    publish() {
      // in this order: the bits of its group are for no other group
      if (gid !== undefined) chownSync(temporaryPath, lstatSync(temporaryPath).uid, gid)
      chmodSync(temporaryPath, mode)
      const { dev, ino } = lstatSync(temporaryPath)
      // link refuses to replace, rename replaces: the first for a free path, the second for the
      // stale file that was seen.
      if (found === undefined) linkSync(temporaryPath, path)
      else if (sameFile(path, found)) renameSync(temporaryPath, path)
      else throw inUse('the address is in use')
      rmSync(temporaryPath, { force: true })
      published = { dev, ino }
    },
    release: () => {
      if (published !== undefined) removeIfSame(path, published)
      published = undefined
    },
  }
}

/** True where the file at `path` still is `file`. */
function sameFile(path: string, file: { dev: number; ino: number }): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false })
  return found !== undefined && found.dev === file.dev && found.ino === file.ino
}

function removeIfSame(path: string, file: { dev: number; ino: number }): void {
  try {
    if (sameFile(path, file)) rmSync(path, { force: true })
  } catch {
    // The folder is gone or no longer ours to change. A file that stays behind is stale, and the
    // next listener replaces it.
  }
}

/** A name in the same folder that is not longer than the kernel takes. */
function temporaryBeside(path: string): string {
  const room = MAX_SOCKET_PATH_BYTES - Buffer.byteLength(path) + Buffer.byteLength(basename(path))
  return join(dirname(path), `.${Buffer.from(freshBytes(8)).toString('hex')}`.slice(0, Math.max(2, room)))
}

/**
 * Whether anybody accepts there. Everything but a refusal counts: a socket that we may not connect
 * to is not ours to replace.
 */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT')
    })
  })
}
