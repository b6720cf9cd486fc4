/**
 * Writing to a descriptor, whatever it is: a file, a block device, a FIFO, a socket, a terminal,
 * another character device. `write` resolves when the bytes have left. No call blocks the event
 * loop, so the session stays alive whoever does not read.
 */
import { close, write, writev } from 'node:fs'
import type { Writable } from 'node:stream'
import { TrunkError, type Clock } from '../../index.ts'
import { pause } from '../../runtime/clock.ts'
import { errnoOf } from '../../runtime/system-errors.ts'
import { polledOutput } from './polled.ts'

/** Before a device without blocking is asked again. */
const AGAIN_MS = 20

/** One write after the other. */
export class DescriptorOutput {
  readonly #fd: number
  readonly #clock: Clock
  readonly #how: 'any' | 'pool'
  #stream: Writable | undefined
  #isWriting = false
  #put: ((chunks: readonly Uint8Array[]) => Promise<void>) | undefined

  /** @param how `pool`: by no stream of Node's, whatever the descriptor is */
  constructor(fd: number, clock: Clock, how: 'any' | 'pool') {
    this.#fd = fd
    this.#clock = clock
    this.#how = how
  }

  /** Not before the last one has resolved. Rejects with the system's error. */
  async write(chunks: readonly Uint8Array[]): Promise<void> {
    this.#put ??= this.#start()
    this.#isWriting = true
    try {
      await this.#put(chunks.filter(({ byteLength }) => byteLength > 0))
    } finally {
      this.#isWriting = false
    }
  }

  /**
   * Closes the descriptor; not under a write that was left: the number may be another file's by
   * then.
   */
  close(): void {
    if (this.#stream !== undefined) this.#stream.destroy()
    else if (!this.#isWriting) close(this.#fd, () => undefined)
  }

  #start(): (chunks: readonly Uint8Array[]) => Promise<void> {
    this.#stream = this.#how === 'pool' ? undefined : polledOutput(this.#fd)
    return this.#stream === undefined ? (chunks) => this.#toPool(chunks) : intoStream(this.#stream)
  }

  async #toPool(chunks: readonly Uint8Array[]): Promise<void> {
    let rest = chunks
    while (rest.length > 0) {
      try {
        rest = behind(rest, await writeOnce(this.#fd, rest))
      } catch (error) {
        if (errnoOf(error) !== 'EAGAIN') throw error
        await pause(this.#clock, AGAIN_MS, NEVER)
      }
    }
  }
}

const NEVER = new AbortController().signal

function intoStream(stream: Writable): (chunks: readonly Uint8Array[]) => Promise<void> {
  // What fails is reported to the write it happened in; without a listener it would end the process
  // as well.
  stream.on('error', () => undefined)
  const put = (chunk: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      stream.write(chunk, (error) => {
        if (error) reject(error)
        else resolve()
      })
    })
  return async (chunks) => {
    for (const chunk of chunks) await put(chunk)
  }
}

/** What is left of `chunks` behind their first `bytes`. */
function behind(chunks: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  // The kernel never says this of a write that had bytes; whatever it would mean, trying for ever
  // is no answer.
  if (bytes === 0) throw new TrunkError('ERR_IO', 'it takes no bytes')
  let left = bytes
  for (const [i, chunk] of chunks.entries()) {
    if (left < chunk.byteLength) return [chunk.subarray(left), ...chunks.slice(i + 1)]
    left -= chunk.byteLength
  }
  return []
}

/** Most pieces that one call of the kernel takes. */
const MAX_PIECES = 1024

function writeOnce(fd: number, chunks: readonly Uint8Array[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, bytes: number): void => {
      if (error) reject(error)
      else resolve(bytes)
    }
    const [first] = chunks
    if (chunks.length === 1 && first !== undefined) write(fd, first, 0, first.byteLength, null, done)
    else writev(fd, chunks.slice(0, MAX_PIECES), done)
  })
}
