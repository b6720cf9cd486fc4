/**
 * One session from its first byte to its last: muxer, close, goodbye, over an attachment to a link.
 * No I/O, no timer, no promise: bytes and a clock reading go in, batches to write and the next
 * deadline come out, what happened goes to the host. So a whole session replays from a seed under a
 * virtual clock.
 *
 * Promises upward: `established` at most once, `ended` exactly once, with the error that every pipe
 * then has too. Assumes below: bytes in order; one batch at a time, `batchLeft` when the line has
 * it. Enforces: close time; the attachment hello size and time, keepalive, write stall.
 */
import { TrunkError } from '../../contracts/errors.ts'
import { FrameType } from '../frame/constants.ts'
import { readU64 } from '../frame/numbers.ts'
import { decodeStatus, encodeStatus } from '../frame/status.ts'
import { MuxCore } from '../mux/core.ts'
import type { PipeState } from '../mux/pipe-state.ts'
import { violation, type MuxHost, type SessionCounters } from '../mux/settings.ts'
import { Attachment, type AttachmentHost, type AttachmentOptions } from './attachment.ts'
import { settle, type Hello } from './hello.ts'
import { CONCERNS_ANYBODY } from './session-frames.ts'

/** What the engine calls. None of these may throw. */
export interface EngineHost {
  /** There may be something to pull. */
  wake(): void
  /** The session is established; `engine.mux` is there. */
  established(peer: Hello): void
  /**
   * Nobody looks at this view of a chunk of the link any more. @default such chunks are simply let
   * go of
   */
  release?(view: Uint8Array): void
  /** Asked once, when the session is established: see `MuxHost`. */
  windows?(): Pick<MuxHost, 'windows' | 'initialWindows'>
  /** The peer opened a pipe. */
  incoming(pipe: PipeState, head: Uint8Array): void
  /** Pings up to this number are answered. */
  ponged(id: number, roundTripMs: number): void
  /**
   * It is over: `error` undefined where either side closed it well. A last batch may be there to
   * pull.
   */
  ended(error: TrunkError | undefined): void
}

/** What an engine is made of. */
export interface EngineOptions extends AttachmentOptions {
  /**
   * Asked before a peer that has proved what it has to prove gets a session; throws what refuses
   * it. May be asked on a plain line only.
   */
  readonly admit?: (() => void) | undefined
  readonly host: EngineHost
}

/** `hello`: strangers. `open`, `closing`: a session. `ended`: nothing goes in any more. */
export type EngineState = 'hello' | 'open' | 'closing' | 'ended'

/**
 * One batch: what sits below the muxer (invariant 3 of docs/internals/catalogue.md), in frames of
 * the preferred size.
 */
const FRAMES_PER_BATCH = 4
/**
 * A timer this late means that this process (or its machine) was suspended: the peer gets a fresh
 * interval (reliability: R-133).
 */
const SUSPENDED_MS = 1000

export class Engine implements AttachmentHost {
  state: EngineState = 'hello'
  mux: MuxCore | undefined
  peer: Hello | undefined
  /** What this side said to that peer. */
  own: Hello | undefined
  /** False where the last batch was all that there was to send. */
  hasMore = false
  readonly counters: SessionCounters = { strayPongs: 0, skippedFrames: 0 }

  readonly #options: EngineOptions
  readonly #host: EngineHost
  /** The link that it goes over. */
  readonly link: Attachment
  /** Session frames to send, each at most once: so the answers to a flood are bounded. */
  #bye: Uint8Array | undefined
  #concernsAnybody = false
  #sayClosing = false
  #closeBy = Infinity

  constructor(options: EngineOptions) {
    this.#options = options
    this.#host = options.host
    this.link = new Attachment(options, this, this.counters)
  }

  // --- bytes in ----------------------------------------------------------------------------------

  get bytesRead(): number {
    return this.link.bytesRead
  }

  get bytesWritten(): number {
    return this.link.bytesWritten
  }

