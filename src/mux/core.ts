/**
 * The muxer: many pipes over one session. No I/O, no timer, no promise: frames and a clock reading go in by plain calls, frames go out
 * into the batch that `pull` is given, what happened goes to the pipes' listeners and the host.
 *
 * Promises upward: bytes of a pipe arrive once, in order, or the pipe fails with a code; an end is the peer's end; one pipe's
 * failure leaves the others alone. Assumes below: whole frames in order. Enforces: credit both ways, the in-flight bound, pipe and
 * waiting limits (slots are free only when the peer's handler has ended), the reset bucket, first-frame and status sizes.
 * Illegal frames throw a `TrunkError` of scope `session`; the engine ends the session with it.
 */
import { TrunkError, type ErrorCode } from '../errors.ts'
import type { FrameBatch } from '../frame/batch.ts'
import { FrameFlag, FrameType, HEADER_BYTES, MAX_PIPE_ID } from '../frame/constants.ts'
import { readU64 } from '../frame/numbers.ts'
import { decodeStatus, encodeStatus, MAX_STATUS_BYTES } from '../frame/status.ts'
import { ByteQueue } from './byte-queue.ts'
import { Pending, PipeState, type PipeListener } from './pipe-state.ts'
import { Scheduler } from './scheduler.ts'
import { TokenBucket } from './token-bucket.ts'
import { WindowPool } from './window.ts'

/** What is in force between the two peers: the outcome of the hello. */
export interface MuxSettings {
  /** True for the peer with the larger epoch: its pipes have odd ids. */
  readonly takesOddIds: boolean
  /** The first id that is given, of the right parity: so that a test can stand near the last one. @default 1 or 2 */
  readonly firstId?: number
  readonly initialWindowBytes: number
  readonly maxWindowBytes: number
  readonly windowPoolBytes: number
  readonly maxInFlightBytes: number
  /** Largest payload of a data frame that is sent, and that is accepted. */
  readonly splitBytes: number
  readonly maxFrameBytes: number
  readonly maxOpenBytes: number
  readonly maxInbound: number
  readonly maxInboundWaiting: number
  readonly maxOutbound: number
  readonly maxOutboundWaiting: number
  readonly maxRefusals: number
  readonly resetBurst: number
  readonly resetsPerSecond: number
  readonly peerResetBurst: number
  readonly peerResetsPerSecond: number
  readonly orphanTimeoutMs: number
}

/** What the core calls, besides the pipes' listeners. */
export interface MuxHost {
  /** There may be something to pull. */
  wake(): void
  /** The peer opened a pipe; `head` is valid during the call only. The host sets `pipe.listener`, then accepts or refuses, now or later. */
  incoming(pipe: PipeState, head: Uint8Array): void
  /** The number of pipes fell. */
  pipeGone(): void
  /** Smoothed round trip, where one was measured. */
  roundTripMs(): number | undefined
}

/** Writes up to this size are copied and coalesced; larger ones are sent by reference. */
const COPY_WRITE_BYTES = 8 * 1024
/** A pipe takes this much ahead of the line before its writer waits. */
export const WRITE_BUFFER_BYTES: number = 64 * 1024
/** Refused opens that wait to be sent are bounded by {@link MuxSettings.maxRefusals} and this. */
const MAX_QUEUED_REFUSALS = 1024

interface QueuedRefusal {
  readonly id: number
  readonly payload: Uint8Array
}

export class MuxCore {
  readonly pipes: Map<number, PipeState> = new Map<number, PipeState>()
  /** Things that were tolerated, by name. */
  readonly counters: { lateFrames: number; staleCredits: number; refusedOpens: number } = {
    lateFrames: 0,
    staleCredits: 0,
    refusedOpens: 0,
  }
  readonly #settings: MuxSettings
  readonly #host: MuxHost
  readonly #windows: WindowPool
  readonly #scheduler: Scheduler
  readonly #receivedResets: TokenBucket
  readonly #sentResets: TokenBucket
  #nextId: number
  #lastPeerId = 0
  #outbound = 0
  #inbound = 0
  #inboundWaiting = 0
  #outboundWaiting = 0
  #limitRefusals = 0
  /** No pipes are opened or taken any more. */
  closing = false

