/**
 * Frames of pipes, as they come in: each is checked as a whole against limits, state and credit,
 * then the pipe's state changes. What the rules do not allow throws; the engine ends the session
 * with it. Assumes whole frames in order, each header shown before its payload.
 */
import { TrunkError, type ErrorCode } from '../../contracts/errors.ts'
import { FrameFlag, FrameType, HEADER_BYTES } from '../frame/constants.ts'
import { readU64 } from '../frame/numbers.ts'
import { decodeStatus, MAX_STATUS_BYTES } from '../frame/status.ts'
import { ByteQueue } from './byte-queue.ts'
import type { ControlQueue } from './control-queue.ts'
import type { Outbox } from './outbox.ts'
import { Pending, type PipeState } from './pipe-state.ts'
import type { RetainedChunks } from './retained.ts'
import type { PipeTable } from './pipe-table.ts'
import { Fifo } from './fifo.ts'
import { violation, type MuxCounters, type MuxHost, type MuxSettings } from './settings.ts'
import { TokenBucket } from '../../runtime/token-bucket.ts'

/**
 * The peer paces its resets by the announced bucket, but a line that was suspended delivers what
 * left over a long time at once: so the bucket here is this many times as deep.
 */
const RESET_SLACK = 2

/** Pieces below this are copied together: a view of each would cost more than its bytes. */
export const GATHERED_BYTES: number = 2 * 1024

/** What the inbox works on, together with others. */
export interface InboxParts {
  readonly table: PipeTable
  readonly queue: ControlQueue
  readonly outbox: Outbox
  readonly retained: RetainedChunks
}

export class Inbox {
  readonly counters: MuxCounters = { lateFrames: 0, staleCredits: 0, refusedOpens: 0 }
  /** Opens are refused. */
  closing = false
  readonly #settings: MuxSettings
  readonly #host: MuxHost
  readonly #table: PipeTable
  readonly #queue: ControlQueue
  readonly #outbox: Outbox
  readonly #resetTokens: TokenBucket
  readonly #retained: RetainedChunks
  #limitRefusals = 0
  /** The data frame that is arriving: its pipe, undefined where it is dropped. */
  #arriving: PipeState | undefined
  #arrivingBytes = 0
  /** Bytes that were queued as views since `takeKept`. */
  #keptBytes = 0
  /** Pipes that got bytes in this chunk of the link, told once at its end. */
  readonly #touched = new Fifo<PipeState>()

  constructor(settings: MuxSettings, host: MuxHost, { table, queue, outbox, retained }: InboxParts, now: number) {
    this.#settings = settings
    this.#host = host
    this.#table = table
    this.#queue = queue
    this.#outbox = outbox
    this.#retained = retained
    this.#resetTokens = new TokenBucket(settings.resetBurst * RESET_SLACK, settings.resetsPerSecond, now)
  }

