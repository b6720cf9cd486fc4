/**
 * What a pipe gave and nobody has taken yet: pieces that are taken in parts, without a copy of the
 * whole.
 */
import type { Uint8ArrayList } from 'uint8arraylist'

export class Unread {
  #pieces: Uint8Array[] = []
  /** The first piece that has bytes, and its first byte. */
  #piece = 0
  #offset = 0
  #length = 0

  /** Bytes that are left. */
  get length(): number {
    return this.#length
  }

  /** Holds these bytes. Only where none are left. */
  fill(list: Uint8ArrayList): void {
    this.#pieces = [...list]
    this.#piece = this.#offset = 0
    this.#length = list.byteLength
  }

  /** The next bytes of one piece, at most `maxBytes` of them: a view. */
  view(maxBytes: number): Uint8Array {
    const piece = this.#pieces[this.#piece]
    if (piece === undefined) return EMPTY
    const view = piece.subarray(this.#offset, this.#offset + maxBytes)
    this.#offset += view.byteLength
    this.#length -= view.byteLength
    if (this.#offset === piece.byteLength) {
      this.#piece++
      this.#offset = 0
    }
    return view
  }

  /** Copies what fits into `target`; gives the number of bytes. */
  copyInto(target: Uint8Array): number {
    let at = 0
    while (at < target.byteLength && this.#length > 0) {
      const view = this.view(target.byteLength - at)
      target.set(view, at)
      at += view.byteLength
    }
    return at
  }

  /** A copy of the next bytes, at most `maxBytes` of them. */
  copy(maxBytes: number): Uint8Array {
    const copy = new Uint8Array(Math.min(maxBytes, this.#length))
    this.copyInto(copy)
    return copy
  }
}

const EMPTY = new Uint8Array(0)
