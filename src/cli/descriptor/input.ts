/**
 * The bytes of a descriptor, whatever it is: a file, a block device, a FIFO, a socket, a terminal,
 * another character device.
 */
import { close as closeFile, fstatSync, read } from 'node:fs'
import type { Readable } from 'node:stream'
import { TrunkError } from '../../index.ts'
import { pause } from '../../runtime/clock.ts'
import { onAbort } from '../../runtime/on-abort.ts'
import { asError } from '../context.ts'
import type { Context } from '../context.ts'
import { errnoOf } from '../../runtime/system-errors.ts'
import { about } from '../failure.ts'
import { polledInput, standsForClosed } from './polled.ts'

/** One read: the disk is not asked often. Two of them are under way. */
const CHUNK_BYTES = 1024 * 1024
/** Before a device without blocking is asked again. */
const AGAIN_MS = 20

/** What is read, and how. */
export interface InputOptions {
  readonly fd: number
  /** What errors call it. */
  readonly name: string
  /**
   * Closes `fd` at the end. Standard input stays open where it can: a number that is free would be
   * given to the next file. @default false
   */
  readonly close?: boolean
}

/**
 * Reads a descriptor from where it is to its end. A chunk is good until the next one is asked for.
 * Closing it early, or the user's interrupt, ends it at once, even while a read waits: a generator
 * would first wait for that read.
 */
export function readDescriptor(context: Context, options: InputOptions): AsyncIterableIterator<Uint8Array> {
  const { fd, name, close = false } = options
  const over = new AbortController()
  const unsubscribe = onAbort(context.signal, () => over.abort(asError(context.signal.reason)))
  let source: Source | undefined
  const stop = (): void => {
    if (over.signal.reason !== undefined && !context.signal.aborted) return
    unsubscribe()
    over.abort(new TrunkError('ERR_ABORTED', `${name} is not read any more`))
    if (source !== undefined) source.close()
    else if (close) closeFile(fd, () => undefined)
    source = CLOSED
  }
  return {
    async next() {
      try {
        source ??= open(context, fd, close, over.signal)
        const result = await source.next()
        if (result.done === true) stop()
        return result
      } catch (error) {
        const { aborted } = context.signal
        stop()
        throw aborted ? asError(context.signal.reason) : about(name, error)
      }
    },
    return() {
      stop()
      return Promise.resolve({ done: true, value: undefined })
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

interface Source {
  next(): Promise<IteratorResult<Uint8Array, undefined>>
  /** Once, after `signal` has aborted. */
  close(): void
}

const CLOSED: Source = { next: () => Promise.resolve({ done: true, value: undefined }), close: () => undefined }

function open(context: Context, fd: number, close: boolean, signal: AbortSignal): Source {
  if (fstatSync(fd).isDirectory()) throw new TrunkError('ERR_IS_DIRECTORY', 'it is a directory')
  if (standsForClosed(fd)) throw new TrunkError('ERR_IO', 'is closed, or /dev/null opened for writing as well')
  const stream = polledInput(fd)
  return stream === undefined ? fromPool(context, fd, close, signal) : fromStream(stream, signal)
}

function fromStream(stream: Readable, signal: AbortSignal): Source {
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, undefined>
  // Its iterator is told; where no read waits at the moment, the error would otherwise have nowhere
  // to go and end the process.
  stream.on('error', () => undefined)
  onAbort(signal, () => stream.destroy(asError(signal.reason)))
  return { next: () => chunks.next(), close: () => stream.destroy() }
}

/** Two buffers take turns: one is being sent while the other is being filled. */
function fromPool(context: Context, fd: number, close: boolean, signal: AbortSignal): Source {
  const buffers = [Buffer.allocUnsafeSlow(CHUNK_BYTES), Buffer.allocUnsafeSlow(CHUNK_BYTES)] as const
  let turn: 0 | 1 = 0
  let work: Promise<Uint8Array> = Promise.resolve(buffers[0])
  let reading: Promise<Uint8Array> | undefined
  const ahead = (): Promise<Uint8Array> => {
    work = readInto(context, fd, buffers[turn], signal)
    turn = turn === 0 ? 1 : 0
    const chunk = untilAborted(context, work, signal)
    // It may fail while nobody waits for it yet; whoever asks for the next chunk is told.
    chunk.catch(() => undefined)
    return chunk
  }
  return {
    async next() {
      const chunk = await (reading ?? ahead())
      if (chunk.byteLength === 0) return { done: true, value: undefined }
      reading = ahead()
      return { done: false, value: chunk }
    },
    close() {
      // Not under a read: the number may be another file's by then.
      const over = (): void => closeFile(fd, () => undefined)
      if (close) work.then(over, over)
    },
  }
}

/** The outcome of a read; from the abort on nobody waits for it. */
function untilAborted({ owner }: Context, work: Promise<Uint8Array>, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const unsubscribe = onAbort(signal, () => {
      owner.leave(work)
      reject(asError(signal.reason))
    })
    void work.then(resolve, reject).then(unsubscribe)
  })
}

async function readInto({ clock }: Context, fd: number, buffer: Buffer, signal: AbortSignal): Promise<Uint8Array> {
  for (;;) {
    try {
      return buffer.subarray(0, await readOnce(fd, buffer))
    } catch (error) {
      if (errnoOf(error) !== 'EAGAIN') throw error
      await pause(clock, AGAIN_MS, signal)
    }
  }
}

function readOnce(fd: number, buffer: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, buffer.byteLength, null, (error, bytes) => {
      if (error) reject(error)
      else resolve(bytes)
    })
  })
}
