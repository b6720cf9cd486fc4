/**
 * Which pipes there are and how each comes to its end: ids, limits, confirmation, the slot. A pipe
 * is open until both directions are over and confirmed; one that was reset is over for everybody
 * here, whose slot is held until the acceptor's handler has ended (CVE-2023-44487: a slot that a
 * reset frees escapes the limit). Enforces the limits of pipes and the orphan time.
 */
import { TrunkError } from '../../contracts/errors.ts'
import { MAX_PIPE_ID } from '../frame/constants.ts'
import type { ControlQueue } from './control-queue.ts'
import { Pending, PipeState } from './pipe-state.ts'
import type { RetainedChunks } from './retained.ts'
import type { Scheduler } from './scheduler.ts'
import { violation, type MuxHost, type MuxSettings } from './settings.ts'
import { WindowPool } from './window.ts'

/** What holds something of the pipes, and lets go of it when they end. */
export interface PipeTableParts {
  readonly queue: ControlQueue
  readonly scheduler: Scheduler
  readonly retained: RetainedChunks
}

export class PipeTable {
  readonly pipes: Map<number, PipeState> = new Map<number, PipeState>()
  readonly windows: WindowPool
  /** Inbound pipes: all of them, and those that wait for their handler's answer. */
  inbound = 0
  inboundWaiting = 0
  readonly #settings: MuxSettings
  readonly #host: MuxHost
  readonly #queue: ControlQueue
  readonly #scheduler: Scheduler
  readonly #retained: RetainedChunks
  #nextId: number
  #lastPeerId = 0
  #outbound = 0
  /** Pipes whose handler has ended and whose peer owes the answer to a stop: oldest first. */
  readonly #orphans = new Set<PipeState>()

  constructor(settings: MuxSettings, host: MuxHost, parts: PipeTableParts) {
    this.#settings = settings
    this.#host = host
    this.#queue = parts.queue
    this.#scheduler = parts.scheduler
    this.#retained = parts.retained
    this.#nextId = settings.firstId ?? (settings.takesOddIds ? 1 : 2)
    const { initialWindowBytes, maxWindowBytes, windowPoolBytes } = settings
    this.windows = new WindowPool(
      initialWindowBytes,
      maxWindowBytes,
      windowPoolBytes,
      host.windows,
      host.initialWindows,
    )
  }

