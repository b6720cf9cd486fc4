/**
 * Everything that waits to be sent, and in which order it goes: control frames before data, each
 * kind at most once a pipe, so that no flood makes this grow beyond the number of pipes; then data
 * as credit, the bound on bytes in flight and the scheduler allow. Promises: what is listed here
 * leaves in the order of a pipe's life (OPEN, ACCEPT, data, END; an END that waits for nothing
 * before DONE).
 */
import { TrunkError, type ErrorCode } from '../../contracts/errors.ts'
import type { Batch } from '../frame/batch.ts'
import { FrameFlag, FrameType, HEADER_BYTES } from '../frame/constants.ts'
import { encodeStatus } from '../frame/status.ts'
import type { ControlQueue } from './control-queue.ts'
import { Pace } from './pace.ts'
import { Pending, type PipeListener, type PipeState } from './pipe-state.ts'
import type { PipeTable } from './pipe-table.ts'
import { Fifo } from './fifo.ts'
import type { Scheduler } from './scheduler.ts'
import { violation, type MuxHost, type MuxSettings } from './settings.ts'
import { BufferPool } from './buffer-pool.ts'
import { TokenBucket } from '../../runtime/token-bucket.ts'

/** Refused opens that wait to be sent: more than any honest peer can have under way. */
const MAX_QUEUED_REFUSALS = 1024

/**
 * On a paced line the peer is told of so much parsed: a quarter of the least that may be under way.
 */
const PACED_STEP_BYTES = 256

interface QueuedRefusal {
  readonly id: number
  readonly payload: Uint8Array
}

/**
 * To a peer that answers within this, half of what may be in flight keeps the line as busy, and a
 * small message beside bulk waits half as long: its 99th percentile went from 743 to 434 µs and
 * from 1,841 to 509 (docs/internals/performance.md).
 */
const LOW_LATENCY_MS = 2

/** What a pipe takes ahead of the line before its writer waits. */
const AHEAD_BYTES = 64 * 1024
/**
 * To a low-latency peer those that have something to send share this, where that is more for each
 * and its credit lasts: it is gone at once, and a batch of this size is worth its system call. Bulk
 * on one pipe became 1.1 times as fast between two processes, 1.1 to 1.6 times in one; twice as
 * much no longer fits a processor's cache (docs/internals/performance.md).
 */
const LOW_LATENCY_AHEAD_BYTES = 256 * 1024
/** A peer that has not said for so long what it has parsed, while data wait for that, is asked. */
const ASK_AFTER_MS = 100
const ASKED = -1
const NOTHING = new Uint8Array(0)

/** What the outbox works on, together with others. */
export interface OutboxParts {
  readonly table: PipeTable
  readonly queue: ControlQueue
  readonly scheduler: Scheduler
}

export class Outbox {
  readonly #settings: MuxSettings
  readonly #host: MuxHost
  readonly #table: PipeTable
  readonly #queue: ControlQueue
  readonly #scheduler: Scheduler
  readonly #resetTokens: TokenBucket
  /** What the pipes' small writes are gathered in. */
  readonly buffers: BufferPool = new BufferPool()
  /** Finds out how much the line takes; undefined where the line's own back-pressure tells. */
  readonly #pace: Pace | undefined
  /** When a token for them will be there; Infinity while none is waited for. */
  #resetsAt = Infinity
  #refusals: QueuedRefusal[] = []
  /** Bytes of data frames (headers included): sent, parsed by the peer; parsed by us, and told. */
  #dataSent = 0
  #peerParsed = 0
  #parsed = 0
  #parsedTold = 0
  /**
   * When the peer is asked what it has parsed: {@link ASKED} while an answer is awaited, Infinity
   * while nothing waits for it.
   */
  #askAt = Infinity
  /** The last time it had to be asked. */
  #asksAtOnce = false
  /** What the pipes may take ahead of the line together, if their credit lasts. */
  #ahead = AHEAD_BYTES
  /**
   * Who has bytes or an end in the batch that the line holds. Not the pipes: a line may report a
   * batch as gone after the peer has answered its front, and by then a pipe may be over, with
   * nobody to tell of it.
   */
  readonly #leaving = new Fifo<PipeListener>()
  /** Counts the batches, and pipes whose reset follows the present one. */
  #batch = 1
  readonly #cuts = new Fifo<PipeState>()

