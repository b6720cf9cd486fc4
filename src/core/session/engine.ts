/**
 * One session from its first byte to its last: hello, muxer, keepalive, end. No I/O, no timer, no promise: bytes and a clock
 * reading go in, batches to write and the next deadline come out, what happened goes to the host. So a whole session replays
 * from a seed under a virtual clock.
 *
 * Promises upward: `established` at most once, `ended` exactly once, with the error that every pipe then has too. Assumes below: bytes in
 * order; one batch at a time, `batchLeft` when the line has it. Enforces: hello size and time, keepalive, write stall, close time.
 */
import { TrunkError, toTrunkError } from '../../contracts/errors.ts'
import { FIRST_OPTIONAL_TYPE, FIRST_PIPE_TYPE, FrameType, MAX_EDGE_BYTE } from '../frame/constants.ts'
import type { ChecksumTools } from '../checked-frame/checks.ts'
import type { Batch } from '../frame/batch.ts'
import { readU64 } from '../frame/numbers.ts'
import { decodeStatus, encodeStatus, MAX_STATUS_BYTES } from '../frame/status.ts'
import type { Limits } from '../../contracts/limits.ts'
import { MuxCore } from '../mux/core.ts'
import type { PipeState } from '../mux/pipe-state.ts'
import { violation, type MuxHost, type SessionCounters } from '../mux/settings.ts'
import { CheckedFraming } from './checked-framing.ts'
import { Handshake, type Authenticator } from './handshake.ts'
import { noSession, settle, type Hello } from './hello.ts'
import { checkSessionFrame, CONCERNS_ANYBODY } from './session-frames.ts'
import { Keepalive } from './keepalive.ts'
import type { FramingHost, Framing } from './framing.ts'
import { Pings } from './pings.ts'
import { PlainFraming } from './plain-framing.ts'

/** What the engine calls. None of these may throw. */
export interface EngineHost {
  /** There may be something to pull. */
  wake(): void
  /** The session is established; `engine.mux` is there. */
  established(peer: Hello): void
  /** Nobody looks at this view of a chunk of the link any more. @default such chunks are simply let go of */
  release?(view: Uint8Array): void
  /** Asked once, when the session is established: see `MuxHost`. */
  windows?(): Pick<MuxHost, 'windows' | 'initialWindows'>
  /** The peer opened a pipe. */
  incoming(pipe: PipeState, head: Uint8Array): void
  /** Pings up to this number are answered. */
  ponged(id: number, roundTripMs: number): void
  /** It is over: `error` undefined where either side closed it well. A last batch may be there to pull. */
  ended(error: TrunkError | undefined): void
}

/** What an engine is made of. */
export interface EngineOptions {
  readonly hello: Hello
  /** Makes another hello of this side, for a line on which one may have to wait for its peer. @default the first one is said each time */
  readonly renewHello?: (() => Hello) | undefined
  readonly limits: Readonly<Limits>
  readonly preferredFrameBytes: number
  readonly authenticator?: Authenticator | undefined
  /** Given for a connectionless or lossy link. */
  readonly checksumTools?: ChecksumTools | undefined
  /** Asked before a peer that has proved what it has to prove gets a session; throws what refuses it. May be asked on a plain line only. */
  readonly admit?: (() => void) | undefined
  /** Waits for a peer as long as it takes: nobody can tell when one will be there. */
  readonly waitsForever?: boolean | undefined
  readonly host: EngineHost
  readonly now: number
}

/** `hello`: strangers. `open`, `closing`: a session. `ended`: nothing goes in any more. */
export type EngineState = 'hello' | 'open' | 'closing' | 'ended'

/** One batch: what sits below the muxer (invariant 3 of docs/internals/catalogue.md), in frames of the preferred size. */
const FRAMES_PER_BATCH = 4
/** Largest data frame that is sent with checked framing. */
const MAX_CHECKED_FRAME_BYTES = 16 * 1024
/** A timer this late means that this process (or its machine) was suspended: the peer gets a fresh interval (reliability: R-133). */
const SUSPENDED_MS = 1000

export class Engine implements FramingHost {
  state: EngineState = 'hello'
  mux: MuxCore | undefined
  peer: Hello | undefined
  /** What this side said to that peer. */
  own: Hello | undefined
  bytesRead = 0
  bytesWritten = 0
  /** False where the last batch was all that there was to send. */
  hasMore = false
  /** Size of the last chunk. */
  #received = 0
  readonly counters: SessionCounters = { strayPongs: 0, skippedFrames: 0 }

