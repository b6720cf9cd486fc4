/**
 * Reading into slabs instead of a fresh buffer of 64 KiB per read: a full kernel buffer takes one system call instead of sixteen, and one
 * allocation a MiB. `SlabReader` does so for a socket that was dialled or made here (net's `onread`). A slab is written once, from its front to its
 * end, and never again: chunks are views of it that belong to whoever got them, so nothing that was handed on can change. What a view may pin is
 * its holder's to bound (src/mux/pinned.ts).
 */
import type { OnReadOpts } from 'node:net'

/** A slab starts like Node's own read buffer, and grows for a line that fills it: an idle session should not cost a MiB. */
const MIN_SLAB_BYTES = 64 * 1024
const MAX_SLAB_BYTES = 1024 * 1024
/** Less room than this is given up: short reads cost more than the rest of a slab. */
const MIN_READ_BYTES = 16 * 1024

/** One slab after the other: room to read into, and what was read as views of it. */
export class Slab {
  #slab: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  #at = 0
  #slabBytes = MIN_SLAB_BYTES

  /** Where the next read goes: at least 16 KiB. */
  room(): Uint8Array {
    if (this.#slab.byteLength - this.#at < MIN_READ_BYTES) {
      // not zeroed: only what was read is ever shown as a chunk
      this.#slab = Buffer.allocUnsafeSlow(this.#slabBytes)
      this.#at = 0
    }
    return this.#slab.subarray(this.#at)
  }

  /** The first `length` bytes of the room, which were read; nothing is written to them any more. */
  take(length: number): Uint8Array {
    const chunk = this.#slab.subarray(this.#at, this.#at + length)
    this.#at += length
    if (this.#at === this.#slab.byteLength) this.#slabBytes = Math.min(MAX_SLAB_BYTES, this.#slabBytes * 2)
    return chunk
  }
}

export class SlabReader {
  /** To be given to the socket when it is made. */
  readonly onread: OnReadOpts
  readonly #slab = new Slab()
  #onChunk: ((chunk: Uint8Array) => void) | undefined
  /** What came before anybody listened: one read at most, the socket stops then. */
  #early: Uint8Array | undefined

  constructor() {
    this.onread = {
      buffer: () => this.#slab.room(),
      callback: (length) => this.#read(length),
    }
  }

  /** Chunks go to `onChunk` from here on; the socket has to be resumed. */
  start(onChunk: (chunk: Uint8Array) => void): void {
    this.#onChunk = onChunk
    const early = this.#early
    this.#early = undefined
    if (early !== undefined) onChunk(early)
  }

  /** Of a callee of `start`, from its call: it gets no more, and `rest` goes to the next one. The socket stops until it is resumed. */
  stop(rest: Uint8Array): void {
    this.#onChunk = undefined
    if (rest.byteLength > 0) this.#early = rest
  }

  #read(length: number): boolean {
    const chunk = this.#slab.take(length)
    const onChunk = this.#onChunk
    if (onChunk === undefined) {
      this.#early = chunk
      return false
    }
    onChunk(chunk)
    return this.#onChunk === onChunk
  }
}
