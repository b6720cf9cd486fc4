/**
 * The calls of a filesystem client: pipes, turns and replies. Promises that nothing a peer answers
 * is taken unchecked, that each pipe is over when its call is, and that at most 48 operations of a
 * trunk that hold the peer's descriptors run at a time; further ones wait, and can be aborted while
 * they do. Where the peer has descriptors for fewer, fewer run (crowd.ts). Assumes arguments that
 * were checked.
 */
import { Uint8ArrayList } from 'uint8arraylist'
import type { Clock } from '../../src/runtime/clock.ts'
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import { isBytes } from '../../src/runtime/sources.ts'
import type { Bytes, OpenOptions, Pipe, Trunk } from '../../src/contracts/types.ts'
import { SmallFiles } from './client-many.ts'
import type { CallOptions, FileEntry, RangeOptions, SmallOptions, WriteSource } from './client-types.ts'
import { Crowd, isRefusal, type Entered } from './crowd.ts'
import { BatchReader } from './entries.ts'
import {
  decodeReply,
  encodeRequest,
  FILESYSTEM,
  type FileReply,
  type FileRequestInput,
  type ReplyingOp,
} from './messages.ts'
import { MAX_SMALL_BYTES } from './file-batch.ts'
import { Semaphore } from '../../src/runtime/semaphore.ts'

/**
 * Operations that hold descriptors of the peer: below its default bound of 64, with room for a
 * second program on the trunk.
 */
const MAX_HELD = 48
/** Operations that are answered at once. */
const MAX_QUICK = 48

/**
 * How long a peer may do nothing for a call, unless the client says otherwise: a disk that wakes
 * up, a network file system that comes back.
 */
export const PROGRESS_TIMEOUT_MS = 60_000
/**
 * The same for what is answered when all is done: hours of hashing or removing have no progress to
 * be seen.
 */
const LATE_TIMEOUT_MS = 3_600_000

function answersLate(request: FileRequestInput): boolean {
  return request.op === 'sha256' || request.op === 'remove' || (request.op === 'write' && request.durable !== false)
}

interface TrunkSemaphores {
  readonly held: Crowd
  readonly quick: Semaphore
}

const semaphoresByTrunk = new WeakMap<Trunk, TrunkSemaphores>()

function semaphoresOf(trunk: Trunk): TrunkSemaphores {
  const known = semaphoresByTrunk.get(trunk)
  if (known !== undefined) return known
  const semaphores = { held: new Crowd(MAX_HELD), quick: new Semaphore(MAX_QUICK) }
  semaphoresByTrunk.set(trunk, semaphores)
  return semaphores
}

/** The calls of one client, without the arguments' checks. */
export class Calls {
  readonly #trunk: Trunk
  readonly #semaphores: TrunkSemaphores
  readonly #small: SmallFiles
  readonly #progressTimeoutMs: number
  readonly #clock: Clock

  /** @param progressTimeoutMs how long the peer may do nothing for a call */
  constructor(trunk: Trunk, progressTimeoutMs: number, clock: Clock) {
    this.#trunk = trunk
    this.#semaphores = semaphoresOf(trunk)
    this.#small = new SmallFiles(trunk, this.#semaphores.held, progressTimeoutMs, clock)
    this.#progressTimeoutMs = progressTimeoutMs
    this.#clock = clock
  }