  /** A new pipe of ours, or why there can be none. */
  addOutbound(now: number): PipeState {
    const { maxOutbound, initialWindowBytes } = this.#settings
    if (this.#outbound >= maxOutbound) {
      throw new TrunkError('ERR_PIPE_LIMIT', `the peer takes ${maxOutbound} pipes at a time, and all are open`)
    }
    if (this.#nextId > MAX_PIPE_ID) {
      throw new TrunkError('ERR_PIPE_IDS_EXHAUSTED', 'the session has used all its pipe ids')
    }
    const pipe = new PipeState(this.#nextId, true, initialWindowBytes, now)
    this.#nextId += 2
    this.#outbound++
    this.pipes.set(pipe.id, pipe)
    return pipe
  }

  /** Checks the id of the peer's next pipe and uses it up. */
  takePeerId(id: number): void {
    if (this.#isOwn(id)) throw violation(`pipe id ${id} is not the peer's to give`)
    if (id <= this.#lastPeerId) throw violation(`pipe id ${id} is not above ${this.#lastPeerId}`)
    this.#lastPeerId = id
  }

  /**
   * A new pipe of the peer's, undefined where all sessions together have no memory for its window;
   * the limits were checked.
   */
  addInbound(id: number, now: number): PipeState | undefined {
    if (!this.windows.takeInitial()) return undefined
    const pipe = new PipeState(id, false, this.#settings.initialWindowBytes, now)
    pipe.lentWindow = pipe.window
    this.inbound++
    this.inboundWaiting++
    this.pipes.set(id, pipe)
    return pipe
  }

  /** A live pipe; undefined for one that is finished; throws for one that never was. */
  find(id: number): PipeState | undefined {
    const pipe = this.pipes.get(id)
    if (pipe !== undefined) return pipe
    if (this.#isOwn(id) ? id >= this.#nextId : id > this.#lastPeerId) throw violation(`pipe ${id} was never opened`)
    return undefined
  }

  #isOwn(id: number): boolean {
    return (id & 1) === (this.#settings.takesOddIds ? 1 : 0)
  }

  /**
   * True when nothing holds up a graceful end: our own pipes that were reset do not, their slots
   * end with the session.
   */
  get drained(): boolean {
    for (const pipe of this.pipes.values()) if (!pipe.outbound || pipe.phase !== 'reset') return false
    return true
  }

  /** Confirms what is complete, and frees a pipe that is over on both sides. */
  settle(pipe: PipeState): void {
    if (pipe.phase === 'closed') return
    if (pipe.phase === 'reset') {
      if (pipe.doneSent && !pipe.outbound) this.free(pipe)
      return
    }
    // its reset follows what it has sent
    if (pipe.cutError !== undefined) return
    const complete = pipe.receivedAll && (pipe.outbound || pipe.handlerEnded)
    if (complete && !pipe.doneSent && (pipe.pending & Pending.DONE) === 0) this.#queue.list(pipe, Pending.DONE)
    if (complete && pipe.doneSent && pipe.doneReceived && pipe.endSent) this.free(pipe)
  }

  /**
   * Nobody here waits for the pipe any more, and the peer owes something: from here on it has
   * `orphanTimeoutMs` to say where it ended, or to let more of what goes before a reset leave.
   * Repeated, its time begins again.
   */
  orphan(pipe: PipeState, now: number): void {
    pipe.orphanedAt = now
    // the oldest comes first
    this.#orphans.delete(pipe)
    this.#orphans.add(pipe)
  }

  /** Over for everybody here, but its slot is held until the handler's end is known. */
  becomeReset(pipe: PipeState): void {
    if (pipe.phase === 'opening' && !pipe.outbound) this.inboundWaiting--
    pipe.phase = 'reset'
    this.#releaseState(pipe)
    this.#host.pipeGone()
  }

  /** What others hold of a pipe that is over is let go of: a session may have millions of them. */
  #releaseState(pipe: PipeState): void {
    pipe.listener = undefined
    pipe.clearData()
    // what the window had grown by is given back when nothing of it is left to be read
    if (!pipe.lingers) this.windows.release(pipe)
    this.#retained.forget(pipe)
    // while the peer lets no data go, no turn would come to find that out
    if (pipe.scheduled) this.#scheduler.leave(pipe)
  }

  /** Over: nothing of it is left but the knowledge that its id was used. */
  free(pipe: PipeState): void {
    if (pipe.phase === 'closed') return
    pipe.phase = 'closed'
    this.#queue.forget(pipe)
    this.#releaseState(pipe)
    this.pipes.delete(pipe.id)
    if (pipe.outbound) this.#outbound--
    else this.inbound--
    if (pipe.orphanedAt >= 0) this.#orphans.delete(pipe)
    this.#host.pipeGone()
  }

  /** What was left to be read after the pipe's end has been, or never will be. */
  endLingering(pipe: PipeState): void {
    pipe.lingers = false
    pipe.receiveQueue = undefined
    this.windows.release(pipe)
  }

  /** The session is over: every pipe fails. */
  fail(error: TrunkError): void {
    for (const pipe of this.pipes.values()) {
      const listener = pipe.phase === 'reset' ? undefined : pipe.listener
      if (pipe.phase !== 'reset') pipe.linger()
      pipe.phase = 'closed'
      this.#releaseState(pipe)
      listener?.failed(error)
    }
    this.pipes.clear()
    this.#orphans.clear()
  }

  /** Gives every orphan its time again. */
  renewOrphans(now: number): void {
    for (const orphan of this.#orphans) orphan.orphanedAt = now
  }

  /** When the oldest orphan's time is over; Infinity without one. */
  orphanDeadline(): number {
    // looked at after each chunk and each batch: an iterator of nothing would cost more than the
    // rest
    if (this.#orphans.size > 0)
      for (const orphan of this.#orphans) return orphan.orphanedAt + this.#settings.orphanTimeoutMs
    return Infinity
  }

  /** Orphans whose time is over, each once. */
  *overdueOrphans(now: number): Generator<PipeState> {
    for (const orphan of this.#orphans) {
      if (orphan.orphanedAt + this.#settings.orphanTimeoutMs > now) return
      this.#orphans.delete(orphan)
      if (orphan.phase !== 'reset' && (orphan.finalOffset < 0 || orphan.cutError !== undefined)) yield orphan
    }
  }
}
