/**
 * A session with its muxer as users hold it: opens pipes, serves protocols, says how it is. One
 * object owns everything that belongs to one session; when it has ended nothing of it is left.
 */
import type { Account, SharedBudgets } from '../runtime/budgets.ts'
import { decodeCbor, encodeCbor } from '../core/cbor.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import { abortError, badArgument, TrunkError, toTrunkError, type ErrorCode } from '../contracts/errors.ts'
import { requireInteger, type Limits } from '../contracts/limits.ts'
import { TrunkPipe, type PipeOwner } from './pipe/pipe.ts'
import type { MuxCore } from '../core/mux/core.ts'
import type { PipeState } from '../core/mux/pipe-state.ts'
import type { MuxCounters } from '../core/mux/settings.ts'
import { onAbort, requireSignal } from '../runtime/on-abort.ts'
import { bytesAtOnce, OpenRequestCache, type OpenRequest } from './open-request.ts'
import { HandlerRequest, type Incoming } from './handler-request.ts'
import { watchProgress } from './pipe-progress.ts'
import { requireProtocol } from '../contracts/protocol.ts'
import type { Authenticator } from '../core/session/handshake.ts'
import { Driver } from './driver.ts'
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
}

export class TrunkSession implements Trunk, PipeOwner {
  readonly closed: Promise<void>
  readonly #parts: TrunkParts
  readonly #engine: Engine
  readonly #driver: Driver
  readonly #protocols: Map<string, Protocol>
  readonly #openRequests = new OpenRequestCache()
  readonly #pings: { id: number; resolve: (ms: number) => void; reject: (error: Error) => void }[] = []
  readonly #startedAt: number
  #established: { resolve: () => void; reject: (error: Error) => void } | undefined
  #error: TrunkError | undefined
  #closing = false
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
        ended: (error) => {
          this.#ended(error)
        },
      },
    })
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

  // --- Trunk -------------------------------------------------------------------------------------

  open(protocol: string, params?: unknown, options: OpenOptions = NO_OPTIONS): Promise<Pipe> {
    // what is thrown in here rejects: one promise is all that an open costs
    return new Promise<Pipe>((resolve, reject) => {
      const { signal, body, answerTimeoutMs, progressTimeoutMs } = options
      requireMs('answerTimeoutMs', answerTimeoutMs)
      requireMs('progressTimeoutMs', progressTimeoutMs)
      if (signal !== undefined) requireSignal(signal)
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
    const { scheme, address, traits, link } = this.#parts
    const engine = this.#engine
    const peer = engine.peer
    return {
      state: engine.state === 'ended' ? 'closed' : engine.state === 'closing' ? 'closing' : 'open',
      address,
      peer: {
        name: peer?.name ?? '',
        address: link.peer ?? '',
        epoch: peer === undefined ? '' : Buffer.from(peer.epoch).toString('hex'),
        protocols: peer?.protocols ?? [],
      },
      transport: { scheme, traits },
      version: peer === undefined ? 0 : Math.min(peer.versions[1], this.#parts.hello.versions[1]),
      ageMs: this.now() - this.#startedAt,
      roundTripMs: engine.roundTripMs,
      bytesRead: engine.bytesRead,
      bytesWritten: engine.bytesWritten,
      pipes: this.#pipeStatuses(),
      counters: { ...(engine.mux?.counters ?? NO_MUX_COUNTERS), ...engine.counters },
    }
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#engine.close(this.now())
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

  // --- PipeOwner ---------------------------------------------------------------------------------

  now(): number {
    return this.#parts.clock.now()
  }

  closeTimer(callback: () => void): Timer {
    const { clock, limits } = this.#parts
    return clock.after(limits.closeTimeoutMs, callback)
  }

  decodeReply(reply: Uint8Array): unknown {
    return reply.byteLength === 0 ? undefined : decodeCbor(reply, 'ERR_MESSAGE_INVALID', 'the reply')
  }

  // --- inside ------------------------------------------------------------------------------------

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

  #pipeStatuses(): TrunkStatus['pipes'] {
    const now = this.now()
    const statuses = []
    for (const state of this.#engine.mux?.pipes.values() ?? []) {
      const pipe = state.listener
      if (!(pipe instanceof TrunkPipe)) continue
      statuses.push({
        id: state.id,
        protocol: pipe.protocol,
        direction: state.outbound ? ('outbound' as const) : ('inbound' as const),
        bytesRead: state.consumed,
        bytesWritten: state.sent,
        creditLeft: Math.max(0, state.creditLimit - state.sent),
        unread: state.readable,
        ageMs: now - state.openedAt,
        waitsFor: pipe.waitsFor,
      })
    }
    return statuses
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

  #ended(error: TrunkError | undefined): void {
    const ours = this.#closing && error?.code === 'ERR_CLOSE_TIMEOUT' && error.origin === 'local'
    this.#error = error ?? new TrunkError('ERR_SESSION_CLOSED', 'the trunk was closed')
    const failure = this.#error
    for (const ping of this.#pings.splice(0)) ping.reject(failure)
    this.#account.end(failure)
    this.#driver.engineEnded(error)
    this.#established?.reject(failure)
    void this.#driver.finished.then(() => {
      if (error === undefined || ours) this.#resolveClosed()
      else this.#rejectClosed(error)
    })
  }
}

const EMPTY = new Uint8Array(0)

function requireMs(name: string, given: number | undefined): void {
  if (given !== undefined) requireInteger(name, given, 1, 2 ** 31 - 1)
}

const NO_OPTIONS: OpenOptions = {}

/** Before the hello has ended there is nothing to tolerate. */
const NO_MUX_COUNTERS: MuxCounters = { lateFrames: 0, staleCredits: 0, refusedOpens: 0 }

function parseParams(protocol: Protocol, params: unknown): unknown {
  try {
    return protocol.parse(params)
  } catch (error) {
    throw ofPeer(error, 'ERR_PARAMS_INVALID', `the parameters for ${JSON.stringify(protocol.name)} are not valid`)
  }
}

/**
 * What the peer is told: an argument error is about a call on this side, and its code never
 * travels.
 */
function ofPeer(thrown: unknown, code: ErrorCode, message: string): TrunkError {
  const error = toTrunkError(thrown, code, message)
  return error.scope === 'argument' ? new TrunkError(code, message, { cause: error }) : error
}
