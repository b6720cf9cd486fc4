/**
 * Buffers in which small writes are gathered, used again: a stream of 64-byte writes would else
 * have 64 KiB allocated and zeroed for each batch, a fifth of what those writes cost
 * (docs/internals/performance.md). A buffer is free again when the batch that its bytes went into
 * has left.
 */

/** Size of a buffer: what a pipe takes before its writer waits. */
export const POOLED_BYTES: number = 64 * 1024
/** Buffers that are kept: more are let go. */
const MAX_FREE = 4

export class BufferPool {
  readonly #free: Uint8Array[] = []
  #spent: Uint8Array[] = []

  /** A buffer; what is in it is anybody's. */
  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(POOLED_BYTES)
  }

  /** All bytes of a buffer are in the batch that is being made. */
  spent(buffer: Uint8Array): void {
    this.#spent.push(buffer)
  }

  /** That batch has left. */
  batchLeft(): void {
    if (this.#spent.length === 0) return
    for (const buffer of this.#spent) if (this.#free.length < MAX_FREE) this.#free.push(buffer)
    this.#spent = []
  }
}
