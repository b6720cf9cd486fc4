/**
 * A program's streams over Node's: what reads and writes the pipes that its standard streams are.
 */
import type { Readable, Writable } from 'node:stream'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { ProgramInput, ProgramOutput } from './launch.ts'

/** Node's own name for an error that says nothing but that the other end is gone. */
const GONE: ReadonlySet<string> = new Set(['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END'])

/**
 * What a program writes, out of a stream that nobody else reads. Node resumes the streams of a
 * child that has ended, unless there is a listener: it is there from the start.
 */
export function outputOf(stream: Readable & { unref?: () => unknown }): ProgramOutput {
  let wake: (() => void) | undefined
  let failure: TrunkError | undefined
  let isOver = false
  let discards = false
  const woken = (): void => {
    const waiting = wake
    wake = undefined
    waiting?.()
  }
  const over = (): void => {
    isOver = true
    woken()
  }
  stream.on('readable', () => {
    if (discards) while (stream.read() !== null);
    else woken()
  })
  stream.on('end', over)
  const closed = new Promise<void>((resolve) => {
    stream.on('close', () => {
      over()
      resolve()
    })
  })
  stream.on('error', (error) => {
    failure ??= new TrunkError('ERR_IO', 'the output of the program could not be read', { cause: error })
    over()
  })
  return {
    closed,
    async read() {
      for (;;) {
        if (discards) return undefined
        const chunk = stream.read() as Uint8Array | null
        if (chunk !== null) return chunk
        if (failure !== undefined) throw failure
        if (isOver) return undefined
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
    close() {
      discards = true
      stream.destroy()
      woken()
    },
    discard() {
      discards = true
      while (stream.read() !== null);
      stream.unref?.()
      woken()
    },
  }
}

/** What a program reads, by a stream that nobody else writes. */
export function inputOf(stream: Writable): ProgramInput {
  let isOver = false
  // what fails is told to the write that it happened in
  stream.on('error', () => {
    isOver = true
  })
  return {
    write(chunk) {
      if (isOver || stream.destroyed) return Promise.resolve(false)
      return new Promise((resolve, reject) => {
        stream.write(chunk, (error) => {
          if (!error) resolve(true)
          else if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) resolve(false)
          else reject(new TrunkError('ERR_IO', 'the input of the program could not be written', { cause: error }))
        })
      })
    },
    end() {
      if (!stream.destroyed) stream.end()
    },
    close() {
      isOver = true
      stream.destroy()
    },
  }
}
