/**
 * The client's side of many small files in one pipe: what is asked for in one turn of the event
 * loop leaves as batches, each with a pipe and a turn of its own. Promises that each call has its
 * own outcome, that calls share a pipe only where they share their signal, and that a peer without
 * such pipes, or a call without company, is told apart: then the answer is `unbatched`, and the
 * caller uses a pipe for the one file.
 */
import type { Clock } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { OpenOptions, Pipe, Trunk } from '../../src/contracts/types.ts'
import { isRefusal, type Crowd } from './crowd.ts'
import { toFailure } from '../../src/runtime/file-errors.ts'
import type { Decoded } from '../internal/decoded.ts'
import { encodeRequest, FILESYSTEM } from './messages.ts'
import {
  decodeDone,
  decodeReads,
  encodePaths,
  encodeWrites,
  MAX_BATCH_FILES,
  FILE_BATCH_BYTES,
  receiveFileBatch,
  ROW_BYTES,
  type SmallWrite,
} from './file-batch.ts'

/** What an older peer says to an operation that it does not know. */
const UNKNOWN: ReadonlySet<string> = new Set(['ERR_PARAMS_INVALID', 'ERR_UNSUPPORTED'])

/** Peers that do not know batches, by their trunks. */
const without = new WeakSet<Trunk>()

type Outcome<Result> = Result | 'unbatched'

interface Call<Item, Result> {
  readonly item: Item
  readonly resolve: (result: Outcome<Result>) => void
  readonly reject: (error: unknown) => void
}

/** How the items of one operation travel, and how they are answered. */
interface Kind<Item, Result> {
  readonly op: 'readMany' | 'writeMany'
  readonly encode: (items: readonly Item[]) => Uint8Array
  readonly decode: (batch: Uint8Array) => Decoded<(Outcome<Result> | TrunkError)[]>
}

const WRITE: Kind<SmallWrite, undefined> = { op: 'writeMany', encode: encodeWrites, decode: decodeDone }
const READ: Kind<Uint8Array, Uint8Array> = { op: 'readMany', encode: encodePaths, decode: decodeReads }

/** The small files of one client. */
export class SmallFiles {
  readonly #writes: FileBatches<SmallWrite, undefined>
  readonly #reads: FileBatches<Uint8Array, Uint8Array>

  constructor(trunk: Trunk, crowd: Crowd, progressTimeoutMs: number, clock: Clock) {
    this.#writes = new FileBatches(trunk, crowd, WRITE, progressTimeoutMs, clock)
    this.#reads = new FileBatches(trunk, crowd, READ, progressTimeoutMs, clock)
  }

  /**
   * Writes a file of at most MAX_SMALL_BYTES, without waiting for the disk. The bytes must not
   * change until it is done.
   */
  write(file: SmallWrite, signal: AbortSignal | undefined): Promise<Outcome<undefined>> {
    return this.#writes.add(file, file.path.byteLength + file.content.byteLength, signal)
  }

  /** Reads a file that is said to have `size` bytes. */
  read(path: Uint8Array, size: number, signal: AbortSignal | undefined): Promise<Outcome<Uint8Array>> {
    return this.#reads.add(path, path.byteLength + size, signal)
  }
}

/** Fills batches and sends them: when one is full, or when the turn of the event loop is over. */
class FileBatches<Item, Result> {
  readonly #trunk: Trunk
  readonly #crowd: Crowd
  readonly #kind: Kind<Item, Result>
  readonly #progressTimeoutMs: number
  readonly #clock: Clock
  /** At most one batch. */
  #waiting: Call<Item, Result>[] = []
  #bytes = 0
  #signal: AbortSignal | undefined
  #scheduled = false

  constructor(trunk: Trunk, crowd: Crowd, kind: Kind<Item, Result>, progressTimeoutMs: number, clock: Clock) {
    this.#progressTimeoutMs = progressTimeoutMs
    this.#trunk = trunk
    this.#crowd = crowd
    this.#clock = clock
    this.#kind = kind
  }

  add(item: Item, itemBytes: number, signal: AbortSignal | undefined): Promise<Outcome<Result>> {
    if (without.has(this.#trunk)) return Promise.resolve('unbatched')
    return new Promise((resolve, reject) => {
      const bytes = itemBytes + ROW_BYTES
      const isFull = this.#waiting.length === MAX_BATCH_FILES || this.#bytes + bytes > FILE_BATCH_BYTES
      if (isFull || signal !== this.#signal) this.#flush()
      this.#signal = signal
      this.#bytes += bytes
      this.#waiting.push({ item, resolve, reject })
      if (this.#scheduled) return
      this.#scheduled = true
      setImmediate(() => {
        this.#scheduled = false
        this.#flush()
      })
    })
  }

  #flush(): void {
    const calls = this.#waiting
    if (calls.length === 0) return
    this.#waiting = []
    this.#bytes = 0
    void this.#settle(calls, this.#signal)
  }

  /** Settles each call; never rejects. */
  async #settle(calls: readonly Call<Item, Result>[], signal: AbortSignal | undefined): Promise<void> {
    try {
      const outcomes = calls.length > 1 ? await this.#send(calls, signal) : undefined
      for (const [index, { resolve, reject }] of calls.entries()) {
        const outcome = outcomes === undefined ? 'unbatched' : outcomes[index]
        // it is asked for once more where there is room for it
        if (isRefusal(outcome)) resolve('unbatched')
        else if (outcome instanceof TrunkError) reject(outcome)
        else resolve(outcome as Outcome<Result>)
      }
    } catch (error) {
      for (const { reject } of calls) reject(error)
    }
  }

  /** What the peer says to each of them; undefined where it does not know batches. */
  async #send(
    calls: readonly Call<Item, Result>[],
    signal: AbortSignal | undefined,
  ): Promise<(Outcome<Result> | TrunkError)[] | undefined> {
    const { op, encode, decode } = this.#kind
    const early = encode(calls.map(({ item }) => item))
    const progressTimeoutMs = this.#progressTimeoutMs
    const options: OpenOptions = { body: early, progressTimeoutMs, ...(signal === undefined ? {} : { signal }) }
    const open = (): Promise<Pipe> => this.#trunk.open(FILESYSTEM, encodeRequest({ op }), options)
    const entrance = { signal, clock: this.#clock, patienceMs: progressTimeoutMs }
    let leave: (() => void) | undefined
    try {
      const entered = await this.#crowd.enter(entrance, open)
      leave = entered.leave
      const pipe = entered.value
      try {
        const outcomes = answers(op, decode(await receiveFileBatch(pipe.borrowed)), calls.length)
        await pipe.close()
        return outcomes
      } catch (error) {
        pipe.abort(toFailure(error))
        throw error
      }
    } catch (error) {
      if (!(error instanceof TrunkError && error.origin === 'remote' && UNKNOWN.has(error.code))) throw error
      without.add(this.#trunk)
      return undefined
    } finally {
      leave?.()
    }
  }
}

/** An answer about `count` files, or ERR_MESSAGE_INVALID. */
function answers<Outcome>(op: string, decoded: Decoded<Outcome[]>, count: number): Outcome[] {
  const why = decoded.ok ? 'it is about another number of files' : decoded.error.message
  if (decoded.ok && decoded.value.length === count) return decoded.value
  throw new TrunkError('ERR_MESSAGE_INVALID', `the peer's answer to ${op} cannot be read: ${why}`)
}
