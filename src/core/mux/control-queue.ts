/**
 * Control frames that wait to be sent, each kind at most once a pipe: those that pipes have listed,
 * opens that wait for the peer to answer earlier ones, and resets that wait for a token of the
 * peer's bucket. The outbox takes from it; whoever changes a pipe puts in.
 */
import type { TrunkError } from '../../contracts/errors.ts'
import { encodeStatus } from '../frame/status.ts'
import { Fifo } from './fifo.ts'
import { Pending, type PipeState } from './pipe-state.ts'

export class ControlQueue {
  readonly #maxUnanswered: number
  readonly #wake: () => void
  /** Pipes with pending control frames, in order of their first one. */
  readonly #listed = new Fifo<PipeState>()
  /**
   * Local opens that wait for the peer to answer earlier ones, at most maxOutbound; and those that
   * it has not answered.
   */
  #opens: PipeState[] = []
  #unanswered = 0
  /** Resets that wait to be sent. At most one a pipe. */
  readonly #resets = new Map<PipeState, Uint8Array>()

  /**
   * @param maxUnanswered opens that the peer lets wait for its answer
   * @param wake is told that there is something to send
   */
  constructor(maxUnanswered: number, wake: () => void) {
    this.#maxUnanswered = maxUnanswered
    this.#wake = wake
  }

  /** Lists a control frame: a bit of {@link Pending}. */
  list(pipe: PipeState, pending: number): void {
    pipe.pending |= pending
    if (!pipe.listed) {
      pipe.listed = true
      this.#listed.push(pipe)
    }
    this.#wake()
  }

  /** True where no pipe is listed. */
  get isEmpty(): boolean {
    return this.#listed.length === 0
  }

  /** The next pipe with control frames in its `pending`; it is no longer listed. */
  shift(): PipeState | undefined {
    const pipe = this.#listed.shift()
    if (pipe !== undefined) pipe.listed = false
    return pipe
  }

  /**
   * Lists an OPEN, or queues it here until the peer has answered earlier ones: so no burst of opens
   * is refused.
   */
  open(pipe: PipeState): void {
    this.#opens.push(pipe)
    this.#releaseOpens()
  }

  /** The peer no longer counts this open as waiting: another may go. */
  answered(pipe: PipeState): void {
    if (!pipe.waiting) return
    pipe.waiting = false
    this.#unanswered--
    this.#releaseOpens()
  }

  #releaseOpens(): void {
    while (this.#unanswered < this.#maxUnanswered) {
      const pipe = this.#opens.shift()
      if (pipe === undefined) return
      this.#unanswered++
      pipe.waiting = true
      this.list(pipe, Pending.OPEN)
    }
  }

  reset(pipe: PipeState, error: TrunkError): void {
    this.#resets.set(pipe, encodeStatus(error.code, error.message))
    this.#wake()
  }

  hasReset(pipe: PipeState): boolean {
    return this.#resets.has(pipe)
  }

  /** True when every reset has left. */
  get noResets(): boolean {
    return this.#resets.size === 0
  }

  /** The resets that wait, with the payloads of their frames, in the order they came. */
  get resets(): Iterable<[PipeState, Uint8Array]> {
    return this.#resets
  }

  resetSent(pipe: PipeState): void {
    this.#resets.delete(pipe)
  }

  /** Drops what a pipe that is over has waiting. */
  forget(pipe: PipeState): void {
    if (pipe.outbound && !pipe.openSent && !pipe.waiting) this.#opens = this.#opens.filter((open) => open !== pipe)
    this.answered(pipe)
    this.#resets.delete(pipe)
  }

  /** The session is over. */
  clear(): void {
    this.#opens = []
    this.#resets.clear()
    this.#listed.clear()
  }
}
