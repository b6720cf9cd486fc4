/**
 * A pipe as a pair of WHATWG streams. Promises: a byte stream to read from (with BYOB readers), one
 * to write to, each with its own end; bytes are read when somebody asks for them and not before.
 * Bounds: the writable's high water mark, and one item of the pipe.
 */
import { ReadableStream, WritableStream } from 'node:stream/web'
import type {
  ReadableByteStreamController,
  UnderlyingByteSource,
  UnderlyingSink,
  WritableStreamDefaultController,
} from 'node:stream/web'
import type { Uint8ArrayList } from 'uint8arraylist'
import { TrunkError, toTrunkError } from '../../contracts/errors.ts'
import { requireInteger } from '../../contracts/limits.ts'
import type { Bytes, Pipe } from '../../contracts/types.ts'
import { onAbort } from '../../runtime/on-abort.ts'
import { HIGH_WATER_BYTES, MAX_HIGH_WATER_BYTES } from './node.ts'
import { Unread } from './unread.ts'

/** What {@link toWeb} gives. */
export interface WebStreams {
  /**
   * What the peer writes. A byte stream: `getReader({ mode: 'byob' })` reads into the caller's own
   * memory.
   */
  readonly readable: ReadableStream<Uint8Array>
  /** What the peer reads. Takes `Uint8Array`s and `Uint8ArrayList`s. */
  readonly writable: WritableStream<Bytes>
}

/** Options of {@link toWeb}. */
export interface WebStreamOptions {
  /** Bytes that may wait in `writable` before its writer should, 1 to 2^30. @default 65,536 */
  writableHighWaterMark?: number
}

/** The largest chunk that a reader without memory of its own gets, in bytes. */
const MAX_CHUNK_BYTES = 65_536

/**
 * A pair of WHATWG streams over `pipe`: for `pipeTo`, `Response`, `CompressionStream` and whatever
 * else takes them.
 *
 * - **Ownership.** The pipe is theirs from here on: it has one reader and one writer. Nothing is
 *   read before somebody reads. Chunks that are read are copies and belong to the reader. A chunk
 *   that is written must not be changed before its `write` has resolved.
 * - **Ends.** Closing `writable` ends our direction alone; `readable` closes with the peer's end.
 *   `await pipe.close()` still says whether the peer's handler has taken everything.
 * - **Errors.** A pipe that fails errors both with its `TrunkError`, `readable` after what came
 *   before. `readable.cancel(reason)` stops reading and leaves writing alone (the peer is told the
 *   code of a `TrunkError`, else ERR_PIPE_STOPPED). `writable.abort(reason)` aborts the pipe, and
 *   so does a chunk that is no bytes, with ERR_BAD_ARGUMENT. A peer that stops reading errors
 *   `writable` with its code and leaves `readable` alone.
 * - **Back-pressure** counts bytes: `desiredSize` is in bytes.
 *
 * Throws ERR_BAD_ARGUMENT for a high water mark out of its bounds. A pipe that is read elsewhere
 * errors `readable` with ERR_PIPE_BUSY.
 *
 * @example
 * ```ts
 * const { readable, writable } = toWeb(pipe)
 * await Promise.all([request.body.pipeTo(writable), readable.pipeTo(destination)])
 * await pipe.close()
 * ```
 */
export function toWeb(pipe: Pipe, options: WebStreamOptions = {}): WebStreams {
  const { writableHighWaterMark = HIGH_WATER_BYTES } = options
  const highWaterMark = requireInteger('writableHighWaterMark', writableHighWaterMark, 1, MAX_HIGH_WATER_BYTES)
  return {
    readable: new ReadableStream(new PipeByteSource(pipe), { highWaterMark: 0 }),
    writable: new WritableStream<Bytes>(sinkOf(pipe), { highWaterMark, size: sizeOf }),
  }
}

class PipeByteSource implements UnderlyingByteSource {
  readonly type = 'bytes'
  readonly #pipe: Pipe
  readonly #unread = new Unread()
  #reader: AsyncGenerator<Uint8ArrayList, void, undefined> | undefined
  #unsubscribe: (() => void) | undefined
  #asked = false
  #cancelled = false

  constructor(pipe: Pipe) {
    this.#pipe = pipe
  }

  start(controller: ReadableByteStreamController): void {
    const { signal } = this.#pipe
    this.#unsubscribe = onAbort(signal, () => {
      // where there is something to read, or somebody waits for it, reading tells the failure in
      // its place
      if (this.#asked || this.#unread.length > 0 || this.#pipe.readableLength > 0) return
      controller.error(signal.reason)
    })
  }

  async pull(controller: ReadableByteStreamController): Promise<void> {
    if (this.#unread.length === 0 && !(await this.#next())) {
      this.#unsubscribe?.()
      if (this.#cancelled) return
      controller.close()
      // a reader that brought its memory gets it back
      controller.byobRequest?.respond(0)
      return
    }
    if (this.#cancelled) return
    const request = controller.byobRequest
    const view = request?.view
    if (request === null || view === undefined || view === null) {
      // a copy: what is enqueued is transferred with all of its memory, and that is the line's
      controller.enqueue(this.#unread.copy(MAX_CHUNK_BYTES))
    } else {
      request.respond(this.#unread.copyInto(new Uint8Array(view.buffer, view.byteOffset, view.byteLength)))
    }
  }

  /** False: the peer has ended. */
  async #next(): Promise<boolean> {
    this.#reader ??= this.#pipe.borrowed[Symbol.asyncIterator]()
    this.#asked = true
    try {
      const { done, value } = await this.#reader.next()
      if (done === true) return false
      this.#unread.fill(value)
      return true
    } finally {
      this.#asked = false
    }
  }

  cancel(reason: unknown): void {
    this.#cancelled = true
    this.#unsubscribe?.()
    this.#pipe.stopReading(reason instanceof TrunkError ? reason.code : undefined)
  }
}

/** What is no bytes has a size, too: it is refused by `write`, which resets the pipe. */
function sizeOf(chunk: Bytes | null | undefined): number {
  return typeof chunk?.byteLength === 'number' ? chunk.byteLength : 1
}

/** Aborts with the stream. Every Node that we support has it; the types of Node 20 do not. */
function signalOf(controller: WritableStreamDefaultController): AbortSignal {
  return (controller as WritableStreamDefaultController & { readonly signal: AbortSignal }).signal
}

function sinkOf(pipe: Pipe): UnderlyingSink<Bytes> {
  const abort = (reason: unknown): void => {
    pipe.abort(toTrunkError(reason, 'ERR_ABORTED', 'the stream was aborted'))
  }
  let unsubscribe: () => void
  return {
    start(controller) {
      unsubscribe = onAbort(pipe.signal, () => {
        controller.error(pipe.signal.reason)
      })
      // told at once: `abort` below comes only when the write that is under way has settled, which
      // may wait for the peer
      const signal = signalOf(controller)
      signal.addEventListener('abort', () => {
        // Node 20 fails where its stream is errored while it is being aborted
        unsubscribe()
        abort(signal.reason)
      })
    },
    async write(chunk) {
      try {
        await pipe.write(chunk)
      } catch (error) {
        unsubscribe()
        // writing is over without an end: the peer is not to take what it has for the whole
        if (error instanceof TrunkError && error.scope === 'argument') abort(error)
        throw error
      }
    },
    async close() {
      unsubscribe()
      await pipe.closeWrite()
    },
    abort(reason) {
      unsubscribe()
      abort(reason)
    },
  }
}
