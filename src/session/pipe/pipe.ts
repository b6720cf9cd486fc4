/**
 * A pipe as users hold it: the core's plain calls as async iterables and promises. Holds no
 * decision of the protocol. A write that has room returns one shared promise; a read that finds
 * bytes returns a promise that is ready, with everything there is.
 */
import type { Source } from 'it-stream-types'
import { Uint8ArrayList } from 'uint8arraylist'
import type { Timer } from '../../runtime/clock.ts'
import { badArgument, isCodeShaped, TrunkError, toTrunkError, type ErrorCode } from '../../contracts/errors.ts'
import type { Bytes, Pipe, WaitsFor } from '../../contracts/types.ts'
import type { MuxCore } from '../../core/mux/core.ts'
import { Deferred } from '../../runtime/deferred.ts'
import { DONE, Waiter } from './waiter.ts'
import { PipeSource } from './pipe-source.ts'
import type { PipeListener, PipeState } from '../../core/mux/pipe-state.ts'
import { ignore, rejected } from './rejected.ts'
import { closeIterator, isSource } from '../../runtime/sources.ts'

/** What a pipe needs of its trunk. */
export interface PipeOwner {
  now(): number
  /** False where the session waits for a link: the peer can do nothing for any pipe. */
  readonly isAttached: boolean
  /** Calls `callback` when what is closed has had its time. */
  closeTimer(callback: () => void): Timer
  /** Reads a reply; throws where it is not valid. */
  decodeReply(reply: Uint8Array): unknown
}

export class TrunkPipe implements Pipe, PipeListener {
  readonly protocol: string
  reply: unknown = undefined
  readonly #core: MuxCore
  readonly #owner: PipeOwner
  #state!: PipeState
  #error: TrunkError | undefined
  /** To be called with the answer to our open: `error` undefined when it was accepted. */
  #answered: ((error: TrunkError | undefined) => void) | undefined
  #finished = false
  #source: PipeSource | undefined
  #sinking = false
  #waiters: Waiter[] | undefined
  #ending: Deferred | undefined
  #confirmation: Deferred | undefined
  #confirmed = false
  #gaveUpReading = false
  #confirmError: TrunkError | undefined
  /** We reset the pipe behind what was written: with which error, and who waits for it. */
  #cutError: TrunkError | undefined
  #cut: Deferred | undefined
  #abort: AbortController | undefined
  #failure: ((error: TrunkError) => void) | undefined
  /** Called once when the pipe is over, well or not: whoever tied something to it lets go. */
  onOver: (() => void) | undefined

  constructor(
    core: MuxCore,
    owner: PipeOwner,
    protocol: string,
    answered: ((error: TrunkError | undefined) => void) | undefined,
  ) {
    this.#core = core
    this.#owner = owner
    this.protocol = protocol
    this.#answered = answered
  }

  /** Ties the pipe to its state in the core; once, at once after it is made. */
  bind(state: PipeState): this {
    this.#state = state
    return this
  }

  get id(): number {
    return this.#state.id
  }

  /** The core's view, for the trunk. */
  get state(): PipeState {
    return this.#state
  }

  /** The error that ended the pipe, if one did. */
  get error(): TrunkError | undefined {
    return this.#error
  }

