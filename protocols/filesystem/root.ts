/**
 * Confinement. Promises that whatever is opened, listed, created, renamed or removed lies below the
 * root, also while someone else swaps directories for symbolic links: no path is checked as a
 * string and used again later.
 *
 * On Linux a path is walked with one descriptor per name (`O_PATH | O_DIRECTORY | O_NOFOLLOW`
 * through `/proc/self/fd/N/name`, which behaves like the `*at` calls that Node lacks), so each step
 * starts from the directory that was really reached. Where there is no `/proc` each name is checked
 * with `lstat` before it is used: symbolic links are refused, but someone who can write below the
 * root at the same moment could still win a race. Assumes names that `splitPath` let through.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, statSync, type Stats } from 'node:fs'
import { TrunkError } from '../../src/contracts/errors.ts'
import { toFailure } from '../../src/runtime/file-errors.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import { SLASH } from './path.ts'
import { openAnonymous } from './anonymous-file.ts'

/**
 * Linux: a descriptor that names a file without opening it. Not in `fs.constants`; the same number
 * on every architecture Node supports.
 */
export const O_PATH = 0o10000000
const ABOVE = Buffer.from('..')
const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants

/**
 * A directory below the root that was really reached. `close` gives its descriptor back; repeating
 * it is harmless.
 */
export interface Folder {
  /** Where `name` in this directory is, for `fs` calls. */
  entry(name: Uint8Array): Buffer
  /** The directory itself, for `fs` calls. */
  readonly self: Buffer
  /**
   * Makes a file in this directory that has no name yet; undefined where there are none. The
   * descriptor belongs to the caller.
   */
  anonymous(mode: number): number | undefined
  /**
   * Whether a descriptor holds it: then it is found however deep it is, and wherever it is moved.
   */
  readonly isHeld: boolean
  stat(): Stats
  /** The directory that it is in now. The caller closes it. */
  above(): Folder
  close(): void
}

/** A file or directory that was found but not opened. */
export interface Found {
  readonly stats: Stats
  /**
   * The very thing that was found, for `fs` calls that follow links (there is none to follow any
   * more).
   */
  readonly self: Buffer
  /** Opens the very thing that was found; the descriptor belongs to the caller. */
  open(flags: number): number
  close(): void
}

/**
 * Opens folders below one directory. Holds a descriptor of the root while at least one user has it.
 */
export class Root {
  readonly #path: Buffer
  readonly #walks: boolean
  #users = 0
  #base: Folder | undefined

  /**
   * @param walks whether to walk with descriptors; false is for systems without `/proc`, and tests
   * of that.
   */
  constructor(path: Buffer, walks: boolean = canWalk()) {
    this.#path = path
    this.#walks = walks
  }

