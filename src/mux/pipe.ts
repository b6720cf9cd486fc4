/**
 * A pipe as users hold it: the core's plain calls as async iterables and promises. Holds no decision of the protocol.
 * A write that has room returns one shared promise; a read that finds bytes returns a promise that is ready, with everything there is.
 */
import type { Source } from 'it-stream-types'
import { Uint8ArrayList } from 'uint8arraylist'
import { badArgument, isCodeShaped, TrunkError, toTrunkError, type ErrorCode } from '../errors.ts'
import type { Bytes, Pipe, WaitsFor } from '../types.ts'
import { WRITE_BUFFER_BYTES, type MuxCore } from './core.ts'
import type { PipeListener, PipeState } from './pipe-state.ts'

/** What a pipe needs of its trunk. */
export interface PipeOwner {
  now(): number
  /** Reads a reply; throws where it is not valid. */
  decodeReply(reply: Uint8Array): unknown
  /** The answer to the open came: `error` undefined when it was accepted. */
  answered?(pipe: TrunkPipe, error: TrunkError | undefined): void
}

interface Waiter {
  readonly offset: number
  readonly resolve: () => void
  readonly reject: (error: TrunkError) => void
}

const DONE: Promise<void> = Promise.resolve()

export class TrunkPipe implements Pipe, PipeListener {
  readonly protocol: string
  reply: unknown = undefined
  readonly #core: MuxCore
  readonly #owner: PipeOwner
  #state!: PipeState
  #error: TrunkError | undefined
  #answered: boolean
  #finished = false
  #source: PipeSource | undefined
  #sinking = false
  #waiters: Waiter[] | undefined
  #endWaiter: Waiter | undefined
  #confirmation: { promise: Promise<void>; resolve: () => void; reject: (error: TrunkError) => void } | undefined
  #confirmed = false
  #gaveUpReading = false
  #confirmError: TrunkError | undefined
  #abort: AbortController | undefined
  #failure: ((error: TrunkError) => void) | undefined
  /** Called once when the pipe is over, well or not: whoever tied something to it lets go. */
  onOver: (() => void) | undefined

  constructor(core: MuxCore, owner: PipeOwner, protocol: string, answered: boolean) {
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
    return this.#error === undefined ? this.#state.readable : 0
  }

