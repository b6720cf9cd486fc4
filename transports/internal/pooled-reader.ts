/**
 * Reading into read buffers instead of a fresh buffer of 64 KiB per read: a full kernel buffer
 * takes one system call instead of four. `PooledReader` does so for a socket that was dialled or
 * made here (net's `onread`). Chunks are views of a read buffer. A read buffer is read into again
 * only when whoever got chunks of it has said that no view of them is left; else it is written
 * once, from its front to its end, and never again. What a view may pin is its holder's to bound
 * (src/core/mux/retained.ts).
 */
import type { OnReadOpts } from 'node:net'

/**
 * A read buffer starts small, and grows for a line that fills it: a session that is idle should not
 * cost a MiB, a stranger who says nothing next to nothing.
 */
const MIN_BUFFER_BYTES = 16 * 1024
const MAX_BUFFER_BYTES = 1024 * 1024
/** Less room than this is given up: short reads cost more than the rest of a read buffer. */
const MIN_READ_BYTES = 16 * 1024
/**
 * What one read takes: as much as a processor parses in some 50 ms where it is all frames of the
 * smallest kind. A flood of credits had kept the event loop for 220 ms with reads of 1 MiB on a
 * slow machine.
 */
export const MAX_READ_BYTES: number = 256 * 1024
/** A read that takes longer to be parsed ends the turn: bulk takes a hundredth of this. */
const LONG_READ_MS = 2
/**
 * Where read buffers are read into again none is larger: all of them together stay in a processor's
 * own cache, which is what that is for.
 */
const BORROWED_BUFFER_BYTES = 256 * 1024
/**
 * How many there are where what was read is given back at once. Node asks for the next buffer
 * before the readers of the last one have run, and what is left of a frame is not given back before
 * the rest of it has come: so one is filled, one is being read, one waits.
 */
const SPARE_BUFFERS = 3
/**
 * And where it is given back late, by a reader that waits for a disk: each one less is memory that
 * is new for every read. Two files of 1 GiB were written with 1,609 MiB of fresh read buffers where
 * there were 3 of them, with 368 where there were 12 (docs/internals/performance.md).
 */
const MAX_BORROWED_BUFFERS = 16

interface ReadBuffer {
  bytes: Uint8Array
  /** What was read is before it. */
  at: number
  /** Bytes of which somebody may have views. */
  kept: number
}

/** Room to read into, and what was read as views of it. */
export class ReadBuffers {
  /** Oldest first; `#current` is one of them. */
  readonly #readBuffers: ReadBuffer[] = []
  #current: ReadBuffer | undefined
  /** Those that were needed, and are free; at most as many as there were at once. */
  readonly #surplus: WeakRef<Uint8Array>[] = []
  #bufferBytes = MIN_BUFFER_BYTES
  /** Something was given back: there may be several, and none is large. */
  #isBorrowed = false

