/**
 * The `sink` of a link: drains an async iterable into a `Writable`. Promises: one chunk at a time,
 * the next one asked for only when its bytes have left (so a source may reuse its buffer), the
 * writing side ended at the end where the line has ends, the source's `return` called when the line
 * breaks off. Bounds: one chunk; one mebibyte between two turns of the event loop, so that a source
 * which always has more cannot keep the same process from reading.
 */
import type { Writable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers'
import type { TrunkError } from '../../src/contracts/errors.ts'
import { badArgument } from '../../src/contracts/errors.ts'
import type { Bytes } from '../../src/contracts/types.ts'

/** How much may leave before other work gets a turn: a fraction of a millisecond's worth. */
const TURN_BYTES = 1024 * 1024

/**
 * What ends a sink from outside. It is remembered: one that comes between two waits ends the next.
 * Waits go through it one at a time, so no long-lived promise collects reactions.
 */
export class Interruption {
  #error: TrunkError | undefined
  #reject: ((error: TrunkError) => void) | undefined

  /** Ends the current wait, and every later one, with the first `error`. */
  interrupt(error: TrunkError): void {
    this.#error ??= error
    this.#reject?.(this.#error)
  }

  /** Waits for what `begin` starts. */
  wait<T>(begin: (resolve: (value: T) => void, reject: (error: unknown) => void) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#reject = reject
      if (this.#error === undefined) begin(resolve, reject)
      else reject(this.#error)
    })
  }
}

/**
 * Writes all of `source`, then ends `writable` unless `end` is false; resolves when both are done.
 */
export async function sinkInto(
  writable: Writable,
  source: AsyncIterable<Bytes>,
  interruption: Interruption,
  end: boolean = true,
): Promise<void> {
  const iterator = source[Symbol.asyncIterator]()
  let turnBytes = 0
  let whenLeft: (() => void) | undefined
  const onWritten = (): void => {
    if (writable.writableLength === 0) whenLeft?.()
  }
  try {
    for (;;) {
      const result = await interruption.wait<IteratorResult<Bytes>>((resolve, reject) => {
        iterator.next().then(resolve, reject)
      })
      if (result.done === true) break
      turnBytes += result.value.byteLength
      if (!writeOut(writable, result.value, onWritten)) {
        await interruption.wait<undefined>((resolve) => {
          whenLeft = () => {
            resolve(undefined)
          }
        })
        turnBytes = 0
      } else if (turnBytes >= TURN_BYTES) {
        await interruption.wait<undefined>((resolve) => {
          nextTurn(resolve, undefined)
        })
        turnBytes = 0
      }
    }
  } catch (error) {
    // Not awaited: a generator that is waiting itself answers only after that wait. Its own failure
    // changes nothing any more.
    void Promise.resolve()
      .then(() => iterator.return?.())
      .catch(() => undefined)
    throw error
  }
  if (!end) return
  await interruption.wait<undefined>((resolve) => {
    writable.end((error?: unknown) => {
      // Where it fails, the stream's own error or its closing ends the link, and that the wait.
      if (!(error instanceof Error)) resolve(undefined)
    })
  })
}

/**
 * Hands one chunk over; false when some of it has not left yet: `onWritten` is called when it may
 * have.
 */
function writeOut(writable: Writable, chunk: Bytes, onWritten: () => void): boolean {
  if (chunk instanceof Uint8Array) {
    if (chunk.byteLength > 0) writable.write(chunk, onWritten)
  } else if (isList(chunk)) {
    writable.cork()
    for (const part of chunk) if (part.byteLength > 0) writable.write(part, onWritten)
    writable.uncork()
  } else {
    throw badArgument(`a link takes Uint8Array or Uint8ArrayList, not ${typeof chunk}`)
  }
  return writable.writableLength === 0
}

/** By shape: a Uint8ArrayList of another copy of the package is one, too. */
function isList(value: unknown): value is Iterable<Uint8Array> {
  return typeof value === 'object' && value !== null && 'subarray' in value && Symbol.iterator in value
}