  get writableLength(): number {
    if (this.#error !== undefined || this.#state.endQueued) return 0
    return Math.max(0, WRITE_BUFFER_BYTES - this.#state.queued)
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  get source(): AsyncGenerator<Uint8ArrayList, void, undefined> {
    return (this.#source ??= new PipeSource(this))
  }

  /** Everything that can be read now, 'end', or undefined where the reader has to wait. */
  take(): Uint8ArrayList | 'end' | undefined {
    const state = this.#state
    if (this.#error === undefined && state.readable > 0) {
      return new Uint8ArrayList(...this.#core.read(state, this.#owner.now()))
    }
    if (this.#error !== undefined && !this.#finished) throw this.#error
    if (this.#gaveUpReading) throw new TrunkError('ERR_PIPE_CLOSED', 'the pipe was closed before it was read')
    if (!state.receivedAll && !state.readStopped) return undefined
    this.#checkOver()
    return 'end'
  }

  stopReading(code: ErrorCode = 'ERR_PIPE_STOPPED'): void {
    if (!isCodeShaped(code)) throw badArgument(`a code has capital letters, digits and _, not ${JSON.stringify(code)}`)
    if (this.#error !== undefined) return
    this.#core.stop(this.#state, code)
    this.#source?.wake()
    this.#checkOver()
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  write(chunk: Bytes): Promise<void> {
    if (!(chunk instanceof Uint8Array) && !(chunk instanceof Uint8ArrayList)) {
      throw badArgument(`write takes a Uint8Array or a Uint8ArrayList, not ${typeof chunk}`)
    }
    const error = this.#writeError()
    if (error !== undefined) return rejected(error)
    let offset = 0
    if (chunk instanceof Uint8Array) {
      if (chunk.byteLength > 0) offset = this.#core.write(this.#state, chunk)
    } else {
      for (const piece of chunk)
        if (piece.byteLength > 0) offset = Math.max(offset, this.#core.write(this.#state, piece))
    }
    return offset === 0 ? DONE : this.#waitForWritten(offset)
  }

  closeWrite(): Promise<void> {
    if (this.#error !== undefined) return rejected(this.#error)
    this.#core.end(this.#state)
    if (this.#state.endSent) return DONE
    return this.#waitForEnd()
  }

  readonly sink = async (source: Source<Bytes>): Promise<void> => {
    if (!isSource(source)) throw badArgument('sink takes an iterable of Uint8Arrays or Uint8ArrayLists')
    if (this.#sinking || this.#state.endQueued) {
      throw new TrunkError('ERR_PIPE_BUSY', 'the pipe has a writer already, or its writing has ended')
    }
    this.#sinking = true
    const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
    const failure = new Promise<never>((_, reject) => {
      this.#failure = reject
    })
    if (this.#error !== undefined) this.#failure?.(this.#error)
    const stopError = this.#state.stopError
    if (stopError !== undefined) this.#failure?.(stopError)
    try {
      // raced once for the whole sink: a source that hangs must not hide the pipe's failure
      await Promise.race([this.#drain(iterator), failure])
    } catch (thrown) {
      const error = toTrunkError(thrown, 'ERR_ABORTED', 'the source of the pipe failed')
      if (this.#error === undefined && this.#state.stopError === undefined) this.abort(error)
      throw thrown
    } finally {
      this.#failure = undefined
      closeIterator(iterator)
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

  #writeError(): TrunkError | undefined {
    if (this.#error !== undefined) return this.#error
    const state = this.#state
    if (state.stopError !== undefined) return state.stopError
    if (state.endQueued) return new TrunkError('ERR_PIPE_CLOSED', 'write after the end of writing')
    return undefined
  }

  #waitForWritten(offset: number): Promise<void> {
    const promise = new Promise<void>((resolve, reject) => {
      ;(this.#waiters ??= []).push({ offset, resolve, reject })
    })
    // whoever does not wait for a write hears of its failure from the pipe; it must not end the process
    promise.catch(ignore)
    return promise
  }

  #waitForEnd(): Promise<void> {
    const previous = this.#endWaiter
    const promise = new Promise<void>((resolve, reject) => {
      this.#endWaiter = {
        offset: 0,
        resolve() {
          previous?.resolve()
          resolve()
        },
        reject(error) {
          previous?.reject(error)
          reject(error)
        },
      }
    })
    promise.catch(ignore)
    return promise
  }

  // --- ends ----------------------------------------------------------------------------------------------------------

  close(): Promise<void> {
    if (this.#confirmation !== undefined) return this.#confirmation.promise
    let resolve!: () => void
    let reject!: (error: TrunkError) => void
    const promise = new Promise<void>((yes, no) => {
      resolve = yes
      reject = no
    })
    promise.catch(ignore)
    this.#confirmation = { promise, resolve, reject }
    if (this.#error !== undefined) reject(this.#error)
    else {
      this.#core.end(this.#state)
      if (this.#confirmed) this.#settleConfirmation()
      // a reader may start in the same tick
      else queueMicrotask(() => this.#unblockPeer())
    }
    return promise
  }

  abort(reason: Error): void {
    if (this.#error !== undefined || this.#isOver()) return
    const error = toTrunkError(reason, 'ERR_ABORTED', 'the pipe was aborted')
    this.#core.reset(this.#state, error)
    this.failed(error)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // both directions are over here: what is queued still leaves, and a reset would only cut the peer's handler
    if (this.#state.endQueued && this.#state.receivedAll) return
    this.abort(new TrunkError('ERR_ABORTED', 'the pipe was disposed before it was finished'))
    await DONE
  }

  #isOver(): boolean {
    return this.#state.phase === 'gone' && this.#error === undefined
  }

  /** Closed without a reader: once the peer cannot go on before its bytes are read, its close would wait for ours and ours for it. */
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
    if (!this.#confirmed || (!this.#state.receivedAll && !this.#state.readStopped)) return
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

  // --- PipeListener --------------------------------------------------------------------------------------------------

  accepted(reply: Uint8Array): void {
    this.#answered = true
    try {
      this.reply = this.#owner.decodeReply(reply)
    } catch (error) {
      this.abort(toTrunkError(error, 'ERR_MESSAGE_INVALID', 'the reply is not valid'))
      this.#owner.answered?.(this, this.#error)
      return
    }
    this.#owner.answered?.(this, undefined)
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
    if (this.#state.endSent && this.#endWaiter !== undefined) {
      this.#endWaiter.resolve()
      this.#endWaiter = undefined
    }
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
    this.#finished = this.#state.receivedAll && this.#state.readable === 0
    this.#error = error
    const waiters = this.#waiters
    this.#waiters = undefined
    for (const waiter of waiters ?? []) waiter.reject(error)
    this.#endWaiter?.reject(error)
    this.#endWaiter = undefined
    this.#failure?.(error)
    this.#confirmation?.reject(error)
    this.#abort?.abort(error)
    this.#source?.wake()
    this.onOver?.()
    this.onOver = undefined
    if (!this.#answered) {
      this.#answered = true
      this.#owner.answered?.(this, error)
    }
  }

  // --- status --------------------------------------------------------------------------------------------------------

  /** What the pipe waits for now. */
  get waitsFor(): WaitsFor {
    const state = this.#state
    if (state.phase === 'opening') return state.outbound ? 'accept' : 'handler'
    if (state.queued > 0) return state.sent >= state.creditLimit ? 'credit' : 'line'
    if (state.readable > 0) return 'reader'
    if (state.endSent && !state.doneReceived) return 'confirmation'
    if (state.receivedAll && !state.outbound && !state.handlerEnded) return 'handler'
    return 'nothing'
  }
}

/** The readable side as an async generator: written by hand, since a generator function costs a suspended frame and a promise per item. */
class PipeSource implements AsyncGenerator<Uint8ArrayList, void, undefined> {
  readonly #pipe: TrunkPipe
  #iterated = false
  #done = false
  #waiter:
    { resolve: (result: IteratorResult<Uint8ArrayList, void>) => void; reject: (error: unknown) => void } | undefined

  constructor(pipe: TrunkPipe) {
    this.#pipe = pipe
  }

  [Symbol.asyncIterator](): this {
    if (this.#iterated) throw new TrunkError('ERR_PIPE_BUSY', 'a pipe can be iterated once')
    this.#iterated = true
    return this
  }

  next(): Promise<IteratorResult<Uint8ArrayList, void>> {
    if (this.#done) return Promise.resolve({ done: true, value: undefined })
    if (this.#waiter !== undefined) return rejected(new TrunkError('ERR_PIPE_BUSY', 'the pipe is being read already'))
    try {
      const result = this.#result()
      if (result !== undefined) return Promise.resolve(result)
    } catch (error) {
      this.#done = true
      return rejected(error)
    }
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
    })
  }

  return(): Promise<IteratorResult<Uint8ArrayList, void>> {
    if (!this.#done) {
      this.#done = true
      this.#pipe.stopReading()
      this.#waiter?.resolve({ done: true, value: undefined })
      this.#waiter = undefined
    }
    return Promise.resolve({ done: true, value: undefined })
  }

  throw(error: unknown): Promise<IteratorResult<Uint8ArrayList, void>> {
    this.#done = true
    this.#pipe.abort(toTrunkError(error, 'ERR_ABORTED', 'the reader failed'))
    return rejected(error)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  /** Something changed: a waiting `next` is answered if it can be. */
  wake(): void {
    const waiter = this.#waiter
    if (waiter === undefined) return
    try {
      const result = this.#result()
      if (result === undefined) return
      this.#waiter = undefined
      waiter.resolve(result)
    } catch (error) {
      this.#done = true
      this.#waiter = undefined
      waiter.reject(error)
    }
  }

  #result(): IteratorResult<Uint8ArrayList, void> | undefined {
    const taken = this.#pipe.take()
    if (taken === undefined) return undefined
    if (taken !== 'end') return { done: false, value: taken }
    this.#done = true
    return { done: true, value: undefined }
  }
}

function isSource(source: unknown): boolean {
  if (typeof source !== 'object' || source === null || source instanceof Uint8Array) return false
  return Symbol.asyncIterator in source || Symbol.iterator in source
}

function ignore(): void {
  // the same failure reaches whoever waits on the promise itself
}

/** A rejected promise that ends no process where nobody waits for it. */
async function rejection(error: unknown): Promise<never> {
  throw error
}

function rejected(error: unknown): Promise<never> {
  const promise = rejection(error)
  promise.catch(ignore)
  return promise
}

function closeIterator(iterator: AsyncIterator<Bytes> | Iterator<Bytes>): void {
  // the owner of the lifetime closes the source: it-pipe leaves it suspended. It may be waiting still, so it is not waited for
  const closing = iterator.return?.()
  if (closing instanceof Promise) closing.catch(ignore)
}