  readonly #options: EngineOptions
  readonly #host: EngineHost
  readonly #limits: Readonly<Limits>
  readonly #framing: Framing
  #now: number
  #skipping = false
  /** Session frames to send, each at most once: so the answers to a flood are bounded. */
  #bye: Uint8Array | undefined
  #concernsAnybody = false
  #sayClosing = false
  #pongFor: Uint8Array | undefined
  readonly #pings: Pings
  readonly #keepalive: Keepalive
  /** Since when the line has held our batch; -1: it holds none. */
  #busySince = -1
  #startedAt: number
  #closeBy = Infinity

  constructor(options: EngineOptions) {
    this.#options = options
    this.#host = options.host
    this.#limits = options.limits
    const { hello, renewHello, limits, authenticator, checksumTools, now } = options
    this.#framing =
      checksumTools === undefined
        ? new PlainFraming(new Handshake(hello, limits.maxHelloBytes, authenticator), this)
        : new CheckedFraming(
            {
              hello,
              renewHello,
              maxHelloBytes: limits.maxHelloBytes,
              repeatMs: limits.helloRepeatMs,
              authenticator,
              tools: checksumTools,
              now,
            },
            this,
          )
    this.#now = options.now
    this.#startedAt = options.now
    this.#keepalive = new Keepalive(limits, now)
    this.#pings = new Pings(now, options.checksumTools === undefined ? 0 : 1)
  }

  // --- bytes in ------------------------------------------------------------------------------------------------------

