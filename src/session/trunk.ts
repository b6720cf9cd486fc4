/**
 * A session with its muxer as users hold it: opens pipes, serves protocols, says how it is. One
 * object owns everything that belongs to one session; when it has ended nothing of it is left.
 */
import type { Account, SharedBudgets } from '../runtime/budgets.ts'
import { decodeCbor, encodeCbor } from '../core/cbor.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import { abortError, badArgument, TrunkError, toTrunkError } from '../contracts/errors.ts'
import type { Limits } from '../contracts/limits.ts'
import { TrunkPipe, type PipeOwner } from './pipe/pipe.ts'
import type { MuxCore } from '../core/mux/core.ts'
import type { PipeState } from '../core/mux/pipe-state.ts'
import { onAbort, requireSignal } from '../runtime/on-abort.ts'
import { bytesAtOnce, OpenRequestCache, requireOpenOptions, type OpenRequest } from './open-request.ts'
import { HandlerRequest, type Incoming } from './handler-request.ts'
import { watchProgress } from './pipe-progress.ts'
import { statusOf } from './trunk-status.ts'
import { ofPeer, parseParams } from './pipe-request.ts'
import { requireProtocol } from '../contracts/protocol.ts'
import type { Authenticator } from '../core/session/handshake.ts'
import { Driver } from './driver.ts'
import type { ResumeSide } from '../core/resume/resume-handshake.ts'
import { Engine } from '../core/session/engine.ts'
import type { ChecksumTools } from '../core/checked-frame/checks.ts'
import type { Hello } from '../core/session/hello.ts'
import { HandlerScheduler } from './handler-scheduler.ts'
import { peerGroup } from './strangers.ts'
import { notify } from '../runtime/notify.ts'
import type {
  Link,
  OpenOptions,
  Pipe,
  Protocol,
  Refusal,
  TransportTraits,
  Trunk,
  TrunkStatus,
} from '../contracts/types.ts'

/** What a trunk is made of. */
export interface TrunkParts {
  readonly link: Link
  readonly hello: Hello
  /** Makes another one. */
  readonly renewHello: () => Hello
  readonly limits: Readonly<Limits>
  readonly clock: Clock
  readonly scheme: string
  readonly address: string
  readonly traits: TransportTraits
  /** For a connectionless or lossy link. */
  readonly checksumTools: ChecksumTools | undefined
  /** Waits for a peer as long as it takes. */
  readonly waitsForever: boolean | undefined
  readonly authenticator: Authenticator | undefined
  /** Asked before a peer gets a session; throws what refuses it. */
  readonly admit?: (() => void) | undefined
  readonly protocols: ReadonlyMap<string, Protocol>
  /** What it shares with other trunks. */
  readonly budgets: SharedBudgets
  readonly onPipeError: ((refusal: Refusal) => void) | undefined
  /** Given where the session is to outlive its links. */
  readonly resume?: ResumeSide | undefined
  /** Told when the session has lost its link and waits for another. */
  readonly onDetached?: ((session: TrunkSession, error: TrunkError) => void) | undefined
}

/** Whose an engine is: what a link's hello finds is an engine. */
const owners = new WeakMap<Engine, TrunkSession>()

