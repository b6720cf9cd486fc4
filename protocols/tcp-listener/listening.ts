/**
 * The asking side's end of one listener: its requests under way, the connections that came, and
 * whoever waits for one.
 */
import { Doubling } from '../../src/runtime/backoff.ts'
import type { Clock, Timer } from '../../src/runtime/clock.ts'
import { toTrunkError, TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe, Trunk } from '../../src/contracts/types.ts'
import type { Decoded } from '../internal/decoded.ts'
import type { AcceptRequest } from './messages.ts'

/** What the two protocols of listeners do not share. */
export interface ListeningOptions {
  /** The protocol's name. */
  readonly name: string
  /** The listener's number at the peer. */
  readonly listener: number
  readonly accepts: number
  readonly clock: Clock
  /** Checks a reply to a request to accept, and gives the request that it is for. */
  accepted(reply: unknown): Decoded<number>
}

/** Refusals that pass: there is no room for a further pipe just now. */
const PASSING: ReadonlySet<string> = new Set(['ERR_PIPE_LIMIT', 'ERR_PIPE_BACKLOG', 'ERR_PIPE_BUSY'])

/** First and longest pause after such a refusal. */
const MIN_PAUSE_MS = 100
const MAX_PAUSE_MS = 5_000

interface Taker<P> {
  readonly resolve: (pipe: P | undefined) => void
  readonly reject: (error: TrunkError) => void
}

/**
 * Iterating gives each connection once, as a pipe of type `P`, which `accepted` vouches for;
 * leaving the loop closes it.
 */
export class Listening<P extends Pipe> implements AsyncIterable<P>, AsyncDisposable {
  readonly #trunk: Trunk
  readonly #control: Pipe
  readonly #options: ListeningOptions
  /**
   * Requests under way, to give them up. One each: a signal given to `open` goes on to abort the
   * pipe, and that is the application's.
   */
  readonly #underWay = new Set<AbortController>()
  readonly #ready: P[] = []
  readonly #takers: Taker<P>[] = []
  #over = false
  #lastRequest = 0
  #pause: Timer | undefined
  readonly #pauses = new Doubling(MIN_PAUSE_MS, MAX_PAUSE_MS)
  #failure: TrunkError | undefined
  #closing: Promise<void> | undefined

  constructor(trunk: Trunk, control: Pipe, options: ListeningOptions) {
    this.#trunk = trunk
    this.#control = control
    this.#options = options
    void this.#watchControl()
    this.#request()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<P, void, undefined> {
    try {
      for (;;) {
        const pipe = await this.#take()
        if (pipe === undefined) return
        yield pipe
      }
    } finally {
      await this.close()
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#end(closedError())
    for (const taker of this.#takers.splice(0)) taker.resolve(undefined)
    try {
      // within closeTimeoutMs: a peer that never confirms the end has lost the pipe then
      await this.#control[Symbol.asyncDispose]()
    } catch {
      // The pipe or its session has failed: that, too, frees the port, and iterating says why.
    }
  }

  /** No more requests; connections that nobody took are reset. */
  #end(reason: TrunkError): void {
    this.#pause?.cancel()
    this.#over = true
    for (const request of this.#underWay) request.abort(reason)
    for (const pipe of this.#ready.splice(0)) pipe.abort(reason)
  }

  #take(): Promise<P | undefined> {
    const pipe = this.#ready.shift()
    if (pipe !== undefined) {
      this.#request()
      return Promise.resolve(pipe)
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#closing !== undefined) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      this.#takers.push({ resolve, reject })
    })
  }

  /**
   * The peer ends the pipe of a listener only by failing, so its end without ours is a loss as
   * well.
   */
  async #watchControl(): Promise<void> {
    try {
      for await (const chunk of this.#control.source) {
        if (chunk.byteLength > 0) throw new TrunkError('ERR_MESSAGE_INVALID', 'the pipe of a listener carries no bytes')
      }
      this.#fail(new TrunkError('ERR_PIPE_CLOSED', 'the peer has ended the listening'))
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#closing !== undefined || this.#failure !== undefined) return
    const failure = toTrunkError(error, 'ERR_PIPE_RESET', 'the listening was lost')
    this.#failure = failure
    this.#control.abort(failure)
    this.#end(failure)
    for (const taker of this.#takers.splice(0)) taker.reject(failure)
  }

  /** Tops the requests up, so that as many are under way as there is room for connections. */
  #request(): void {
    if (this.#pause !== undefined) return
    while (!this.#over && this.#underWay.size + this.#ready.length < this.#options.accepts) {
      this.#lastRequest += 1
      void this.#requestOne(this.#lastRequest)
    }
  }

  async #requestOne(request: number): Promise<void> {
    const giveUp = new AbortController()
    this.#underWay.add(giveUp)
    try {
      const { name, listener } = this.#options
      const params: AcceptRequest = { op: 'accept', listener, request }
      const pipe = await this.#trunk.open(name, params, { signal: giveUp.signal, readBeforeReset: true })
      this.#underWay.delete(giveUp)
      this.#arrived(pipe, request)
    } catch (error) {
      this.#underWay.delete(giveUp)
      this.#refused(error)
    }
  }

  #arrived(pipe: Pipe, request: number): void {
    if (this.#over) {
      pipe.abort(this.#failure ?? closedError())
      return
    }
    const reply = this.#options.accepted(pipe.reply)
    if (!reply.ok || reply.value !== request) {
      const error = reply.ok ? new TrunkError('ERR_MESSAGE_INVALID', 'the reply is for another request') : reply.error
      pipe.abort(error)
      this.#fail(error)
      return
    }
    this.#pauses.reset()
    // Checked just above: the reply is what the type says.
    const incoming = pipe as P
    const taker = this.#takers.shift()
    if (taker === undefined) this.#ready.push(incoming)
    else taker.resolve(incoming)
    this.#request()
  }

  #refused(error: unknown): void {
    if (this.#over) return
    if (!(error instanceof TrunkError) || !PASSING.has(error.code)) {
      this.#fail(error)
      return
    }
    // each refusal counts, also one that comes during the pause
    const pauseMs = this.#pauses.next()
    this.#pause ??= this.#options.clock.after(pauseMs, () => {
      this.#pause = undefined
      this.#request()
    })
  }
}

function closedError(): TrunkError {
  return new TrunkError('ERR_ABORTED', 'the listening was closed')
}