  /** Pipes with pending control frames, in order of their first one. */
  #listed: PipeState[] = []
  /** Local opens that wait for the peer to answer earlier ones. At most maxOutbound. */
  #opens: PipeState[] = []
  /** Resets that wait for a token of the peer's bucket. At most one a pipe. */
  #resets: Map<PipeState, Uint8Array> = new Map<PipeState, Uint8Array>()
  /** When a token for them will be there; Infinity while none is waited for. */
  #resetsAt = Infinity
  #refusals: QueuedRefusal[] = []
  /** Pipes whose handler has ended while the peer has not: oldest first. */
  #orphans: Set<PipeState> = new Set<PipeState>()

  /** Bytes of data frames (headers included): sent, parsed by the peer; parsed by us, and told. */
  #dataSent = 0
  #peerParsed = 0
  #parsed = 0
  #parsedTold = 0

  /** The data frame that is arriving: its pipe, undefined where it is dropped. */
  #arriving: PipeState | undefined
  #arrivingBytes = 0
  /** Pipes that got bytes in this `receive`, told once at its end. */
  #touched: PipeState[] = []
  /** Pipes whose bytes are in the batch that the line holds. */
  #leaving: PipeState[] = []
  #now = 0

  constructor(settings: MuxSettings, host: MuxHost, now: number) {
    this.#settings = settings
    this.#host = host
    this.#now = now
    this.#nextId = settings.firstId ?? (settings.takesOddIds ? 1 : 2)
    this.#windows = new WindowPool(settings.initialWindowBytes, settings.maxWindowBytes, settings.windowPoolBytes)
    this.#scheduler = new Scheduler(settings.splitBytes)
    this.#receivedResets = new TokenBucket(settings.resetBurst, settings.resetsPerSecond, now)
    this.#sentResets = new TokenBucket(settings.peerResetBurst, settings.peerResetsPerSecond, now)
  }

  // --- what the skin asks for ------------------------------------------------------------------------------------------

