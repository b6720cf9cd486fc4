/**
 * A link over Node's own streams: one `Duplex` (a socket), or a `Readable` and a `Writable` (a
 * child's stdout and stdin).
 *
 * Promises: both interfaces of a link (`source`/`sink`, or `direct`), of which one is used; what
 * the peer ended ends, everything else fails with a TrunkError of scope `link`, after what came
 * before; half-close either way where the line has it; after an end of both sides, a failure,
 * `close` or `abort` no listener, timer or descriptor is left; where writing fails since the peer
 * is gone, what it sent comes first. Assumes: the streams are open, in bytes, and nobody else
 * touches them. Bounds: holds at most one chunk that was read, what Node had buffered where the
 * line failed, and one batch that is being written; `close` waits `closeTimeoutMs`.
 */
import { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers'
import type { Clock } from '../../src/runtime/clock.ts'
import { badArgument, toTrunkError, TrunkError } from '../../src/contracts/errors.ts'
import { errorBehindEnd } from '../../src/native/pending-error.ts'
import { linkError } from '../../src/runtime/net-errors.ts'
import type { Bytes, DirectLink, DirectReceiver, Link } from '../../src/contracts/types.ts'
import { takeUnread } from '../../src/runtime/unread.ts'
import { Interruption, sinkInto } from './link-sink.ts'
import { readFrom } from './link-source.ts'
import { RestFirst } from './rest-first.ts'
import type { PooledReader } from './pooled-reader.ts'

/** What a link is made of. */
export interface LinkParts {
  readonly readable: Readable
  /** Reads `readable` in place of its 'data' events. @default those */
  readonly reader?: PooledReader
  /** May be the same object as `readable`. */
  readonly writable: Writable
  readonly peer?: string
  readonly clock: Clock
  /** How long `close` waits for the peer's end. */
  readonly closeTimeoutMs: number
  /**
   * False where ending one side says nothing, or ends both (a device, QEMU behind a socket): the
   * end of a `sink` and `direct.end` leave the line as it is, and only `close` ends it.
   * @default true
   */
  readonly halfClose?: boolean
  /** Cuts the line so that the peer notices; called at most once. @default destroys both streams */
  readonly cut?: () => void
  /**
   * Asked once before an end or an error is passed on; an error that it gives replaces it. For
   * lines where only something else (a child's exit status) tells an end from a loss. Must not
   * reject.
   */
  readonly explain?: (error: Error | undefined) => Promise<Error | undefined>
  /**
   * Resolves when whatever else belongs to the line (a child process) is over: `close` waits for
   * it, too. Must not reject.
   */
  readonly over?: Promise<void>
}

/** A link that says when nothing of it is left. */
export interface ClosingLink extends Link {
  /** Resolves when both streams, and whatever else belongs to the line, are closed. */
  readonly over: Promise<void>
}

const NOTHING = new Uint8Array(0)

/** Makes the link. Claims the line's streams: from here on only the link touches them. */
export function socketLink(parts: LinkParts): ClosingLink {
  return new SocketLink(parts)
}

class SocketLink implements ClosingLink {
  readonly peer?: string
  readonly over: Promise<void>
  readonly direct: DirectLink
  readonly source: AsyncIterable<Bytes>
  readonly #parts: LinkParts
  readonly #closed: Promise<void>
  #resolveClosed: () => void = () => undefined
  #claimed: 'direct' | 'iterables' | undefined
  #iterated = false
  #sunk = false
  #receiver: DirectReceiver | undefined
  /**
   * What was read and not yet taken by `source`: reading pauses while there is a chunk. More than
   * one where the line failed, with what Node had buffered.
   */
  readonly #chunks: Uint8Array[] = []
  #reading = false
  #paused = false
  #ended = false
  #errored = false
  /**
   * Why nothing more is read or written here: the line's failure, or our own `close` or `abort`.
   */
  #failure: TrunkError | undefined
  #wakeSource: (() => void) | undefined
  readonly #interruption = new Interruption()
  readonly #rest: RestFirst
  /** A batch was handed over that has not left yet. */
  #undrained = false
  #endCalled = false
  #closing: Promise<void> | undefined
  #cutDone = false

  constructor(parts: LinkParts) {
    this.#parts = parts
    if (parts.peer !== undefined) this.peer = parts.peer
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    this.over = Promise.all([this.#closed, parts.over]).then(() => undefined)
    const { reader } = parts
    this.direct = {
      start: (receiver) => {
        this.#start(receiver)
      },
      write: (batch) => this.#write(batch),
      end: () => {
        this.#end()
      },
      ...(reader && { release: (view) => reader.release(view) }),
    }
    this.source = { [Symbol.asyncIterator]: () => this.#iterate() }
    const { readable, writable } = parts
    this.#rest = new RestFirst(readable, parts.clock, parts.closeTimeoutMs)
    if (!Object.is(readable, writable)) {
      writable.on('error', this.#onWriteError)
      writable.on('close', this.#onClose)
    } else this.#rest.intercept(writable)
    readable.on('error', this.#onError)
    readable.on('close', this.#onClose)
    readable.on('end', this.#onEnd)
  }

  readonly sink = async (source: AsyncIterable<Bytes>): Promise<void> => {
    this.#claim('iterables')
    if (this.#sunk) throw badArgument('sink was called before on this link')
    this.#sunk = true
    if (this.#failure !== undefined) throw this.#failure
    try {
      await sinkInto(this.#parts.writable, source, this.#interruption, this.#parts.halfClose)
    } catch (error) {
      const stoppedBy = this.#stoppedBy()
      const failure = stoppedBy ?? toTrunkError(error, 'ERR_LINK_LOST', 'what was to be written failed')
      // A source that broke off must not look like an end to the peer; a line that was stopped
      // already ends by itself.
      if (stoppedBy === undefined) this.abort(failure)
      throw failure
    }
  }

  /**
   * Ends our side after what was written has left, drops what still arrives until the peer ends
   * too, and cuts the line after `closeTimeoutMs`. Never rejects: what failed meanwhile is told to
   * the readers. A reset right after our end could overtake bytes that the peer has not read yet,
   * hence the wait for its end.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  abort(reason: Error): void {
    this.#chunks.length = 0
    this.#stop(toTrunkError(reason, 'ERR_LINK_LOST', 'the link was aborted'))
    this.#cut()
  }

  async #close(): Promise<void> {
    this.#chunks.length = 0
    this.#stop(new TrunkError('ERR_LINK_LOST', 'the link was closed here'))
    const { clock, closeTimeoutMs, readable } = this.#parts
    const timer = clock.after(closeTimeoutMs, () => {
      this.#cut()
      // A foreign stream may never tell that it closed; the next turn is when Node's own have.
      nextTurn(this.#resolveClosed)
    })
    this.#endCalled = true
    this.#endLine()
    this.#read()
    readable.resume()
    await this.over
    timer.cancel()
  }

  /**
   * Nothing more is told to the direct receiver; who waits at the other interface is told
   * `failure`.
   */
  #stop(failure: TrunkError): void {
    this.#failure ??= failure
    this.#receiver = undefined
    this.#wakeSource?.()
    this.#interruption.interrupt(this.#failure)
  }

  #claim(used: 'direct' | 'iterables'): void {
    this.#claimed ??= used
    if (this.#claimed !== used)
      throw badArgument('one link is used through source and sink or through direct, not both')
  }

  #start(receiver: DirectReceiver): void {
    this.#claim('direct')
    if (this.#receiver !== undefined || this.#reading) throw badArgument('direct.start was called before on this link')
    const failure = this.#failure
    if (failure !== undefined) {
      queueMicrotask(() => {
        receiver.fail(failure)
      })
      return
    }
    this.#receiver = receiver
    this.#read()
  }

  /**
   * One writev for the batch: cork holds the chunks together until uncork. On a socket of ours a
   * write that leaves at once is given no callback, which would cost a turn of the tick queue, a
   * tenth of a small message's way (docs/internals/performance.md). A foreign stream is: to it
   * nothing may be a message, too.
   */
  #write(batch: readonly Uint8Array[]): boolean {
    this.#claim('direct')
    if (this.#endCalled && this.#failure === undefined) throw badArgument('write was called after end')
    if (this.#undrained && this.#failure === undefined) throw badArgument('write was called before drain')
    const { writable } = this.#parts
    if (this.#failure !== undefined || writable.destroyed) return false
    const ours = this.#parts.reader !== undefined
    const last = batch.length - 1
    if (last > 0) writable.cork()
    for (const chunk of batch) writable.write(chunk, ours ? undefined : this.#onWritten)
    if (last > 0) writable.uncork()
    this.#undrained = writable.writableLength > 0
    // nothing, behind everything: its callback comes when the rest has left
    if (this.#undrained && ours) writable.write(NOTHING, this.#onWritten)
    return !this.#undrained
  }

  #end(): void {
    if (this.#endCalled) return
    this.#endCalled = true
    if (this.#parts.halfClose !== false) this.#endLine()
  }

  #endLine(): void {
    const { writable } = this.#parts
    if (!writable.destroyed && !writable.writableEnded) writable.end()
  }

  #iterate(): AsyncIterator<Bytes> {
    this.#claim('iterables')
    if (this.#iterated) throw badArgument('source can be iterated once')
    this.#iterated = true
    return readFrom({
      take: () => this.#chunks.shift(),
      state: () => (this.#ended ? 'ended' : (this.#failure ?? 'open')),
      more: () =>
        new Promise((resolve) => {
          this.#wakeSource = resolve
          this.#paused = false
          this.#read()
          this.#parts.readable.resume()
        }),
    })
  }

  #read(): void {
    if (this.#reading) return
    this.#reading = true
    const { reader, readable, clock } = this.#parts
    if (reader === undefined) {
      readable.on('data', this.#onData)
      return
    }
    const receiver = this.#receiver
    reader.start(this.#onData, receiver?.kept && (() => receiver.kept?.() ?? 0), {
      now: () => clock.now(),
      resume: () => {
        if (!this.#paused) readable.resume()
      },
    })
    // it stops by itself when something comes before anybody listens
    if (!this.#paused) readable.resume()
  }

  readonly #onData = (chunk: Uint8Array): void => {
    if (this.#receiver !== undefined) {
      this.#receiver.data(chunk)
    } else if (this.#failure === undefined) {
      this.#chunks.push(chunk)
      this.#paused = true
      this.#parts.readable.pause()
      this.#wakeSource?.()
    }
  }

  readonly #onWritten = (): void => {
    if (!this.#undrained || this.#parts.writable.writableLength > 0) return
    this.#undrained = false
    this.#receiver?.drain()
  }

  readonly #onEnd = (): void => {
    if (this.#rest.settle()) return
    const { readable } = this.#parts
    // Asked while the event is being told: right after it, a socket that has ended both ways is
    // closed. After a goodbye nobody minds, and most commands need the addon, which is to be asked,
    // for nothing else.
    const minds = this.#failure === undefined && this.#receiver?.isOver?.() !== true
    void this.#conclude(minds && readable instanceof Socket ? errorBehindEnd(readable) : undefined)
  }

  readonly #onWriteError = (error: Error): void => {
    this.#errored = true
    this.#rest.failed(error, this.#onError)
  }

  readonly #onError = (error: Error): void => {
    this.#errored = true
    if (this.#paused && this.#failure === undefined) this.#chunks.push(...takeUnread(this.#parts.readable))
    void this.#conclude(error)
  }

  /** Passes an end or an error on, after the line has explained it. */
  async #conclude(error: Error | undefined): Promise<void> {
    if (this.#failure !== undefined) return
    const { explain } = this.#parts
    const failure = explain === undefined ? error : ((await explain(error)) ?? error)
    if (failure !== undefined) {
      this.#fail(linkError(failure))
    } else if (!this.#ended && this.#stoppedBy() === undefined) {
      this.#ended = true
      this.#wakeSource?.()
      this.#receiver?.end()
    }
  }

  /** A method, since the field changes during an await. */
  #stoppedBy(): TrunkError | undefined {
    return this.#failure
  }

  #fail(failure: TrunkError): void {
    if (this.#failure !== undefined) return
    const receiver = this.#receiver
    this.#stop(failure)
    this.#cut()
    receiver?.fail(failure)
  }

  #cut(): void {
    if (this.#cutDone) return
    this.#cutDone = true
    this.#rest.drop()
    const { readable, writable, cut } = this.#parts
    cut?.()
    readable.destroy()
    writable.destroy()
  }

  readonly #onClose = (): void => {
    const { readable, writable } = this.#parts
    if (!readable.closed || !writable.closed) return
    if (!this.#errored && this.#failure === undefined) {
      if (!readable.readableEnded)
        void this.#conclude(new TrunkError('ERR_LINK_LOST', 'the line closed without an end'))
      else if (!writable.writableFinished) {
        void this.#conclude(new TrunkError('ERR_LINK_RESET', 'the peer no longer reads'))
      }
    }
    this.#rest.drop()
    for (const side of [readable, writable]) {
      side.off('error', this.#onError)
      side.off('error', this.#onWriteError)
      side.off('close', this.#onClose)
    }
    readable.off('end', this.#onEnd)
    readable.off('data', this.#onData)
    this.#resolveClosed()
  }
}
