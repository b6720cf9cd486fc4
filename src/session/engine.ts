/**
 * One session from its first byte to its last: hello, muxer, keepalive, end. No I/O, no timer, no promise: bytes and a clock
 * reading go in, batches to write and the next deadline come out, what happened goes to the host. So a whole session replays
 * from a seed under a virtual clock.
 *
 * Promises upward: `established` at most once, `ended` exactly once, with the error that every pipe then has too. Assumes below: bytes in
 * order; one batch at a time, `batchLeft` when the line has it. Enforces: hello size and time, keepalive, write stall, close time.
 */
import { TrunkError, toTrunkError } from '../errors.ts'
import { FrameBatch } from '../frame/batch.ts'
import { FIRST_OPTIONAL_TYPE, FIRST_PIPE_TYPE, FrameType, MAX_EDGE_BYTE, SYNC_WORD } from '../frame/constants.ts'
import { FrameDecoder } from '../frame/decoder.ts'
import { readU64, writeU64 } from '../frame/numbers.ts'
import { decodeStatus, encodeStatus, MAX_STATUS_BYTES } from '../frame/status.ts'
import type { Limits } from '../limits.ts'
import { MuxCore } from '../mux/core.ts'
import type { PipeState } from '../mux/pipe-state.ts'
import { violation } from '../mux/settings.ts'
import { Handshake, type Authenticator } from './handshake.ts'
import { settle, type Hello } from './hello.ts'

/** What the engine calls. None of these may throw. */
export interface EngineHost {
  /** There may be something to pull. */
  wake(): void
  /** The session stands; `engine.mux` is there. */
  established(peer: Hello): void
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
  readonly limits: Readonly<Limits>
  readonly preferredFrameBytes: number
  readonly authenticator?: Authenticator | undefined
  readonly host: EngineHost
  readonly now: number
}

/** `hello`: strangers. `open`, `closing`: a session. `ended`: nothing goes in any more. */
export type EngineState = 'hello' | 'open' | 'closing' | 'ended'

/** One batch: what sits below the muxer (design: invariant 3), in frames of the preferred size. */
const FRAMES_PER_BATCH = 4
/** A timer this late means that this process (or its machine) stood still: the peer gets a fresh interval (reliability: R-133). */
const SUSPENDED_MS = 1000
/** While data flow the round trip is measured this often. */
const MEASURE_MS = 2000
/** Payloads of PING (a number and a time) and PONG (both, and the answerer's time). */
const PING_BYTES = 16
const PONG_BYTES = 24

export class Engine {
  state: EngineState = 'hello'
  mux: MuxCore | undefined
  peer: Hello | undefined
  bytesRead = 0
  bytesWritten = 0
  roundTripMs: number | undefined
  readonly counters: { strayPongs: number; skippedFrames: number } = { strayPongs: 0, skippedFrames: 0 }

  readonly #options: EngineOptions
  readonly #host: EngineHost
  readonly #limits: Readonly<Limits>
  readonly #handshake: Handshake
  readonly #decoder: FrameDecoder
  readonly #batch = new FrameBatch()
  #now: number
  #syncBytes = 0
  #helloSent = false
  #skipping = false
  /** Session frames to send, each at most once: so the answers to a flood are bounded. */
  #bye: Uint8Array | undefined
  #sayClosing = false
  #pongFor: Uint8Array | undefined
  #sayPing = false
  #pingId = 0
  readonly #pings = new Map<number, number>()
  #measuredAt: number
  #heardAt: number
  #probedAt = -1
  /** Since when the line has held our batch; -1: it holds none. */
  #busySince = -1
  #startedAt: number
  #closeBy = Infinity

  constructor(options: EngineOptions) {
    this.#options = options
    this.#host = options.host
    this.#limits = options.limits
    this.#handshake = new Handshake(options.hello, options.limits.maxHelloBytes, options.authenticator)
    this.#decoder = new FrameDecoder(this)
    this.#now = options.now
    this.#startedAt = options.now
    this.#heardAt = options.now
    this.#measuredAt = options.now
  }

  // --- bytes in ------------------------------------------------------------------------------------------------------