  /** Opens a pipe; `head` is the payload of its first frame. The listener hears `accepted` or `failed`. */
  open(head: Uint8Array, listener: PipeListener, now: number): PipeState {
    if (this.closing) throw new TrunkError('ERR_SESSION_CLOSED', 'the trunk is closing: no new pipes')
    if (this.#outbound >= this.#settings.maxOutbound) {
      throw new TrunkError(
        'ERR_PIPE_LIMIT',
        `the peer takes ${this.#settings.maxOutbound} pipes at a time, and all are open`,
      )
    }
    if (this.#nextId > MAX_PIPE_ID)
      throw new TrunkError('ERR_PIPE_IDS_EXHAUSTED', 'the session has used all its pipe ids')
    const pipe = new PipeState(this.#nextId, true, this.#settings.initialWindowBytes, now)
    this.#nextId += 2
    pipe.listener = listener
    pipe.payload = head
    this.#outbound++
    this.pipes.set(pipe.id, pipe)
    this.#opens.push(pipe)
    this.#releaseOpens()
    return pipe
  }

  accept(pipe: PipeState, reply: Uint8Array): void {
    if (pipe.phase !== 'opening') return
    pipe.phase = 'open'
    this.#inboundWaiting--
    pipe.payload = reply
    this.#list(pipe, Pending.ACCEPT)
    this.#schedule(pipe)
  }

  refuse(pipe: PipeState, error: TrunkError): void {
    if (pipe.phase === 'zombie') {
      this.handlerEnded(pipe)
      return
    }
    if (pipe.phase !== 'opening') return
    this.#inboundWaiting--
    pipe.payload = encodeStatus(error.code, error.message)
    pipe.handlerEnded = true
    this.#clearData(pipe)
    pipe.phase = 'zombie'
    this.#list(pipe, Pending.REFUSE)
  }

  /** The handler of an accepted pipe has returned: what it has not ended is ended, what it has not read is stopped. */
  handlerEnded(pipe: PipeState): void {
    if (pipe.handlerEnded || pipe.phase === 'gone') return
    pipe.handlerEnded = true
    if (pipe.phase === 'zombie') {
      // a reset that has not gone out yet will say that the slot is free
      if (!this.#resets.has(pipe)) this.#list(pipe, Pending.DONE)
      return
    }
    this.end(pipe)
    if (!pipe.receivedAll) this.stop(pipe, 'ERR_PIPE_STOPPED')
    pipe.orphanedAt = this.#now
    this.#orphans.add(pipe)
    this.#settle(pipe)
  }

  /**
   * Queues `chunk` (not empty). Returns the offset that {@link PipeState.sent} has to reach, with the batch gone, before the writer
   * goes on; 0: at once. A chunk by reference is free again then.
   */
  write(pipe: PipeState, chunk: Uint8Array): number {
    const queue = (pipe.sendQueue ??= new ByteQueue())
    const length = chunk.byteLength
    pipe.written += length
    const byReference = length > COPY_WRITE_BYTES
    if (byReference) queue.append(chunk)
    else queue.appendCopy(chunk)
    this.#schedule(pipe)
    if (byReference) return pipe.written
    return queue.length <= WRITE_BUFFER_BYTES ? 0 : pipe.written - WRITE_BUFFER_BYTES / 2
  }

  /** No more writes. */
  end(pipe: PipeState): void {
    if (pipe.endQueued) return
    pipe.endQueued = true
    this.#schedule(pipe)
  }

  /** Everything that can be read now; it is consumed, and belongs to the caller. */
  read(pipe: PipeState, now: number): Uint8Array[] {
    const pieces: Uint8Array[] = []
    let left = pipe.readable
    const queue = pipe.receiveQueue
    if (queue === undefined || left === 0) return pieces
    this.#now = now
    pipe.consumed += left
    this.#windows.consumed(pipe, left, this.#host.roundTripMs(), now)
    while (left > 0) {
      const piece = queue.shift(left)
      left -= piece.byteLength
      pieces.push(piece)
    }
    this.#grant(pipe)
    this.#settle(pipe)
    return pieces
  }

  /** Stops reading: what is unread and what still comes is dropped. */
  stop(pipe: PipeState, code: ErrorCode): void {
    if (pipe.readStopped || pipe.receivedAll || (pipe.phase !== 'open' && pipe.phase !== 'opening')) return
    if (pipe.readable > 0) pipe.discarded = true
    pipe.readStopped = true
    pipe.stopPayload = encodeStatus(code, 'the reader has stopped')
    if (pipe !== this.#arriving) pipe.receiveQueue?.clear()
    this.#windows.release(pipe)
    if (pipe.finalOffset < 0) this.#list(pipe, Pending.STOP)
    this.#settle(pipe)
  }

  /** Both directions are over, at both ends. The listener is not told. */
  reset(pipe: PipeState, error: TrunkError): void {
    if (pipe.phase === 'zombie' || pipe.phase === 'gone') return
    if (pipe.outbound && !pipe.openSent) {
      this.#opens = this.#opens.filter((waiting) => waiting !== pipe)
      this.#free(pipe)
      return
    }
    this.#becomeZombie(pipe)
    this.#resets.set(pipe, encodeStatus(error.code, error.message))
    this.#host.wake()
  }

  /** The session is over: every pipe fails. */
  fail(error: TrunkError): void {
    for (const pipe of this.pipes.values()) {
      const listener = pipe.phase === 'zombie' ? undefined : pipe.listener
      pipe.phase = 'gone'
      this.#clearData(pipe)
      listener?.failed(error)
    }
    this.pipes.clear()
    this.#opens = []
    this.#resets.clear()
    this.#refusals = []
    this.#orphans.clear()
    this.#listed = []
    this.#touched = []
  }

  // --- frames in -----------------------------------------------------------------------------------------------------

  /** Checks a header of a pipe's frame before any of its payload is kept. True: data, to be taken in pieces. */
  header(type: number, flags: number, id: number, length: number): boolean {
    if (id === 0) throw violation(`a frame of type ${type} needs a pipe id`)
    if (flags !== 0 && !(type === FrameType.RESET && flags === FrameFlag.FINAL)) {
      throw violation(`flags ${flags} are not defined for a frame of type ${type}`)
    }
    switch (type) {
      case FrameType.DATA:
        this.#dataHeader(id, length)
        return true
      case FrameType.OPEN:
      case FrameType.ACCEPT:
        // larger ones are read and refused as this pipe's error where they fit a frame at all
        return false
      case FrameType.CREDIT:
      case FrameType.END:
        if (length !== 8) throw violation(`a frame of type ${type} has 8 bytes of payload, not ${length}`)
        return false
      case FrameType.REFUSE:
      case FrameType.DONE:
      case FrameType.STOP:
      case FrameType.RESET:
        if (length > MAX_STATUS_BYTES) throw violation(`a status is at most ${MAX_STATUS_BYTES} bytes, not ${length}`)
        return false
      default:
        throw violation(`there is no frame of type ${type}`)
    }
  }

  #dataHeader(id: number, length: number): void {
    if (length === 0) throw violation('a data frame may not be empty')
    const pipe = this.#find(id)
    this.#arrivingBytes = length
    this.#arriving = pipe?.phase === 'zombie' ? undefined : pipe
    if (this.#arriving === undefined) {
      this.counters.lateFrames++
      return
    }
    if (this.#arriving.outbound && this.#arriving.phase === 'opening')
      throw violation('data before the answer to the open')
    if (this.#arriving.finalOffset >= 0) throw violation('data after the end')
    if (this.#arriving.received + length > this.#arriving.granted) {
      throw new TrunkError(
        'ERR_WINDOW_EXCEEDED',
        `pipe ${id}: ${this.#arriving.received + length} bytes sent, ${this.#arriving.granted} granted`,
      )
    }
  }

  /** Part of the payload of a data frame. */
  piece(bytes: Uint8Array, last: boolean): void {
    const pipe = this.#arriving
    if (pipe !== undefined && !pipe.readStopped && (pipe.phase === 'open' || pipe.phase === 'opening')) {
      const queue = (pipe.receiveQueue ??= new ByteQueue())
      // a piece may hold at most as much again as it is worth; smaller ones are gathered
      if (bytes.byteLength * 2 >= bytes.buffer.byteLength) queue.append(bytes)
      else queue.appendCopy(bytes)
    }
    if (last) this.#dataArrived(pipe)
  }

  #dataArrived(pipe: PipeState | undefined): void {
    const length = this.#arrivingBytes
    this.#arriving = undefined
    this.#parsed += length + HEADER_BYTES
    if (pipe === undefined) return
    pipe.received += length
    if (pipe.readStopped) {
      pipe.receiveQueue?.clear()
      pipe.consumed = pipe.received
      pipe.discarded = true
    } else if (pipe.phase === 'open' || pipe.phase === 'opening') {
      this.#touched.push(pipe)
    }
  }

  /** A whole frame of a pipe, other than data. */
  frame(type: number, flags: number, id: number, payload: Uint8Array, now: number): void {
    this.#now = now
    if (type === FrameType.OPEN) {
      this.#opened(id, payload)
      return
    }
    const pipe = this.#find(id)
    if (type === FrameType.RESET && !this.#receivedResets.take(now)) {
      throw new TrunkError('ERR_RESET_FLOOD', 'the peer resets pipes faster than it may')
    }
    if (pipe === undefined) {
      this.counters.lateFrames++
    } else if (pipe.phase === 'zombie') {
      this.#zombieFrame(pipe, type, flags)
    } else {
      this.#pipeFrame(pipe, type, flags, payload)
    }
  }

  /** The end of a chunk of the link: pipes that got something are told, once each. */
  endOfChunk(): void {
    const touched = this.#touched
    if (touched.length > 0) {
      this.#touched = []
      for (const pipe of touched) pipe.listener?.readable()
    }
    if (this.#parsed - this.#parsedTold >= this.#settings.maxInFlightBytes / 4) this.#host.wake()
  }

  #opened(id: number, head: Uint8Array): void {
    if ((id & 1) === (this.#settings.takesOddIds ? 1 : 0)) throw violation(`pipe id ${id} is not the peer's to give`)
    if (id <= this.#lastPeerId) throw violation(`pipe id ${id} is not above ${this.#lastPeerId}`)
    this.#lastPeerId = id
    if (this.closing) {
      this.#refuseUnseen(id, 'ERR_SESSION_CLOSED', 'the trunk is closing: no new pipes')
      return
    }
    const { maxInbound, maxInboundWaiting, maxOpenBytes } = this.#settings
    const overLimit = this.#inbound >= maxInbound
    if (overLimit || this.#inboundWaiting >= maxInboundWaiting) {
      this.counters.refusedOpens++
      if (++this.#limitRefusals > this.#settings.maxRefusals) {
        throw new TrunkError('ERR_REFUSAL_FLOOD', 'the peer keeps opening pipes beyond the limits that it was told')
      }
      if (overLimit) this.#refuseUnseen(id, 'ERR_PIPE_LIMIT', `at most ${maxInbound} pipes at a time`)
      else this.#refuseUnseen(id, 'ERR_PIPE_BACKLOG', `at most ${maxInboundWaiting} pipes may wait to be accepted`)
      return
    }
    if (head.byteLength > maxOpenBytes) {
      this.#refuseUnseen(
        id,
        'ERR_PARAMS_INVALID',
        `a first frame is at most ${maxOpenBytes} bytes, not ${head.byteLength}`,
      )
      return
    }
    const pipe = new PipeState(id, false, this.#settings.initialWindowBytes, this.#now)
    this.#inbound++
    this.#inboundWaiting++
    this.pipes.set(id, pipe)
    this.#host.incoming(pipe, head)
  }

  #refuseUnseen(id: number, code: ErrorCode, sentence: string): void {
    if (this.#refusals.length >= MAX_QUEUED_REFUSALS) {
      throw new TrunkError('ERR_REFUSAL_FLOOD', 'the peer opens pipes faster than it takes their refusals')
    }
    this.#refusals.push({ id, payload: encodeStatus(code, sentence) })
    this.#host.wake()
  }

  #zombieFrame(pipe: PipeState, type: number, flags: number): void {
    const answersReset =
      type === FrameType.DONE || type === FrameType.REFUSE || (type === FrameType.RESET && flags === FrameFlag.FINAL)
    if (!pipe.outbound || !answersReset) {
      this.counters.lateFrames++
      if (pipe.outbound && type === FrameType.ACCEPT) this.#answered(pipe)
      return
    }
    // a DONE from before our reset, which has not gone out yet: the peer holds the slot until it has the reset
    if (type === FrameType.DONE && this.#resets.has(pipe)) pipe.doneReceived = true
    // the peer may have released the slot before our reset went out: then it needs none
    else this.#free(pipe)
  }

  #pipeFrame(pipe: PipeState, type: number, flags: number, payload: Uint8Array): void {
    if (pipe.outbound && !pipe.openSent) throw violation(`pipe ${pipe.id} was never opened`)
    const unanswered = pipe.outbound && pipe.phase === 'opening'
    if (
      unanswered &&
      type !== FrameType.ACCEPT &&
      type !== FrameType.REFUSE &&
      type !== FrameType.RESET &&
      type !== FrameType.STOP &&
      type !== FrameType.CREDIT
    ) {
      throw violation(`a frame of type ${type} before the answer to the open of pipe ${pipe.id}`)
    }
    switch (type) {
      case FrameType.ACCEPT:
        this.#accepted(pipe, unanswered, payload)
        break
      case FrameType.REFUSE:
        this.#refused(pipe, unanswered, payload)
        break
      case FrameType.CREDIT:
        this.#credited(pipe, payload)
        break
      case FrameType.END:
        this.#ended(pipe, payload)
        break
      case FrameType.DONE:
        this.#confirmed(pipe, payload)
        break
      case FrameType.STOP:
        this.#stopped(pipe, payload)
        break
      case FrameType.RESET:
        this.#wasReset(pipe, flags, payload)
        break
      default:
        throw violation(`there is no frame of type ${type}`)
    }
  }

  #accepted(pipe: PipeState, unanswered: boolean, reply: Uint8Array): void {
    if (!unanswered) throw violation(`pipe ${pipe.id} was answered before`)
    if (reply.byteLength > this.#settings.maxOpenBytes) {
      throw violation(`a reply is at most ${this.#settings.maxOpenBytes} bytes, not ${reply.byteLength}`)
    }
    this.#answered(pipe)
    pipe.phase = 'open'
    pipe.listener?.accepted(reply)
  }

  #refused(pipe: PipeState, unanswered: boolean, payload: Uint8Array): void {
    if (!unanswered) throw violation(`pipe ${pipe.id} was answered before`)
    const error = remoteError(payload, 'ERR_PIPE_RESET')
    const { listener } = pipe
    this.#free(pipe)
    listener?.failed(error)
  }

  #credited(pipe: PipeState, payload: Uint8Array): void {
    const limit = readU64(payload, 0)
    if (limit < 0) throw violation('a credit above 2^53 - 1')
    if (limit <= pipe.creditLimit) {
      this.counters.staleCredits++
      return
    }
    pipe.creditLimit = limit
    this.#schedule(pipe)
  }

  #ended(pipe: PipeState, payload: Uint8Array): void {
    const offset = readU64(payload, 0)
    if (pipe.finalOffset >= 0) throw violation(`pipe ${pipe.id} ended twice`)
    if (offset !== pipe.received) throw violation(`pipe ${pipe.id} ends at ${offset}, but ${pipe.received} bytes came`)
    pipe.finalOffset = offset
    if (pipe.readStopped) pipe.consumed = offset
    this.#settle(pipe)
    if (!pipe.readStopped) this.#touched.push(pipe)
  }

  #confirmed(pipe: PipeState, payload: Uint8Array): void {
    if (!pipe.endSent || pipe.doneReceived) throw violation(`pipe ${pipe.id} was confirmed before its end`)
    const error = payload.byteLength === 0 ? undefined : remoteError(payload, 'ERR_PIPE_STOPPED')
    pipe.doneReceived = true
    pipe.listener?.confirmed(error ?? (pipe.unsentDropped ? pipe.stopError : undefined))
    this.#settle(pipe)
  }

