/**
 * What unread bytes keep in memory (design: invariant 4). Pieces of payload are queued as views of the link's chunks, so a piece of 2 KiB may pin
 * a chunk of 1 MiB. This counts the chunks that may be pinned, and has the pieces copied out when they are more than twice the bytes that
 * wait, and 1 MiB: a reader that keeps up is never copied for, one that has stalled is copied for once.
 */
import type { PipeState } from './pipe-state.ts'

/** What may be held beyond twice the unread bytes. */
const SLACK_BYTES = 1024 * 1024

export class PinnedChunks {
  /** Pipes that were given views since the last count. */
  readonly #pipes = new Set<PipeState>()
  #last: ArrayBufferLike | undefined
  #bytes = 0

  /** Notes that `piece` was queued for `pipe` as a view. */
  note(pipe: PipeState, piece: Uint8Array): void {
    this.#pipes.add(pipe)
    if (piece.buffer === this.#last) return
    this.#last = piece.buffer
    this.#bytes += piece.buffer.byteLength
    if (this.#bytes > SLACK_BYTES) this.#count()
  }

  #count(): void {
    let unread = 0
    for (const pipe of this.#pipes) {
      const length = pipe.receiveQueue?.length ?? 0
      if (length === 0) this.#pipes.delete(pipe)
      unread += length
    }
    if (unread > 0 && this.#bytes <= 2 * unread + SLACK_BYTES) return
    for (const pipe of this.#pipes) pipe.receiveQueue?.compact()
    this.#pipes.clear()
    this.#bytes = this.#last?.byteLength ?? 0
  }
}