  get signal(): AbortSignal {
    // made when first asked for: an AbortController costs 2 us and a pipe seldom needs one
    this.#abort ??= new AbortController()
    if (this.#error !== undefined && !this.#abort.signal.aborted) this.#abort.abort(this.#error)
    return this.#abort.signal
  }

  get readableLength(): number {
    return this.#mayRead ? this.#state.readable : 0
  }

  get writableLength(): number {
    if (this.#failed !== undefined || this.#state.endQueued) return 0
    return this.#core.room(this.#state)
  }

  // --- reading -----------------------------------------------------------------------------------

  get source(): AsyncGenerator<Uint8ArrayList, void, undefined> {
    // nobody may take for its own what is only borrowed
    if (this.#source?.isBorrowed === true)
      throw new TrunkError('ERR_PIPE_BUSY', 'the pipe is read through `borrowed` already')
    return (this.#source ??= new PipeSource(this, false))
  }

  get borrowed(): AsyncGenerator<Uint8ArrayList, void, undefined> {
    return (this.#source ??= new PipeSource(this, true))
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8ArrayList, void, undefined> {
    return this.source[Symbol.asyncIterator]()
  }

  /** Everything that can be read now, 'end', or undefined where the reader has to wait. */
  take(): Uint8Array[] | 'end' | undefined {
    const state = this.#state
    if (state.readable > 0 && this.#mayRead) {
      const pieces = this.#core.read(state, this.#owner)
      if (this.#error !== undefined) this.#finished = state.receivedAll
      return pieces
    }
    const failed = this.#failed
    if (failed !== undefined && !this.#finished) throw failed
    if (this.#gaveUpReading) throw new TrunkError('ERR_PIPE_CLOSED', 'the pipe was closed before it was read')
    if (!state.receivedAll && !state.readStopped) return undefined
    this.#checkOver()
    return 'end'
  }

  /** Pieces of {@link take} that nobody looks at any more. */
  giveBack(pieces: readonly Uint8Array[]): void {
    this.#core.release(pieces)
  }

  stopReading(code: ErrorCode = 'ERR_PIPE_STOPPED'): void {
    if (!isCodeShaped(code)) throw badArgument(`a code has capital letters, digits and _, not ${JSON.stringify(code)}`)
    if (this.#error !== undefined) {
      this.#core.dropUnread(this.#state)
      return
    }
    this.#core.stop(this.#state, code)
    this.#source?.wake()
    this.#checkOver()
  }

  // --- writing -----------------------------------------------------------------------------------

  write(chunk: Bytes): Promise<void> {
    const single = chunk instanceof Uint8Array
    if (!single && !(chunk instanceof Uint8ArrayList)) {
      return rejected(badArgument(`write takes a Uint8Array or a Uint8ArrayList, not ${typeof chunk}`))
    }
    if (this.#failed !== undefined || this.#state.endQueued) return rejected(this.#writeError())
    let offset = 0
    if (single) {
      if (chunk.byteLength > 0) offset = this.#core.write(this.#state, chunk)
    } else {
      for (const piece of chunk)
        if (piece.byteLength > 0) offset = Math.max(offset, this.#core.write(this.#state, piece))
    }
    return offset === 0 ? DONE : this.#waitForWritten(offset)
  }

  closeWrite(): Promise<void> {
    if (this.#failed !== undefined) return rejected(this.#failed)
    this.#core.end(this.#state)
    if (this.#state.endSent) return DONE
    return (this.#ending ??= new Deferred()).promise
  }

  readonly sink = async (source: Source<Bytes>): Promise<void> => {
    if (!isSource(source)) throw badArgument('sink takes an iterable of Uint8Arrays or Uint8ArrayLists')
    // a stop by the peer, or a failure, is told by the first write
    const isEndedByUs = this.#state.endQueued && this.#failed === undefined && this.#state.stopError === undefined
    if (this.#sinking || isEndedByUs) {
      throw new TrunkError('ERR_PIPE_BUSY', 'the pipe has a writer already, or its writing has ended')
    }
    this.#sinking = true
    let iterator: AsyncIterator<Bytes> | Iterator<Bytes> | undefined
    const failure = new Promise<never>((_, reject) => {
      this.#failure = reject
    })
    // raced below, unless the source throws before that
    failure.catch(ignore)
    if (this.#failed !== undefined) this.#failure?.(this.#failed)
    try {
      iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
      // raced once for the whole sink: a source that hangs must not hide the pipe's failure
      await Promise.race([this.#drain(iterator), failure])
    } catch (thrown) {
      const error = toTrunkError(thrown, 'ERR_ABORTED', 'the source of the pipe failed')
      if (this.#failed === undefined && this.#state.stopError === undefined) this.abort(error)
      throw thrown
    } finally {
      this.#failure = undefined
      if (iterator !== undefined) void closeIterator(iterator)
      this.#checkOver()
    }
  }

  async #drain(iterator: AsyncIterator<Bytes> | Iterator<Bytes>): Promise<void> {
    for (;;) {
      const next = await iterator.next()
      if (next.done === true) break
      await this.write(next.value)
    }
    await this.closeWrite()
  }

  /** Why nothing can be written: a stop by the peer ends the writing, too. */
  #writeError(): TrunkError {
    return this.#failed ?? this.#state.stopError ?? new TrunkError('ERR_PIPE_CLOSED', 'write after the end of writing')
  }

  #waitForWritten(offset: number): Promise<void> {
    const waiter = new Waiter(offset)
    ;(this.#waiters ??= []).push(waiter)
    return waiter.promise
  }

  // --- ends --------------------------------------------------------------------------------------

  close(): Promise<void> {
    if (this.#confirmation !== undefined) return this.#confirmation.promise
    const confirmation = (this.#confirmation = new Deferred())
    if (this.#error !== undefined) confirmation.reject(this.#error)
    else {
      this.#core.end(this.#state)
      if (this.#confirmed) this.#settleConfirmation()
      // a reader may start in the same tick
      else queueMicrotask(() => this.#unblockPeer())
    }
    return confirmation.promise
  }

  abort(reason: Error): void {
    if (this.#error !== undefined) {
      // what came before it failed is not wanted any more
      this.#core.dropUnread(this.#state)
      return
    }
    const isOver = this.#state.phase === 'closed'
    if (isOver && !this.#isWriting) return
    const error = toTrunkError(reason, 'ERR_ABORTED', 'the pipe was aborted')
    if (!isOver) this.#core.reset(this.#state, error)
    this.failed(error)
  }

  abortWhenWritten(reason: Error): Promise<void> {
    if (this.#cut !== undefined) return this.#cut.promise
    if (this.#error !== undefined || this.#state.phase === 'closed') return DONE
    const cut = (this.#cut = new Deferred())
    this.#cutError = toTrunkError(reason, 'ERR_ABORTED', 'the pipe was aborted')
    this.#failure?.(this.#cutError)
    this.#core.cut(this.#state, this.#cutError)
    this.#source?.wake()
    return cut.promise
  }

  /**
   * Why nothing can be done with the pipe any more, though its reset may still wait for what goes
   * before.
   */
  get #failed(): TrunkError | undefined {
    return this.#error ?? this.#cutError
  }

  get #mayRead(): boolean {
    return this.#failed === undefined || this.#state.lingers
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#failed !== undefined) {
      // whoever used it has heard of that
      this.#core.dropUnread(this.#state)
      return
    }
    const timer = this.#owner.closeTimer(() => {
      this.abort(new TrunkError('ERR_CLOSE_TIMEOUT', 'the pipe was disposed, and the peer has not finished in time'))
    })
    try {
      // a sink ends what it writes: its end here would call whole what is not
      if (this.#failure !== undefined) this.#confirmation ??= new Deferred()
      const closing = this.close()
      if (this.#source !== undefined && !this.#state.receivedAll) {
        this.#gaveUpReading = !this.#state.readStopped
        this.#core.stop(this.#state, 'ERR_PIPE_STOPPED')
        this.#source.wake()
      }
      await closing
    } catch (error) {
      // what the peer did not do with a pipe that was only read concerns nobody who has left
      if (this.#state.written > 0) throw error
    } finally {
      timer.cancel()
    }
  }

  /**
   * Somebody waits for what was written to leave: the peer may have answered all of it before the
   * line says so.
   */
  get #isWriting(): boolean {
    return (
      (this.#waiters !== undefined && this.#waiters.length > 0) ||
      this.#ending !== undefined ||
      this.#failure !== undefined
    )
  }

  /**
   * Closed without a reader: once the peer cannot go on before its bytes are read, its close would
   * wait for ours and ours for it.
   */
  #unblockPeer(): void {
    const { finalOffset, received, granted } = this.#state
    if (finalOffset >= 0 || received >= granted) this.#giveUpReading()
  }

  /** Closed without ever having looked at what the peer wrote: nobody will read it. */
  #giveUpReading(): void {
    if (this.#source !== undefined || this.#error !== undefined || this.#state.receivedAll) return
    this.#gaveUpReading = !this.#state.readStopped
    this.#core.stop(this.#state, 'ERR_PIPE_STOPPED')
  }

  /** Nothing more can happen to the pipe that whoever tied something to it would want to know. */
  #checkOver(): void {
    if (!this.#confirmed || (!this.#state.receivedAll && !this.#state.readStopped) || this.#isWriting) return
    this.onOver?.()
    this.onOver = undefined
  }

  #settleConfirmation(): void {
    const confirmation = this.#confirmation
    if (confirmation === undefined) return
    this.#giveUpReading()
    if (this.#confirmError !== undefined) confirmation.reject(this.#confirmError)
    else confirmation.resolve()
  }

  // --- PipeListener ------------------------------------------------------------------------------

  accepted(reply: Uint8Array): void {
    try {
      this.reply = this.#owner.decodeReply(reply)
    } catch (error) {
      this.abort(toTrunkError(error, 'ERR_MESSAGE_INVALID', 'the reply is not valid'))
      return
    }
    const answered = this.#answered
    this.#answered = undefined
    answered?.(undefined)
  }

  readable(): void {
    this.#source?.wake()
    if (this.#confirmation !== undefined) this.#unblockPeer()
    this.#checkOver()
  }

  written(): void {
    const waiters = this.#waiters
    if (waiters !== undefined) {
      const { sent } = this.#state
      let kept = 0
      for (const waiter of waiters) {
        if (waiter.offset <= sent) waiter.resolve()
        else waiters[kept++] = waiter
      }
      waiters.length = kept
    }
    if (this.#state.endSent && this.#ending !== undefined) {
      this.#ending.resolve()
      this.#ending = undefined
    }
    this.#checkOver()
  }

  stopped(error: TrunkError): void {
    const waiters = this.#waiters
    this.#waiters = undefined
    for (const waiter of waiters ?? []) waiter.reject(error)
    this.#failure?.(error)
  }

  confirmed(error: TrunkError | undefined): void {
    this.#confirmed = true
    this.#confirmError = error
    this.#settleConfirmation()
    this.#checkOver()
  }

  failed(error: TrunkError): void {
    if (this.#error !== undefined) return
    this.#finished = this.#state.receivedAll
    this.#error = error
    const waiters = this.#waiters
    this.#waiters = undefined
    for (const waiter of waiters ?? []) waiter.reject(error)
    this.#ending?.reject(error)
    this.#ending = undefined
    this.#cut?.resolve()
    this.#failure?.(error)
    this.#confirmation?.reject(error)
    this.#abort?.abort(error)
    this.#source?.wake()
    this.onOver?.()
    this.onOver = undefined
    this.#answered?.(error)
    this.#answered = undefined
  }

  // --- status ------------------------------------------------------------------------------------

  /** Grows with whatever the peer does for the pipe. */
  get progress(): number {
    const { phase, received, creditLimit, sent } = this.#state
    return received + creditLimit + sent + (phase === 'opening' ? 0 : 1)
  }

  /** True while somebody here can only go on when the peer has done something. */
  get waitsForPeer(): boolean {
    const what = this.waitsFor
    if (what === 'nothing') return this.#source?.waits === true
    return what === 'accept' || what === 'credit' || what === 'confirmation'
  }

  /** What the pipe waits for now. */
  get waitsFor(): WaitsFor {
    const state = this.#state
    if (!this.#owner.isAttached) return 'link'
    if (state.phase === 'opening') return state.outbound ? 'accept' : 'handler'
    if (state.queued > 0) return state.sent >= state.creditLimit ? 'credit' : 'line'
    if (state.readable > 0) return 'reader'
    if (state.endSent && !state.doneReceived) return 'confirmation'
    if (state.receivedAll && !state.outbound && !state.handlerEnded) return 'handler'
    return 'nothing'
  }
}