  /** Takes bytes of the link. The chunk belongs to the engine. */
  receive(chunk: Uint8Array, now: number): void {
    this.link.receive(chunk, now)
  }

  /** Of how many bytes of the last chunk pipes still hold views. */
  kept(): number {
    return this.link.kept()
  }

  /** The link has ended (`error` undefined) or failed: nothing more comes. */
  linkEnded(error: TrunkError | undefined, now: number): void {
    this.link.linkEnded(error, now)
  }

  /** AttachmentHost: see there. */
  sessionFrame(type: number, payload: Uint8Array, now: number): void {
    if (type === FrameType.CLOSING) {
      this.mux?.refuseOpens()
      if (this.state === 'open') this.state = 'closing'
    } else if (type === FrameType.BYE) this.#peerSaidBye(payload)
    else if (type === FrameType.PARSED) {
      const offset = readU64(payload, 0)
      if (offset < 0) throw violation('an offset above 2^53 - 1')
      this.mux?.peerParsed(offset, now)
    } else throw violation(`there is no frame of type ${type}`)
  }

  /** AttachmentHost: see there. */
  wake(): void {
    this.#host.wake()
  }

  /** AttachmentHost: see there. */
  admit(): void {
    this.#options.admit?.()
  }

  /** AttachmentHost: see there. */
  established(peer: Hello, own: Hello, now: number): MuxCore {
    this.peer = peer
    this.own = own
    this.state = 'open'
    const { frameBytes, checked, pings } = this.link
    const mux = new MuxCore(
      settle(own, peer, this.#options.limits, frameBytes, checked),
      {
        wake: () => {
          this.#host.wake()
        },
        incoming: (pipe, head) => {
          this.#host.incoming(pipe, head)
        },
        pipeGone: () => {
          if (this.#drained) this.#host.wake()
        },
        release: (view) => {
          this.#host.release?.(view)
        },
        roundTripMs: () => pings.roundTripMs,
        minRoundTripMs: () => pings.leastMs,
        askParsed: () => this.ping(),
        ...this.#host.windows?.(),
      },
      now,
    )
    this.mux = mux
    this.ping()
    this.#host.established(peer)
    return mux
  }

  #peerSaidBye(payload: Uint8Array): void {
    const error = decodeStatus(payload, 'ERR_SESSION_ABORTED')
    if (error === undefined) throw violation('a status that cannot be read')
    this.#end(error.code === 'ERR_SESSION_CLOSED' && this.mux !== undefined ? undefined : error, false)
  }

  /** AttachmentHost: see there. */
  ponged(id: number, roundTripMs: number): void {
    this.#host.ponged(id, roundTripMs)
  }

  /** AttachmentHost: see there. */
  lost(error: TrunkError, tell: boolean): void {
    this.#end(error, tell)
  }

  // --- what the pipe adapter asks for ------------------------------------------------------------

  /** Smoothed round trip in milliseconds; undefined before the first answer. */
  get roundTripMs(): number | undefined {
    return this.link.pings.roundTripMs
  }

  /** Sends a ping soon; `host.ponged` is called with this number or a later one. */
  ping(): number {
    return this.link.askForLife()
  }

  /** Ends well: no new pipes, those that are open finish, then goodbye. */
  close(now: number): void {
    if (this.state === 'ended' || this.#closeBy !== Infinity) return
    if (this.mux === undefined) {
      this.#end(new TrunkError('ERR_SESSION_CLOSED', 'closed before the session was established'), true)
      return
    }
    this.state = 'closing'
    this.mux.refuseOpens()
    this.#closeBy = now + this.#options.limits.closeTimeoutMs
    this.#sayClosing = true
    this.#host.wake()
  }

  /** Ends at once, with `error`; the peer is told its code. */
  abort(error: TrunkError): void {
    this.#end(error, true)
  }

  /** Ends at once, with `error`, and tells the peer nothing. */
  cut(error: TrunkError): void {
    this.#end(error, false)
  }

  /** True when a graceful close has nothing left to wait for. */
  get #drained(): boolean {
    return this.#closeBy !== Infinity && this.mux?.drained === true
  }

  #end(error: TrunkError | undefined, tell: boolean): void {
    if (this.#isEnded()) return
    this.state = 'ended'
    if (tell && error !== undefined) {
      this.#bye = encodeStatus(error.code, error.message)
      this.#concernsAnybody = CONCERNS_ANYBODY.has(error.code)
    }
    this.mux?.fail(error ?? new TrunkError('ERR_SESSION_CLOSED', 'the trunk was closed', { origin: 'remote' }))
    this.link.end()
    this.#host.ended(error)
  }

  #isEnded(): boolean {
    return this.state === 'ended'
  }