  #stopped(pipe: PipeState, payload: Uint8Array): void {
    const error = remoteError(payload, 'ERR_PIPE_STOPPED')
    if (pipe.stopError !== undefined) throw violation(`pipe ${pipe.id} was stopped twice`)
    pipe.stopError = error
    // a stop after which nothing is left to send has cost nothing: the confirmation will say so
    pipe.unsentDropped = pipe.queued > 0
    pipe.sendQueue?.clear()
    pipe.endQueued = true
    this.#schedule(pipe)
    pipe.listener?.stopped(error)
  }

  #wasReset(pipe: PipeState, flags: number, payload: Uint8Array): void {
    const error = remoteError(payload, 'ERR_PIPE_RESET')
    const { listener } = pipe
    if (pipe.outbound) {
      if (flags === FrameFlag.FINAL) this.#free(pipe)
      else this.#becomeZombie(pipe)
    } else if (pipe.doneSent) {
      // that DONE has released the slot already, or will when it arrives
      this.#free(pipe)
    } else {
      this.#becomeZombie(pipe)
      if (pipe.handlerEnded) this.#list(pipe, Pending.DONE)
    }
    listener?.failed(error)
  }

  /** A live pipe; undefined for one that is finished; throws for one that never was. */
  #find(id: number): PipeState | undefined {
    const pipe = this.pipes.get(id)
    if (pipe !== undefined) return pipe
    const own = (id & 1) === (this.#settings.takesOddIds ? 1 : 0)
    if (own ? id >= this.#nextId : id > this.#lastPeerId) throw violation(`pipe ${id} was never opened`)
    return undefined
  }

  // --- frames out ----------------------------------------------------------------------------------------------------

  /** The peer has parsed this many bytes of data frames. */
  peerParsed(offset: number): void {
    if (offset > this.#dataSent) throw violation(`the peer has parsed ${offset} bytes of ${this.#dataSent}`)
    if (offset > this.#peerParsed) this.#peerParsed = offset
    if (!this.#scheduler.isEmpty) this.#host.wake()
  }

  /** Adds frames to `batch` until nothing is left to send or `maxBytes` are reached. */
  pull(batch: FrameBatch, maxBytes: number, now: number): void {
    this.#now = now
    if (this.#parsed - this.#parsedTold >= this.#settings.maxInFlightBytes / 4) {
      this.#parsedTold = this.#parsed
      batch.offsetFrame(FrameType.PARSED, 0, this.#parsed)
    }
    this.#pullControl(batch, now)
    while (batch.bytes < maxBytes && batch.hasRoom) {
      const { maxInFlightBytes, splitBytes } = this.#settings
      const room = maxInFlightBytes - (this.#dataSent - this.#peerParsed) - HEADER_BYTES
      // a trickle of tiny frames would cost more than waiting for the peer's next word
      if (room < Math.min(maxInFlightBytes / 4, splitBytes)) break
      const pipe = this.#scheduler.next()
      if (pipe === undefined) break
      this.#pullData(batch, pipe, Math.min(room, splitBytes))
      if (pipe.sendable) this.#scheduler.again(pipe)
    }
  }

  #pullControl(batch: FrameBatch, now: number): void {
    while (this.#refusals.length > 0 && batch.hasRoom) {
      const refusal = this.#refusals.shift()
      if (refusal !== undefined) batch.frame(FrameType.REFUSE, 0, refusal.id, refusal.payload)
    }
    let taken = 0
    for (const pipe of this.#listed) {
      if (!batch.hasRoom) break
      taken++
      pipe.listed = false
      this.#pullPending(batch, pipe)
    }
    if (taken > 0) this.#listed = taken === this.#listed.length ? [] : this.#listed.slice(taken)
    this.#pullResets(batch, now)
  }

  #pullPending(batch: FrameBatch, pipe: PipeState): void {
    const { pending, id } = pipe
    pipe.pending = 0
    if ((pending & Pending.OPEN) !== 0) this.#pullOpen(batch, pipe)
    if ((pending & Pending.ACCEPT) !== 0 && pipe.payload !== undefined) {
      batch.frame(FrameType.ACCEPT, 0, id, pipe.payload)
      pipe.payload = undefined
    }
    if ((pending & Pending.REFUSE) !== 0 && pipe.payload !== undefined) {
      batch.frame(FrameType.REFUSE, 0, id, pipe.payload)
      this.#free(pipe)
      return
    }
    if ((pending & Pending.CREDIT) !== 0 && pipe.phase !== 'zombie') {
      pipe.granted = pipe.consumed + pipe.window
      batch.offsetFrame(FrameType.CREDIT, id, pipe.granted)
    }
    if ((pending & Pending.STOP) !== 0 && pipe.stopPayload !== undefined && pipe.phase !== 'zombie') {
      batch.frame(FrameType.STOP, 0, id, pipe.stopPayload)
    }
    if ((pending & Pending.DONE) !== 0) {
      const status = pipe.discarded && pipe.phase !== 'zombie' ? (pipe.stopPayload ?? NOTHING) : NOTHING
      pipe.doneSent = true
      // an end that waits for nothing goes first: the peer then knows that there is nothing more to read or to stop
      this.#pullEnd(batch, pipe)
      batch.frame(FrameType.DONE, 0, id, status)
      this.#settle(pipe)
    }
  }

  #pullOpen(batch: FrameBatch, pipe: PipeState): void {
    if (pipe.payload === undefined) return
    batch.frame(FrameType.OPEN, 0, pipe.id, pipe.payload)
    pipe.payload = undefined
    pipe.openSent = true
    this.#schedule(pipe)
  }

  /** Resets wait for the peer's bucket, so that no number of them ends the session; the slot is held meanwhile. */
  #pullResets(batch: FrameBatch, now: number): void {
    for (const [pipe, payload] of this.#resets) {
      if (!batch.hasRoom) return
      if (!this.#sentResets.take(now)) {
        this.#resetsAt = this.#sentResets.nextAt()
        return
      }
      this.#resets.delete(pipe)
      const final = !pipe.outbound && pipe.handlerEnded
      batch.frame(FrameType.RESET, final ? FrameFlag.FINAL : 0, pipe.id, payload)
      this.#answered(pipe)
      if (final || (pipe.outbound && pipe.doneReceived)) this.#free(pipe)
    }
  }

  #pullData(batch: FrameBatch, pipe: PipeState, maxBytes: number): void {
    const queue = pipe.sendQueue
    if (queue !== undefined && queue.length > 0) {
      let left = Math.min(queue.length, pipe.creditLimit - pipe.sent, maxBytes)
      if (left <= 0) return
      batch.header(FrameType.DATA, 0, pipe.id, left)
      this.#dataSent += left + HEADER_BYTES
      pipe.sent += left
      while (left > 0) {
        const piece = queue.shift(left)
        left -= piece.byteLength
        batch.payload(piece)
      }
      this.#leaving.push(pipe)
    }
    this.#pullEnd(batch, pipe)
  }

  #pullEnd(batch: FrameBatch, pipe: PipeState): void {
    if (pipe.queued > 0 || !pipe.endQueued || pipe.endSent || pipe.phase !== 'open') return
    batch.offsetFrame(FrameType.END, pipe.id, pipe.sent)
    pipe.endSent = true
    this.#leaving.push(pipe)
    this.#settle(pipe)
  }

  /** The line has let go of the last batch: chunks that were sent by reference are their writers' again. */
  batchLeft(): void {
    if (this.#leaving.length === 0) return
    const leaving = this.#leaving
    this.#leaving = []
    for (const pipe of leaving) pipe.listener?.written()
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  /** The next time at which {@link tick} has something to do; Infinity for never. */
  deadline(): number {
    let at = Infinity
    for (const orphan of this.#orphans) {
      at = orphan.orphanedAt + this.#settings.orphanTimeoutMs
      break
    }
    return Math.min(at, this.#resetsAt)
  }

  tick(now: number): void {
    this.#now = now
    if (now >= this.#resetsAt) {
      this.#resetsAt = Infinity
      this.#host.wake()
    }
    for (const orphan of this.#orphans) {
      if (orphan.orphanedAt + this.#settings.orphanTimeoutMs > now) return
      this.#orphans.delete(orphan)
      if (orphan.phase === 'gone' || orphan.phase === 'zombie') continue
      const error = new TrunkError(
        'ERR_PIPE_ORPHANED',
        `pipe ${orphan.id}: its handler has ended, but the peer has not`,
      )
      const { listener } = orphan
      this.reset(orphan, error)
      listener?.failed(error)
    }
  }

  // --- states --------------------------------------------------------------------------------------------------------

  /** Confirms what is complete, and frees a pipe that is over on both sides. */
  #settle(pipe: PipeState): void {
    if (pipe.phase === 'gone') return
    if (pipe.phase === 'zombie') {
      if (pipe.doneSent && !pipe.outbound) this.#free(pipe)
      return
    }
    const complete = pipe.receivedAll && (pipe.outbound || pipe.handlerEnded)
    if (complete && !pipe.doneSent && (pipe.pending & Pending.DONE) === 0) this.#list(pipe, Pending.DONE)
    if (complete && pipe.doneSent && pipe.doneReceived && pipe.endSent) this.#free(pipe)
  }

  #grant(pipe: PipeState): void {
    if (pipe.finalOffset >= 0 || pipe.readStopped) return
    // half a window at a time: one credit per half window consumed, however small the reads
    if (pipe.consumed + pipe.window - pipe.granted >= pipe.window / 2) this.#list(pipe, Pending.CREDIT)
  }

  #schedule(pipe: PipeState): void {
    if (pipe.scheduled || !pipe.sendable) return
    this.#scheduler.enter(pipe)
    this.#host.wake()
  }

  #list(pipe: PipeState, pending: number): void {
    pipe.pending |= pending
    if (!pipe.listed) {
      pipe.listed = true
      this.#listed.push(pipe)
    }
    this.#host.wake()
  }

  /** The peer no longer counts this open as waiting: another may go. */
  #answered(pipe: PipeState): void {
    if (!pipe.waiting) return
    pipe.waiting = false
    this.#outboundWaiting--
    this.#releaseOpens()
  }

  /** Sends as many opens as the peer lets wait; the others queue here, so that no burst of opens is refused. */
  #releaseOpens(): void {
    while (this.#outboundWaiting < this.#settings.maxOutboundWaiting) {
      const pipe = this.#opens.shift()
      if (pipe === undefined) return
      this.#outboundWaiting++
      pipe.waiting = true
      this.#list(pipe, Pending.OPEN)
    }
  }

  #clearData(pipe: PipeState): void {
    pipe.sendQueue = undefined
    if (this.#arriving === pipe) this.#arriving = undefined
    pipe.receiveQueue = undefined
    pipe.pending = 0
  }

  /** Over for everybody here, but its slot is held until the handler's end is known. */
  #becomeZombie(pipe: PipeState): void {
    const unanswered = pipe.phase === 'opening'
    pipe.phase = 'zombie'
    pipe.listener = undefined
    this.#clearData(pipe)
    this.#windows.release(pipe)
    if (unanswered && !pipe.outbound) this.#inboundWaiting--
  }

  #free(pipe: PipeState): void {
    if (pipe.phase === 'gone') return
    pipe.phase = 'gone'
    this.#answered(pipe)
    this.#resets.delete(pipe)
    pipe.listener = undefined
    this.#clearData(pipe)
    this.#windows.release(pipe)
    this.pipes.delete(pipe.id)
    if (pipe.outbound) this.#outbound--
    else this.#inbound--
    if (pipe.orphanedAt >= 0) this.#orphans.delete(pipe)
    this.#host.pipeGone()
  }
}

const NOTHING = new Uint8Array(0)

/** A frame that the rules do not allow: it ends the session. */
export function violation(sentence: string): TrunkError {
  return new TrunkError('ERR_PROTOCOL_VIOLATION', sentence)
}

function remoteError(payload: Uint8Array, fallback: ErrorCode): TrunkError {
  const error = decodeStatus(payload, fallback)
  if (error === undefined) throw violation('a status that cannot be read')
  return error
}
