/**
 * Keys on their way to a command. Who types is not held up by a command that does not read: the
 * escape character, among what is typed later, is to be seen all the same.
 */

/** So much waits here, at most. */
export const MAX_TYPED_BYTES: number = 1024 * 1024

export class TypedAhead {
  readonly #write: (keys: Uint8Array) => Promise<void>
  readonly #onRoom: () => void
  #waiting: Uint8Array[] = []
  #bytes = 0
  #isWriting = false
  #isOver = false

  /** @param onRoom called where it was full and is no longer */
  constructor(write: (keys: Uint8Array) => Promise<void>, onRoom: () => void) {
    this.#write = write
    this.#onRoom = onRoom
  }

  /** No more should be read for now. */
  get isFull(): boolean {
    return this.#bytes >= MAX_TYPED_BYTES
  }

  push(keys: Uint8Array): void {
    if (this.#isOver) return
    this.#waiting.push(keys)
    this.#bytes += keys.byteLength
    if (!this.#isWriting) void this.#pass()
  }

  async #pass(): Promise<void> {
    this.#isWriting = true
    try {
      while (this.#waiting.length > 0) {
        const keys = Buffer.concat(this.#waiting.splice(0))
        await this.#write(keys)
        this.#forget(keys.byteLength)
      }
    } catch {
      // a command that reads no more has ended, or is another's now: keys are for nobody
      this.#isOver = true
      this.#waiting = []
      this.#forget(this.#bytes)
    } finally {
      this.#isWriting = false
    }
  }

  #forget(bytes: number): void {
    const before = this.#bytes
    this.#bytes -= bytes
    if (before >= MAX_TYPED_BYTES && this.#bytes < MAX_TYPED_BYTES) this.#onRoom()
  }
}