  // --- batches out -------------------------------------------------------------------------------

  /**
   * The next batch to write, in pieces, or undefined. They may not be changed, and belong to the
   * engine again when `batchLeft` is called; until then nothing more can be pulled.
   */
  pull(now: number): readonly Uint8Array[] | undefined {
    const link = this.link
    if (link.busy) return undefined
    const batch = link.begin(now)
    const maxBytes = link.frameBytes * FRAMES_PER_BATCH
    if (this.mux !== undefined && !this.#isEnded()) {
      this.mux.pull(batch, maxBytes, now)
      // after the opens of the same tick: those were made before the close
      if (this.#sayClosing) batch.frame(FrameType.CLOSING, 0, 0, new Uint8Array(0))
      this.#sayClosing = false
    }
    if (!this.#isEnded() && this.#drained) {
      batch.frame(FrameType.BYE, 0, 0, encodeStatus('ERR_SESSION_CLOSED', 'closed'))
      this.#end(undefined, false)
    } else if (this.#bye !== undefined && this.#mayTell(now)) {
      batch.frame(FrameType.BYE, 0, 0, this.#bye)
      this.#bye = undefined
    }
    if (batch.bytes === 0) return undefined
    // what comes later wakes; with checked framing the hello may have more to say than fits a batch
    this.hasMore = batch.bytes >= maxBytes || !batch.hasRoom || link.checked
    return link.finish(now)
  }

  /** The line has the last batch; its pieces are free. */
  batchLeft(): void {
    this.link.batchLeft()
    this.mux?.batchLeft()
  }

  /** False where a goodbye would reach nobody, or somebody else. */
  #mayTell(now: number): boolean {
    if (this.mux !== undefined || !this.link.checked) return true
    if (!this.#concernsAnybody) {
      this.#bye = undefined
      return false
    }
    return this.link.framing.beforeFarewell(now)
  }

  // --- time --------------------------------------------------------------------------------------

  /** When `tick` wants to be called; Infinity for never. */
  deadline(): number {
    if (this.#isEnded()) return Infinity
    return Math.min(this.#closeBy, this.link.deadline(), this.mux?.deadline() ?? Infinity)
  }

  /** Does what is due. */
  tick(now: number): void {
    if (this.#isEnded()) return
    if (now - this.deadline() > SUSPENDED_MS) this.#suspended(now)
    this.link.greet(now)
    if (this.#isEnded()) return
    if (now >= this.#closeBy) {
      const { closeTimeoutMs } = this.#options.limits
      this.#end(new TrunkError('ERR_CLOSE_TIMEOUT', `pipes were still open ${closeTimeoutMs} ms after the close`), true)
      return
    }
    this.link.checkLife(now)
    if (!this.#isEnded()) this.mux?.tick(now)
  }

  /**
   * Not heard of, not written, not greeted, not finished: that proves nothing about the peer while
   * we ourselves were suspended.
   */
  #suspended(now: number): void {
    this.link.suspended(now)
    if (this.#closeBy !== Infinity) this.#closeBy = now + this.#options.limits.closeTimeoutMs
    this.mux?.suspended(now)
  }
}
