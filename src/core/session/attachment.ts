/**
 * What belongs to one link: its framing and handshake, signs of life, the round trip, the batch
 * that the line holds. The session (engine.ts) is what goes on above it: muxer, close, goodbye.
 *
 * Promises upward: frames in order, each checked by its header; `lost` at most once, with what made
 * the link useless. After `end` nothing that the link says reaches the session.
 */
import { TrunkError, toTrunkError } from '../../contracts/errors.ts'
import type { Limits } from '../../contracts/limits.ts'
import type { ChecksumTools } from '../checked-frame/checks.ts'
import type { Batch } from '../frame/batch.ts'
import { FIRST_OPTIONAL_TYPE, FIRST_PIPE_TYPE, FrameType, MAX_EDGE_BYTE } from '../frame/constants.ts'
import { MAX_STATUS_BYTES } from '../frame/status.ts'
import type { MuxCore } from '../mux/core.ts'
import { ResumeHandshake, type ResumeSide } from '../resume/resume-handshake.ts'
import { isNumbered, type SessionStream } from '../resume/stream.ts'
import type { SessionSecret } from '../resume/secret.ts'
import { violation, type SessionCounters } from '../mux/settings.ts'
import { CheckedFraming } from './checked-framing.ts'
import type { Framing, FramingHost } from './framing.ts'
import { Handshake, type Authenticator } from './handshake.ts'
import { noSession, type Hello } from './hello.ts'
import { Keepalive } from './keepalive.ts'
import { Pings } from './pings.ts'
import { PlainFraming } from './plain-framing.ts'
import { checkSessionFrame } from './session-frames.ts'

/** What an attachment is made of. */
export interface AttachmentOptions {
  readonly hello: Hello
  /**
   * Makes another hello of this side, for a line on which one may have to wait for its peer.
   * @default the first one is said each time
   */
  readonly renewHello?: (() => Hello) | undefined
  readonly limits: Readonly<Limits>
  readonly preferredFrameBytes: number
  readonly authenticator?: Authenticator | undefined
  /** Given for a connectionless or lossy link. */
  readonly checksumTools?: ChecksumTools | undefined
  /** Waits for a peer as long as it takes: nobody can tell when one will be there. */
  readonly waitsForever?: boolean | undefined
  /** Given where sessions are to outlive their links; for a plain link. */
  readonly resume?: ResumeSide | undefined
  readonly now: number
}

/** What an attachment calls: the session. */
export interface AttachmentHost {
  /** There may be something to pull. */
  wake(): void
  /** The peer has proved what it has to prove and gets our READY next; throws what refuses it. */
  admit(): void
  /** Both hellos were answered. Gives the muxer that pipes' frames go to. */
  established(peer: Hello, own: Hello, now: number): MuxCore
  /** A frame of the session that is none of the link's: CLOSING, BYE or PARSED. */
  sessionFrame(type: number, payload: Uint8Array, now: number): void
  /** Pings up to this number are answered. */
  ponged(id: number, roundTripMs: number): void
  /** The peer has parsed that much of what was sent. */
  parsed(offset: number, now: number): void
  /**
   * A frame came behind the hello of a link that goes on with the session: so the peer has had our
   * answer.
   */
  confirmed(): void
  /** The link is of no use any more. `tell`: the peer may still be told why. */
  lost(error: TrunkError, tell: boolean, now: number): void
}

const NOTHING: readonly Uint8Array[] = []
/** Largest data frame that is sent with checked framing. */
const MAX_CHECKED_FRAME_BYTES = 16 * 1024

export class Attachment implements FramingHost {
  readonly framing: Framing
  /** Frames are checked: the link is connectionless or lossy. */
  readonly checked: boolean
  /** Largest data frame worth sending. */
  readonly frameBytes: number
  readonly pings: Pings
  bytesRead = 0
  bytesWritten = 0
  readonly #options: AttachmentOptions
  /** What is agreed of sessions that outlive their links; undefined where this side wants none. */
  readonly resume: ResumeHandshake | undefined
  readonly #handshake: Handshake | undefined
  #host: AttachmentHost
  readonly #limits: Readonly<Limits>
  #counters: SessionCounters
  readonly #keepalive: Keepalive
  /** Where pipes' frames go; undefined during the hello. */
  #mux: MuxCore | undefined
  /** What numbers the frames, where they are numbered. */
  #stream: SessionStream | undefined
  #unconfirmed = false
  #now: number
  #startedAt: number
  #over = false
  #skipping = false
  /** The ping that is to be answered: the last one, so the answers to a flood are bounded. */
  #pongFor: Uint8Array | undefined
  /** Since when the line has held our batch; -1: it holds none. */
  #busySince = -1
  /** Size of the last chunk. */
  #received = 0

