/**
 * A character device as a Node `Duplex`, read into read buffers.
 *
 * Promises: every byte once and in order, however little of it a write takes; no thread is held and
 * nothing spins. Where the device says that nobody is at its other end (a virtio port whose host
 * has left: reads give 0 at once, again and again, and its hang-up does not go away), or that it is
 * ready and is not, it is not watched but looked at again after a short while: so the line goes on
 * when the host is back, and what is to be written waits. Never ends by itself: it fails where the
 * device is gone. `end` lets what was written leave and then ends both sides. Bounds: one read
 * buffer (1 MiB at most) that was read and not taken, and what is being written.
 */
import { Duplex } from 'node:stream'
import { Doubling } from '../../src/runtime/backoff.ts'
import type { Clock, Timer } from '../../src/runtime/clock.ts'
import { READABLE, WRITABLE } from '../../src/native/load.ts'
import { ReadBuffers } from '../internal/pooled-reader.ts'
import { deviceFailure, deviceLost } from './device-errors.ts'

/** An open device that never blocks. */
export interface Device {
  /**
   * Reads what is there: how many bytes, 0 where nobody is at the other end, undefined where
   * nothing has arrived. Throws the system's error.
   */
  read(into: Uint8Array): number | undefined
  /**
   * Writes what it takes now of `chunks`, in order; gives how many bytes that were. Throws the
   * system's error.
   */
  write(chunks: readonly Uint8Array[]): number
  /**
   * Replaces what the device is watched for: {@link READABLE}, {@link WRITABLE}, both, or 0.
   * Nothing at first.
   */
  want(events: number): void
  /**
   * Ends the watching and frees the device. `drop`: what was written and has not left is thrown
   * away.
   */
  close(drop: boolean): Promise<void>
}

/** Told again and again what a device is ready for, or once why it can no longer be watched. */
export type Ready = (error: Error | undefined, events: number) => void

/**
 * How soon a device is looked at again at first, and at last: a host that comes back is noticed
 * within a quarter of a second.
 */
const FIRST_LOOK_MS = 50
const LAST_LOOK_MS = 250

/** What came of trying: bytes went, nobody is there, or neither. */
type Outcome = 'moved' | 'nobody' | 'nothing'

export class DeviceDuplex extends Duplex {
  readonly #device: Device
  readonly #clock: Clock
  readonly #readBuffers = new ReadBuffers()
  #reading = false
  /** What has not been taken of the chunks that are being written. */
  #unwritten: readonly Uint8Array[] = []
  #onWritten: ((error?: Error) => void) | undefined
  #watched = 0
  #look: Timer | undefined
  readonly #lookWaits = new Doubling(FIRST_LOOK_MS, LAST_LOOK_MS)

  /**
   * @param open is given what to call when the device is ready; the device is this duplex's from
   * then on
   */
  constructor(open: (ready: Ready) => Device, clock: Clock) {
    super()
    this.#clock = clock
    this.#device = open((error, events) => this.#ready(error, events))
  }

  override _read(): void {
    if (this.#reading) return
    this.#reading = true
    this.#watch()
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: (error?: Error) => void): void {
    this.#begin([chunk], callback)
  }

  override _writev(items: { chunk: Uint8Array }[], callback: (error?: Error) => void): void {
    this.#begin(
      items.map(({ chunk }) => chunk),
      callback,
    )
  }

  override _final(callback: () => void): void {
    callback()
    this.push(null)
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#look?.cancel()
    this.#device.close(!this.writableFinished).then(
      () => callback(error),
      (failure: unknown) => callback(error ?? deviceFailure(failure)),
    )
  }

  #begin(chunks: readonly Uint8Array[], callback: (error?: Error) => void): void {
    this.#unwritten = chunks
    this.#onWritten = callback
    // while nobody is there the next look writes
    if (this.#look !== undefined) return
    if (this.#try(WRITABLE) !== undefined) this.#watch()
  }

  #ready(error: Error | undefined, events: number): void {
    if (this.destroyed) return
    if (error !== undefined) {
      this.destroy(deviceLost(error))
      return
    }
    // of two events at once the first may have changed what is wanted
    const due = events & this.#wanted
    if (due === 0) return
    const outcome = this.#try(due)
    if (outcome === 'moved') this.#watch()
    // ready, and yet nothing can be done: it would be said again at once
    else if (outcome !== undefined) this.#lookLater()
  }

  /** Reads, writes or both; undefined where that has ended the device. */
  #try(events: number): Outcome | undefined {
    const writes = (events & WRITABLE) !== 0
    let taken = 0
    let read: number | undefined
    try {
      if (writes) taken = this.#device.write(this.#unwritten)
      if ((events & READABLE) !== 0) read = this.#device.read(this.#readBuffers.room())
    } catch (error) {
      this.destroy(deviceFailure(error))
      return undefined
    }
    // Out of the `try`: what these call is not ours, and its errors are not the device's.
    let moved = writes && this.#leave(taken)
    if (read !== undefined && read > 0) {
      moved = true
      this.#give(this.#readBuffers.take(read))
    }
    if (this.destroyed) return undefined
    if (!moved) return read === 0 ? 'nobody' : 'nothing'
    this.#lookWaits.reset()
    return 'moved'
  }

  #give(chunk: Uint8Array): void {
    if (!this.destroyed && !this.push(chunk)) this.#reading = false
  }

  /**
   * The first `taken` bytes of what is being written have left; true where that were some, or all.
   */
  #leave(taken: number): boolean {
    this.#unwritten = without(this.#unwritten, taken)
    if (this.#unwritten.length > 0) return taken > 0
    const onWritten = this.#onWritten
    this.#onWritten = undefined
    onWritten?.()
    return true
  }

  get #wanted(): number {
    return (this.#reading ? READABLE : 0) | (this.#onWritten === undefined ? 0 : WRITABLE)
  }

  #watch(): void {
    if (this.#look !== undefined || this.destroyed || this.#watched === this.#wanted) return
    this.#watched = this.#wanted
    this.#device.want(this.#watched)
  }

  #lookLater(): void {
    this.#watched = 0
    this.#device.want(0)
    // the line stands, though nothing of it is open in the event loop's eyes
    this.#look = this.#clock.after(this.#lookWaits.next(), () => this.#lookNow(), true)
  }

  #lookNow(): void {
    this.#look = undefined
    const outcome = this.#try(this.#wanted)
    if (outcome === 'nobody') this.#lookLater()
    else if (outcome !== undefined) this.#watch()
  }
}

/** What is left of `chunks` when their first `taken` bytes are gone. */
function without(chunks: readonly Uint8Array[], taken: number): readonly Uint8Array[] {
  let left = taken
  for (const [index, chunk] of chunks.entries()) {
    if (chunk.byteLength > left) return [chunk.subarray(left), ...chunks.slice(index + 1)]
    left -= chunk.byteLength
  }
  return []
}
