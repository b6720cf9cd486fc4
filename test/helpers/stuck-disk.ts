/**
 * A disk that answers no more: each thread that Node has for files waits at a FIFO without a writer
 * and what comes next waits behind them. Synchronous calls go on.
 */
import { close, closeSync, constants, open, openSync } from 'node:fs'
import { makeFifo } from './raw-command.ts'

/** Node's own, where UV_THREADPOOL_SIZE says nothing else. */
const THREADS = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4)

/** What is asked of the disk from now on waits until the result is called. */
export function stickDisk(): () => void {
  const fifo = makeFifo()
  let waiting = THREADS
  let writer: number | undefined
  const wake = (): void => {
    if (waiting > 0 || writer === undefined) return
    closeSync(writer)
    writer = undefined
  }
  for (let i = 0; i < THREADS; i++) {
    open(fifo, constants.O_RDONLY, (error, fd) => {
      if (error === null) close(fd, () => undefined)
      waiting -= 1
      wake()
    })
  }
  return () => {
    if (waiting > 0) writer ??= openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
  }
}
