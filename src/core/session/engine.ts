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
import type { Resumable } from '../resume/resume-handshake.ts'
import type { SessionSecret } from '../resume/secret.ts'
import { SessionStream } from '../resume/stream.ts'
import { FrameBatch, type Batch } from '../frame/batch.ts'
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
   * The session has no link any more, and goes on over the next one: `error` is what the link was
   * lost to; undefined where the next one is there.
   */
  detached?(error: TrunkError | undefined): void
  /** The hello was that of a link with which `session` goes on: this one has never begun. */
  handedOver?(session: Engine): void
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

export class Engine implements AttachmentHost, Resumable {
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
  /** The link that it goes over, or went over last. */
  link: Attachment
  /** What outlives the links; undefined where the session ends with its link. */
  stream!: SessionStream
  secret!: SessionSecret
  /** Of links that asked to go on with the session: the number of the last. */
  attempt = 0
  /** How often another link has gone on with it. */
  resumed = 0
  /** Since when its link, or the last one, carries it; and where both streams stood then. */
  attachedAt = 0
  #attachedPosition = 0
  /** Session frames to send, each at most once: so the answers to a flood are bounded. */
  #bye: Uint8Array | undefined
  #concernsAnybody = false
  #sayClosing = false
  #closeBy = Infinity
  /** The peer has said that it is closing. */
  #peerCloses = false
  /** When a session without a link is given up; Infinity while it has one. */
  #keepUntil = Infinity
  #lostTo: TrunkError | undefined
  /** Bytes of the links before this one. */
  #readBefore = 0
  #writtenBefore = 0
  /** Stream offset that the peer was asked about for a close. */
  #closesAt = -1
  #farewell: FrameBatch | undefined

  constructor(options: EngineOptions) {
    this.#options = options
    this.#host = options.host
    this.link = new Attachment(options, this, this.counters)
  }

  // --- bytes in -------------------------------------------------------------------------------

  get bytesRead(): number {
    return this.#readBefore + this.link.bytesRead
  }

