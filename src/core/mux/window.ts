/**
 * How large a pipe's window is (invariant 11 of docs/internals/catalogue.md). It starts small and
 * doubles when the reader has taken a whole window within a few round trips: then the window, not
 * the reader, was what held the sender back. Growth comes out of a pool that the session's pipes
 * share, and of what all sessions share; the initial window is each pipe's own and never in the
 * pool. What the initial windows of the peer's pipes are together is bounded over all sessions:
 * there an open that finds no room is refused.
 */
import type { PipeState } from './pipe-state.ts'

/**
 * A window that lasts fewer round trips than this is too small (yamux implementations use 2; a busy
 * event loop adds to ours).
 */
const ROUND_TRIPS = 4
/** Round trips are taken for at least this long, so that a loopback's do not stop the growth. */
const MIN_ROUND_TRIP_MS = 1

/** What the windows of several sessions share. */
export interface SharedWindows {
  /** Whether a window may grow by so many bytes. */
  take(bytes: number): boolean
  /** So much of that is given back. */
  give(bytes: number): void
}

export class WindowPool {
  readonly #initialBytes: number
  readonly #maxBytes: number
  readonly #shared: SharedWindows | undefined
  readonly #sharedInitial: SharedWindows | undefined
  #freeBytes: number

  /**
   * @param shared what the sessions share, which is asked for each growth and given it back
   * @param sharedInitial the same for the initial window of each pipe that the peer opens
   */
  constructor(
    initialBytes: number,
    maxBytes: number,
    poolBytes: number,
    shared?: SharedWindows,
    sharedInitial?: SharedWindows,
  ) {
    this.#initialBytes = initialBytes
    this.#maxBytes = maxBytes
    this.#freeBytes = poolBytes
    this.#shared = shared
    this.#sharedInitial = sharedInitial
  }

  /**
   * Whether there is room for the initial window of one more pipe of the peer's; it is taken, for
   * {@link PipeState.lentWindow}.
   */
  takeInitial(): boolean {
    return this.#sharedInitial?.take(this.#initialBytes) !== false
  }

  /**
   * The peer has ended the pipe, or some of it was read since: what is unread is all that it can
   * still hold.
   */
  ended(pipe: PipeState): void {
    this.#giveInitial(pipe, pipe.finalOffset - pipe.consumed)
  }

  #giveInitial(pipe: PipeState, left: number): void {
    const given = pipe.lentWindow - left
    if (given <= 0) return
    pipe.lentWindow = left
    this.#sharedInitial?.give(given)
  }

  /**
   * Notes that `bytes` were read; true where that makes a whole window, and {@link grow} is to be
   * called.
   */
  consumed(pipe: PipeState, bytes: number): boolean {
    pipe.windowConsumed += bytes
    return pipe.windowConsumed >= pipe.window
  }

  /** A whole window was read: grows it where the reader has outrun it. */
  grow(pipe: PipeState, roundTripMs: number | undefined, now: number): void {
    const elapsed = now - pipe.windowSince
    pipe.windowConsumed = 0
    pipe.windowSince = now
    if (roundTripMs === undefined || elapsed > ROUND_TRIPS * Math.max(MIN_ROUND_TRIP_MS, roundTripMs)) return
    const growth = Math.min(pipe.window, this.#maxBytes - pipe.window, this.#freeBytes)
    if (growth <= 0 || this.#shared?.take(growth) === false) return
    this.#freeBytes -= growth
    pipe.window += growth
  }

  /** Gives back what a pipe had that is finished, or that nobody reads any more. */
  release(pipe: PipeState): void {
    this.#giveInitial(pipe, 0)
    const growth = pipe.window - this.#initialBytes
    if (growth === 0) return
    this.#freeBytes += growth
    this.#shared?.give(growth)
    pipe.window = this.#initialBytes
  }

  /** Bytes of growth that are left for all pipes. */
  get freeBytes(): number {
    return this.#freeBytes
  }
}
