/**
 * What a peer sent before it went is read first, and only then told that writing to it fails. A
 * write meets EPIPE as soon as the peer has closed, while its last bytes, a goodbye that says why
 * among them, wait in the kernel; Node would destroy the socket at once, and those bytes with it.
 *
 * Promises: an error of writing is passed on once, at the end of reading at the latest. Bounds:
 * `waitMs` where that end does not come (a peer that stopped reading alone, or a reader that does
 * not read).
 */
import type { Readable, Writable } from 'node:stream'
import { Socket } from 'node:net'
import type { Clock, Timer } from '../../src/runtime/clock.ts'

/**
 * The peer is gone: nobody will read what was to be written, and what it wrote may still be there.
 */
const GONE: ReadonlySet<string | undefined> = new Set(['EPIPE', 'ECONNRESET'])

/** What an error of writing is passed on by. */
type PassOn = (error: Error) => void

export class RestFirst {
  readonly #readable: Readable
  readonly #clock: Clock
  readonly #waitMs: number
  #passOn: (() => void) | undefined
  #timer: Timer | undefined

  constructor(readable: Readable, clock: Clock, waitMs: number) {
    this.#readable = readable
    this.#clock = clock
    this.#waitMs = waitMs
  }

  /** Passes `error` of writing on, now or later. */
  failed(error: Error, passOn: PassOn): void {
    const readable = this.#readable
    if (!GONE.has((error as NodeJS.ErrnoException).code) || readable.destroyed || readable.readableEnded) {
      passOn(error)
      return
    }
    this.#passOn = () => {
      passOn(error)
    }
    this.#timer = this.#clock.after(this.#waitMs, () => {
      this.settle()
    })
  }

  /**
   * Reading has come to its end: true where an error of writing waited for that, and was passed on.
   */
  settle(): boolean {
    const passOn = this.#passOn
    this.drop()
    passOn?.()
    return passOn !== undefined
  }

  /** Nothing is passed on any more. */
  drop(): void {
    this.#passOn = undefined
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /**
   * Takes the errors of a socket's writes before Node does, which would destroy it. Other streams
   * that are read and written as one are left alone.
   */
  intercept(writable: Writable): void {
    if (!(writable instanceof Socket)) return
    let callback: (error?: Error | null) => void
    const passOn: PassOn = (error) => {
      callback(error)
    }
    // one write is under way at a time, so one function does for all of them
    const written = (error?: Error | null): void => {
      if (error === undefined || error === null) callback()
      else this.failed(error, passOn)
    }
    const write = writable._write.bind(writable)
    const writev = writable._writev?.bind(writable)
    writable._write = (chunk, encoding, onWritten) => {
      callback = onWritten
      write(chunk, encoding, written)
    }
    if (writev === undefined) return
    writable._writev = (chunks, onWritten) => {
      callback = onWritten
      writev(chunks, written)
    }
  }
}