  get bytesWritten(): number {
    return this.#writtenBefore + this.link.bytesWritten
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
      this.#peerCloses = true
      if (this.state === 'open') this.state = 'closing'
    } else if (type === FrameType.BYE) this.#peerSaidBye(payload)
    else if (type === FrameType.PARSED) {
      const offset = readU64(payload, 0)
      if (offset < 0) throw violation('an offset above 2^53 - 1')
      this.mux?.peerParsed(offset, now)
      this.#acknowledged(offset)
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
    const { resume } = this.link
    if (resume?.attached instanceof Engine) return this.#handOver(resume.attached, now)
    this.peer = peer
    this.own = own
    this.attachedAt = now
    this.state = 'open'
    const { frameBytes, checked } = this.link
    const secret = this.link.beginSecret(peer)
    const settings = settle(own, peer, this.#options.limits, frameBytes, checked, secret !== undefined)
    if (secret !== undefined) {
      this.secret = secret
      this.stream = new SessionStream(settings.maxInFlightBytes)
      this.link.carry(this.stream)
    }
    const mux = new MuxCore(
      settings,
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
        roundTripMs: () => this.link.pings.roundTripMs,
        minRoundTripMs: () => this.link.pings.leastMs,
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

  /** AttachmentHost: see there. */
  parsed(offset: number, now: number): void {
    this.mux?.peerAnswered(offset, now)
    this.#acknowledged(offset)
  }

  #acknowledged(offset: number): void {
    if (!this.isResumable) return
    const wasFull = this.stream.room <= 0
    this.stream.log.acknowledge(offset)
    if (this.#drained || (wasFull && this.stream.room > 0)) this.#host.wake()
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
  lost(error: TrunkError, tell: boolean, now: number): void {
    if (!this.isResumable || this.#isEnded() || !isLoss(error)) this.#end(error, tell)
    else this.#detach(error, now)
  }

  /**
   * The peer closes, and nothing is left to finish here. It may have said goodbye; or it waits for
   * our last word, and needs another link for that.
   */
  get #isDoneForPeer(): boolean {
    return this.#peerCloses && this.mux?.pipes.size === 0
  }

  // --- another link ---------------------------------------------------------------------------

  /** True where the session outlives its link. */
  get isResumable(): boolean {
    return (this.stream as SessionStream | undefined) !== undefined
  }

  /** Nothing of the session is sent any more: what was kept for its links is let go of. */
  forget(): void {
    if (this.isResumable) this.stream.log.clear()
  }

  /** True while a link carries the session. */
  get attached(): boolean {
    return !this.#isEnded() && !this.link.isOver
  }

  /** Bytes of both streams that its link, or the last one, has brought over for certain. */
  get carried(): number {
    return this.isResumable ? this.#position - this.#attachedPosition : 0
  }

  get #position(): number {
    return this.stream.received + this.stream.log.acknowledged
  }

  /** What the last link was lost to; undefined while there is one. */
  get lostTo(): TrunkError | undefined {
    return this.#lostTo
  }

  /** How long the session is kept without a link. */
  get keepMs(): number {
    return Math.min(this.own?.resume?.keepMs ?? 0, this.peer?.resume?.keepMs ?? 0)
  }

  /** How long it waits for the next link; a peer that closes does not wait longer itself. */
  get #waitMs(): number {
    return this.#isDoneForPeer ? Math.min(this.keepMs, this.#options.limits.closeTimeoutMs) : this.keepMs
  }

  #detach(error: TrunkError, now: number): void {
    this.link.end()
    this.#lostTo = error
    this.#keepUntil = now + this.#waitMs
    this.#host.detached?.(error)
  }

  /** Resumable: see there. */
  detach(): void {
    if (this.link.isOver) return
    this.link.end()
    this.#host.detached?.(undefined)
  }

  /** Resumable: see there. */
  giveUp(error: TrunkError): void {
    if (this.#isDoneForPeer) this.#end(undefined, false)
    else this.#end(error, true)
  }

  /** AttachmentHost: see there. */
  confirmed(): void {
    this.secret.confirm()
  }

  /** This engine was only there to greet: the link goes on with another session. */
  #handOver(session: Engine, now: number): MuxCore {
    this.state = 'ended'
    const mux = session.#goOn(this.link, now)
    this.#host.handedOver?.(session)
    return mux
  }

  #goOn(link: Attachment, now: number): MuxCore {
    const { mux, stream } = this
    if (mux === undefined) throw violation('a session that has not begun goes on')
    this.#readBefore += this.link.bytesRead
    this.#writtenBefore += this.link.bytesWritten
    this.link.end()
    link.pings.goOnFrom(this.link.pings)
    this.link = link
    this.attachedAt = now
    this.#lostTo = undefined
    this.#keepUntil = Infinity
    this.resumed++
    link.moveTo(this, this.counters)
    link.carry(stream)
    this.#attachedPosition = this.#position
    mux.peerParsed(stream.log.acknowledged, now)
    // nobody could answer anything meanwhile
    mux.suspended(now)
    this.ping()
    return mux
  }

  // --- what the pipe adapter asks for ---------------------------------------------------------

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
    if (this.#closeBy === Infinity || this.mux?.drained !== true) return false
    // a goodbye is never asked for again: it goes when the peer has all that goes before
    return !this.isResumable || this.stream.log.retained === 0
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

  #hasNoLink(): boolean {
    return this.link.isOver
  }