  constructor(settings: MuxSettings, host: MuxHost, parts: OutboxParts, now: number) {
    this.#settings = settings
    this.#host = host
    this.#table = parts.table
    this.#queue = parts.queue
    this.#scheduler = parts.scheduler
    this.#resetTokens = new TokenBucket(settings.peerResetBurst, settings.peerResetsPerSecond, now)
    this.#pace = settings.paced ? new Pace(settings.maxInFlightBytes) : undefined
  }

  // --- what is to be sent ------------------------------------------------------------------------

  /** Enters a pipe among those with data to send, if it has any that may go. */
  schedule(pipe: PipeState): void {
    if (pipe.scheduled || !pipe.sendable) return
    this.#scheduler.enter(pipe)
    this.#host.wake()
  }

  /**
   * How many bytes of `pipe` may wait before its writer does: a peer that does not read does not
   * raise it.
   */
  mayBeAhead(pipe: PipeState): number {
    const share = Math.floor(this.#ahead / Math.max(1, this.#scheduler.length))
    return Math.max(AHEAD_BYTES, Math.min(share, pipe.creditLimit - pipe.sent))
  }

  /** Refuses an open for which there is no pipe. */
  refuse(id: number, code: ErrorCode, sentence: string): void {
    if (this.#refusals.length >= MAX_QUEUED_REFUSALS) {
      throw new TrunkError('ERR_REFUSAL_FLOOD', 'the peer opens pipes faster than it takes their refusals')
    }
    this.#refusals.push({ id, payload: encodeStatus(code, sentence) })
    this.#host.wake()
  }

  /** The session is over. */
  clear(): void {
    this.#refusals = []
    this.#queue.clear()
  }

  /** Bytes of a data frame were parsed: the peer is told now and then. */
  parsed(bytes: number): void {
    this.#parsed += bytes
    if (this.#owesParsed) this.#host.wake()
  }

  get #owesParsed(): boolean {
    const { maxInFlightBytes, streamed } = this.#settings
    if (streamed === true) return false
    // a paced peer has little under way, and learns from when it was parsed
    const step = this.#pace === undefined ? maxInFlightBytes / 4 : Math.min(maxInFlightBytes / 4, PACED_STEP_BYTES)
    return this.#parsed - this.#parsedTold >= step
  }

  // --- batches -----------------------------------------------------------------------------------

  /** The peer has parsed this many bytes of data frames. */
  peerParsed(offset: number, now: number): void {
    if (offset > this.#dataSent) throw violation(`the peer has parsed ${offset} bytes of ${this.#dataSent}`)
    if (offset > this.#peerParsed) {
      this.#asksAtOnce = false
      this.#released(offset)
      this.#tellPace(offset, now)
    }
    if (!this.#scheduler.isEmpty) this.#host.wake()
  }

  /**
   * The peer has answered what went behind `offset` bytes of data frames. Frames are parsed in
   * order, so it has parsed them, whether it says so or not: it may say it seldom, and a line may
   * bear less under way than that.
   */
  peerAnswered(offset: number, now: number): void {
    const asked = this.#askAt === ASKED
    if (asked) this.#askAt = Infinity
    if (offset > this.#peerParsed) {
      this.#released(offset)
      // where it was asked at once the answer took as long as the line did
      if (this.#asksAtOnce) this.#tellPace(offset, now)
      this.#asksAtOnce ||= asked
    }
    if (!this.#scheduler.isEmpty) this.#host.wake()
  }

  #tellPace(offset: number, now: number): void {
    this.#pace?.parsed(offset, this.#dataSent, this.#host.minRoundTripMs() ?? 0, now, this.#parsed)
  }

  #released(offset: number): void {
    this.#peerParsed = offset
    this.#askAt = Infinity
  }

  /**
   * Nothing more may leave before the peer has parsed more: where it does not say so for a while,
   * it is asked.
   */
  #awaitParsed(now: number): void {
    if (this.#askAt !== Infinity || this.#scheduler.isEmpty) return
    this.#askAt = now + ASK_AFTER_MS
    if (this.#asksAtOnce) this.#ask()
  }

  #ask(): void {
    this.#askAt = ASKED
    this.#host.askParsed?.()
  }

  /**
   * Where all frames are one numbered stream: its offset. It counts in place of the bytes of data
   * frames alone.
   */
  streamSent(offset: number): void {
    this.#dataSent = offset
  }

  /** Bytes of data frames, headers included, that were sent. */
  get dataSent(): number {
    return this.#dataSent
  }

  /** Adds frames to `batch` until nothing is left to send or `maxBytes` are reached. */
  pull(batch: Batch, maxBytes: number, now: number): void {
    if (this.#owesParsed) {
      this.#parsedTold = this.#parsed
      batch.offsetFrame(FrameType.PARSED, 0, this.#parsed)
    }
    this.#pullControl(batch, maxBytes, now)
    if (this.#pace !== undefined && this.#host.minRoundTripMs() === undefined) return
    const before = this.#dataSent
    const lowLatency = this.#isLowLatency
    this.#ahead = lowLatency ? LOW_LATENCY_AHEAD_BYTES : AHEAD_BYTES
    const maxInFlightBytes = this.#pace?.limit ?? this.#settings.maxInFlightBytes >>> (lowLatency ? 1 : 0)
    const splitBytes = this.#pace?.split(this.#settings.splitBytes) ?? this.#settings.splitBytes
    while (batch.bytes < maxBytes && batch.hasRoom) {
      const room = maxInFlightBytes - (this.#dataSent - this.#peerParsed) - HEADER_BYTES
      // a trickle of tiny frames would cost more than waiting for the peer's next word
      if (room < Math.min(maxInFlightBytes / 4, splitBytes)) {
        this.#awaitParsed(now)
        break
      }
      const pipe = this.#scheduler.next()
      if (pipe === undefined) break
      this.#pullData(batch, pipe, Math.min(room, splitBytes), now)
      if (pipe.sendable) this.#scheduler.again(pipe)
    }
    if (this.#dataSent > before) this.#pace?.sent(this.#dataSent, this.#peerParsed, now, this.#parsed)
  }

  get #isLowLatency(): boolean {
    // the shortest one: bulk makes those beside it longer, and may not make the peer look far
    return this.#pace === undefined && (this.#host.minRoundTripMs() ?? Infinity) < LOW_LATENCY_MS
  }

  #pullControl(batch: Batch, maxBytes: number, now: number): void {
    // a payload that goes by reference takes none of the batch's own room
    while (this.#refusals.length > 0 && batch.hasRoom && batch.bytes < maxBytes) {
      const refusal = this.#refusals.shift()
      if (refusal !== undefined) batch.frame(FrameType.REFUSE, 0, refusal.id, refusal.payload)
    }
    while (batch.hasRoom && batch.bytes < maxBytes) {
      const pipe = this.#queue.shift()
      if (pipe === undefined) break
      this.#pullPending(batch, pipe)
    }
    this.#pullResets(batch, maxBytes, now)
  }

  #pullPending(batch: Batch, pipe: PipeState): void {
    const { pending, id } = pipe
    pipe.pending = 0
    if ((pending & Pending.OPEN) !== 0) this.#pullOpen(batch, pipe)
    if ((pending & Pending.ACCEPT) !== 0 && pipe.payload !== undefined) {
      batch.frame(FrameType.ACCEPT, 0, id, pipe.payload)
      pipe.payload = undefined
    }
    if ((pending & Pending.REFUSE) !== 0 && pipe.payload !== undefined) {
      batch.frame(FrameType.REFUSE, 0, id, pipe.payload)
      this.#table.free(pipe)
      return
    }
    // a reader that has stopped since gives its growth back: a smaller window must not take back
    // what was granted
    const isStopped = pipe.finalOffset < 0 && pipe.readStopped
    if ((pending & Pending.CREDIT) !== 0 && pipe.phase !== 'reset' && !isStopped) {
      // behind its end nothing comes: a credit says that somebody works for it
      pipe.granted = pipe.finalOffset < 0 ? pipe.consumed + pipe.window : pipe.granted + 1
      batch.offsetFrame(FrameType.CREDIT, id, pipe.granted)
    }
    if ((pending & Pending.STOP) !== 0 && pipe.stopPayload !== undefined && pipe.phase !== 'reset') {
      batch.frame(FrameType.STOP, 0, id, pipe.stopPayload)
    }
    if ((pending & Pending.DONE) !== 0) {
      const status = pipe.discarded && pipe.phase !== 'reset' ? (pipe.stopPayload ?? NOTHING) : NOTHING
      pipe.doneSent = true
      // an end that waits for nothing goes first: the peer then knows that there is nothing more to
      // read or to stop
      this.#pullEnd(batch, pipe)
      batch.frame(FrameType.DONE, 0, id, status)
      this.#table.settle(pipe)
    }
  }

  #pullOpen(batch: Batch, pipe: PipeState): void {
    if (pipe.payload === undefined) return
    batch.frame(FrameType.OPEN, 0, pipe.id, pipe.payload)
    pipe.payload = undefined
    pipe.openSent = true
    this.schedule(pipe)
  }

  /**
   * Resets wait for the peer's bucket, so that no number of them ends the session; the slot is held
   * meanwhile.
   */
  #pullResets(batch: Batch, maxBytes: number, now: number): void {
    for (const [pipe, payload] of this.#queue.resets) {
      if (!batch.hasRoom || batch.bytes >= maxBytes) return
      if (!this.#resetTokens.take(now)) {
        this.#resetsAt = this.#resetTokens.nextAt()
        return
      }
      this.#queue.resetSent(pipe)
      const final = !pipe.outbound && pipe.handlerEnded
      batch.frame(FrameType.RESET, final ? FrameFlag.FINAL : 0, pipe.id, payload)
      this.#queue.answered(pipe)
      if (final || (pipe.outbound && pipe.doneReceived)) this.#table.free(pipe)
    }
  }

  #pullData(batch: Batch, pipe: PipeState, maxBytes: number, now: number): void {
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
      this.#leaves(pipe)
      if (pipe.cutError !== undefined) this.#table.orphan(pipe, now)
    }
    this.#pullEnd(batch, pipe)
  }