  /** Where the next read goes: at least 16 KiB, at most {@link MAX_READ_BYTES}. */
  room(): Uint8Array {
    const { bytes, at } = (this.#current = this.#next())
    return at === 0 && bytes.byteLength <= MAX_READ_BYTES ? bytes : bytes.subarray(at, at + MAX_READ_BYTES)
  }

  /**
   * The first `length` bytes of the room, which were read. They stay until `settle` says how many
   * of them are kept.
   */
  take(length: number): Uint8Array {
    const readBuffer = this.#current
    if (readBuffer === undefined) throw new RangeError('take was called before room')
    const chunk = readBuffer.bytes.subarray(readBuffer.at, readBuffer.at + length)
    readBuffer.at += length
    readBuffer.kept += length
    if (readBuffer.at === readBuffer.bytes.byteLength)
      this.#bufferBytes = Math.min(MAX_BUFFER_BYTES, readBuffer.bytes.byteLength * 2)
    return chunk
  }

  /** Of the chunk that was taken last, views of `kept` bytes are left. */
  settle(chunk: Uint8Array, kept: number): void {
    if (this.#current !== undefined) this.#current.kept -= chunk.byteLength - kept
  }

  /**
   * A view of which nothing is left; that of a read buffer which is no longer used, or of other
   * memory, changes nothing.
   */
  release(view: Uint8Array): void {
    this.#isBorrowed = true
    for (const readBuffer of this.#readBuffers) {
      if (readBuffer.bytes.buffer !== view.buffer) continue
      readBuffer.kept -= view.byteLength
      if (readBuffer.kept === 0 && this.#readBuffers.length > SPARE_BUFFERS) this.#trim()
      return
    }
  }

  /**
   * What a slow reader needed does not stay with an idle line: beyond three, those that are free
   * are left to the collector, if it comes before they are needed.
   */
  #trim(): void {
    for (let at = this.#readBuffers.length - 1; at >= 0 && this.#readBuffers.length > SPARE_BUFFERS; at--) {
      const readBuffer = this.#readBuffers[at]
      if (readBuffer?.kept !== 0 || readBuffer === this.#current) continue
      this.#readBuffers.splice(at, 1)
      if (readBuffer.bytes.byteLength === BORROWED_BUFFER_BYTES) this.#surplus.push(new WeakRef(readBuffer.bytes))
    }
  }

  /** Memory of a surplus read buffer that the collector has not taken; else fresh. */
  #bytes(length: number): Uint8Array {
    while (length === BORROWED_BUFFER_BYTES) {
      const surplus = this.#surplus.pop()
      if (surplus === undefined) break
      const bytes = surplus.deref()
      if (bytes !== undefined) return bytes
    }
    return fresh(length)
  }

  #next(): ReadBuffer {
    const current = this.#current
    if (current?.kept === 0) return this.#again(current)
    for (const readBuffer of this.#readBuffers) if (readBuffer.kept === 0) return this.#again(readBuffer)
    const used = this.#readBuffers.length
    if (used >= (this.#isBorrowed ? SPARE_BUFFERS : 1)) {
      if (current !== undefined && current.bytes.byteLength - current.at >= MIN_READ_BYTES) return current
      if (!this.#isBorrowed || used >= MAX_BORROWED_BUFFERS) this.#readBuffers.shift()
    }
    const bytes = this.#isBorrowed ? Math.min(this.#bufferBytes, BORROWED_BUFFER_BYTES) : this.#bufferBytes
    const readBuffer = { bytes: this.#bytes(bytes), at: 0, kept: 0 }
    this.#readBuffers.push(readBuffer)
    return readBuffer
  }

  #again(readBuffer: ReadBuffer): ReadBuffer {
    const bytes = Math.min(this.#bufferBytes, BORROWED_BUFFER_BYTES)
    if (readBuffer.bytes.byteLength !== bytes) readBuffer.bytes = fresh(bytes)
    readBuffer.at = 0
    return readBuffer
  }
}

/**
 * Not zeroed: only what was read is ever shown as a chunk. No `Buffer`, whose views cost twice as
 * much to make.
 */
function fresh(bytes: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer)
}

/**
 * How a reader lets others have their turns: after a read that took long, and was not all there
 * was, the socket stops until the next turn of the event loop.
 */
export interface ReadYield {
  /** In milliseconds. */
  now(): number
  /** Lets the socket go on. */
  resume(): void
}

export class PooledReader {
  /** To be given to the socket when it is made. */
  readonly onread: OnReadOpts
  readonly #readBuffers = new ReadBuffers()
  #onChunk: ((chunk: Uint8Array) => void) | undefined
  #kept: (() => number) | undefined
  /** What came before anybody listened: one read at most, the socket stops then. */
  #early: Uint8Array | undefined
  #room = 0
  #turns: ReadYield | undefined

  constructor() {
    this.onread = {
      buffer: () => {
        const room = this.#readBuffers.room()
        this.#room = room.byteLength
        return room
      },
      callback: (length) => this.#read(length),
    }
  }

  /**
   * Chunks go to `onChunk` from here on; the socket has to be resumed. `kept` is asked after each
   * of how many of its bytes views are left (see DirectReceiver.kept); without it, of all. `turns`
   * lets others have theirs.
   */
  start(onChunk: (chunk: Uint8Array) => void, kept?: () => number, turns?: ReadYield): void {
    this.#onChunk = onChunk
    this.#kept = kept
    this.#turns = turns
    const early = this.#early
    this.#early = undefined
    if (early !== undefined) onChunk(early)
  }

  /**
   * Of a callee of `start`, from its call: it gets no more, and `rest` goes to the next one. The
   * socket stops until it is resumed.
   */
  stop(rest: Uint8Array): void {
    this.#onChunk = undefined
    if (rest.byteLength > 0) this.#early = rest
  }

  /** See DirectLink.release. */
  release(view: Uint8Array): void {
    this.#readBuffers.release(view)
  }

  #read(length: number): boolean {
    const chunk = this.#readBuffers.take(length)
    const onChunk = this.#onChunk
    if (onChunk === undefined) {
      this.#early = chunk
      return false
    }
    // where the room was filled there is more, and libuv would read on, up to 32 times, before
    // anybody else has a turn
    const turns = length === this.#room ? this.#turns : undefined
    const began = turns?.now() ?? 0
    onChunk(chunk)
    if (this.#kept !== undefined) this.#readBuffers.settle(chunk, this.#kept())
    if (this.#onChunk !== onChunk) return false
    if (turns === undefined || turns.now() - began < LONG_READ_MS) return true
    setImmediate(this.#more)
    return false
  }

  readonly #more = (): void => {
    if (this.#onChunk !== undefined) this.#turns?.resume()
  }
}
