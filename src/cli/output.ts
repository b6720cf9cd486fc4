/**
 * Standard output with back-pressure: `write` resolves when the bytes have left, so a slow reader of our output is felt by
 * the peer and not by memory. It never blocks the event loop on a full pipe, so the session below stays alive.
 * A reader that has gone away (EPIPE) is a quiet end.
 */
import { fstatSync, write as writeFile } from 'node:fs'
import type { Bytes } from '../types.ts'
import { outputClosed } from './failure.ts'

/** Where a command's results go. */
export interface Output {
  readonly isTerminal: boolean
  /** Columns of the terminal; 80 where it is none. */
  readonly columns: number
  /** Resolves when what was given has left. */
  write(data: string | Bytes): Promise<void>
  /** `write` of `text` and a line end. */
  line(text: string): Promise<void>
}

function isRegularFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile()
  } catch {
    return false // a descriptor that cannot be examined is written to by Node's own stream, which reports what is wrong
  }
}

/** Node writes to a regular file synchronously, which would stop the session for the time of the write. */
function fileWriter(fd: number): (chunk: Uint8Array) => Promise<void> {
  const once = (chunk: Uint8Array): Promise<number> =>
    new Promise((resolve, reject) => {
      writeFile(fd, chunk, 0, chunk.byteLength, null, (error, written) => {
        if (error) reject(error)
        else resolve(written)
      })
    })
  return async (chunk) => {
    for (let rest = chunk; rest.byteLength > 0;) rest = rest.subarray(await once(rest))
  }
}

function streamWriter(stream: NodeJS.WriteStream): (chunk: Uint8Array) => Promise<void> {
  // What fails is reported to the write it happened in; without a listener it would end the process as well.
  stream.on('error', () => undefined)
  return (chunk) =>
    new Promise((resolve, reject) => {
      stream.write(chunk, (error) => {
        if (error) reject(error)
        else resolve()
      })
    })
}

/** The process's standard output. */
export function standardOutput(stream: NodeJS.WriteStream & { fd?: number }): Output {
  const fd = stream.fd
  let put: ((chunk: Uint8Array) => Promise<void>) | undefined
  const write = async (data: string | Bytes): Promise<void> => {
    put ??= fd !== undefined && isRegularFile(fd) ? fileWriter(fd) : streamWriter(stream)
    const chunks = typeof data === 'string' ? [Buffer.from(data)] : data instanceof Uint8Array ? [data] : data
    try {
      for (const chunk of chunks) await put(chunk)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED') throw outputClosed(error)
      throw error
    }
  }
  return {
    isTerminal: stream.isTTY,
    get columns() {
      return stream.isTTY ? stream.columns : 80
    },
    write,
    line: (text) => write(`${text}\n`),
  }
}
