/**
 * Joins a pipe and a TCP connection until both directions are over: an end crosses as an end (half-close), a reset as a reset, in
 * both directions, and each side waits for the other (back-pressure).
 *
 * Promises: when it settles the connection is closed and no listener is left on either. Assumes that it alone uses both from now on.
 * Holds at most {@link MAX_IN_FLIGHT_BYTES} plus one chunk in each direction.
 */
import type { Socket } from 'node:net'
import { abortError, toTrunkError, TrunkError } from '../../src/errors.ts'
import { onAbort } from '../../src/on-abort.ts'
import type { Pipe } from '../../src/types.ts'
import type { Connection, ConnectionReceiver } from './connection.ts'
import { netConnection } from './net-connection.ts'

/** Bytes read from the connection that the pipe has not taken: two reads, so that one is written while the next arrives. */
const MAX_IN_FLIGHT_BYTES = 128 * 1024

/**
 * Forwards both ways, from what the socket has buffered already to the end of both directions. Resolves when both have ended and the socket is
 * closed; rejects with a `TrunkError` when either was reset (the pipe's error, or ERR_CONNECTION_RESET for the socket's), having reset the other. Nobody
 * else may read or write the two from the call on.
 * @param socket a TCP connection, connected; `allowHalfOpen` is set here, so give it to the server or the dial where an end may come before
 * @param options.signal aborting it resets both, and rejects with its reason
 */
export async function bridge(pipe: Pipe, socket: Socket, options: { signal?: AbortSignal } = {}): Promise<void> {
  const { signal } = options
  const joined = join(pipe, netConnection(socket))
  const letGo = signal && onAbort(signal, () => joined.fail(abortError(signal)))
  try {
    await joined.over
  } finally {
    letGo?.()
  }
}

/** A pipe and a connection that are being joined. */
export interface Joined {
  /** Settles as {@link bridge} does. */
  readonly over: Promise<void>
  /** Resets both; `over` rejects with the error. */
  fail(error: unknown): void
}

/** {@link bridge} for any connection: starts at once. */
export function join(pipe: Pipe, connection: Connection): Joined {
  return new Bridge(pipe, connection)
}

class Bridge implements Joined, ConnectionReceiver {
  readonly over: Promise<void>
  readonly #pipe: Pipe
  readonly #connection: Connection
  #settle!: (failure: TrunkError | undefined) => void
  #failure: TrunkError | undefined
  #inFlight = 0
  #paused = false
  /** The pipe's reader has gone: what the connection still sends is dropped, as the peer asked. */
  #dropping = false
  #closed = false
  #settled = false
  /** Our end of the connection was sent. */
  #ended = false
  /** The end of the pipe's writing, on its way to the line. */
  #ending: Promise<void> | undefined
  #wake: (() => void) | undefined
  #watching = false

  constructor(pipe: Pipe, connection: Connection) {
    this.#pipe = pipe
    this.#connection = connection
    this.over = new Promise((resolve, reject) => {
      this.#settle = (failure) => {
        if (failure === undefined) resolve()
        else reject(failure)
      }
    })
    connection.start(this)
    void this.#pipeToConnection()
  }

  /** The first failure is the one that counts; it resets both sides, which ends every wait below. */
  fail(error: unknown): void {
    if (this.#failure !== undefined || this.#settled) return
    this.#failure = toTrunkError(error, 'ERR_HANDLER_FAILED', 'forwarding failed')
    this.#pipe.abort(this.#failure)
    this.#connection.reset()
  }

  // --- from the connection to the pipe -----------------------------------------------------------------------------------

  data(chunk: Uint8Array): void {
    if (this.#dropping || this.#failure !== undefined) {
      this.#connection.release(chunk)
      return
    }
    this.#inFlight += chunk.byteLength
    if (this.#inFlight >= MAX_IN_FLIGHT_BYTES && !this.#paused) {
      this.#paused = true
      this.#connection.pause()
    }
    this.#pipe.write(chunk).then(
      () => {
        this.#taken(chunk)
      },
      (error: unknown) => {
        this.#taken(chunk)
        this.#onWriteFailed(error)
      },
    )
  }

  #taken(chunk: Uint8Array): void {
    this.#inFlight -= chunk.byteLength
    this.#connection.release(chunk)
    if (this.#paused && this.#inFlight < MAX_IN_FLIGHT_BYTES) this.#resume()
  }

  #resume(): void {
    this.#paused = false
    this.#connection.resume()
  }

  end(): void {
    if (this.#failure !== undefined || this.#dropping) return
    this.#ending = this.#pipe.closeWrite().catch((error: unknown) => {
      this.#onWriteFailed(error)
    })
  }

  /** The peer stopped reading: no failure. It may go on writing, so the connection stays until that ends. */
  #onWriteFailed(error: unknown): void {
    if (!(error instanceof TrunkError) || error.code !== 'ERR_PIPE_STOPPED') {
      this.fail(error)
      return
    }
    if (this.#dropping) return
    this.#dropping = true
    if (this.#paused) this.#resume()
    if (this.#ended) this.#connection.reset()
  }

  failed(error: unknown): void {
    this.fail(new TrunkError('ERR_CONNECTION_RESET', 'the TCP connection was cut', { cause: error }))
  }

  closed(): void {
    this.#closed = true
    this.#wake?.()
    void this.#finish()
  }

  async #finish(): Promise<void> {
    await this.#ending
    if (this.#watching) this.#pipe.signal.removeEventListener('abort', this.#onPipe)
    this.#settled = true
    this.#settle(this.#failure)
  }

  // --- from the pipe to the connection -----------------------------------------------------------------------------------

  async #pipeToConnection(): Promise<void> {
    try {
      // lent: nothing more is asked for before the system has what came
      for await (const chunks of this.#pipe.lent) {
        if (this.#isOver) return
        if (!this.#connection.write(chunks)) await this.#drained()
      }
    } catch (error) {
      this.fail(error)
      return
    }
    if (this.#isOver) return
    // from here on nobody asks the pipe, which may still fail
    this.#watch()
    this.#ended = true
    this.#connection.end()
    // Nobody listens to the connection's answer any more, so it is cut rather than left to send for ever.
    if (this.#dropping) this.#connection.reset()
  }

  get #isOver(): boolean {
    return this.#closed || this.#failure !== undefined
  }

  drained(): void {
    this.#wake?.()
  }

  /** Waits for `drained`, or the end of everything. The pipe is not asked meanwhile, so its failure has to be heard of otherwise. */
  #drained(): Promise<void> {
    if (this.#isOver) return Promise.resolve()
    this.#watch()
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  /** Hears of the pipe's failure without asking for what it has. A signal costs 2 µs and most connections never need one. */
  #watch(): void {
    if (this.#watching) return
    this.#watching = true
    const { signal } = this.#pipe
    if (signal.aborted) this.#onPipe()
    else signal.addEventListener('abort', this.#onPipe, { once: true })
  }

  readonly #onPipe = (): void => {
    this.fail(abortError(this.#pipe.signal))
  }
}
