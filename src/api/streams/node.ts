/**
 * A pipe as a `Duplex` of Node. Promises: ends are ends (`allowHalfOpen`), a failure of the pipe is
 * the stream's `error`, told after the bytes that came before it, and no more is read than the
 * stream has room for. Bounds: the two high water marks, and one item of the pipe.
 */
import { Duplex } from 'node:stream'
import { Uint8ArrayList } from 'uint8arraylist'
import { TrunkError } from '../../contracts/errors.ts'
import { requireInteger } from '../../contracts/limits.ts'
import type { Pipe } from '../../contracts/types.ts'
import { onAbort } from '../../runtime/on-abort.ts'
import { Unread } from './unread.ts'

/** Options of {@link toNode}. */
export interface NodeStreamOptions {
  /** Bytes that the stream reads ahead of its reader, 1 to 2^30. @default 65,536 */
  readableHighWaterMark?: number
  /** Bytes that may wait in the stream before `write` returns false, 1 to 2^30. @default 65,536 */
  writableHighWaterMark?: number
}

/** The default of each high water mark, in bytes. */
export const HIGH_WATER_BYTES = 65_536
/** The largest high water mark, in bytes. */
export const MAX_HIGH_WATER_BYTES: number = 2 ** 30

/**
 * A `Duplex` of Node over `pipe`, for `pipeline`, `http`, `zlib`, `readline` and whatever else
 * takes one.
 *
 * - **Ownership.** The pipe is the stream's from here on: it has one reader and one writer. Reading
 *   starts with the stream's first reader, so a stream that is only written to leaves the pipe
 *   unread. Written buffers may be changed once their callback was called.
 * - **Ends.** `end()` ends our direction alone; the stream's `end` event is the peer's end.
 *   `finish` says that our end was handed to the line: `await pipe.close()` still says whether the
 *   peer's handler has taken everything.
 * - **Errors.** A pipe that fails destroys the stream with its `TrunkError`, after what was read
 *   before. `destroy(error)` aborts the pipe with that error; `destroy()` before our end was sent
 *   aborts it with ERR_ABORTED, and afterwards only stops reading. A peer that stops reading fails
 *   the stream with its code at the next write: a `Duplex` has one error for both directions
 *   (`toWeb` has one for each).
 * - **Back-pressure** counts bytes, in both directions.
 *
 * Throws ERR_BAD_ARGUMENT for a high water mark out of its bounds. A pipe that is read elsewhere
 * fails the stream with ERR_PIPE_BUSY, and the pipe is left alone.
 *
 * @example
 * ```ts
 * await pipeline(createReadStream('in'), toNode(pipe), createWriteStream('out'))
 * await pipe.close()
 * ```
 */
export function toNode(pipe: Pipe, options: NodeStreamOptions = {}): Duplex {
  const { readableHighWaterMark = HIGH_WATER_BYTES, writableHighWaterMark = HIGH_WATER_BYTES } = options
  return new PipeDuplex(
    pipe,
    requireInteger('readableHighWaterMark', readableHighWaterMark, 1, MAX_HIGH_WATER_BYTES),
    requireInteger('writableHighWaterMark', writableHighWaterMark, 1, MAX_HIGH_WATER_BYTES),
  )
}

type Callback = (error?: Error | null) => void

class PipeDuplex extends Duplex {
  readonly #pipe: Pipe
  readonly #unread = new Unread()
  readonly #unsubscribe: () => void
  #reader: AsyncGenerator<Uint8ArrayList, void, undefined> | undefined
  /** The pipe was asked for more. */
  #asked = false
  /** Why reading has ended: told once what was read before it has been taken. */
  #failure: Error | undefined
  /** Somebody else reads the pipe: it is not ours to abort. */
  #foreign = false

  constructor(pipe: Pipe, readableHighWaterMark: number, writableHighWaterMark: number) {
    super({ allowHalfOpen: true, readableHighWaterMark, writableHighWaterMark })
    this.#pipe = pipe
    this.#unsubscribe = onAbort(pipe.signal, () => {
      // where there is something to read, or somebody waits for it, reading tells the failure in
      // its place
      if (!this.#asked && !this.#hasUnread) this.destroy(pipe.signal.reason as Error)
    })
  }

  // --- reading -----------------------------------------------------------------------------------

  override _read(): void {
    if (this.#unread.length > 0) this.#give()
    else if (!this.#asked && this.#failure === undefined) this.#ask()
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size)
    const isTaken = this.readableLength === 0 || (chunk === null && size !== 0)
    if (this.#failure !== undefined && isTaken) this.#destroyLater(this.#failure)
    return chunk
  }

  #ask(): void {
    try {
      this.#reader ??= this.#pipe[Symbol.asyncIterator]()
    } catch (error) {
      this.#foreign = true
      this.destroy(error as Error)
      return
    }
    this.#asked = true
    this.#reader.next().then(
      ({ done, value }) => {
        this.#asked = false
        if (this.destroyed) return
        if (done === true) this.push(null)
        else {
          this.#unread.fill(value)
          this.#give()
        }
      },
      (error: unknown) => {
        this.#asked = false
        this.#fail(error as Error)
      },
    )
  }

  /** Gives the stream as much as it has room for. */
  #give(): void {
    while (this.#unread.length > 0 && !this.destroyed) {
      const room = Math.max(1, this.readableHighWaterMark - this.readableLength)
      if (!this.push(this.#unread.view(room))) return
    }
  }

  /** Fails the stream, once its reader has what came before. */
  #fail(error: Error): void {
    this.#failure ??= error
    if (this.readableLength === 0) this.#destroyLater(this.#failure)
  }

  /** After the reader's turn: it may be holding the last chunk. */
  #destroyLater(error: Error): void {
    process.nextTick(() => this.destroy(error))
  }

  get #hasUnread(): boolean {
    return this.#unread.length > 0 || this.readableLength > 0 || this.#pipe.readableLength > 0
  }

  // --- writing -----------------------------------------------------------------------------------

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: Callback): void {
    this.#settle(this.#pipe.write(chunk), callback)
  }

  override _writev(chunks: { chunk: Uint8Array }[], callback: Callback): void {
    this.#settle(this.#pipe.write(new Uint8ArrayList(...chunks.map(({ chunk }) => chunk))), callback)
  }

  override _final(callback: Callback): void {
    this.#settle(this.#pipe.closeWrite(), callback)
  }

  #settle(written: Promise<void>, callback: Callback): void {
    written.then(
      () => {
        callback()
      },
      (error: unknown) => {
        // destroying would drop what can still be read; reading comes to the same error, where
        // somebody reads
        if (!this.#pipe.signal.aborted || !this.#hasUnread || this.#reader === undefined) callback(error as Error)
      },
    )
  }

  // --- the end -----------------------------------------------------------------------------------

  override _destroy(error: Error | null, callback: Callback): void {
    this.#unsubscribe()
    if (!this.#foreign) {
      if (error !== null) this.#pipe.abort(error)
      else if (this.writableFinished) this.#pipe.stopReading()
      else this.#pipe.abort(new TrunkError('ERR_ABORTED', 'the stream was destroyed before its end'))
    }
    callback(error)
  }
}
