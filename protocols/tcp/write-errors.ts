/**
 * Errors of a socket's writes before Node hears of them, which would destroy the socket, and with
 * it what the other side had sent and nobody has read.
 */
import type { Socket } from 'node:net'

/**
 * Shows each error of writing to `take` first. True: it is taken, and the write neither succeeds
 * nor fails. False: it is told as ever.
 */
export function interceptWriteErrors(socket: Socket, take: (error: NodeJS.ErrnoException) => boolean): void {
  type Written = (error?: Error | null) => void
  const first =
    (written: Written): Written =>
    (error) => {
      if (error === undefined || error === null) written()
      else if (!take(error)) written(error)
    }
  const write = socket._write.bind(socket)
  const writev = socket._writev?.bind(socket)
  socket._write = (chunk, encoding, written) => {
    write(chunk, encoding, first(written))
  }
  if (writev !== undefined)
    socket._writev = (chunks, written) => {
      writev(chunks, first(written))
    }
}
