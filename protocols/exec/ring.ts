/**
 * The last bytes of an output, by their offsets since its first one. One writes, any number read;
 * who reads waits for what is to come. What has been read is kept as long as there is room, since a
 * reader that was lost comes again. Memory is taken as it is needed, and at most `capacity`.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'

const LEAST_BYTES = 4 * 1024
/** At a time, for a reader. */
const PIECE_BYTES = 64 * 1024

export class Ring {
  readonly #capacity: number
  #bytes: Buffer = Buffer.alloc(0)
  #first = 0
  #next = 0
  #hold: number | undefined
  #isOver = false
  #failure: Error | undefined
  readonly #waiting = new Set<() => void>()

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** The offset of the first byte that there is. */
  get first(): number {
    return this.#first
  }

  /** The offset behind the last. */
  get next(): number {
    return this.#next
  }

  /**
   * From this offset on nothing is dropped, and the writer waits in its place; undefined: the
   * oldest is dropped.
   */
  get hold(): number | undefined {
    return this.#hold
  }

  set hold(offset: number | undefined) {
    this.#hold = offset
    this.#wake()
  }

  /** Resolves when the ring has it. */
  async write(chunk: Uint8Array): Promise<void> {
    let rest = chunk
    while (rest.byteLength > 0) {
      const held = this.#hold === undefined ? 0 : Math.max(0, this.#next - Math.max(this.#hold, this.#first))
      const room = this.#capacity - held
      if (room > 0) {
        this.#append(rest.subarray(0, room))
        rest = rest.subarray(room)
      } else await this.#change()
    }
  }

  /** Why the end is none of the output's own. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** No more comes; `failure`: since no more of it could be read. */
  end(failure?: Error): void {
    this.#isOver = true
    this.#failure = failure
    this.#wake()
  }

  /**
   * What there is from `offset` on, at most 64 KiB of it, once there is any; undefined at the end.
   * The bytes are the reader's. Throws ERR_OUTPUT_LIMIT where they have been dropped, and what
   * `signal` says when it aborts.
   */
  async read(offset: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    for (;;) {
      signal.throwIfAborted()
      if (offset < this.#first)
        throw new TrunkError(
          'ERR_OUTPUT_LIMIT',
          `read too slowly: the output before byte ${this.#first} has been dropped`,
        )
      if (offset < this.#next) return this.#piece(offset)
      if (this.#isOver) return undefined
      await this.#change(signal)
    }
  }

  #piece(offset: number): Uint8Array {
    const size = this.#bytes.byteLength
    const at = offset % size
    const length = Math.min(PIECE_BYTES, this.#next - offset, size - at)
    return Buffer.from(this.#bytes.subarray(at, at + length))
  }

  #append(chunk: Uint8Array): void {
    this.#grow(Math.min(this.#capacity, this.#next - this.#first + chunk.byteLength))
    const size = this.#bytes.byteLength
    let rest = chunk
    while (rest.byteLength > 0) {
      const at = this.#next % size
      const piece = rest.subarray(0, size - at)
      this.#bytes.set(piece, at)
      this.#next += piece.byteLength
      rest = rest.subarray(piece.byteLength)
    }
    this.#first = Math.max(this.#first, this.#next - size)
    this.#wake()
  }

  #grow(needed: number): void {
    const size = this.#bytes.byteLength
    if (size >= needed) return
    let larger = Math.max(size, Math.min(LEAST_BYTES, this.#capacity))
    while (larger < needed) larger = Math.min(2 * larger, this.#capacity)
    const bytes = Buffer.alloc(larger)
    for (let at = this.#first; at < this.#next;) {
      const length = Math.min(this.#next - at, size - (at % size), larger - (at % larger))
      bytes.set(this.#bytes.subarray(at % size, (at % size) + length), at % larger)
      at += length
    }
    this.#bytes = bytes
  }

  #wake(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  #change(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const unsubscribe = signal && onAbort(signal, wake)
      const waiting = this.#waiting
      waiting.add(wake)
      function wake(): void {
        waiting.delete(wake)
        unsubscribe?.()
        resolve()
      }
    })
  }
}
