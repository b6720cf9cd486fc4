/**
 * Copies a tree, whichever way it goes: many entries under way at once, each only after the
 * directory that it goes into, and one failure for each that cannot be copied. Directories get
 * their mode and time at the end, the deepest first, since filling one changes its time and a
 * closed one would shut us out. Holds a few words per directory, and nothing per file.
 */
import { abortError, TrunkError } from '../../../src/contracts/errors.ts'
import { depthOf, HERE, parentOf } from '../../../src/runtime/byte-path.ts'
import type { ByteString } from '../../../src/runtime/byte-string.ts'
import { inParallel } from '../../../src/runtime/in-parallel.ts'
import { printable } from '../../../src/runtime/printable.ts'
import type { Side } from './errors.ts'
import type { Attributes, CopyJob } from './job.ts'

/**
 * Entries under way at once: several portions of small files (small-file.ts) and the directory
 * behind them, so that neither side stands still. Of larger files no more than the client's turns
 * are being moved.
 */
const IN_FLIGHT = 128
/** While a directory is being filled we must be able to write to it, whatever its mode is to be. */
export const FILLING_MODE = 0o700

/** What an entry is, as the filesystem protocol names it. */
export type EntryType = 'file' | 'directory' | 'symlink' | 'other'

/** One entry below the root of a tree. */
export interface TreeEntry {
  /** From the root of the tree, `a/b`; `''` for the root itself. A byte string. */
  readonly relative: ByteString
  readonly type: EntryType
  /** Why a directory could not be listed; its entries are missing then. */
  readonly error?: unknown
}

/**
 * Where a tree comes from and where it goes to. Everything may reject; what is thrown for one entry
 * concerns that entry only.
 */
export interface TreeCopy<E extends TreeEntry> {
  /** The entries below the root, each directory before what is in it. */
  readonly entries: AsyncIterable<E>
  /**
   * Makes the directory that `entry` is copied to; gives its final attributes, or undefined where
   * it existed.
   */
  makeFolder(entry: E): Promise<Attributes | undefined>
  finishFolder(relative: ByteString, attributes: Attributes): Promise<void>
  copyFile(entry: E): Promise<void>
  /** Which side is read. */
  readonly source: Side
  /** Where an entry is, on either side. */
  pathOf(side: Side, relative: ByteString): ByteString
}

type FolderState = 'there' | 'failed'

/** Copies `root` and everything below it. */
export async function copyTree<E extends TreeEntry>(job: CopyJob, root: E, copy: TreeCopy<E>): Promise<void> {
  const run = new TreeRun(job, copy)
  await run.start(root)
  await inParallel(copy.entries, IN_FLIGHT, (entry) => run.copyEntry(entry))
  await run.finish()
}

class TreeRun<E extends TreeEntry> {
  readonly #copy: TreeCopy<E>
  readonly #job: CopyJob
  readonly #folders = new Map<ByteString, Promise<FolderState>>()
  readonly #made: Map<ByteString, Attributes>[] = []

  constructor(job: CopyJob, copy: TreeCopy<E>) {
    this.#copy = copy
    this.#job = job
  }

  /** The root has to work, or there is nothing to copy into. */
  async start(root: E): Promise<void> {
    await this.#makeFolder(root)
    this.#folders.set(HERE, Promise.resolve('there'))
  }

  async copyEntry(entry: E): Promise<void> {
    const { relative, type, error } = entry
    const { errors, progress } = this.#job
    const { source } = this.#copy
    this.#requireGoing()
    if (error !== undefined) {
      errors.report(source, this.#copy.pathOf(source, relative), error)
      return
    }
    const parent = this.#folders.get(parentOf(relative))
    if (parent === undefined) throw new TrunkError('ERR_IO', `${printable(relative)} came before its directory`)
    if (type === 'directory') {
      const state = parent.then((above) =>
        above === 'there' ? this.#try(entry, () => this.#makeFolder(entry)) : above,
      )
      // Whoever waits for it is told, the job itself first.
      state.catch(() => undefined)
      this.#folders.set(relative, state)
      await state
    } else if (type !== 'file') {
      errors.skip(source, this.#copy.pathOf(source, relative), type)
    } else if ((await parent) === 'there') {
      if ((await this.#try(entry, () => this.#copy.copyFile(entry))) === 'there') progress.file()
    }
  }

  async finish(): Promise<void> {
    for (const level of this.#made.toReversed()) {
      await inParallel(level, IN_FLIGHT, async ([relative, attributes]) => {
        await this.#try({ relative }, () => this.#copy.finishFolder(relative, attributes))
      })
    }
  }

  async #makeFolder(entry: E): Promise<void> {
    const attributes = await this.#copy.makeFolder(entry)
    this.#job.progress.directory()
    if (attributes === undefined) return
    const depth = depthOf(entry.relative)
    while (this.#made.length <= depth) this.#made.push(new Map())
    this.#made[depth]?.set(entry.relative, attributes)
  }

  async #try(entry: { readonly relative: ByteString }, operation: () => Promise<void>): Promise<FolderState> {
    try {
      this.#requireGoing()
      await operation()
      return 'there'
    } catch (error) {
      const { errors } = this.#job
      const side = errors.sideOf(error)
      errors.report(side, this.#copy.pathOf(side, entry.relative), error)
      return 'failed'
    }
  }

  #requireGoing(): void {
    const { signal } = this.#job
    if (signal.aborted) throw abortError(signal)
  }
}