  /** Takes bytes of the link. The chunk belongs to the engine. */
  receive(chunk: Uint8Array, now: number): void {
    if (this.state === 'ended' || chunk.byteLength === 0) return
    this.#now = now
    this.#heardAt = now
    this.#probedAt = -1
    this.bytesRead += chunk.byteLength
    try {
      const rest = this.#syncBytes < SYNC_WORD.byteLength ? this.#sync(chunk) : chunk
      if (rest.byteLength > 0) this.#decoder.push(rest)
    } catch (error) {
      // a handler may have ended the session from within the loop; whatever the decoder says after that is late
      if (!this.#isEnded())
        this.#end(toTrunkError(error, 'ERR_PROTOCOL_VIOLATION', 'a frame could not be handled'), true)
    }
    if (this.#isEnded()) return
    this.mux?.endOfChunk()
    if (this.mux !== undefined && now - this.#measuredAt > MEASURE_MS && this.#pings.size === 0) this.ping()
  }

  /** The link has ended (`error` undefined) or failed: nothing more comes. */
  linkEnded(error: TrunkError | undefined, now: number): void {
    if (this.state === 'ended') return
    this.#now = now
    if (error !== undefined) this.#end(error, false)
    else if (!this.#decoder.atBoundary)
      this.#end(new TrunkError('ERR_FRAME_TRUNCATED', 'the line ended inside a frame'), false)
    else if (this.state === 'hello') {
      this.#end(new TrunkError('ERR_LINK_LOST', 'the peer left before the session was established'), false)
    } else this.#end(new TrunkError('ERR_LINK_LOST', 'the line ended without a goodbye'), false)
  }

  #sync(chunk: Uint8Array): Uint8Array {
    let at = 0
    while (at < chunk.byteLength && this.#syncBytes < SYNC_WORD.byteLength) {
      if (chunk[at] !== SYNC_WORD[this.#syncBytes]) {
        throw new TrunkError(
          'ERR_NOT_TRUNKLINE',
          'the peer does not speak trunkline: its first bytes are not the sync word',
        )
      }
      at++
      this.#syncBytes++
    }
    return chunk.subarray(at)
  }

  /** FrameHandler: see there. */
  header(type: number, flags: number, pipe: number, length: number): boolean {
    if (this.#isEnded()) throw violation('the session has ended')
    this.#skipping = false
    const { mux } = this
    const maxBytes = mux === undefined ? this.#limits.maxHelloBytes : this.#maxPayload(type)
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
    this.#sessionHeader(type, length)
    return false
  }

  /** `maxFrameBytes` may be smaller than what a first frame or a status needs: then it bounds data alone. */
  #maxPayload(type: number): number {
    const { maxFrameBytes, maxOpenBytes } = this.#limits
    return type === FrameType.DATA ? maxFrameBytes : Math.max(maxFrameBytes, maxOpenBytes, MAX_STATUS_BYTES)
  }

  #sessionHeader(type: number, length: number): void {
    const standing = this.mux !== undefined
    const rule = SESSION_FRAMES[type]
    if (rule === undefined) throw violation(`there is no frame of type ${type}`)
    const [min, max, when] = rule
    if (length < min || length > max) throw violation(`a frame of type ${type} may not have ${length} bytes of payload`)
    if (when !== undefined && when !== standing) {
      throw violation(`a frame of type ${type} ${standing ? 'after' : 'before'} the session was established`)
    }
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
        this.#handshake.hello(payload)
        this.#host.wake()
        break
      case FrameType.READY:
        this.#handshake.ready(payload)
        // ours may have been waiting for it; it goes out before anything that follows
        this.#host.wake()
        this.#establish()
        break
      case FrameType.CLOSING:
        this.mux?.refuseOpens()
        if (this.state === 'open') this.state = 'closing'
        break
      case FrameType.BYE:
        this.#peerSaidBye(payload)
        break
      case FrameType.PING:
        this.#pongFor = payload.slice()
        this.#host.wake()
        break
      case FrameType.PONG:
        this.#ponged(payload)
        break
      case FrameType.PARSED: {
        const offset = readU64(payload, 0)
        if (offset < 0) throw violation('an offset above 2^53 - 1')
        this.mux?.peerParsed(offset)
        break
      }
      default:
        throw violation(`there is no frame of type ${type}`)
    }
  }

  #establish(): void {
    // the serving side with a token answers only now
    const ready = this.#handshake.takeReady()
    if (ready !== undefined) this.#readyPayload = ready
    const { peer } = this.#handshake
    if (peer === undefined || this.mux !== undefined) return
    this.peer = peer
    this.state = 'open'
    const settings = settle(this.#handshake.own, peer, this.#limits, this.#options.preferredFrameBytes)
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
        roundTripMs: () => this.roundTripMs,
      },
      this.#now,
    )
    this.ping()
    this.#host.established(peer)
  }