  #isEnded(): boolean {
    return this.state === 'ended'
  }

  // --- batches out ----------------------------------------------------------------------------

  /**
   * The next batch to write, in pieces, or undefined. They may not be changed, and belong to the
   * engine again when `batchLeft` is called; until then nothing more can be pulled.
   */
  pull(now: number): readonly Uint8Array[] | undefined {
    const { link } = this
    if (link.busy) return undefined
    if (this.isResumable) return this.#pullStream(this.stream, now)
    const batch = link.begin(now)
    const maxBytes = link.frameBytes * FRAMES_PER_BATCH
    if (this.mux !== undefined && !this.#isEnded()) {
      this.mux.pull(batch, maxBytes, now)
      this.#pullClosing(batch, this.mux)
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

  /**
   * As {@link pull}, where the frames are a stream that outlives the link: they go from the muxer
   * into the log, and from there to the link.
   */
  #pullStream(stream: SessionStream, now: number): readonly Uint8Array[] | undefined {
    const { link, mux } = this
    const { log } = stream
    if (mux === undefined || (link.isOver && !this.#isEnded())) return undefined
    // what another link has not brought over begins within a frame: nothing may be put between
    const behind = log.isBehind
    const own = link.begin(now, behind)
    const maxBytes = link.frameBytes * FRAMES_PER_BATCH
    let full = false
    if (!behind && !this.#isEnded()) {
      if (stream.owesWord(now)) own.offsetFrame(FrameType.PARSED, 0, stream.tell())
      if (stream.room > 0) full = this.#fill(stream, mux, Math.min(maxBytes, stream.room), now)
      // a close waits for the peer to have it all, and had better hear of that at once
      if (this.#closeBy !== Infinity && mux.drained && this.#closesAt !== log.end) {
        this.#closesAt = log.end
        this.ping()
      }
    }
    const pieces = log.take(maxBytes)
    if (!this.#isEnded() && this.#drained) {
      pieces.push(...this.#goodbye(encodeStatus('ERR_SESSION_CLOSED', 'closed')))
      this.#end(undefined, false)
    } else if (this.#bye !== undefined && !log.isBehind) {
      pieces.push(...this.#goodbye(this.#bye))
      this.#bye = undefined
    }
    if (own.bytes === 0 && pieces.length === 0) return undefined
    this.hasMore = log.isBehind || full
    return link.finish(now, pieces)
  }

  /**
   * Puts what the muxer has into the log: from then on it has left, whatever becomes of the link.
   * True where there may be more.
   */
  #fill(stream: SessionStream, mux: MuxCore, maxBytes: number, now: number): boolean {
    const { batch, log } = stream
    batch.reset()
    mux.pull(batch, maxBytes, now)
    this.#pullClosing(batch, mux)
    if (batch.bytes === 0) return false
    stream.addBatch()
    mux.streamSent(log.end)
    mux.batchLeft()
    return batch.bytes >= maxBytes || !batch.hasRoom
  }

  /** After the opens of the same tick: those were made before the close. */
  #pullClosing(batch: Batch, mux: MuxCore): void {
    if (!this.#sayClosing || mux.hasControl) return
    this.#sayClosing = false
    batch.frame(FrameType.CLOSING, 0, 0, new Uint8Array(0))
  }

  #goodbye(status: Uint8Array): readonly Uint8Array[] {
    const farewell = (this.#farewell ??= new FrameBatch())
    farewell.reset()
    farewell.frame(FrameType.BYE, 0, 0, status)
    return farewell.finish()
  }

  /** The line has the last batch; its pieces are free. */
  batchLeft(): void {
    this.link.batchLeft()
    // what is in the log has left already, for the muxer
    if (!this.isResumable) this.mux?.batchLeft()
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

  // --- time -----------------------------------------------------------------------------------

  /** When `tick` wants to be called; Infinity for never. */
  deadline(): number {
    if (this.#isEnded()) return Infinity
    if (this.link.isOver) return Math.min(this.#closeBy, this.#keepUntil)
    const at = Math.min(this.#closeBy, this.link.deadline(), this.mux?.deadline() ?? Infinity)
    return this.isResumable ? Math.min(at, this.stream.deadline()) : at
  }

  /** Does what is due. */
  tick(now: number): void {
    if (this.#isEnded()) return
    if (now - this.deadline() > SUSPENDED_MS) this.#suspended(now)
    if (!this.link.isOver) this.link.greet(now)
    if (this.#isEnded()) return
    if (now >= this.#closeBy) {
      const { closeTimeoutMs } = this.#options.limits
      this.#end(new TrunkError('ERR_CLOSE_TIMEOUT', `pipes were still open ${closeTimeoutMs} ms after the close`), true)
      return
    }
    if (now >= this.#keepUntil) {
      const sentence = `no link went on with the session within ${this.keepMs} ms`
      this.giveUp(new TrunkError('ERR_RESUME_EXPIRED', sentence, { cause: this.#lostTo }))
      return
    }
    if (this.link.isOver) return
    this.link.checkLife(now)
    if (this.#isEnded() || this.#hasNoLink()) return
    this.mux?.tick(now)
    // the word that was put off is due
    if (this.isResumable && this.stream.tick(now)) this.#host.wake()
  }

  /**
   * Not heard of, not written, not greeted, not finished: that proves nothing about the peer while
   * we ourselves were suspended.
   */
  #suspended(now: number): void {
    this.link.suspended(now)
    if (this.#keepUntil !== Infinity) this.#keepUntil = now + this.#waitMs
    if (this.#closeBy !== Infinity) this.#closeBy = now + this.#options.limits.closeTimeoutMs
    this.mux?.suspended(now)
  }
}

/** True where the link is at fault, not what came over it: another one may do better. */
function isLoss(error: TrunkError): boolean {
  return error.scope === 'link' || error.code === 'ERR_KEEPALIVE_TIMEOUT' || error.code === 'ERR_WRITE_STALLED'
}
