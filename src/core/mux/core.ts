/**
 * The muxer: many pipes over one session. No I/O, no timer, no promise: frames and a clock reading
 * go in by plain calls, frames go out into the batch that `pull` is given, what happened goes to
 * the pipes' listeners and the host.
 *
 * This file is what the pipe adapter and the engine call; `inbox.ts` takes frames in, `outbox.ts`
 * sends them, `pipe-table.ts` knows which pipes there are and how they end.
 *
 * Promises upward: bytes of a pipe arrive once, in order, or the pipe fails with a code; an end is
 * the peer's end; one pipe's failure leaves the others alone. Assumes below: whole frames in order.
 * Enforces: credit both ways, the in-flight bound, pipe and waiting limits (slots are free only
 * when the peer's handler has ended), the reset bucket, first-frame and status sizes. Illegal
 * frames throw a `TrunkError` of scope `session`; the engine ends the session with it.
 */
import { TrunkError, type ErrorCode } from '../../contracts/errors.ts'
import type { Batch } from '../frame/batch.ts'
import { encodeStatus } from '../frame/status.ts'
import { ByteQueue } from './byte-queue.ts'
import { ControlQueue } from './control-queue.ts'
import { GATHERED_BYTES, Inbox } from './inbox.ts'
import { Outbox } from './outbox.ts'
import { Pending, type PipeListener, type PipeState } from './pipe-state.ts'
import { RetainedChunks } from './retained.ts'
import { PipeTable } from './pipe-table.ts'
import { Scheduler } from './scheduler.ts'
import type { MuxCounters, MuxHost, MuxSettings } from './settings.ts'

/** Writes up to this size are copied and coalesced; larger ones are sent by reference. */
const COPY_WRITE_BYTES = 8 * 1024

export class MuxCore {
  readonly #host: MuxHost
  readonly #table: PipeTable
  readonly #queue: ControlQueue
  readonly #outbox: Outbox
  readonly #inbox: Inbox
  #now: number

  constructor(settings: MuxSettings, host: MuxHost, now: number) {
    this.#host = host
    this.#now = now
    const retained = new RetainedChunks((piece) => {
      host.release?.(piece)
    })
    const queue = new ControlQueue(settings.maxOutboundWaiting, () => {
      host.wake()
    })
    const scheduler = new Scheduler(settings.splitBytes)
    const table = new PipeTable(settings, host, { queue, scheduler, retained })
    this.#queue = queue
    this.#table = table
    this.#outbox = new Outbox(settings, host, { table, queue, scheduler }, now)
    this.#inbox = new Inbox(settings, host, { table, queue, outbox: this.#outbox, retained }, now)
  }

  get pipes(): ReadonlyMap<number, PipeState> {
    return this.#table.pipes
  }

  get counters(): Readonly<MuxCounters> {
    return this.#inbox.counters
  }

  /** True once {@link refuseOpens} was called: no pipes are opened or taken any more. */
  get closing(): boolean {
    return this.#inbox.closing
  }

  refuseOpens(): void {
    this.#inbox.closing = true
  }

  /** True when nothing holds up a graceful end. */
  get drained(): boolean {
    return this.#queue.noResets && this.#table.drained
  }

  /** True while control frames wait for the next batch, opens among them. */
  get hasControl(): boolean {
    return !this.#queue.isEmpty
  }

  // --- what the pipe adapter asks for ------------------------------------------------------------

  /**
   * Opens a pipe; `head` is the payload of its first frame. The listener hears `accepted` or
   * `failed`.
   */
  open(head: Uint8Array, listener: PipeListener, now: number): PipeState {
    if (this.closing) throw new TrunkError('ERR_SESSION_CLOSED', 'the trunk is closing: no new pipes')
    const pipe = this.#table.addOutbound(now)
    pipe.listener = listener
    pipe.payload = head
    this.#queue.open(pipe)
    return pipe
  }

  accept(pipe: PipeState, reply: Uint8Array): void {
    if (pipe.phase !== 'opening') return
    pipe.phase = 'open'
    this.#table.inboundWaiting--
    pipe.payload = reply
    this.#queue.list(pipe, Pending.ACCEPT)
    this.#outbox.schedule(pipe)
  }

  refuse(pipe: PipeState, error: TrunkError): void {
    if (pipe.phase === 'reset') {
      this.handlerEnded(pipe)
      return
    }
    if (pipe.phase !== 'opening') return
    this.#table.inboundWaiting--
    pipe.payload = encodeStatus(error.code, error.message)
    pipe.handlerEnded = true
    pipe.clearData()
    pipe.phase = 'reset'
    this.#queue.list(pipe, Pending.REFUSE)
  }

