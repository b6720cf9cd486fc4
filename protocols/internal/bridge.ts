/**
 * Joins a pipe and a TCP socket until both directions are over: an end crosses as an end (half-close), a reset as a reset, in
 * both directions, and each side waits for the other (back-pressure).
 *
 * Promises: when it settles the socket is closed and no listener is left on either. Assumes that it alone uses both from now on;
 * what the socket has buffered before is forwarded. Holds at most {@link MAX_IN_FLIGHT_BYTES} plus one chunk in each direction.
 */
import type { Socket } from 'node:net'
import type { Uint8ArrayList } from 'uint8arraylist'
import { abortError, toTrunkError, TrunkError } from '../../src/errors.ts'
import type { Pipe } from '../../src/types.ts'
import { hiddenReset } from './hidden-reset.ts'
import { resetSocket } from './reset-socket.ts'

/** Bytes read from the socket that the pipe has not taken: two of libuv's reads, so that one is written while the next arrives. */
const MAX_IN_FLIGHT_BYTES = 128 * 1024

/**
 * Forwards both ways, from what the socket has buffered already to the end of both directions. Resolves when both have ended and the socket is
 * closed; rejects with a `TrunkError` when either was reset (the pipe's error, or ERR_CONNECTION_RESET for the socket's), having reset the other. Nobody
 * else may read or write the two from the call on.
 * @param socket a TCP connection, connected; `allowHalfOpen` is set here, so give it to the server or the dial where an end may come before
 * @param options.signal aborting it resets both, and rejects with its reason
 */
export async function bridge(pipe: Pipe, socket: Socket, options: { signal?: AbortSignal } = {}): Promise<void> {
  await new Bridge(pipe, socket).run(options.signal)
}

class Bridge {
  readonly #pipe: Pipe
  readonly #socket: Socket
  #failure: TrunkError | undefined
  #inFlight = 0
  /** What was read in this turn of the event loop; see {@link afterReads}. */
  #arrived: Buffer[] = []
  /** The pipe's reader has gone: what the socket still sends is dropped, as the peer asked. */
  #dropping = false
  readonly #closed: Promise<undefined>