  constructor(options: AttachmentOptions, host: AttachmentHost, counters: SessionCounters) {
    this.#options = options
    this.#host = host
    this.#counters = counters
    const { hello, renewHello, limits, authenticator, checksumTools, now, preferredFrameBytes } = options
    this.#limits = limits
    this.checked = checksumTools !== undefined
    // checked frames are held until they are whole, so they had better be small
    this.frameBytes = this.checked ? Math.min(preferredFrameBytes, MAX_CHECKED_FRAME_BYTES) : preferredFrameBytes
    const { resume } = options
    if (!this.checked) {
      this.resume = resume === undefined ? undefined : new ResumeHandshake(resume, hello)
      this.#handshake = new Handshake(hello, limits.maxHelloBytes, authenticator, this.resume)
    }
    this.framing =
      this.#handshake !== undefined || checksumTools === undefined
        ? new PlainFraming(this.#handshake ?? new Handshake(hello, limits.maxHelloBytes, authenticator), this)
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
    this.#now = now
    this.#startedAt = now
    this.#keepalive = new Keepalive(limits, now)
    this.pings = new Pings(now, this.checked ? 1 : 0)
  }

  // --- bytes in ----------------------------------------------------------------------------------

  /** Takes bytes of the link. The chunk belongs to the attachment. */
  receive(chunk: Uint8Array, now: number): void {
    if (this.#over || chunk.byteLength === 0) return
    this.#now = now
    this.#keepalive.heard(now)
    this.#received = chunk.byteLength
    this.bytesRead += chunk.byteLength
    try {
      this.framing.receive(chunk, now)
    } catch (error) {
      // a handler may have ended the session from within the loop; whatever the decoder says after
      // that is late
      if (!this.#isOver()) this.#fail(error, 'ERR_PROTOCOL_VIOLATION', 'a frame could not be handled')
    }
    if (this.#isOver()) return
    this.#mux?.endOfChunk()
    if (this.#mux !== undefined && this.pings.isDue(now)) this.askForLife()
    if (this.#stream?.owesWord(now) === true) this.#host.wake()
  }

  /** Of how many bytes of the last chunk pipes still hold views. */
  kept(): number {
    // a link with checked framing assembles frames, a handshake may keep what it was given: there a
    // chunk is never free again
    return this.#mux === undefined || this.checked || this.#over ? this.#received : this.#mux.kept()
  }

  /** The link has ended (`error` undefined) or failed: nothing more comes. */
  linkEnded(error: TrunkError | undefined, now: number): void {
    if (this.#over) return
    this.#now = now
    this.#host.lost(error ?? this.#endOfLink(), false, now)
  }

  #endOfLink(): TrunkError {
    if (this.framing.midFrame && !this.checked)
      return new TrunkError('ERR_FRAME_TRUNCATED', 'the line ended inside a frame')
    if (this.#mux !== undefined) return new TrunkError('ERR_LINK_LOST', 'the line ended without a goodbye')
    const sentence = `the peer left before the session was established${this.framing.seen}`
    return new TrunkError('ERR_LINK_LOST', sentence)
  }

  // --- frames, and what the framing asks for: FramingHost ----------------------------------------

  header(type: number, flags: number, pipe: number, length: number): boolean {
    if (this.#over) throw violation('the session has ended')
    this.#skipping = false
    if (this.#unconfirmed) {
      this.#unconfirmed = false
      this.#host.confirmed()
    }
    const maxBytes = this.maxPayload(type)
    if (length > maxBytes) {
      throw new TrunkError('ERR_FRAME_TOO_LARGE', `a frame of ${length} bytes, above the limit of ${maxBytes}`)
    }
    if (type > MAX_EDGE_BYTE || flags > MAX_EDGE_BYTE) throw violation(`type ${type} or flags ${flags} above 127`)
    if (type >= FIRST_OPTIONAL_TYPE) {
      this.#skipping = true
      this.#counters.skippedFrames++
      return true
    }
    if (type >= FIRST_PIPE_TYPE) {
      if (this.#mux === undefined) throw violation(`a frame of type ${type} before the session was established`)
      this.#stream?.headed(length)
      return this.#mux.header(type, flags, pipe, length)
    }
    if (pipe !== 0 || flags !== 0)
      throw violation(`a frame of type ${type} has pipe id and flags 0, not ${pipe} and ${flags}`)
    checkSessionFrame(type, length, this.#mux !== undefined)
    if (isNumbered(type)) this.#stream?.headed(length)
    return false
  }

  /**
   * `maxFrameBytes` may be smaller than what a first frame or a status needs: then it bounds data
   * alone.
   */
  maxPayload(type: number): number {
    const { maxFrameBytes, maxOpenBytes, maxHelloBytes } = this.#limits
    if (this.#mux === undefined) return maxHelloBytes
    return type === FrameType.DATA ? maxFrameBytes : Math.max(maxFrameBytes, maxOpenBytes, MAX_STATUS_BYTES)
  }

  piece(bytes: Uint8Array, last: boolean): void {
    if (!this.#skipping) this.#mux?.piece(bytes, last)
  }

  frame(type: number, flags: number, pipe: number, payload: Uint8Array): void {
    if (this.#skipping) return
    if (type >= FIRST_PIPE_TYPE) this.#mux?.frame(type, flags, pipe, payload, this.#now)
    else if (type === FrameType.HELLO || type === FrameType.READY) this.framing.handshakeFrame(type, payload)
    else if (type === FrameType.PING) {
      this.#pongFor = new Uint8Array(payload)
      this.#host.wake()
    } else if (type === FrameType.PONG) this.#ponged(payload)
    else this.#host.sessionFrame(type, payload, this.#now)
  }

  wake(): void {
    this.#host.wake()
  }

  admit(): void {
    // a session that goes on has its place already
    if (this.resume?.attached === undefined) this.#host.admit()
  }

  established(peer: Hello, own: Hello): void {
    // what the line has held so far was written while nobody was there to take it
    if (this.#busySince >= 0) this.#busySince = this.#now
    this.#mux = this.#host.established(peer, own, this.#now)
  }

  /**
   * The secret of a session that begins on this link and may go on over another; undefined where
   * one of the two wants none.
   */
  beginSecret(peer: Hello): SessionSecret | undefined {
    const [own, other] = this.#handshake?.hellos ?? []
    return own === undefined || other === undefined ? undefined : this.resume?.begin(peer, own, other)
  }

  /** From here on the link carries `stream`. */
  carry(stream: SessionStream): void {
    if (!(this.framing instanceof PlainFraming)) throw violation('a link with checked framing carries no stream')
    this.#stream = stream
    stream.readBy(this.framing.decoder)
  }

  /** The link goes on with another session than the one that was begun for it. */
  moveTo(host: AttachmentHost, counters: SessionCounters): void {
    this.#host = host
    this.#counters = counters
    this.#unconfirmed = true
  }

  /** Nothing that the link says counts any more. */
  get isOver(): boolean {
    return this.#over
  }

  askForLife(): number {
    this.#host.wake()
    return this.pings.want()
  }

  #ponged(payload: Uint8Array): void {
    const answer = this.pings.answered(payload, this.#now)
    if (answer === undefined) {
      this.#counters.strayPongs++
      return
    }
    if (this.pings.leastMs === undefined) this.askForLife()
    this.#host.parsed(answer.parsed, this.#now)
    this.#host.wake() // on a paced line data may have waited for this
    this.#host.ponged(answer.id, answer.roundTripMs)
  }

  // --- batches out -------------------------------------------------------------------------------

  /** True while the line holds a batch. */
  get busy(): boolean {
    return this.#busySince >= 0
  }

  /**
   * An empty batch with what the link itself has to say; only where it is not {@link busy}.
   * `quiet`: nothing but the hello, since what follows begins
   * within a frame.
   */
  begin(now: number, quiet = false): Batch {
    this.#now = now
    const { batch } = this.framing
    batch.reset()
    if (!this.#over || !this.checked) this.framing.pull(now)
    if (this.#mux === undefined || this.#over || quiet) return batch
    if (this.#pongFor !== undefined) {
      batch.frame(FrameType.PONG, 0, 0, Pings.answer(this.#pongFor, now))
      this.#pongFor = undefined
    }
    const ping = this.pings.take(now, this.#mux.dataSent)
    if (ping !== undefined) batch.frame(FrameType.PING, 0, 0, ping)
    return batch
  }

  /** The batch's pieces, and those that follow it: the line holds them until `batchLeft`. */
  finish(now: number, behind: readonly Uint8Array[] = NOTHING): readonly Uint8Array[] {
    this.#busySince = now
    this.bytesWritten += this.framing.batch.bytes
    if (behind.length === 0) return this.framing.batch.finish()
    for (const piece of behind) this.bytesWritten += piece.byteLength
    return [...this.framing.batch.finish(), ...behind]
  }

  /** The line has the last batch; its pieces are free. */
  batchLeft(): void {
    this.#busySince = -1
  }

  // --- time --------------------------------------------------------------------------------------

  /** When {@link greet} or {@link checkLife} has something to do. */
  deadline(): number {
    const standing = this.#mux !== undefined
    let at = standing ? this.#keepalive.deadline() : this.#helloBy()
    // what would be repeated cannot be while the line holds a batch
    if (this.#busySince < 0 || standing) at = Math.min(at, this.framing.deadline())
    if (this.#mayStall()) at = Math.min(at, this.#busySince + this.#limits.writeStallMs)
    return at
  }

  #helloBy(): number {
    return this.#options.waitsForever === true ? Infinity : this.#startedAt + this.#limits.helloTimeoutMs
  }

  /** A line that takes nothing is lost, unless nobody is there yet to take it. */
  #mayStall(): boolean {
    return this.#busySince >= 0 && (this.#mux !== undefined || !this.checked)
  }

  /** Does what is due of the framing and the hello. */
  greet(now: number): void {
    this.#now = now
    try {
      this.framing.tick(now)
    } catch (error) {
      this.#fail(error, 'ERR_LINE_DAMAGED', 'the line is damaged')
      return
    }
    if (this.#mux === undefined && now >= this.#helloBy())
      this.#host.lost(noSession(this.#limits, this.framing.seen), true, now)
  }

  /** Gives the link up where the line takes nothing, or the peer gives no sign of life. */
  checkLife(now: number): void {
    const { writeStallMs } = this.#limits
    if (this.#mayStall() && now >= this.#busySince + writeStallMs) {
      this.#host.lost(new TrunkError('ERR_WRITE_STALLED', `the line took nothing for ${writeStallMs} ms`), true, now)
      return
    }
    if (this.#mux === undefined) return
    const verdict = this.#keepalive.check(now)
    if (verdict === 'ask') this.askForLife()
    else if (verdict !== undefined) this.#host.lost(verdict, true, now)
  }

  /** We were suspended: not heard of, not written, not greeted proves nothing about the peer. */
  suspended(now: number): void {
    this.#keepalive.suspended(now)
    if (this.#busySince >= 0) this.#busySince = now
    this.#startedAt = now
  }

  // --- the end -----------------------------------------------------------------------------------

  /**
   * The session has ended, or goes on over another link: nothing that this one says counts any
   * more.
   */
  end(): void {
    this.#over = true
    this.pings.clear()
  }

  /** The line or a frame made the link useless. */
  #fail(thrown: unknown, code: 'ERR_PROTOCOL_VIOLATION' | 'ERR_LINE_DAMAGED', sentence: string): void {
    const error = toTrunkError(thrown, code, sentence)
    // who started again does not know this session: there is nobody to tell
    this.#host.lost(error, error.code !== 'ERR_PEER_RESTARTED', this.#now)
  }

  #isOver(): boolean {
    return this.#over
  }
}
