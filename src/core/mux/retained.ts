/**
 * What unread bytes keep in memory (invariant 4 of docs/internals/catalogue.md). Pieces of payload
 * are queued as views of the link's chunks, so a piece of 2 KiB may pin a chunk of 1 MiB. This
 * counts the chunks that may be retained, and has the pieces copied out when they are more than
 * twice the bytes that wait, and 1 MiB: a reader that keeps up is never copied for, one that has
 * stalled is copied for once. They are weighed at the end of a chunk of the link, when its readers
 * have been told: in the middle of a large one little of it waits yet, and most of it was copied.
 */
import type { PipeState } from './pipe-state.ts'

/**
 * What may be held beyond twice the unread bytes at a count, and what may come between two counts:
 * together 1 MiB.
 */
const SLACK_BYTES = 512 * 1024

export class RetainedChunks {
  /**
   * Pipes that were given views since the last count, and are not over: a reader that gives
   * everything back may be never counted again.
   */
  readonly #pipes = new Set<PipeState>()
  /** Chunks that are in `#bytes`. Weak: what no queue holds any more is not held here. */
  #noted = new WeakSet<ArrayBufferLike>()
  readonly #release: (piece: Uint8Array) => void
  /** Bytes of the chunks that may be retained, and at how many of them they are counted again. */
  #bytes = 0
  #countAt = SLACK_BYTES

  /** @param release gets views that were copied out */
  constructor(release: (piece: Uint8Array) => void) {
    this.#release = release
  }

  /** Notes that `piece` was queued for `pipe` as a view. */
  note(pipe: PipeState, piece: Uint8Array): void {
    this.#pipes.add(pipe)
    if (this.#noted.has(piece.buffer)) return
    this.#noted.add(piece.buffer)
    this.#bytes += piece.buffer.byteLength
  }

  /**
   * `pipe` is over. What may still be read of it is copied out: nobody but its reader holds it from
   * here on.
   */
  forget(pipe: PipeState): void {
    if (this.#pipes.delete(pipe)) pipe.receiveQueue?.compact(this.#release)
  }

  /** The link's chunk is parsed: copies pieces out where they pin too much. */
  weigh(): void {
    if (this.#bytes > this.#countAt) this.#count()
  }

  #count(): void {
    const chunks = new Set<ArrayBufferLike>()
    let unread = 0
    for (const pipe of this.#pipes) {
      const queue = pipe.receiveQueue
      if (queue === undefined || queue.length === 0) this.#pipes.delete(pipe)
      else {
        unread += queue.length
        queue.collectChunks(chunks)
      }
    }
    this.#bytes = 0
    for (const chunk of chunks) this.#bytes += chunk.byteLength
    if (this.#bytes > 2 * unread + SLACK_BYTES) {
      for (const pipe of this.#pipes) pipe.receiveQueue?.compact(this.#release)
      this.#pipes.clear()
      chunks.clear()
      this.#bytes = 0
    }
    this.#noted = new WeakSet(chunks)
    this.#countAt = this.#bytes + SLACK_BYTES
  }
}