  /** Keeps the root open until the function that it returns is called (once counts). */
  use(): () => void {
    this.#base ??= this.#walks ? rootFolder(this.#path) : new CheckedFolder(this.#path)
    this.#users++
    let used = true
    return () => {
      if (!used) return
      used = false
      if (--this.#users > 0) return
      this.#base?.close()
      this.#base = undefined
    }
  }

  /** The directory at `names`. The caller closes it. */
  folder(names: readonly Uint8Array[]): Folder {
    if (this.#base === undefined) throw new TrunkError('ERR_IO', 'the root is closed')
    let folder: Folder = borrowed(this.#base)
    for (const name of names) {
      try {
        const next = stepInto(folder, name)
        folder.close()
        folder = next
      } catch (error) {
        folder.close()
        throw error
      }
    }
    return folder
  }

  /**
   * The directory that holds the last of `names`, and that name. ERR_DENIED for the root itself.
   * The caller closes the folder.
   */
  parent(names: readonly Uint8Array[]): { folder: Folder; name: Uint8Array } {
    const name = names.at(-1)
    if (name === undefined) throw new TrunkError('ERR_DENIED', 'not to be done to the root itself')
    return { folder: this.folder(names.slice(0, -1)), name }
  }

  /**
   * What `name` in `folder` is, without opening it: a device stays untouched, a FIFO does not
   * block. The caller closes it.
   */
  find(folder: Folder, name: Uint8Array): Found {
    return this.#walks ? findByDescriptor(folder, name) : findByPath(folder, name)
  }
}

/**
 * True for a regular file or a directory; a symbolic link is ERR_SYMLINK, everything else
 * ERR_NOT_REGULAR.
 */
export function requirePlain(stats: Stats): void {
  if (stats.isFile() || stats.isDirectory()) return
  if (stats.isSymbolicLink()) throw symlinkRefused()
  throw new TrunkError('ERR_NOT_REGULAR', 'only regular files and directories are served')
}

/** A regular file, or the code that says what it is instead. */
export function requireRegular(stats: Stats): void {
  if (stats.isDirectory()) throw new TrunkError('ERR_IS_DIRECTORY', 'it is a directory')
  requirePlain(stats)
}

/** Opens the directory `name` of `folder`. The given folder stays open. */
export function stepInto(folder: Folder, name: Uint8Array): Folder {
  if (!(folder instanceof OpenFolder)) return checkedStep(folder, name)
  const entry = folder.entry(name)
  try {
    return new OpenFolder(openSync(entry, O_PATH | O_DIRECTORY | O_NOFOLLOW))
  } catch (error) {
    throw whyNoDirectory(entry, error)
  }
}

/** A directory that is held by a descriptor. */
class OpenFolder implements Folder {
  readonly isHeld = true
  readonly self: Buffer
  readonly #prefix: Buffer
  readonly #owned: boolean
  #fd: number

  constructor(fd: number, owned = true) {
    this.#fd = fd
    this.#owned = owned
    this.self = Buffer.from(`/proc/self/fd/${fd}`)
    this.#prefix = Buffer.from(`/proc/self/fd/${fd}/`)
  }

  entry(name: Uint8Array): Buffer {
    return Buffer.concat([this.#prefix, name])
  }

  anonymous(mode: number): number | undefined {
    return openAnonymous(this.self, mode)
  }

  stat(): Stats {
    return fstatSync(this.#fd)
  }

  above(): Folder {
    return new OpenFolder(openSync(this.entry(ABOVE), O_PATH | O_DIRECTORY | O_NOFOLLOW))
  }

  /** The same directory for someone who must not close it. */
  lend(): OpenFolder {
    return new OpenFolder(this.#fd, false)
  }

  close(): void {
    if (this.#owned && this.#fd >= 0) closeSync(this.#fd)
    this.#fd = -1
  }
}

/** A directory that is known by a path whose names were checked one by one. */
class CheckedFolder implements Folder {
  readonly isHeld = false
  readonly self: Buffer

  constructor(path: Buffer) {
    this.self = path
  }

  entry(name: Uint8Array): Buffer {
    return Buffer.concat([this.self, Buffer.from('/'), name])
  }

  anonymous(): undefined {
    // They are named through /proc.
    return undefined
  }

  stat(): Stats {
    return lstatSync(this.self)
  }

  above(): Folder {
    return new CheckedFolder(this.self.subarray(0, this.self.lastIndexOf(SLASH)))
  }

  close(): void {
    // Nothing is held.
  }
}

function rootFolder(path: Buffer): Folder {
  try {
    return new OpenFolder(openSync(path, O_PATH | O_DIRECTORY))
  } catch (error) {
    throw toFailure(error)
  }
}

function borrowed(folder: Folder): Folder {
  return folder instanceof OpenFolder ? folder.lend() : folder
}

function checkedStep(folder: Folder, name: Uint8Array): Folder {
  const entry = folder.entry(name)
  const stats = lstatSync(entry)
  if (stats.isSymbolicLink()) throw symlinkRefused()
  if (!stats.isDirectory()) throw new TrunkError('ERR_NOT_DIRECTORY', 'a name in the path is not a directory')
  return new CheckedFolder(entry)
}

function findByDescriptor(folder: Folder, name: Uint8Array): Found {
  const fd = openSync(folder.entry(name), O_PATH | O_NOFOLLOW)
  const self = Buffer.from(`/proc/self/fd/${fd}`)
  let open = true
  try {
    return {
      stats: fstatSync(fd),
      self,
      open: (flags) => openSync(self, flags | O_NOCTTY | O_NONBLOCK),
      close() {
        if (open) closeSync(fd)
        open = false
      },
    }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function findByPath(folder: Folder, name: Uint8Array): Found {
  const self = folder.entry(name)
  const stats = lstatSync(self)
  return {
    stats,
    self,
    open(flags) {
      const fd = openSync(self, flags | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK)
      const now = fstatSync(fd)
      if (now.ino === stats.ino && now.dev === stats.dev) return fd
      closeSync(fd)
      throw new TrunkError('ERR_FILE_CHANGED', 'it was replaced while it was opened')
    },
    close() {
      // Nothing is held.
    },
  }
}

/**
 * `O_PATH | O_DIRECTORY | O_NOFOLLOW` on a link says ENOTDIR: tell a link from a file, for the
 * message only.
 */
function whyNoDirectory(entry: Buffer, error: unknown): TrunkError {
  if (errnoOf(error) !== 'ENOTDIR') return toFailure(error)
  const stats = lstatSync(entry, { throwIfNoEntry: false })
  if (stats?.isSymbolicLink() === true) return symlinkRefused()
  return new TrunkError('ERR_NOT_DIRECTORY', 'a name in the path is not a directory', { cause: error })
}

function symlinkRefused(): TrunkError {
  return new TrunkError('ERR_SYMLINK', 'symbolic links are not followed')
}

/** True where a descriptor has a path: Linux with /proc. */
export function canWalk(): boolean {
  return process.platform === 'linux' && statSync('/proc/self/fd', { throwIfNoEntry: false })?.isDirectory() === true
}
