/**
 * What the core knows of one pipe: numbers and two queues. All offsets are absolute byte counts of
 * one direction since the open (invariant 11 of docs/internals/catalogue.md), so a credit that is
 * repeated is harmless and an end says where it is. Only MuxCore changes it.
 */
import type { TrunkError } from '../../contracts/errors.ts'
import type { ByteQueue } from './byte-queue.ts'

/** What the adapter of a pipe is told. Called between frames; may call the core. */
export interface PipeListener {
  /** The peer's handler accepted; `reply` is valid during the call only. */
  accepted(reply: Uint8Array): void
  /** There is something to read, or the peer ended. */
  readable(): void
  /**
   * Queued bytes or the end have left: writers may go on. The one call that may come when the pipe
   * is over: the line lets go of a batch when it likes.
   */
  written(): void
  /** The peer stops reading: writing is over. */
  stopped(error: TrunkError): void
  /**
   * The peer has read everything and its handler finished (`error` undefined), or did not read it
   * all.
   */
  confirmed(error: TrunkError | undefined): void
  /**
   * The pipe is over in both directions: refused, reset, or its session ended. Nothing follows but
   * `written`.
   */
  failed(error: TrunkError): void
}

/** Where a pipe is in its life. */
export type PipePhase = 'opening' | 'open' | 'reset' | 'closed'

/**
 * Control frames that a pipe has to send; each at most once in the queue, so control output is
 * bounded by pipes.
 */
export const Pending = {
  OPEN: 1,
  ACCEPT: 2,
  REFUSE: 4,
  CREDIT: 8,
  STOP: 16,
  DONE: 32,
} as const

export class PipeState {
  readonly id: number
  readonly outbound: boolean
  readonly openedAt: number
  phase: PipePhase = 'opening'
  listener: PipeListener | undefined

  /**
   * Control frames to send: bits of {@link Pending}; `listed` while the pipe stands in the core's
   * list of such pipes.
   */
  pending = 0
  listed = false
  /** Payload of the pending OPEN, ACCEPT or REFUSE, and of the STOP. */
  payload: Uint8Array | undefined
  stopPayload: Uint8Array | undefined

  /** Sending: what may be sent, was sent, was queued. */
  creditLimit: number
  sent = 0
  written = 0
  sendQueue: ByteQueue | undefined
  scheduled = false
  openSent: boolean
  /** Counted among the opens that the peer has not answered. */
  waiting = false
  endQueued = false
  endSent = false
  stopError: TrunkError | undefined
  unsentDropped = false
  /** The last batch that had something of this pipe. */
  batch = 0
  /**
   * To be reset with this error when everything before it has left; `cutDue` once that is in a
   * batch.
   */
  cutError: TrunkError | undefined
  cutDue = false

  /**
   * Receiving: what came in whole frames, was read, was granted, and where the end is (-1: not
   * known).
   */
  received = 0
  consumed = 0
  granted: number
  /**
   * Of the initial window, what stands in the account of all sessions: nothing for a pipe of ours.
   */
  lentWindow = 0
  window: number
  windowSince: number
  windowConsumed = 0
  finalOffset = -1
  receiveQueue: ByteQueue | undefined
  /** Got something in this chunk of the link, and is told of it at its end. */
  touched = false
  readStopped = false
  discarded = false
  /**
   * What came before a reset is read before the reset is told: the choice of whoever opened or
   * serves the pipe.
   */
  readsBeforeReset = false
  /** The pipe is over, and what came before is still there to be read. */
  lingers = false

  handlerEnded = false
  doneReceived = false
  doneSent = false
  orphanedAt = -1

  constructor(id: number, outbound: boolean, windowBytes: number, now: number) {
    this.id = id
    this.outbound = outbound
    this.openedAt = now
    this.openSent = !outbound
    this.creditLimit = windowBytes
    this.granted = windowBytes
    this.window = windowBytes
    this.windowSince = now
  }

  /** Bytes that can be read now. A frame that is still arriving is not among them. */
  get readable(): number {
    return this.readStopped ? 0 : this.received - this.consumed
  }

  /** True when the peer has ended and everything before the end was read or given up. */
  get receivedAll(): boolean {
    return this.finalOffset >= 0 && (this.readStopped || this.consumed === this.finalOffset)
  }

  /** Bytes queued and not yet handed to the line. */
  get queued(): number {
    return this.sendQueue === undefined ? 0 : this.sendQueue.length
  }

  /** True when the data scheduler has something to do for this pipe. */
  get sendable(): boolean {
    if (!this.openSent || this.endSent || this.phase === 'reset' || this.phase === 'closed') return false
    // nothing before the answer to the open: a STOP may have ended us already
    if (!this.outbound && this.phase === 'opening') return false
    const queued = this.queued
    if (queued > 0) return this.sent < this.creditLimit
    return this.endQueued || (this.cutError !== undefined && !this.cutDue)
  }

  /**
   * The peer, or the session, has ended the pipe: keeps what is unread for a reader that wants it.
   */
  linger(): void {
    this.lingers = this.readsBeforeReset && this.readable > 0
  }

  /** Drops the data of both directions and what was to be said about them. */
  clearData(): void {
    this.sendQueue = undefined
    if (!this.lingers) this.receiveQueue = undefined
    this.pending = 0
  }
}
