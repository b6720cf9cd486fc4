/**
 * Copies from one peer to another, or from one place of a peer to another: what one is read from
 * the other is written, through us, and nothing of it is kept here. What holds for a copy to a peer
 * holds for this: each file gets its name when all of it is there, and setuid, setgid and sticky
 * bits do not cross.
 */
import { TrunkError } from '../../../src/contracts/errors.ts'
import type { Bytes } from '../../../src/contracts/types.ts'
import { HERE, joinPath, wirePath } from '../../../src/runtime/byte-path.ts'
import type { ByteString } from '../../../src/runtime/byte-string.ts'
import type { FilesystemClient } from '../client-types.ts'
import { MAX_SMALL_BYTES } from '../file-batch.ts'
import { Semaphore } from '../../../src/runtime/semaphore.ts'
import { copyTree, FILLING_MODE } from './copy-tree.ts'
import { outOfPeer } from './into-itself.ts'
import { counted, MODE_BITS } from './job.ts'
import type { Attributes, CopyJob } from './job.ts'
import { walkRemote } from './remote-tree.ts'
import type { RemoteEntry } from './remote-tree.ts'

/**
 * Large files under way at once. Each holds one of the transfers that either peer has for us. Where
 * both ends are at one peer, further ones could hold all of them by reading and leave none for
 * writing.
 */
const LARGE_AT_ONCE = 8
const LARGE_AT_ONE_PEER = 1

/** Both ends; `files` of the job is the source. */
export interface Ends {
  readonly from: ByteString
  readonly target: FilesystemClient
  readonly to: ByteString
  /** Both are at one peer. */
  readonly atOnePeer: boolean
  /** Gets the errors that the source has had. */
  readonly ofSource: WeakSet<Error>
}

/** What is known of the source. */
export type SourceStat = Pick<RemoteEntry, 'size' | 'mode' | 'modifiedMs'>

/** One copy. */
export class BetweenCopy {
  readonly #job: CopyJob
  readonly #ends: Ends
  readonly #large: Semaphore

  constructor(job: CopyJob, ends: Ends) {
    this.#job = job
    this.#ends = ends
    this.#large = new Semaphore(ends.atOnePeer ? LARGE_AT_ONE_PEER : LARGE_AT_ONCE)
  }

  /** One file. */
  async file(status: SourceStat): Promise<void> {
    const { progress } = this.#job
    progress.expect(status.size)
    progress.complete()
    await this.#transfer(this.#ends.from, this.#ends.to, status)
    progress.file()
  }

  /** A directory and what is in it. */
  async tree(status: SourceStat): Promise<void> {
    const { files, signal } = this.#job
    const { from, target, to } = this.#ends
    const here = (relative: ByteString): ByteString => joinPath(to, relative)
    const there = (relative: ByteString): ByteString => joinPath(from, relative)
    const root: RemoteEntry = { ...status, relative: HERE, type: 'directory' }
    await copyTree<RemoteEntry>(this.#job, root, {
      entries: outOfPeer(this.#job, from, target, to, (isTarget) =>
        this.#noting(walkRemote(files, from, signal, isTarget)),
      ),
      makeFolder: (entry) => this.#makeFolder(here(entry.relative), entry),
      async finishFolder(relative, attributes) {
        await target.setAttributes(wirePath(here(relative)), { ...attributes, signal })
      },
      copyFile: (entry) => this.#copyFile(there(entry.relative), here(entry.relative), entry),
      source: 'remote',
      pathOf: (side, relative) => (side === 'remote' ? there(relative) : here(relative)),
    })
  }

  async #copyFile(from: ByteString, to: ByteString, entry: RemoteEntry): Promise<void> {
    if (await this.#copySmall(from, to, entry)) return
    const over = await this.#large.take(this.#job.signal)
    try {
      await this.#transfer(from, to, entry)
    } finally {
      over()
    }
  }

  /** A small file comes in one piece, and goes so. False where it is none. */
  async #copySmall(from: ByteString, to: ByteString, entry: RemoteEntry): Promise<boolean> {
    const { files, progress, signal } = this.#job
    const { size } = entry
    if (size > MAX_SMALL_BYTES) return false
    const bytes = await files.readSmall(wirePath(from), { size, signal }).catch((error: unknown) => this.#note(error))
    if (bytes === undefined) return false
    await this.#ends.target.write(wirePath(to), bytes, { ...attributesOf(entry), durable: false, signal })
    progress.add(bytes.byteLength)
    progress.correct(bytes.byteLength - size)
    return true
  }

  async #transfer(from: ByteString, to: ByteString, status: SourceStat): Promise<void> {
    const { files, progress, signal } = this.#job
    // what is written before the next of it is asked for: it may be borrowed
    const content = this.#noting<Bytes>(files.read(wirePath(from), { signal, borrowed: true }))
    const bytes = counted(progress, content, status.size)
    await this.#ends.target.write(wirePath(to), bytes, { ...attributesOf(status), durable: false, signal })
  }

  /** What the source gives. */
  async *#noting<T>(given: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    try {
      yield* given
    } catch (error) {
      this.#note(error)
    }
  }

  #note(error: unknown): never {
    if (error instanceof Error) this.#ends.ofSource.add(error)
    throw error
  }

  async #makeFolder(to: ByteString, entry: RemoteEntry): Promise<Attributes | undefined> {
    const { target } = this.#ends
    const { signal } = this.#job
    const path = wirePath(to)
    if (path.length === 0) return undefined // the peer's root is always there
    const attributes = attributesOf(entry)
    try {
      await target.mkdir(path, { mode: attributes.mode | FILLING_MODE, signal })
      return attributes
    } catch (error) {
      if (!(error instanceof TrunkError) || error.code !== 'ERR_EXISTS') throw error
      if ((await target.stat(path, { signal })).type === 'directory') return undefined
      throw new TrunkError('ERR_NOT_DIRECTORY', 'it exists and is not a directory', { origin: 'remote', cause: error })
    }
  }
}

function attributesOf({ mode, modifiedMs }: SourceStat): Attributes {
  return { mode: mode & MODE_BITS, modifiedMs }
}