  #pullEnd(batch: Batch, pipe: PipeState): void {
    // the same rule as the scheduler's: a pipe that stays sendable without sending would be pulled
    // for ever
    if (pipe.queued > 0 || !pipe.sendable) return
    if (pipe.endQueued) {
      batch.offsetFrame(FrameType.END, pipe.id, pipe.sent)
      pipe.endSent = true
      this.#leaves(pipe)
    }
    if (pipe.cutError !== undefined) this.cutWithBatch(pipe)
    this.#table.settle(pipe)
  }

  #leaves(pipe: PipeState): void {
    pipe.batch = this.#batch
    if (pipe.listener !== undefined) this.#leaving.push(pipe.listener)
  }

  /**
   * The line has let go of the last batch: chunks that were sent by reference are their writers'
   * again.
   */
  batchLeft(): void {
    this.buffers.batchLeft()
    this.#batch++
    for (let left = this.#leaving.length; left > 0; left--) this.#leaving.shift()?.written()
    for (let left = this.#cuts.length; left > 0; left--) {
      const pipe = this.#cuts.shift()
      if (pipe !== undefined) this.cut(pipe)
    }
  }

  /** In the batch that the line holds there is something of this pipe. */
  isLeaving(pipe: PipeState): boolean {
    return pipe.batch === this.#batch
  }

  /**
   * The pipe's reset follows the batch that is being made, or that the line holds: nothing else
   * goes before it.
   */
  cutWithBatch(pipe: PipeState): void {
    pipe.cutDue = true
    this.#cuts.push(pipe)
  }

  /** Resets a pipe whose reset has waited for what goes before it. */
  cut(pipe: PipeState): void {
    const { listener, cutError } = pipe
    if (cutError === undefined || pipe.phase === 'reset' || pipe.phase === 'closed') return
    this.#table.becomeReset(pipe)
    this.#queue.reset(pipe, cutError)
    listener?.failed(cutError)
  }

  // --- time --------------------------------------------------------------------------------------

  /** When a reset that waits may go; Infinity without one. */
  deadline(): number {
    return Math.min(this.#resetsAt, this.#askAt === ASKED ? Infinity : this.#askAt)
  }

  tick(now: number): void {
    if (this.#askAt !== ASKED && now >= this.#askAt) this.#ask()
    if (now < this.#resetsAt) return
    this.#resetsAt = Infinity
    this.#host.wake()
  }
}