export class TrunkSession implements Trunk, PipeOwner {
  readonly closed: Promise<void>
  readonly #parts: TrunkParts
  readonly #engine: Engine
  /** Of the link that the session goes over, or went over last. */
  #driver: Driver
  readonly #protocols: Map<string, Protocol>
  readonly #openRequests = new OpenRequestCache()
  readonly #pings: { id: number; resolve: (ms: number) => void; reject: (error: Error) => void }[] = []
  readonly #startedAt: number
  #established: { resolve: () => void; reject: (error: Error) => void } | undefined
  #error: TrunkError | undefined
  #closing = false
  /** The session with which the link goes on: this one was there for its hello alone. */
  #goneTo: TrunkSession | undefined
  /** Address of the peer at its last link. */
  peerAddress: string
  /** What is due while there is no link. */
  #timer: Timer | undefined
  readonly #account: Account
  readonly #scheduler = new HandlerScheduler<Incoming>((incoming) => {
    // its opener, or the session, may have gone while it waited
    if (incoming.pipe.error === undefined) void this.#run(incoming)
    else incoming.mux.handlerEnded(incoming.pipe.state)
  })
  #resolveClosed!: () => void
  #rejectClosed!: (error: Error) => void

  constructor(parts: TrunkParts) {
    this.#parts = parts
    this.#startedAt = parts.clock.now()
    this.peerAddress = parts.link.peer ?? ''
    this.#protocols = new Map(parts.protocols)
    this.closed = new Promise((resolve, reject) => {
      this.#resolveClosed = resolve
      this.#rejectClosed = reject
    })
    this.closed.catch(() => {
      // whoever does not look at `closed` hears of it from the pipes; it must not end the process
    })
    this.#engine = new Engine({
      hello: parts.hello,
      renewHello: parts.renewHello,
      limits: parts.limits,
      preferredFrameBytes: parts.traits.preferredFrameBytes,
      authenticator: parts.authenticator,
      checksumTools: parts.checksumTools,
      admit: parts.admit,
      waitsForever: parts.waitsForever,
      resume: parts.resume,
      now: this.#startedAt,
      host: {
        wake: () => {
          this.#driver.wake()
        },
        established: () => this.#established?.resolve(),
        windows: () => this.#account,
        incoming: (state, head) => {
          this.#incoming(state, head)
        },
        release: (view) => {
          this.#driver.release(view)
        },
        ponged: (id, ms) => {
          this.#ponged(id, ms)
        },
        detached: (error) => {
          this.#detached(error)
        },
        handedOver: (engine) => {
          this.#handedOver(engine)
        },
        ended: (error) => {
          this.#ended(error)
        },
      },
    })
    owners.set(this.#engine, this)
    this.#account = parts.budgets.open(peerGroup(parts.link.peer ?? ''), this)
    this.#driver = new Driver(this.#engine, parts.link, parts.clock, parts.traits.connected)
  }

  /**
   * True while pipes can be opened: from the end of the hello until either side closes, or the
   * session is lost.
   */
  get isOpen(): boolean {
    return this.#engine.state === 'open'
  }

  /** What the next link goes on with; undefined where the session ends with its link. */
  get resumable(): Engine | undefined {
    return this.#engine.isResumable && this.#engine.state !== 'ended' ? this.#engine : undefined
  }

  /** The session that the link has gone on with in place of this one. */
  get goneTo(): TrunkSession | undefined {
    return this.#goneTo
  }

  /** True while a link carries the session. */
  get isAttached(): boolean {
    return this.#engine.attached
  }

  /** True where a protocol of this name is served. */
  serves(protocol: string): boolean {
    return this.#protocols.has(protocol)
  }

  /** The session cannot go on, whatever link comes. */
  giveUp(error: TrunkError): void {
    this.#engine.giveUp(error)
  }

  /** Starts the hello; resolves when the session is established. */
  establish(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      let unsubscribe: (() => void) | undefined
      this.#established = {
        resolve() {
          unsubscribe?.()
          resolve()
        },
        reject(error) {
          unsubscribe?.()
          reject(signal?.aborted === true ? (signal.reason as Error) : error)
        },
      }
      this.#driver.start()
      if (signal !== undefined) unsubscribe = onAbort(signal, () => this.abort(abortError(signal)))
    })
  }

  // --- Trunk ----------------------------------------------------------------------------------

  open(protocol: string, params?: unknown, options: OpenOptions = NO_OPTIONS): Promise<Pipe> {
    // what is thrown in here rejects: one promise is all that an open costs
    return new Promise<Pipe>((resolve, reject) => {
      const { signal, body, answerTimeoutMs, progressTimeoutMs } = options
      requireOpenOptions(options)
      const first = bytesAtOnce(options)
      const head = this.#openRequests.encode(protocol, params, options, this.#maxOpenBytes)
      if (signal?.aborted === true) throw signal.reason
      const mux = this.#mux()
      const pipe = new TrunkPipe(mux, this, protocol, (error) => {
        leaveAnswer?.()
        if (error === undefined) resolve(pipe)
        else reject(signal?.aborted === true && error.origin === 'local' ? (signal.reason as Error) : error)
      })
      const state = mux.open(head, pipe, this.now())
      state.readsBeforeReset = options.readBeforeReset === true
      pipe.bind(state)
      const { clock } = this.#parts
      const leaveAnswer = answerTimeoutMs === undefined ? undefined : watchProgress(pipe, answerTimeoutMs, clock)
      // a copy: what the window does not take at once leaves after `open` has settled, when it is
      // its owner's again
      if (first !== undefined && first.byteLength > 0) void pipe.write(new Uint8Array(first))
      if (body !== undefined) void pipe.closeWrite()
      const leaveSignal = signal && onAbort(signal, () => pipe.abort(abortError(signal)))
      const leaveProgress = progressTimeoutMs === undefined ? undefined : watchProgress(pipe, progressTimeoutMs, clock)
      if (leaveSignal === undefined && leaveProgress === undefined) return
      pipe.onOver = () => {
        leaveSignal?.()
        leaveProgress?.()
      }
    })
  }

  handle(protocol: Protocol): void {
    requireProtocol(protocol)
    if (this.#protocols.has(protocol.name))
      throw badArgument(`protocol ${JSON.stringify(protocol.name)} is served already`)
    this.#protocols.set(protocol.name, protocol)
  }

  async ping(options: { signal?: AbortSignal } = {}): Promise<number> {
    const { signal } = options
    if (signal !== undefined) requireSignal(signal)
    if (signal?.aborted === true) throw signal.reason
    this.#mux()
    const id = this.#engine.ping()
    return await new Promise<number>((resolve, reject) => {
      const entry = { id, resolve, reject }
      this.#pings.push(entry)
      if (signal === undefined) return
      const unsubscribe = onAbort(signal, () => {
        const at = this.#pings.indexOf(entry)
        if (at >= 0) this.#pings.splice(at, 1)
        reject(signal.reason as Error)
      })
      entry.resolve = (ms) => {
        unsubscribe()
        resolve(ms)
      }
      entry.reject = (error: Error) => {
        unsubscribe()
        reject(error)
      }
    })
  }

  status(): TrunkStatus {
    const now = this.now()
    return statusOf(this.#engine, this.#parts, this.peerAddress, now, now - this.#startedAt)
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#engine.close(this.now())
    if (!this.#engine.attached) this.#watchTime()
    await this.closed.catch(() => {
      // an error that ended the session while it was closing is told by `closed` and the pipes;
      // closing settles well all the same
    })
  }

  abort(reason: Error): void {
    this.#engine.abort(toTrunkError(reason, 'ERR_SESSION_ABORTED', 'the trunk was aborted'))
  }

  /** Ends at once, and says nothing: for a link that is not worth a goodbye. */
  cut(error: TrunkError): void {
    this.#engine.cut(error)
    this.#driver.cut(error)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  // --- PipeOwner ------------------------------------------------------------------------------

  now(): number {
    return this.#parts.clock.now()
  }

  closeTimer(callback: () => void): Timer {
    const { clock, limits } = this.#parts
    let timer: Timer | undefined
    const start = (): void => {
      const { attachedAt } = this.#engine
      timer = clock.after(limits.closeTimeoutMs, () => {
        // a peer that no link reached meanwhile could not finish
        if (this.isAttached && this.#engine.attachedAt === attachedAt) callback()
        else start()
      })
    }
    start()
    return { cancel: () => timer?.cancel() }
  }

  decodeReply(reply: Uint8Array): unknown {
    return reply.byteLength === 0 ? undefined : decodeCbor(reply, 'ERR_MESSAGE_INVALID', 'the reply')
  }

  // --- inside ---------------------------------------------------------------------------------

  #mux(): MuxCore {
    const { mux } = this.#engine
    if (this.#error !== undefined) throw this.#error
    if (mux === undefined || this.#engine.state === 'ended')
      throw new TrunkError('ERR_SESSION_CLOSED', 'the trunk is closed')
    return mux
  }

  /** What a first frame or its answer may take, here and there. */
  get #maxOpenBytes(): number {
    return Math.min(this.#parts.limits.maxOpenBytes, this.#engine.peer?.limits.open ?? Infinity)
  }

  /**
   * Finds the handler of a pipe that the peer opened. Never throws: what is wrong refuses the pipe.
   */
  #incoming(state: PipeState, head: Uint8Array): void {
    const mux = this.#engine.mux
    if (mux === undefined) return
    const refuse = (name: string, error: TrunkError): void => {
      mux.refuse(state, error)
      this.#report(name, error, true)
    }
    let parsed: OpenRequest
    try {
      parsed = this.#openRequests.decode(head)
    } catch (error) {
      refuse('', toTrunkError(error, 'ERR_PARAMS_INVALID', 'the first frame of the pipe is not valid'))
      return
    }
    const protocol = this.#protocols.get(parsed.protocol)
    if (protocol === undefined) {
      refuse(
        parsed.protocol,
        new TrunkError('ERR_PROTOCOL_UNKNOWN', `protocol ${JSON.stringify(parsed.protocol)} is not served here`),
      )
      return
    }
    const version = protocol.version ?? 1
    if (parsed.version !== version) {
      const sentence = `protocol ${JSON.stringify(parsed.protocol)} is served in version ${version}, not ${parsed.version}`
      refuse(parsed.protocol, new TrunkError('ERR_PROTOCOL_VERSION', sentence))
      return
    }
    const pipe = new TrunkPipe(mux, this, parsed.protocol, undefined).bind(state)
    state.listener = pipe
    state.readsBeforeReset = protocol.readBeforeReset === true
    this.#scheduler.add({ mux, pipe, protocol, head: parsed })
  }

  /** Runs a handler from its start to its end. Never rejects. */
  async #run(incoming: Incoming): Promise<void> {
    const { mux, pipe, protocol, head } = incoming
    let accepted = false
    const wasAccepted = (): boolean => accepted
    const accept = (reply?: unknown): Pipe => {
      if (accepted) throw new TrunkError('ERR_PIPE_BUSY', 'the pipe was accepted already')
      const payload = reply === undefined ? EMPTY : encodeCbor(reply, this.#maxOpenBytes, 'the reply')
      accepted = true
      mux.accept(pipe.state, payload)
      return pipe
    }
    try {
      const params = parseParams(protocol, head.params)
      await protocol.handle(new HandlerRequest(incoming, this, this.#parts.clock, params, accept))
      if (!wasAccepted()) throw new TrunkError('ERR_HANDLER_FAILED', 'the handler ended without an answer')
      mux.handlerEnded(pipe.state)
    } catch (thrown) {
      const alreadyOver = pipe.error !== undefined
      const error = toTrunkError(thrown, 'ERR_HANDLER_FAILED', 'the handler failed')
      const told = ofPeer(error, 'ERR_HANDLER_FAILED', 'the handler failed')
      if (!wasAccepted()) {
        mux.refuse(pipe.state, told)
        pipe.failed(error)
      } else {
        pipe.abort(told)
        mux.handlerEnded(pipe.state)
      }
      if (!alreadyOver) this.#report(protocol.name, error, !wasAccepted())
    }
  }

  #report(protocol: string, error: TrunkError, refused: boolean): void {
    notify(this.#parts.onPipeError, {
      peer: this.#parts.link.peer ?? '',
      protocol,
      code: error.code,
      message: error.message,
      refused,
    })
  }

  #ponged(id: number, ms: number): void {
    while (this.#pings[0] !== undefined && this.#pings[0].id <= id) this.#pings.shift()?.resolve(ms)
  }

  // --- links that are lost, and others --------------------------------------------------------

  /** The link is lost (`error`), or another one takes its place. */
  #detached(error: TrunkError | undefined): void {
    this.#driver.leave(error ?? new TrunkError('ERR_LINK_LOST', 'another link goes on with the session'))
    if (error === undefined) return
    this.#watchTime()
    this.#parts.onDetached?.(this, error)
  }

  /** Without a link nobody else looks at the time. */
  #watchTime(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const at = this.#engine.deadline()
    if (this.#engine.attached || at === Infinity) return
    this.#timer = this.#parts.clock.after(at - this.now(), () => {
      if (this.#engine.attached) return
      this.#engine.tick(this.now())
      this.#watchTime()
    })
  }

  /** This session was there to greet: its link goes on with that of `engine`. */
  #handedOver(engine: Engine): void {
    const owner = owners.get(engine)
    if (owner === undefined) throw new RangeError('an engine without a session')
    this.#goneTo = owner
    owner.#adopt(this.#driver, this.peerAddress)
    this.#account.end(new TrunkError('ERR_SESSION_CLOSED', 'the link went on with another session'))
    this.#established?.resolve()
    this.#resolveClosed()
  }

  #adopt(driver: Driver, peerAddress: string): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#driver = driver
    this.peerAddress = peerAddress
    driver.carry(this.#engine)
  }

  #ended(error: TrunkError | undefined): void {
    this.#timer?.cancel()
    const ours = this.#closing && error?.code === 'ERR_CLOSE_TIMEOUT' && error.origin === 'local'
    this.#error = error ?? new TrunkError('ERR_SESSION_CLOSED', 'the trunk was closed')
    const failure = this.#error
    for (const ping of this.#pings.splice(0)) ping.reject(failure)
    this.#account.end(failure)
    this.#driver.engineEnded(error)
    this.#established?.reject(failure)
    void this.#driver.finished.then(() => {
      this.#engine.forget()
      if (error === undefined || ours) this.#resolveClosed()
      else this.#rejectClosed(error)
    })
  }
}

const EMPTY = new Uint8Array(0)

const NO_OPTIONS: OpenOptions = {}