  /** An operation whose accept says all. */
  async reply<Op extends ReplyingOp>(
    request: FileRequestInput & { op: Op },
    { signal }: CallOptions = {},
    kind: keyof TrunkSemaphores = 'quick',
  ): Promise<FileReply<Op>> {
    return await this.#during(kind, signal, async () => {
      const pipe = await this.#open(request, signal, NO_BODY)
      const reply = replyOf(pipe, request.op)
      await pipe.close()
      return reply
    })
  }

  /** An operation that answers with nothing but success. */
  async plain(
    request: FileRequestInput,
    signal: AbortSignal | undefined,
    kind: keyof TrunkSemaphores = 'quick',
  ): Promise<void> {
    await this.#during(kind, signal, async () => {
      const pipe = await this.#open(request, signal, NO_BODY)
      await pipe.close()
    })
  }

  /** @param mayRead asked before anything else is; where it rejects nothing is read */
  async *read(
    request: FileRequestInput & { op: 'read' },
    { signal, borrowed }: RangeOptions = {},
    mayRead?: () => Promise<void>,
  ): AsyncGenerator<Uint8ArrayList, void, undefined> {
    await mayRead?.()
    const { value: pipe, leave } = await this.#hold(signal, () => this.#open(request, signal, NO_BODY))
    try {
      // one generator rather than one for each of its promises: several in a row cost more than
      // what a small file does
      let complete = false
      try {
        const expected = replyOf(pipe, 'read').bytes ?? undefined
        let bytes = 0
        for await (const data of borrowed === true ? pipe.borrowed : pipe.source) {
          bytes += data.byteLength
          if (expected !== undefined && bytes > expected) throw untrue('more bytes than it announced')
          yield data
        }
        if (expected !== undefined && bytes < expected) throw untrue('fewer bytes than it announced')
        complete = true
      } finally {
        if (!complete) pipe.abort(unwanted())
      }
      await pipe.close()
    } finally {
      leave()
    }
  }

  /** All of a file that has at most MAX_SMALL_BYTES; undefined for a larger one. */
  async readSmall(path: Uint8Array, { size = 0, signal }: SmallOptions = {}): Promise<Uint8Array | undefined> {
    const shared = await this.#small.read(path, size, signal)
    if (shared !== 'unbatched') return shared
    const request = { op: 'read', path, length: MAX_SMALL_BYTES + 1 } as const
    const content = new Uint8ArrayList()
    for await (const data of this.read(request, signal === undefined ? {} : { signal })) {
      content.append(data)
      // a peer that does not keep to the length is not followed
      if (content.byteLength > MAX_SMALL_BYTES) return undefined
    }
    return content.subarray()
  }

  async *list(
    request: FileRequestInput & { op: 'list' },
    { signal }: CallOptions = {},
  ): AsyncGenerator<FileEntry, void, undefined> {
    const open = (): Promise<Pipe> => this.#open(request, signal, NO_BODY)
    const { value: pipe, leave } = await this.#hold(signal, open, true)
    try {
      yield* reading(pipe, entriesOf(pipe.source))
    } finally {
      leave()
    }
  }

  /** Gives the number of bytes written. */
  async write(
    request: FileRequestInput & { op: 'write' },
    source: WriteSource,
    { signal }: CallOptions,
  ): Promise<number> {
    const early = earlyBytes(source)
    if (early !== undefined && request.how === 'replace' && request.exclusive !== true && request.durable === false) {
      const { path, mode, modifiedMs } = request
      const shared = await this.#small.write({ path, content: early, mode, modifiedMs }, signal)
      if (shared !== 'unbatched') return early.byteLength
    }
    const options = early === undefined ? {} : { body: early }
    const { value: pipe, leave } = await this.#hold(signal, () => this.#open(request, signal, options))
    try {
      if (early !== undefined) {
        await pipe.close()
        return early.byteLength
      }
      const counted = new CountedSource(source)
      await pipe.sink(counted)
      await pipe.close()
      return counted.bytes
    } finally {
      leave()
    }
  }

  /**
   * All of an operation: what is refused for want of a descriptor has not begun, and is done again
   * where there is room.
   */
  async #during<T>(kind: keyof TrunkSemaphores, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    if (kind === 'quick') {
      const leave = await this.#semaphores.quick.take(signal)
      try {
        return await work()
      } catch (error) {
        if (!isRefusal(error)) throw error
      } finally {
        leave()
      }
    }
    const { value, leave } = await this.#hold(signal, work)
    leave()
    return value
  }

  #hold<T>(signal: AbortSignal | undefined, attempt: () => Promise<T>, pulled = false): Promise<Entered<T>> {
    const entrance = { signal, pulled, clock: this.#clock, patienceMs: this.#progressTimeoutMs }
    return this.#semaphores.held.enter(entrance, attempt)
  }

  #open(request: FileRequestInput, signal: AbortSignal | undefined, options: OpenOptions): Promise<Pipe> {
    const progressTimeoutMs = answersLate(request)
      ? Math.max(this.#progressTimeoutMs, LATE_TIMEOUT_MS)
      : this.#progressTimeoutMs
    const all = { ...options, progressTimeoutMs }
    return this.#trunk.open(FILESYSTEM, encodeRequest(request), signal === undefined ? all : { ...all, signal })
  }
}

/**
 * Passes `items` on and ends the pipe whichever way that ends: well, by an error, or because the
 * reader has enough.
 */
async function* reading<T>(pipe: Pipe, items: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  let complete = false
  try {
    yield* items
    complete = true
  } finally {
    if (!complete) pipe.abort(unwanted())
  }
  await pipe.close()
}

async function* entriesOf(source: AsyncIterable<Uint8ArrayList>): AsyncGenerator<FileEntry> {
  const reader = new BatchReader()
  const text = new TextDecoder()
  for await (const data of source) {
    for (const chunk of data) {
      reader.append(chunk)
      for (let result = reader.next(); result.type !== 'more'; result = reader.next()) {
        if (result.type === 'bad') throw new TrunkError(result.code, result.why)
        for (const entry of result.entries) yield { name: text.decode(entry.nameBytes), ...entry }
      }
    }
  }
  if (reader.pendingBytes > 0) throw untrue('a listing that ends in the middle')
}

/** A source for a pipe's sink that knows how much it gave. */
class CountedSource implements AsyncIterable<Bytes> {
  bytes = 0
  readonly #source: WriteSource

  constructor(source: WriteSource) {
    this.#source = source
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Bytes> {
    const source = isBytes(this.#source) ? [this.#source] : this.#source
    for await (const chunk of source) {
      if (!isBytes(chunk))
        throw badArgument(`a source of bytes gives Uint8Array or Uint8ArrayList, not ${typeof chunk}`)
      this.bytes += chunk.byteLength
      yield chunk
    }
  }
}

/** For a call that sends nothing but its request. */
const NO_BODY: OpenOptions = { body: new Uint8Array(0) }

/**
 * The bytes of a small file, where they are there at once: they travel with their request, in one
 * round trip.
 */
function earlyBytes(source: WriteSource): Uint8Array | undefined {
  if (!isBytes(source) || source.byteLength > MAX_SMALL_BYTES) return undefined
  return source instanceof Uint8Array ? source : source.subarray()
}

/** The reply of `op`, or a reset pipe and ERR_MESSAGE_INVALID. */
function replyOf<Op extends ReplyingOp>(pipe: Pipe, op: Op): FileReply<Op> {
  const decoded = decodeReply(op, pipe.reply)
  if (decoded.ok) return decoded.value
  pipe.abort(decoded.error)
  throw decoded.error
}

function untrue(what: string): TrunkError {
  return new TrunkError('ERR_MESSAGE_INVALID', `the peer sent ${what}`)
}

function unwanted(): TrunkError {
  return new TrunkError('ERR_PIPE_STOPPED', 'the reader wants no more')
}
