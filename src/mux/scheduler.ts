/**
 * Whose data goes next (design: invariant 3). Round robin by frames of at most one split each, with one exception: a pipe that
 * has become busy with little to send goes before those in bulk, so a small message waits for one frame of the pipes before it and not for a
 * round. So that such pipes cannot starve the bulk, one bulk frame goes after each split's worth of theirs.
 */
import type { PipeState } from './pipe-state.ts'
import { Ring } from './ring.ts'

/** What a pipe may have queued to pass the bulk. */
const SMALL_BYTES = 4 * 1024

export class Scheduler {
  readonly #small = new Ring<PipeState>()
  readonly #bulk = new Ring<PipeState>()
  readonly #splitBytes: number
  #smallServed = 0

  /** @param splitBytes largest frame of data; what one turn sends */
  constructor(splitBytes: number) {
    this.#splitBytes = splitBytes
  }

  get isEmpty(): boolean {
    return this.length === 0
  }

  /** Pipes that have something to send. */
  get length(): number {
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

  /** The pipe whose turn it is, taken out. */
  next(): PipeState | undefined {
    let pipe: PipeState | undefined
    if (this.#small.length > 0 && (this.#smallServed < this.#splitBytes || this.#bulk.length === 0)) {
      pipe = this.#small.shift()
      if (pipe !== undefined) this.#smallServed += Math.max(pipe.queued, 1)
    } else {
      pipe = this.#bulk.shift()
      this.#smallServed = 0
    }
    if (pipe !== undefined) pipe.scheduled = false
    return pipe
  }
}