  /**
   * Checks a header of a pipe's frame before any of its payload is kept. True: data, to be taken in
   * pieces.
   */
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
    const pipe = this.#table.find(id)
    this.#arrivingBytes = length
    this.#arriving = pipe?.phase === 'reset' ? undefined : pipe
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
      if (bytes.byteLength < GATHERED_BYTES) {
        queue.appendCopy(bytes)
      } else {
        queue.append(bytes)
        this.#keptBytes += bytes.byteLength
        this.#retained.note(pipe, bytes)
      }
    }
    if (last) this.#dataArrived(pipe)
  }

  /** Bytes that were queued as views since the last call. */
  takeKept(): number {
    const bytes = this.#keptBytes
    this.#keptBytes = 0
    return bytes
  }

  #dataArrived(pipe: PipeState | undefined): void {
    const length = this.#arrivingBytes
    this.#arriving = undefined
    this.#outbox.parsed(length + HEADER_BYTES)
    if (pipe === undefined) return
    pipe.received += length
    if (pipe.readStopped) {
      pipe.receiveQueue?.clear()
      pipe.consumed = pipe.received
      pipe.discarded = true
    } else if (pipe.phase === 'open' || pipe.phase === 'opening') {
      this.#touch(pipe)
    }
  }

  /** A whole frame of a pipe, other than data. */
  frame(type: number, flags: number, id: number, payload: Uint8Array, now: number): void {
    if (type === FrameType.OPEN) {
      this.#opened(id, payload, now)
      return
    }
    const pipe = this.#table.find(id)
    if (type === FrameType.RESET && !this.#resetTokens.take(now)) {
      throw new TrunkError('ERR_RESET_FLOOD', 'the peer resets pipes faster than it may')
    }
    if (pipe === undefined) {
      this.counters.lateFrames++
    } else if (pipe.phase === 'reset') {
      this.#frameOfReset(pipe, type, flags)
    } else {
      this.#pipeFrame(pipe, type, flags, payload)
    }
  }

  #touch(pipe: PipeState): void {
    if (pipe.touched) return
    pipe.touched = true
    this.#touched.push(pipe)
  }

  /** The end of a chunk of the link: pipes that got something are told, once each. */
  endOfChunk(): void {
    for (let left = this.#touched.length; left > 0; left--) {
      const pipe = this.#touched.shift()
      if (pipe === undefined) break
      pipe.touched = false
      pipe.listener?.readable()
    }
    this.#retained.weigh()
  }

  #opened(id: number, head: Uint8Array, now: number): void {
    this.#table.takePeerId(id)
    if (this.closing) {
      this.#outbox.refuse(id, 'ERR_SESSION_CLOSED', 'the trunk is closing: no new pipes')
      return
    }
    const { maxInbound, maxInboundWaiting, maxOpenBytes } = this.#settings
    const overLimit = this.#table.inbound >= maxInbound
    if (overLimit || this.#table.inboundWaiting >= maxInboundWaiting) {
      this.counters.refusedOpens++
      if (++this.#limitRefusals > this.#settings.maxRefusals) {
        throw new TrunkError('ERR_REFUSAL_FLOOD', 'the peer keeps opening pipes beyond the limits that it was told')
      }
      if (overLimit) this.#outbox.refuse(id, 'ERR_PIPE_LIMIT', `at most ${maxInbound} pipes at a time`)
      else this.#outbox.refuse(id, 'ERR_PIPE_BACKLOG', `at most ${maxInboundWaiting} pipes may wait to be accepted`)
      return
    }
    if (head.byteLength > maxOpenBytes) {
      this.#outbox.refuse(
        id,
        'ERR_PARAMS_INVALID',
        `a first frame is at most ${maxOpenBytes} bytes, not ${head.byteLength}`,
      )
      return
    }
    const pipe = this.#table.addInbound(id, now)
    if (pipe === undefined) {
      // the peer cannot know of it: it is no limit that was announced
      this.counters.refusedOpens++
      this.#outbox.refuse(id, 'ERR_PIPE_LIMIT', 'the pipes of all peers have all the memory that there is for them')
      return
    }
    this.#host.incoming(pipe, head)
  }

  #frameOfReset(pipe: PipeState, type: number, flags: number): void {
    const answersReset =
      type === FrameType.DONE || type === FrameType.REFUSE || (type === FrameType.RESET && flags === FrameFlag.FINAL)
    if (!pipe.outbound || !answersReset) {
      this.counters.lateFrames++
      if (pipe.outbound && type === FrameType.ACCEPT) this.#queue.answered(pipe)
      return
    }
    // a DONE from before our reset, which has not gone out yet: the peer holds the slot until it
    // has the reset
    if (type === FrameType.DONE && this.#queue.hasReset(pipe)) pipe.doneReceived = true
    // the peer may have released the slot before our reset went out: then it needs none
    else this.#table.free(pipe)
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
    this.#queue.answered(pipe)
    pipe.phase = 'open'
    pipe.listener?.accepted(reply)
  }

  #refused(pipe: PipeState, unanswered: boolean, payload: Uint8Array): void {
    if (!unanswered) throw violation(`pipe ${pipe.id} was answered before`)
    const error = remoteError(payload, 'ERR_PIPE_RESET')
    const { listener } = pipe
    this.#table.free(pipe)
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
    this.#outbox.schedule(pipe)
  }

  #ended(pipe: PipeState, payload: Uint8Array): void {
    const offset = readU64(payload, 0)
    if (pipe.finalOffset >= 0) throw violation(`pipe ${pipe.id} ended twice`)
    if (offset !== pipe.received) throw violation(`pipe ${pipe.id} ends at ${offset}, but ${pipe.received} bytes came`)
    pipe.finalOffset = offset
    if (pipe.readStopped) pipe.consumed = offset
    this.#table.windows.ended(pipe)
    this.#table.settle(pipe)
    if (!pipe.readStopped) this.#touch(pipe)
  }

  #confirmed(pipe: PipeState, payload: Uint8Array): void {
    if (!pipe.endSent || pipe.doneReceived) throw violation(`pipe ${pipe.id} was confirmed before its end`)
    const error = payload.byteLength === 0 ? undefined : remoteError(payload, 'ERR_PIPE_STOPPED')
    pipe.doneReceived = true
    pipe.listener?.confirmed(error ?? (pipe.unsentDropped ? pipe.stopError : undefined))
    this.#table.settle(pipe)
  }

  #stopped(pipe: PipeState, payload: Uint8Array): void {
    const error = remoteError(payload, 'ERR_PIPE_STOPPED')
    if (pipe.stopError !== undefined) throw violation(`pipe ${pipe.id} was stopped twice`)
    pipe.stopError = error
    // a stop after which nothing is left to send has cost nothing: the confirmation will say so
    pipe.unsentDropped = pipe.queued > 0
    pipe.sendQueue?.clear()
    pipe.endQueued = true
    this.#outbox.schedule(pipe)
    pipe.listener?.stopped(error)
  }

  #wasReset(pipe: PipeState, flags: number, payload: Uint8Array): void {
    const error = remoteError(payload, 'ERR_PIPE_RESET')
    const { listener } = pipe
    pipe.linger()
    if (pipe.outbound) {
      if (flags === FrameFlag.FINAL) this.#table.free(pipe)
      else this.#table.becomeReset(pipe)
    } else if (pipe.doneSent) {
      // that DONE has released the slot already, or will when it arrives
      this.#table.free(pipe)
    } else {
      this.#table.becomeReset(pipe)
      if (pipe.handlerEnded) this.#queue.list(pipe, Pending.DONE)
    }
    listener?.failed(error)
  }
}

/**
 * The error that a pipe's frame tells. It is the pipe's whatever its code: a session's code may say
 * why a pipe was refused.
 */
function remoteError(payload: Uint8Array, fallback: ErrorCode): TrunkError {
  const error = decodeStatus(payload, fallback, 'pipe')
  if (error === undefined) throw violation('a status that cannot be read')
  return error
}