  /** Takes bytes of the link. The chunk belongs to the engine. */
  receive(chunk: Uint8Array, now: number): void {
    if (this.state === 'ended' || chunk.byteLength === 0) return
    this.#now = now
    this.#keepalive.heard(now)
    this.#received = chunk.byteLength
    this.bytesRead += chunk.byteLength
    try {
      this.#framing.receive(chunk, now)
    } catch (error) {
      // a handler may have ended the session from within the loop; whatever the decoder says after that is late
      if (!this.#isEnded()) this.#fail(toTrunkError(error, 'ERR_PROTOCOL_VIOLATION', 'a frame could not be handled'))
    }
    if (this.#isEnded()) return
    this.mux?.endOfChunk()
    if (this.mux !== undefined && this.#pings.isDue(now)) this.ping()
  }

  /** Of how many bytes of the last chunk pipes still hold views. */
  kept(): number {
    // a link with checked framing assembles frames, a handshake may keep what it was given: there a chunk is never free again
    return this.mux === undefined || this.#options.checksumTools !== undefined || this.#isEnded()
      ? this.#received
      : this.mux.kept()
  }

  /** The link has ended (`error` undefined) or failed: nothing more comes. */
  linkEnded(error: TrunkError | undefined, now: number): void {
    if (this.state === 'ended') return
    this.#now = now
    if (error !== undefined) this.#end(error, false)
    else if (this.#framing.midFrame && this.#options.checksumTools === undefined)
      this.#end(new TrunkError('ERR_FRAME_TRUNCATED', 'the line ended inside a frame'), false)
    else if (this.state === 'hello') {
      const sentence = `the peer left before the session was established${this.#framing.seen}`
      this.#end(new TrunkError('ERR_LINK_LOST', sentence), false)
    } else this.#end(new TrunkError('ERR_LINK_LOST', 'the line ended without a goodbye'), false)
  }

  /** FrameHandler: see there. */
  header(type: number, flags: number, pipe: number, length: number): boolean {
    if (this.#isEnded()) throw violation('the session has ended')
    this.#skipping = false
    const { mux } = this
    const maxBytes = this.maxPayload(type)
    if (length > maxBytes) {
      throw new TrunkError('ERR_FRAME_TOO_LARGE', `a frame of ${length} bytes, above the limit of ${maxBytes}`)
    }
    if (type > MAX_EDGE_BYTE || flags > MAX_EDGE_BYTE) throw violation(`type ${type} or flags ${flags} above 127`)
    if (type >= FIRST_OPTIONAL_TYPE) {
      this.#skipping = true
      this.counters.skippedFrames++
      return true
    }
    if (type >= FIRST_PIPE_TYPE) {
      if (mux === undefined) throw violation(`a frame of type ${type} before the session was established`)
      return mux.header(type, flags, pipe, length)
    }
    if (pipe !== 0 || flags !== 0)
      throw violation(`a frame of type ${type} has pipe id and flags 0, not ${pipe} and ${flags}`)
    checkSessionFrame(type, length, mux !== undefined)
    return false
  }

  /** `maxFrameBytes` may be smaller than what a first frame or a status needs: then it bounds data alone. */
  maxPayload(type: number): number {
    const { maxFrameBytes, maxOpenBytes, maxHelloBytes } = this.#limits
    if (this.mux === undefined) return maxHelloBytes
    return type === FrameType.DATA ? maxFrameBytes : Math.max(maxFrameBytes, maxOpenBytes, MAX_STATUS_BYTES)
  }

  /** FrameHandler: see there. */
  piece(bytes: Uint8Array, last: boolean): void {
    if (!this.#skipping) this.mux?.piece(bytes, last)
  }

  /** FrameHandler: see there. */
  frame(type: number, flags: number, pipe: number, payload: Uint8Array): void {
    if (this.#skipping) return
    if (type >= FIRST_PIPE_TYPE) this.mux?.frame(type, flags, pipe, payload, this.#now)
    else this.#sessionFrame(type, payload)
  }

  #sessionFrame(type: number, payload: Uint8Array): void {
    switch (type) {
      case FrameType.HELLO:
      case FrameType.READY:
        this.#framing.handshakeFrame(type, payload)
        break
      case FrameType.CLOSING:
        this.mux?.refuseOpens()
        if (this.state === 'open') this.state = 'closing'
        break
      case FrameType.BYE:
        this.#peerSaidBye(payload)
        break
      case FrameType.PING:
        this.#pongFor = new Uint8Array(payload)
        this.#host.wake()
        break
      case FrameType.PONG:
        this.#ponged(payload)
        break
      case FrameType.PARSED: {
        const offset = readU64(payload, 0)
        if (offset < 0) throw violation('an offset above 2^53 - 1')
        this.mux?.peerParsed(offset, this.#now)
        break
      }
      default:
        throw violation(`there is no frame of type ${type}`)
    }
  }

  /** FramingHost: see there. */
  wake(): void {
    this.#host.wake()
  }

  /** FramingHost: see there. */
  admit(): void {
    this.#options.admit?.()
  }

  /** FramingHost: see there. */
  askForLife(): void {
    this.ping()
  }

  /** FramingHost: see there. */
  established(peer: Hello, own: Hello): void {
    this.peer = peer
    this.own = own
    this.state = 'open'
    // what the line has held so far was written while nobody was there to take it
    if (this.#busySince >= 0) this.#busySince = this.#now
    const settings = settle(own, peer, this.#limits, this.#frameBytes, this.#options.checksumTools !== undefined)
    this.mux = new MuxCore(
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
        roundTripMs: () => this.roundTripMs,
        minRoundTripMs: () => this.#pings.leastMs,
        askParsed: () => this.ping(),
        ...this.#host.windows?.(),
      },
      this.#now,
    )
    this.ping()
    this.#host.established(peer)
  }

  /** Checked frames are held until they are whole, so they had better be small. */
  get #frameBytes(): number {
    const { preferredFrameBytes, checksumTools } = this.#options
    return checksumTools === undefined ? preferredFrameBytes : Math.min(preferredFrameBytes, MAX_CHECKED_FRAME_BYTES)
  }

  #peerSaidBye(payload: Uint8Array): void {
    const error = decodeStatus(payload, 'ERR_SESSION_ABORTED')
    if (error === undefined) throw violation('a status that cannot be read')
    this.#end(error.code === 'ERR_SESSION_CLOSED' && this.mux !== undefined ? undefined : error, false)
  }

  #ponged(payload: Uint8Array): void {
    const answer = this.#pings.answered(payload, this.#now)
    if (answer === undefined) this.counters.strayPongs++
    else {
      if (this.#pings.leastMs === undefined) this.ping()
      this.mux?.peerAnswered(answer.parsed, this.#now)
      this.#host.wake() // on a paced line data may have waited for this
      this.#host.ponged(answer.id, answer.roundTripMs)
    }
  }

  // --- what the pipe adapter asks for ------------------------------------------------------------------------------------------

  /** Smoothed round trip in milliseconds; undefined before the first answer. */
  get roundTripMs(): number | undefined {
    return this.#pings.roundTripMs
  }

  /** Sends a ping soon; `host.ponged` is called with this number or a later one. */
  ping(): number {
    this.#host.wake()
    return this.#pings.want()
  }

  /** Ends well: no new pipes, those that are open finish, then goodbye. */
  close(now: number): void {
    if (this.state === 'ended' || this.#closeBy !== Infinity) return
    this.#now = now
    if (this.mux === undefined) {
      this.#end(new TrunkError('ERR_SESSION_CLOSED', 'closed before the session was established'), true)
      return
    }
    this.state = 'closing'
    this.mux.refuseOpens()
    this.#closeBy = now + this.#limits.closeTimeoutMs
    this.#sayClosing = true
    this.#host.wake()
  }

  /** Ends at once, with `error`; the peer is told its code. */
  abort(error: TrunkError, now: number): void {
    if (this.state === 'ended') return
    this.#now = now
    this.#end(error, true)
  }

  /** Ends at once, with `error`, and tells the peer nothing. */
  cut(error: TrunkError, now: number): void {
    if (this.state === 'ended') return
    this.#now = now
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
    this.#pings.clear()
    this.#host.ended(error)
  }

  /** Ends with an error that the line or a frame gave. */
  #fail(error: TrunkError): void {
    // who started anew does not know this session: there is nobody to tell
    this.#end(error, error.code !== 'ERR_PEER_RESTARTED')
  }

  #isEnded(): boolean {
    return this.state === 'ended'
  }

  // --- batches out ---------------------------------------------------------------------------------------------------

  /**
   * The next batch to write, in pieces, or undefined. They may not be changed, and belong to the engine again when `batchLeft` is
   * called; until then nothing more can be pulled.
   */
  pull(now: number): readonly Uint8Array[] | undefined {
    if (this.#busySince >= 0) return undefined
    this.#now = now
    const { batch } = this.#framing
    batch.reset()
    this.#pullSession(batch, now)
    const maxBytes = this.#frameBytes * FRAMES_PER_BATCH
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
    this.hasMore = batch.bytes >= maxBytes || !batch.hasRoom || this.#options.checksumTools !== undefined
    this.#busySince = now
    this.bytesWritten += batch.bytes
    return batch.finish()
  }

  /** The line has the last batch; its pieces are free. */
  batchLeft(): void {
    this.#busySince = -1
    this.mux?.batchLeft()
  }

  /** False where a goodbye would reach nobody, or somebody else. */
  #mayTell(now: number): boolean {
    if (this.mux !== undefined || this.#options.checksumTools === undefined) return true
    if (!this.#concernsAnybody) {
      this.#bye = undefined
      return false
    }
    return this.#framing.beforeFarewell(now)
  }

  #pullSession(batch: Batch, now: number): void {
    if (!this.#isEnded() || this.#options.checksumTools === undefined) this.#framing.pull(now)
    if (this.mux === undefined || this.#isEnded()) return
    if (this.#pongFor !== undefined) {
      batch.frame(FrameType.PONG, 0, 0, Pings.answer(this.#pongFor, now))
      this.#pongFor = undefined
    }
    const ping = this.#pings.take(now, this.mux.dataSent)
    if (ping !== undefined) batch.frame(FrameType.PING, 0, 0, ping)
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  /** When `tick` wants to be called; Infinity for never. */
  deadline(): number {
    if (this.#isEnded()) return Infinity
    let at = this.#closeBy
    if (this.mux === undefined) at = Math.min(at, this.#helloBy())
    else at = Math.min(at, this.#keepalive.deadline(), this.mux.deadline())
    // what would be repeated cannot be while the line holds a batch
    if (this.#busySince < 0 || this.mux !== undefined) at = Math.min(at, this.#framing.deadline())
    if (this.#mayStall()) at = Math.min(at, this.#busySince + this.#limits.writeStallMs)
    return at
  }

  #helloBy(): number {
    return this.#options.waitsForever === true ? Infinity : this.#startedAt + this.#limits.helloTimeoutMs
  }

  /** A line that takes nothing is lost, unless nobody is there yet to take it. */
  #mayStall(): boolean {
    return this.#busySince >= 0 && (this.mux !== undefined || this.#options.checksumTools === undefined)
  }

  /** Does what is due. */
  tick(now: number): void {
    if (this.#isEnded()) return
    if (now - this.deadline() > SUSPENDED_MS) this.#suspended(now)
    this.#now = now
    try {
      this.#framing.tick(now)
    } catch (error) {
      this.#fail(toTrunkError(error, 'ERR_LINE_DAMAGED', 'the line is damaged'))
      return
    }
    if (this.mux === undefined && now >= this.#helloBy()) {
      this.#end(noSession(this.#limits, this.#framing.seen), true)
      return
    }
    if (now >= this.#closeBy) {
      this.#end(
        new TrunkError('ERR_CLOSE_TIMEOUT', `pipes were still open ${this.#limits.closeTimeoutMs} ms after the close`),
        true,
      )
      return
    }
    if (this.#mayStall() && now >= this.#busySince + this.#limits.writeStallMs) {
      this.#end(new TrunkError('ERR_WRITE_STALLED', `the line took nothing for ${this.#limits.writeStallMs} ms`), true)
      return
    }
    if (this.mux === undefined) return
    const verdict = this.#keepalive.check(now)
    if (verdict === 'ask') this.ping()
    else if (verdict !== undefined) this.#end(verdict, true)
    if (!this.#isEnded()) this.mux.tick(now)
  }

  /** Not heard of, not written, not greeted, not finished: that proves nothing about the peer while we ourselves were suspended. */
  #suspended(now: number): void {
    this.#keepalive.suspended(now)
    if (this.#busySince >= 0) this.#busySince = now
    this.#startedAt = now
    if (this.#closeBy !== Infinity) this.#closeBy = now + this.#limits.closeTimeoutMs
    this.mux?.suspended(now)
  }
}