  constructor(pipe: Pipe, socket: Socket) {
    this.#pipe = pipe
    this.#socket = socket
    this.#closed = new Promise((resolve) => {
      if (socket.closed) resolve(undefined)
      else
        socket.once('close', () => {
          resolve(undefined)
        })
    })
  }

  async run(signal: AbortSignal | undefined): Promise<void> {
    const pipe = this.#pipe
    const socket = this.#socket
    const onPipe = (): void => {
      this.#fail(abortError(pipe.signal))
    }
    const onSignal = (): void => {
      if (signal !== undefined) this.#fail(abortError(signal))
    }
    // This one stays: an error that comes after the end must not end the process.
    socket.on('error', (error) => {
      this.#fail(resetError(error))
    })
    socket.once('close', () => {
      this.#onClose()
    })
    socket.allowHalfOpen = true
    pipe.signal.addEventListener('abort', onPipe, { once: true })
    signal?.addEventListener('abort', onSignal, { once: true })
    try {
      if (pipe.signal.aborted) onPipe()
      else if (signal?.aborted === true) onSignal()
      else if (socket.destroyed) this.#onClose()
      const [up, down] = [this.#socketToPipe(), this.#pipeToSocket()]
      await Promise.all([up, down, this.#closed])
    } finally {
      pipe.signal.removeEventListener('abort', onPipe)
      signal?.removeEventListener('abort', onSignal)
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  /** The first failure is the one that counts; it resets both sides, which ends every wait below. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = toTrunkError(error, 'ERR_HANDLER_FAILED', 'forwarding failed')
    this.#pipe.abort(this.#failure)
    resetSocket(this.#socket)
  }

  #onClose(): void {
    const { readableEnded, writableFinished, errored } = this.#socket
    if (this.#dropping || (readableEnded && writableFinished)) return
    this.#fail(resetError(errored))
  }

  async #socketToPipe(): Promise<void> {
    const socket = this.#socket
    const onData = (chunk: Buffer): void => {
      this.#forward(chunk)
    }
    socket.on('data', onData)
    let onEnd = (): void => undefined
    const ended = new Promise<string | undefined>((resolve) => {
      // Asked while the event is being told: right after it, a socket that has ended both ways is closed.
      onEnd = () => {
        resolve(hiddenReset(socket))
      }
      if (socket.readableEnded) onEnd()
      else socket.once('end', onEnd)
    })
    socket.resume()
    const code = await Promise.race([ended, this.#closed])
    socket.off('data', onData)
    socket.off('end', onEnd)
    if (code !== undefined) this.#fail(resetError(code))
    this.#deliver()
    if (this.#failure !== undefined || this.#dropping) return
    await this.#pipe.closeWrite().catch((error: unknown) => {
      this.#onWriteFailed(error)
    })
  }

  #forward(chunk: Buffer): void {
    if (this.#dropping || this.#failure !== undefined) return
    this.#inFlight += chunk.length
    if (this.#inFlight >= MAX_IN_FLIGHT_BYTES) this.#socket.pause()
    if (this.#arrived.push(chunk) > 1) return
    afterReads(() => {
      this.#deliver()
    })
  }

  /** Hands what has arrived to the pipe. */
  #deliver(): void {
    const chunks = this.#arrived
    if (chunks.length === 0) return
    this.#arrived = []
    for (const chunk of chunks) this.#write(chunk)
  }

  #write(chunk: Buffer): void {
    if (this.#dropping || this.#failure !== undefined) return
    this.#pipe.write(chunk).then(
      () => {
        this.#inFlight -= chunk.length
        if (this.#inFlight < MAX_IN_FLIGHT_BYTES && this.#socket.isPaused()) this.#socket.resume()
      },
      (error: unknown) => {
        this.#onWriteFailed(error)
      },
    )
  }

  /** The peer stopped reading: no failure. It may go on writing, so the socket stays until that ends. */
  #onWriteFailed(error: unknown): void {
    if (!(error instanceof TrunkError) || error.code !== 'ERR_PIPE_STOPPED') {
      this.#fail(error)
      return
    }
    this.#dropping = true
    this.#socket.resume()
    if (this.#socket.writableFinished) resetSocket(this.#socket)
  }

  async #pipeToSocket(): Promise<void> {
    const socket = this.#socket
    try {
      // lent: nothing more is asked for before the kernel has what came
      for await (const chunks of this.#pipe.lent) {
        if (socket.destroyed) return
        writeAll(socket, chunks)
        if (socket.writableLength > 0) await this.#flushed()
      }
    } catch (error) {
      this.#fail(error)
      return
    }
    await this.#flushed()
    if (socket.destroyed) return
    socket.end()
    await this.#finished()
    // Nobody listens to the socket's answer any more, so it is cut rather than left to send for ever.
    if (this.#dropping) resetSocket(socket)
  }

  /** Everything written is in the kernel. Ending earlier would leave a shutdown pending, which can't be reset. */
  #flushed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) resolve()
      // The callback's error is also the socket's 'error' event, where it is handled.
      else
        this.#socket.write('', () => {
          resolve()
        })
    })
  }

  async #finished(): Promise<void> {
    const finished = new Promise<void>((resolve) => {
      if (this.#socket.writableFinished) resolve()
      else
        this.#socket.once('finish', () => {
          resolve()
        })
    })
    await Promise.race([finished, this.#closed])
  }
}

let deliveries: (() => void)[] = []

/**
 * Calls `deliver` after the sockets that are readable in this turn of the event loop have been read. Between two of them Node runs what is due, so
 * that each chunk would go to the line alone, by a system call of its own: with many connections that is most of what a forward costs. Nobody waits longer
 * for it, since until then this process does nothing but read. Throws nothing.
 */
function afterReads(deliver: () => void): void {
  if (deliveries.push(deliver) > 1) return
  setImmediate(() => {
    const due = deliveries
    deliveries = []
    for (const each of due) each()
  })
}

/** One writev for all chunks. */
function writeAll(socket: Socket, chunks: Uint8ArrayList): void {
  socket.cork()
  for (const chunk of chunks) socket.write(chunk)
  socket.uncork()
}

function resetError(cause: unknown): TrunkError {
  return new TrunkError('ERR_CONNECTION_RESET', 'the TCP connection was cut', { cause })
}
