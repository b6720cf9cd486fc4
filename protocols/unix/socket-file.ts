/**
 * The file of a listening unix socket: who may have its name, and whose it is afterwards.
 *
 * The socket is bound in a folder of its own (0700), is given its mode there, and is then linked to
 * its name: nobody can connect before the mode is right, a name that is taken is never replaced,
 * and the name may be as long as the file system takes. A socket that nobody answers any more is
 * first moved aside and looked at there, so of several who replace it one has the name. Assumes
 * that who may write to the folder is trusted: {@link claimName} refuses one that others may write
 * to, where it is asked to.
 */
import { chmodSync, linkSync, lstatSync, mkdirSync, renameSync, rmdirSync, rmSync, type Stats } from 'node:fs'
import { TrunkError } from '../../src/contracts/errors.ts'
import { freshBytes } from '../../src/runtime/fresh-bytes.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import type { Folder } from '../filesystem/root.ts'
import type { UnixDial } from './dial.ts'
import type { SocketFolder } from './place.ts'

/** A name that may be had. */
export interface NameClaim {
  /** Bind here first. */
  readonly temporary: Buffer
  /**
   * Gives the bound socket its mode and its name. Throws a system error, EADDRINUSE where someone
   * was faster.
   */
  publish(): void
  /** Removes what is left: the name where it still is ours, and what is temporary. Never throws. */
  release(): void
}

/** Who may do what with the name. */
export interface ClaimOptions {
  readonly mode: number
  /** Whether a folder that others may write to will do. */
  readonly anyFolder: boolean
  readonly dial: UnixDial
}

/** Bits of a folder's mode: others may write to it, and they may not remove what is another's. */
const WRITABLE_BY_OTHERS = 0o022
const STICKY = 0o1000
/** A prefix of a folder for what is being made or moved aside. */
const ASIDE = '.trunkline-'
const BOUND = Buffer.from('/s')
const MOVED = Buffer.from('/m')

/**
 * Looks at the name and makes room for binding. Rejects with a system error: EADDRINUSE for a name
 * that is taken, EACCES for a folder of others.
 */
export async function claimName(at: SocketFolder, { mode, anyFolder, dial }: ClaimOptions): Promise<NameClaim> {
  const { folder, name } = at
  if (!anyFolder && isOthers(folder.stat())) {
    throw new TrunkError('ERR_BIND_DENIED', 'others may write to the folder of the socket')
  }
  const entry = folder.entry(name)
  const found = lstatSync(entry, { throwIfNoEntry: false })
  if (found !== undefined && !(await isStale(at, found, dial))) throw inUse()
  const aside = makeAside(folder)
  const temporary = Buffer.concat([aside, BOUND])
  let published: Stats | undefined
  return {
    temporary,
    publish() {
      chmodSync(temporary, mode)
      if (found !== undefined && !removeIfSame(folder, entry, found, aside)) throw inUse()
      linkSync(temporary, entry)
      published = lstatSync(temporary)
      rmSync(temporary, { force: true })
      rmdirSync(aside)
    },
    release() {
      try {
        if (published !== undefined) removeIfSame(folder, entry, published)
        else removeAside(aside)
      } catch {
        // The folder is gone or no longer ours to change. What stays behind is stale, and the next
        // listener replaces it.
      }
    },
  }
}

/** True where somebody else could put another socket in place of ours. */
function isOthers({ mode, uid }: Stats): boolean {
  const owner = process.geteuid?.()
  if (owner !== undefined && uid !== owner && uid !== 0) return true
  return (mode & WRITABLE_BY_OTHERS) !== 0 && (mode & STICKY) === 0
}

/**
 * Whether it is a socket of ours that nobody answers. Everything but a refusal counts as an answer.
 */
async function isStale(at: SocketFolder, stats: Stats, dial: UnixDial): Promise<boolean> {
  if (!stats.isSocket() || stats.uid !== (process.geteuid?.() ?? stats.uid)) return false
  // the very file that was looked at is asked, and no other
  const probe = at.find()
  try {
    if (!isSame(probe.stats, stats)) return false
    const connection = await dial(probe.self)
    connection.reset()
    return false
  } catch (error) {
    return errnoOf(error) === 'ECONNREFUSED'
  } finally {
    probe.close()
  }
}

/**
 * Removes the file at `entry` where it is `file`: what is there is moved aside, looked at, and
 * given its name back where it is another.
 * @param aside a folder of our own to move it into; made here where there is none
 */
function removeIfSame(folder: Folder, entry: Buffer, file: Stats, aside: Buffer = Buffer.alloc(0)): boolean {
  const there = lstatSync(entry, { throwIfNoEntry: false })
  // gone is as good as removed
  if (there === undefined) return true
  if (!isSame(there, file)) return false
  const own = aside.byteLength === 0 ? makeAside(folder) : aside
  const moved = Buffer.concat([own, MOVED])
  try {
    renameSync(entry, moved)
    const same = isSame(lstatSync(moved), file)
    // it was replaced in this instant: whoever did has it back, or has replaced it again
    if (!same) linkBack(moved, entry)
    rmSync(moved, { force: true })
    return same
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return true
    throw error
  } finally {
    if (own !== aside) removeAside(own)
  }
}

function linkBack(moved: Buffer, entry: Buffer): void {
  try {
    linkSync(moved, entry)
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return
    // another user's file is not linked by whoever does not own it
    if (lstatSync(entry, { throwIfNoEntry: false }) === undefined) renameSync(moved, entry)
  }
}

function makeAside(folder: Folder): Buffer {
  const aside = folder.entry(Buffer.from(`${ASIDE}${Buffer.from(freshBytes(8)).toString('hex')}`))
  mkdirSync(aside, { mode: 0o700 })
  return aside
}

function removeAside(aside: Buffer): void {
  rmSync(Buffer.concat([aside, BOUND]), { force: true })
  rmdirSync(aside)
}

function isSame(one: Stats, other: Stats): boolean {
  return one.dev === other.dev && one.ino === other.ino
}

function inUse(): Error {
  return Object.assign(new Error('the name is taken'), { code: 'EADDRINUSE' })
}