  #readyPayload: Uint8Array | undefined

  #peerSaidBye(payload: Uint8Array): void {
    const error = decodeStatus(payload, 'ERR_SESSION_ABORTED')
    if (error === undefined) throw violation('a status that cannot be read')
    this.#end(error.code === 'ERR_SESSION_CLOSED' && this.mux !== undefined ? undefined : error, false)
  }

  #ponged(payload: Uint8Array): void {
    const id = readU64(payload, 0)
    const sentAt = this.#pings.get(id)
    if (sentAt === undefined) {
      this.counters.strayPongs++
      return
    }
    const sample = Math.max(0, this.#now - sentAt)
    this.roundTripMs = this.roundTripMs === undefined ? sample : this.roundTripMs * 0.875 + sample * 0.125
    this.#measuredAt = this.#now
    // answers coalesce: this one answers all pings before it too
    for (const earlier of this.#pings.keys()) if (earlier <= id) this.#pings.delete(earlier)
    this.#host.ponged(id, sample)
  }

  // --- what the skin asks for ------------------------------------------------------------------------------------------

  /** Sends a ping soon; `host.ponged` is called with this number or a later one. */
  ping(): number {
    if (!this.#sayPing) {
      this.#sayPing = true
      this.#pingId++
      this.#host.wake()
    }
    return this.#pingId
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

  /** True when a graceful close has nothing left to wait for. */
  get #drained(): boolean {
    return this.#closeBy !== Infinity && this.mux?.drained === true
  }

  #end(error: TrunkError | undefined, tell: boolean): void {
    if (this.#isEnded()) return
    this.state = 'ended'
    if (tell && error !== undefined) this.#bye = encodeStatus(error.code, error.message)
    else if (!tell) this.#bye = undefined
    this.mux?.fail(error ?? new TrunkError('ERR_SESSION_CLOSED', 'the trunk was closed', { origin: 'remote' }))
    this.#pings.clear()
    this.#host.ended(error)
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
    const batch = this.#batch
    batch.reset()
    this.#pullSession(batch)
    const maxBytes = this.#options.preferredFrameBytes * FRAMES_PER_BATCH
    if (this.mux !== undefined && !this.#isEnded()) {
      this.mux.pull(batch, maxBytes, now)
      // after the opens of the same tick: those were made before the close
      if (this.#sayClosing) batch.frame(FrameType.CLOSING, 0, 0, new Uint8Array(0))
      this.#sayClosing = false
    }
    if (!this.#isEnded() && this.#drained) {
      batch.frame(FrameType.BYE, 0, 0, encodeStatus('ERR_SESSION_CLOSED', 'closed'))
      this.#end(undefined, false)
    } else if (this.#bye !== undefined) {
      batch.frame(FrameType.BYE, 0, 0, this.#bye)
      this.#bye = undefined
    }
    if (batch.bytes === 0) return undefined
    this.#busySince = now
    this.bytesWritten += batch.bytes
    return batch.finish()
  }

  /** The line has the last batch; its pieces are free. */
  batchLeft(): void {
    this.#busySince = -1
    this.mux?.batchLeft()
  }

  #pullSession(batch: FrameBatch): void {
    if (!this.#helloSent) {
      this.#helloSent = true
      batch.raw(SYNC_WORD)
      batch.frame(FrameType.HELLO, 0, 0, this.#handshake.helloPayload)
    }
    const ready = this.#readyPayload ?? this.#handshake.takeReady()
    this.#readyPayload = undefined
    if (ready !== undefined) batch.frame(FrameType.READY, 0, 0, ready)
    if (this.mux === undefined || this.#isEnded()) return
    if (this.#pongFor !== undefined) {
      const pong = new Uint8Array(PONG_BYTES)
      pong.set(this.#pongFor)
      writeU64(pong, PING_BYTES, Math.round(this.#now * 1000))
      batch.frame(FrameType.PONG, 0, 0, pong)
      this.#pongFor = undefined
    }
    if (this.#sayPing) {
      this.#sayPing = false
      const ping = new Uint8Array(PING_BYTES)
      writeU64(ping, 0, this.#pingId)
      writeU64(ping, 8, Math.round(this.#now * 1000))
      batch.frame(FrameType.PING, 0, 0, ping)
      this.#pings.set(this.#pingId, this.#now)
    }
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  /** When `tick` wants to be called; Infinity for never. */
  deadline(): number {
    if (this.#isEnded()) return Infinity
    let at = this.#closeBy
    if (this.mux === undefined) at = Math.min(at, this.#startedAt + this.#limits.helloTimeoutMs)
    else at = Math.min(at, this.#keepaliveAt(), this.mux.deadline())
    if (this.#busySince >= 0) at = Math.min(at, this.#busySince + this.#limits.writeStallMs)
    return at
  }

  /** Does what is due. */
  tick(now: number): void {
    if (this.#isEnded()) return
    // not heard of, not written: that proves nothing about the peer while we ourselves stood still
    if (now - this.deadline() > SUSPENDED_MS) {
      if (this.#probedAt >= 0) this.#probedAt = now
      if (this.#busySince >= 0) this.#busySince = now
    }
    this.#now = now
    if (this.mux === undefined) {
      if (now >= this.#startedAt + this.#limits.helloTimeoutMs) {
        this.#end(new TrunkError('ERR_HELLO_TIMEOUT', `no session after ${this.#limits.helloTimeoutMs} ms`), true)
      }
      return
    }
    if (now >= this.#closeBy) {
      this.#end(
        new TrunkError('ERR_CLOSE_TIMEOUT', `pipes were still open ${this.#limits.closeTimeoutMs} ms after the close`),
        true,
      )
      return
    }
    if (this.#busySince >= 0 && now >= this.#busySince + this.#limits.writeStallMs) {
      this.#end(new TrunkError('ERR_WRITE_STALLED', `the line took nothing for ${this.#limits.writeStallMs} ms`), true)
      return
    }
    this.#keepAlive(now)
    if (!this.#isEnded()) this.mux.tick(now)
  }

  #keepaliveAt(): number {
    return this.#probedAt >= 0
      ? this.#probedAt + this.#limits.keepaliveTimeoutMs
      : this.#heardAt + this.#limits.keepaliveMs
  }

  #keepAlive(now: number): void {
    if (now < this.#keepaliveAt()) return
    if (this.#probedAt < 0) {
      this.#probedAt = now
      this.ping()
      return
    }
    const silentMs = Math.round(now - this.#heardAt)
    this.#end(new TrunkError('ERR_KEEPALIVE_TIMEOUT', `the peer has been silent for ${silentMs} ms`), true)
  }
}

/** Session frames: smallest and largest payload, and whether a session has to stand (undefined: either). */
const SESSION_FRAMES: Readonly<Record<number, [min: number, max: number, standing: boolean | undefined]>> = {
  [FrameType.HELLO]: [1, 65_535, false],
  [FrameType.READY]: [1, 256, false],
  [FrameType.CLOSING]: [0, 0, true],
  [FrameType.BYE]: [3, MAX_STATUS_BYTES, undefined],
  [FrameType.PING]: [PING_BYTES, PING_BYTES, true],
  [FrameType.PONG]: [PONG_BYTES, PONG_BYTES, true],
  [FrameType.PARSED]: [8, 8, true],
}