  /**
   * The handler of an accepted pipe has returned: what it has not ended is ended, what it has not
   * read is stopped.
   */
  handlerEnded(pipe: PipeState): void {
    this.dropUnread(pipe)
    if (pipe.handlerEnded || pipe.phase === 'closed') return
    pipe.handlerEnded = true
    if (pipe.phase === 'reset') {
      // a reset that has not gone out yet will say that the slot is free
      if (!this.#queue.hasReset(pipe)) this.#queue.list(pipe, Pending.DONE)
      return
    }
    // a reset that waits for what goes before it will say that the slot is free
    if (pipe.cutError !== undefined) return
    this.end(pipe)
    if (!pipe.receivedAll) this.stop(pipe, 'ERR_PIPE_STOPPED')
    // a stop is answered by the peer's muxer, not by its application: that may read what it has in
    // its own time
    if (pipe.finalOffset < 0) this.#table.orphan(pipe, this.#now)
    this.#table.settle(pipe)
  }

  /**
   * Queues `chunk` (not empty). Returns the offset that {@link PipeState.sent} has to reach, with
   * the batch gone, before the writer goes on; 0: at once. A chunk by reference is free again then.
   */
  write(pipe: PipeState, chunk: Uint8Array): number {
    const queue = (pipe.sendQueue ??= new ByteQueue(this.#outbox.buffers))
    const length = chunk.byteLength
    pipe.written += length
    const byReference = length > COPY_WRITE_BYTES
    if (byReference) queue.append(chunk)
    else queue.appendCopy(chunk)
    this.#outbox.schedule(pipe)
    if (byReference) return pipe.written
    const ahead = this.#outbox.mayBeAhead(pipe)
    return queue.length <= ahead ? 0 : pipe.written - ahead / 2
  }

  /** How many bytes `pipe` takes before its writer should wait. */
  room(pipe: PipeState): number {
    return Math.max(0, this.#outbox.mayBeAhead(pipe) - pipe.queued)
  }

  /** No more writes. */
  end(pipe: PipeState): void {
    if (pipe.endQueued || pipe.cutError !== undefined) return
    pipe.endQueued = true
    this.#outbox.schedule(pipe)
  }

  /**
   * Everything that can be read now; it is consumed, and belongs to the caller, or is borrowed to
   * it until its {@link release}. `clock` is asked once for a window: a reading of the time for
   * each chunk costs more than the chunk.
   */
  read(pipe: PipeState, clock: { now(): number }): Uint8Array[] {
    const pieces: Uint8Array[] = []
    let left = pipe.readable
    const queue = pipe.receiveQueue
    if (queue === undefined || left === 0) return pieces
    pipe.consumed += left
    if (pipe.finalOffset >= 0) this.#table.windows.ended(pipe)
    if (!pipe.lingers && this.#table.windows.consumed(pipe, left)) {
      this.#now = clock.now()
      this.#table.windows.grow(pipe, this.#host.roundTripMs(), this.#now)
    }
    while (left > 0) {
      const piece = queue.shift(left)
      left -= piece.byteLength
      pieces.push(piece)
    }
    if (pipe.lingers) {
      this.#table.endLingering(pipe)
      return pieces
    }
    this.#grant(pipe)
    this.#table.settle(pipe)
    return pieces
  }

  /** What was read of pieces that were borrowed: nobody looks at them any more. */
  release(pieces: readonly Uint8Array[]): void {
    // smaller ones are copies; asking one for its buffer would have it made, at ten times the cost
    // of the piece
    for (const piece of pieces) if (piece.byteLength >= GATHERED_BYTES) this.#host.release?.(piece)
  }

  /** Stops reading: what is unread and what still comes is dropped. */
  stop(pipe: PipeState, code: ErrorCode): void {
    if (pipe.readStopped || pipe.receivedAll || (pipe.phase !== 'open' && pipe.phase !== 'opening')) return
    if (pipe.readable > 0) pipe.discarded = true
    pipe.readStopped = true
    pipe.stopPayload = encodeStatus(code, 'the reader has stopped')
    pipe.receiveQueue?.clear()
    this.#table.windows.release(pipe)
    if (pipe.finalOffset < 0) this.#queue.list(pipe, Pending.STOP)
    this.#table.settle(pipe)
  }

  /**
   * Says by a credit that the work for a pipe goes on whose opener has ended: it sends nothing for
   * it, and sees progress.
   */
  working(pipe: PipeState): void {
    if (pipe.finalOffset < 0 || pipe.doneSent || (pipe.phase !== 'open' && pipe.phase !== 'opening')) return
    this.#queue.list(pipe, Pending.CREDIT)
  }

  /** What was left to be read when the pipe came to its end is not wanted. */
  dropUnread(pipe: PipeState): void {
    if (!pipe.lingers) return
    pipe.readStopped = true
    this.#table.endLingering(pipe)
  }

  /**
   * Resets the pipe behind what was written: its reading stops at once, and the reset follows when
   * everything before it has left. The listener is told of that by `failed`, which may be during
   * this call; where the peer takes nothing more of it for `orphanTimeoutMs`, the reset goes
   * without the rest.
   */
  cut(pipe: PipeState, error: TrunkError): void {
    if (pipe.cutError !== undefined || pipe.phase === 'reset' || pipe.phase === 'closed') return
    const waits = pipe.queued > 0 || (pipe.endQueued && !pipe.endSent)
    pipe.cutError = error
    if ((pipe.outbound && !pipe.openSent) || (!waits && !this.#outbox.isLeaving(pipe))) {
      const { listener } = pipe
      this.reset(pipe, error)
      listener?.failed(error)
      return
    }
    this.stop(pipe, 'ERR_PIPE_STOPPED')
    this.#table.orphan(pipe, this.#now)
    if (waits) this.#outbox.schedule(pipe)
    else this.#outbox.cutWithBatch(pipe)
  }

  /** Both directions are over, at both ends. The listener is not told. */
  reset(pipe: PipeState, error: TrunkError): void {
    if (pipe.phase === 'reset' || pipe.phase === 'closed') return
    if (pipe.outbound && !pipe.openSent) {
      this.#table.free(pipe)
      return
    }
    this.#table.becomeReset(pipe)
    this.#queue.reset(pipe, error)
  }

  /** The session is over: every pipe fails. */
  fail(error: TrunkError): void {
    this.#table.fail(error)
    this.#outbox.clear()
  }

  #grant(pipe: PipeState): void {
    if (pipe.finalOffset >= 0 || pipe.readStopped) return
    // half a window at a time: one credit per half window consumed, however small the reads
    if (pipe.consumed + pipe.window - pipe.granted >= pipe.window / 2) this.#queue.list(pipe, Pending.CREDIT)
  }

  // --- frames in, frames out, time: the engine's side --------------------------------------------

  /**
   * Checks a header of a pipe's frame before any of its payload is kept. True: data, to be taken in
   * pieces.
   */
  header(type: number, flags: number, id: number, length: number): boolean {
    return this.#inbox.header(type, flags, id, length)
  }

  /** Part of the payload of a data frame. */
  piece(bytes: Uint8Array, last: boolean): void {
    this.#inbox.piece(bytes, last)
  }

  /** Of how many bytes of the link's last chunk pipes hold views. Asked once for each chunk. */
  kept(): number {
    return this.#inbox.takeKept()
  }

  /** A whole frame of a pipe, other than data. */
  frame(type: number, flags: number, id: number, payload: Uint8Array, now: number): void {
    this.#now = now
    this.#inbox.frame(type, flags, id, payload, now)
  }

  /** The end of a chunk of the link: pipes that got something are told, once each. */
  endOfChunk(): void {
    this.#inbox.endOfChunk()
  }

  /** The peer has parsed this many bytes of data frames. */
  peerParsed(offset: number, now: number): void {
    this.#outbox.peerParsed(offset, now)
  }

  /** Bytes of data frames that were sent so far. */
  get dataSent(): number {
    return this.#outbox.dataSent
  }

  /** A session whose frames are one numbered stream: its offset behind what was pulled. */
  streamSent(offset: number): void {
    this.#outbox.streamSent(offset)
  }

  /**
   * The peer has answered something that went behind `offset` bytes of data frames: so it has
   * parsed those.
   */
  peerAnswered(offset: number, now: number): void {
    this.#outbox.peerAnswered(offset, now)
  }

  /** Adds frames to `batch` until nothing is left to send or `maxBytes` are reached. */
  pull(batch: Batch, maxBytes: number, now: number): void {
    this.#now = now
    this.#outbox.pull(batch, maxBytes, now)
  }

  /**
   * The line has let go of the last batch: chunks that were sent by reference are their writers'
   * again.
   */
  batchLeft(): void {
    this.#outbox.batchLeft()
  }

  /** The next time at which {@link tick} has something to do; Infinity for never. */
  deadline(): number {
    return Math.min(this.#table.orphanDeadline(), this.#outbox.deadline())
  }

  /** We were suspended: who owes us an answer gets a fresh interval. */
  suspended(now: number): void {
    this.#table.renewOrphans(now)
  }

  tick(now: number): void {
    this.#now = now
    this.#outbox.tick(now)
    for (const orphan of this.#table.overdueOrphans(now)) {
      if (orphan.cutError !== undefined) {
        this.#outbox.cut(orphan)
        continue
      }
      const sentence = `pipe ${orphan.id}: its handler has ended, and the peer does not answer the stop`
      const error = new TrunkError('ERR_PIPE_ORPHANED', sentence)
      const { listener } = orphan
      this.reset(orphan, error)
      listener?.failed(error)
    }
  }
}
