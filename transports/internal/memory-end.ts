/**
 * One end of an in-process line, as a Node `Duplex`: bytes are copied into a ring that the pair
 * shares and out of it again.
 *
 * Promises: what a kernel's socket pair does. A write has left when the ring has it, and waits when
 * the ring is full; chunks that come out are never written to again; half-close; a destroyed end is
 * seen as ECONNRESET or, by who goes on writing, EPIPE. Delivery is always a turn of the event loop
 * later, never inside the other end's call. Bounds: the ring's size per direction.
 */
import { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers'
import { RingBuffer } from './ring-buffer.ts'

type Callback = (error?: Error | null) => void

/** Makes the two ends. */
export function memoryEnds(bufferBytes: number): [Duplex, Duplex] {
  const [a, b] = [new MemoryEnd(bufferBytes), new MemoryEnd(bufferBytes)]
  a.joinTo(b)
  b.joinTo(a)
  return [a, b]
}

/** As the kernel says it, so that one table of errors serves every transport. */
function systemError(code: 'ECONNRESET' | 'EPIPE'): Error {
  return Object.assign(new Error(`${code} on an in-process line`), { code })
}

class MemoryEnd extends Duplex {
  /** Bytes on their way to this end. */
  readonly #inbox: RingBuffer
  #other: MemoryEnd | undefined
  #wanted = false
  #scheduled = false
  /** What of the current write did not fit into the other's ring yet. */
  #waiting: Uint8Array[] = []
  #written: Callback | undefined
  #otherFinished = false
  #otherGone = false

  constructor(bufferBytes: number) {
    super({ allowHalfOpen: true, readableHighWaterMark: 1 })
    this.#inbox = new RingBuffer(bufferBytes)
  }

  joinTo(other: MemoryEnd): void {
    this.#other = other
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#begin([chunk], callback)
  }

  override _writev(chunks: { chunk: Buffer }[], callback: Callback): void {
    const parts = chunks.map(({ chunk }) => chunk)
    this.#begin(parts, callback)
  }

  override _final(callback: Callback): void {
    if (this.#other !== undefined) {
      this.#other.#otherFinished = true
      this.#other.#schedule()
    }
    callback()
  }

  override _read(): void {
    this.#wanted = true
    this.#schedule()
  }

  override _destroy(error: Error | null, callback: Callback): void {
    const written = this.#written
    this.#written = undefined
    this.#waiting = []
    const other = this.#other
    this.#other = undefined
    if (other !== undefined) {
      other.#otherGone = true
      other.#schedule()
    }
    written?.(error ?? systemError('ECONNRESET'))
    callback(error)
  }

  #begin(chunks: Uint8Array[], callback: Callback): void {
    if (this.#otherGone || this.#other === undefined) {
      callback(systemError('EPIPE'))
      return
    }
    this.#waiting = chunks
    this.#written = callback
    this.#fill()
  }

  /** Moves as much as fits into the other's ring; calls back when all of it is there. */
  #fill(): void {
    const other = this.#other
    if (other === undefined || this.#written === undefined) return
    for (let chunk = this.#waiting.shift(); chunk !== undefined; chunk = this.#waiting.shift()) {
      const taken = other.#inbox.put(chunk)
      if (taken < chunk.byteLength) {
        this.#waiting.unshift(chunk.subarray(taken))
        break
      }
    }
    other.#schedule()
    if (this.#waiting.length > 0) return
    const written = this.#written
    this.#written = undefined
    written()
  }

  /**
   * One delivery per turn: a peer in the same process may not be called from inside its own call.
   */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    nextTurn(() => {
      this.#scheduled = false
      this.#deliver()
    })
  }

  #deliver(): void {
    if (this.destroyed) return
    // As with TCP: a reset drops what was not read, and so does writing to an end that is gone.
    if (this.#otherGone && (!this.#otherFinished || this.#written !== undefined)) {
      this.destroy(systemError(this.#otherFinished ? 'EPIPE' : 'ECONNRESET'))
      return
    }
    if (!this.#wanted) return
    if (this.#inbox.length > 0) {
      this.#wanted = false
      this.push(this.#inbox.takeAll())
      if (this.#other !== undefined) this.#other.#fill()
    } else if (this.#otherFinished) {
      this.push(null)
    }
  }
}
