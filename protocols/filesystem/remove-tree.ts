/**
 * Empties a directory, whatever its depth. The walk holds descriptors, and those of its last levels
 * only; it comes back to a directory that it let go of through `..`, and goes on only where that is
 * the very directory that it came from. Where there are no descriptors to walk with (no /proc),
 * what a path cannot reach is found out before anything is removed.
 */
import { lstatSync, rmdirSync, unlinkSync, type Dir } from 'node:fs'
import { unlink } from 'node:fs/promises'
import { TrunkError } from '../../src/contracts/errors.ts'
import { toFailure } from '../../src/runtime/file-errors.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import { stepInto, type Folder } from './root.ts'
import { nameOf, openDirectory } from './serve-list.ts'

/** Large files of one directory that are removed at a time. */
const REMOVE_BATCH = 64
/**
 * A file up to this size is unlinked at once: the kernel gives its blocks back in microseconds. A
 * large one takes a thread.
 */
const QUICK_REMOVE_BYTES = 4 * 1024 * 1024
/** Levels whose two descriptors are held. */
const HELD_LEVELS = 16
/** Levels at most: each is a directory on the disk, and some hundred bytes here. */
export const MAX_TREE_LEVELS = 100_000

/**
 * What the walk holds at most: its levels' descriptors, the one that it goes into, and the one that
 * the tree is in.
 */
export const TREE_DESCRIPTORS: number = 2 * (HELD_LEVELS + 2)

/** Whose removal it is. */
export interface Removing {
  /** An abort stops it where it is. */
  readonly signal: AbortSignal
  /** Does in the thread pool what is done there. */
  readonly inPool: <T>(work: () => Promise<T>) => Promise<T>
  /** It goes on. */
  readonly working: () => void
}

/** A directory between the top and where the walk is. */
interface Level {
  /** In the one above; a character for each byte. */
  readonly name: string
  readonly dev: number
  readonly ino: number
  /** Undefined where it was let go of. */
  folder: Folder | undefined
  directory: Dir | undefined
}

/** Removes what is in the directory `name`, which stays. */
export async function emptyDirectory(
  parent: Folder,
  name: Uint8Array,
  removing: Removing,
  maxLevels: number = MAX_TREE_LEVELS,
): Promise<void> {
  const top = stepInto(parent, name)
  const walk = new Removal(removing, maxLevels)
  try {
    if (!top.isHeld) await requireReachable(top, removing)
    await walk.run(top)
  } finally {
    await walk.close()
    top.close()
  }
}

class Removal {
  readonly #removing: Removing
  readonly #maxLevels: number
  readonly #levels: Level[] = []
  #removals: Promise<unknown>[] = []

  constructor(removing: Removing, maxLevels: number) {
    this.#removing = removing
    this.#maxLevels = maxLevels
  }

  async run(top: Folder): Promise<void> {
    const { signal, inPool, working } = this.#removing
    await this.#enter(top, '')
    for (let level = this.#levels.at(-1); level?.folder !== undefined; level = this.#levels.at(-1)) {
      signal.throwIfAborted()
      working()
      const { folder } = level
      const directory = (level.directory ??= await inPool(() => openDirectory(folder)))
      const found = await inPool(() => directory.read())
      if (found === null) await this.#leave(level, level.folder)
      else await this.#remove(level.folder, nameOf(found))
    }
  }

  /** Gives back what is held, once nothing goes through it any more. */
  async close(): Promise<void> {
    await Promise.all(this.#removals)
    for (const level of this.#levels) await closeLevel(level)
  }

  async #remove(folder: Folder, name: Buffer): Promise<void> {
    const entry = folder.entry(name)
    const stats = lstatSync(entry, { throwIfNoEntry: false })
    if (stats === undefined) return
    if (stats.isDirectory()) {
      await this.#settle()
      await this.#enter(stepInto(folder, name), name.toString('latin1'))
    } else if (stats.size <= QUICK_REMOVE_BYTES) unlinkSync(entry)
    else if (this.#removals.push(removeFile(entry, this.#removing)) >= REMOVE_BATCH) await this.#settle()
  }

  async #enter(folder: Folder, name: string): Promise<void> {
    if (this.#levels.length >= this.#maxLevels) {
      folder.close()
      throw new TrunkError('ERR_PATH_INVALID', `the tree has more than ${this.#maxLevels} levels`)
    }
    const { dev, ino } = folder.stat()
    this.#levels.push({ name, dev, ino, folder, directory: undefined })
    const far = this.#levels.at(-1 - HELD_LEVELS)
    if (far !== undefined) await closeLevel(far)
  }

  /** The directory `level` is empty: on to the one above, which removes it. */
  async #leave(level: Level, folder: Folder): Promise<void> {
    await this.#settle()
    const above = this.#levels.at(-2)
    if (above !== undefined) above.folder ??= comeBack(folder, above)
    await closeLevel(level)
    this.#levels.pop()
    if (above?.folder !== undefined) rmdirSync(above.folder.entry(Buffer.from(level.name, 'latin1')))
  }

  async #settle(): Promise<void> {
    const removals = this.#removals
    this.#removals = []
    const failed = (await Promise.all(removals)).find((failure) => failure !== undefined)
    if (failed !== undefined) throw toFailure(failed)
  }
}

/**
 * The directory above, if it is still the one that the walk came from: whoever moved the tree
 * meanwhile must not have us remove elsewhere.
 */
function comeBack(folder: Folder, { dev, ino }: Level): Folder {
  const above = folder.above()
  const stats = above.stat()
  if (stats.dev === dev && stats.ino === ino) return above
  above.close()
  throw new TrunkError('ERR_FILE_CHANGED', 'a directory was moved while it was removed')
}

async function closeLevel(level: Level): Promise<void> {
  const { directory, folder } = level
  level.directory = undefined
  level.folder = undefined
  await directory?.close()
  folder?.close()
}

/** Looks into every directory below `folder`, one at a time: throws where one cannot be reached. */
async function requireReachable(folder: Folder, removing: Removing): Promise<void> {
  const { signal, inPool, working } = removing
  const names: Buffer[] = []
  const directory = await inPool(() => openDirectory(folder))
  const next = () => inPool(() => directory.read())
  try {
    for (let found = await next(); found !== null; found = await next()) {
      signal.throwIfAborted()
      working()
      if (lstatSync(folder.entry(nameOf(found)), { throwIfNoEntry: false })?.isDirectory() === true) {
        names.push(nameOf(found))
      }
    }
  } finally {
    await directory.close()
  }
  for (const name of names) await requireReachable(stepInto(folder, name), removing)
}

/** Removes what is no directory and has so many bytes. */
export async function removeEntry(entry: Buffer, bytes: number, removing: Removing): Promise<void> {
  if (bytes <= QUICK_REMOVE_BYTES) {
    unlinkSync(entry)
    return
  }
  const failure = await removeFile(entry, removing)
  if (failure !== undefined) throw toFailure(failure)
}

/** Gives the failure, if any, which may be that its turn never came; never rejects. */
async function removeFile(entry: Buffer, { inPool, working }: Removing): Promise<unknown> {
  try {
    await inPool(() => unlink(entry))
    working()
    return undefined
  } catch (error) {
    // Gone already is as good as removed.
    return errnoOf(error) === 'ENOENT' ? undefined : error
  }
}
