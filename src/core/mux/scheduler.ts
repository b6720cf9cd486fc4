/**
 * Whose data goes next (invariant 3 of docs/internals/catalogue.md). Round robin by frames of at
 * most one split each, with one exception: a pipe that has become busy with little to send goes
 * before those in bulk, so a small message waits for one frame of the pipes before it and not for a
 * round. So that such pipes cannot starve the bulk, one bulk frame goes after each split's worth of
 * theirs.
 */
import type { PipeState } from './pipe-state.ts'
import { Fifo } from './fifo.ts'

/** What a pipe may have queued to pass the bulk. */
const SMALL_BYTES = 4 * 1024
/** Fewer pipes that are over are not looked for. */
const MIN_LEFT = 32

function isScheduled(pipe: PipeState): boolean {
  return pipe.scheduled
}

export class Scheduler {
  readonly #small = new Fifo<PipeState>()
  readonly #bulk = new Fifo<PipeState>()
  readonly #splitBytes: number
  #smallServed = 0
  /** Of those that are entered, so many are over. */
  #left = 0

  /** @param splitBytes largest frame of data; what one turn sends */
  constructor(splitBytes: number) {
    this.#splitBytes = splitBytes
  }

  get isEmpty(): boolean {
    return this.length === 0
  }

  /** Pipes that have something to send. */
  get length(): number {
    return this.entered - this.#left
  }

  /**
   * Pipes that are held: those that have something to send, and no more than as many again, or a
   * few, that are over.
   */
  get entered(): number {
    return this.#small.length + this.#bulk.length
  }

  /** Enters a pipe that has something to send and is not entered. */
  enter(pipe: PipeState): void {
    pipe.scheduled = true
    if (pipe.queued <= SMALL_BYTES) this.#small.push(pipe)
    else this.#bulk.push(pipe)
  }

  /** Enters a pipe again behind all others, after its turn. */
  again(pipe: PipeState): void {
    pipe.scheduled = true
    this.#bulk.push(pipe)
  }

  /** Takes out a pipe that is entered and is over: it never comes back. */
  leave(pipe: PipeState): void {
    pipe.scheduled = false
    this.#left++
    // one by one would cost the square of what a session that is lost had under way
    if (this.#left < MIN_LEFT || this.#left < this.length) return
    this.#left = 0
    this.#small.keep(isScheduled)
    this.#bulk.keep(isScheduled)
  }

  /** The pipe whose turn it is, taken out. */
  next(): PipeState | undefined {
    let pipe = this.#take()
    for (; pipe?.scheduled === false; pipe = this.#take()) this.#left--
    if (pipe !== undefined) pipe.scheduled = false
    return pipe
  }

  #take(): PipeState | undefined {
    let pipe: PipeState | undefined
    if (this.#small.length > 0 && (this.#smallServed < this.#splitBytes || this.#bulk.length === 0)) {
      pipe = this.#small.shift()
      if (pipe !== undefined) this.#smallServed += Math.max(pipe.queued, 1)
    } else {
      pipe = this.#bulk.shift()
      this.#smallServed = 0
    }
    return pipe
  }
}
