/**
 * Joins a pipe and a TCP connection until both directions are over: an end crosses as an end
 * (half-close), a reset as a reset, in both directions, each behind what came before it, and each
 * side waits for the other (back-pressure).
 *
 * Promises: when it settles the connection is closed and no listener is left on either. Assumes
 * that it alone uses both from now on, and that the pipe was opened or is served with
 * `readBeforeReset`: else a reset of the pipe may overtake what came before. Holds at most
 * {@link MAX_IN_FLIGHT_BYTES} plus one chunk in each direction. A reset waits for what is before it
 * while somebody takes any of that, and {@link STALL_MS} longer.
 */
import { Doubling } from '../../src/runtime/backoff.ts'
import type { Socket } from 'node:net'
import type { Uint8ArrayList } from 'uint8arraylist'
import { systemClock, type Clock, type Timer } from '../../src/runtime/clock.ts'
import { abortError, toTrunkError, TrunkError } from '../../src/contracts/errors.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import type { Pipe } from '../../src/contracts/types.ts'
import type { Connection, ConnectionReceiver } from './connection.ts'
import { netConnection } from './net-connection.ts'

/**
 * Bytes read from the connection that the pipe has not taken: two reads, so that one is written
 * while the next arrives.
 */
const MAX_IN_FLIGHT_BYTES = 128 * 1024
/**
 * Where nobody takes anything of what goes before a reset for so long, the reset goes without the
 * rest.
 */
const STALL_MS = 30_000
/**
 * When the system is asked again whether the other side has everything: soon, and then twice as
 * late each time, but not later than this.
 */
const FIRST_LOOK_MS = 2
const MAX_LOOK_MS = 200
/** Where no system says what the other side has, a reset waits this long for it. */
const UNTOLD_MS = 250

/**
 * Forwards both ways, from what the socket has buffered already to the end of both directions.
 * Resolves when both have ended and the socket is closed; rejects with a `TrunkError` when either
 * was reset (the pipe's error, or ERR_CONNECTION_RESET for the socket's), having reset the other
 * behind what came before. Nobody else may read or write the two from the call on.
 * @param pipe opened, or served by a protocol, with `readBeforeReset`
 * @param socket a TCP connection, connected; `allowHalfOpen` is set here, so give it to the server
 * or the dial where an end may come before
 * @param options.signal aborting it resets both at once, and rejects with its reason
 *
 * @example
 * ```ts
 * createServer({ allowHalfOpen: true }, (socket) => {
 *   tcpConnect(trunk, { host: '127.0.0.1', port: 5432 })
 *     .then((pipe) => bridge(pipe, socket))
 *     .catch((error) => socket.destroy(error))
 * }).listen(5432, '127.0.0.1')
 * ```
 */
export async function bridge(pipe: Pipe, socket: Socket, options: { signal?: AbortSignal } = {}): Promise<void> {
  const { signal } = options
  const joined = join(pipe, netConnection(socket))
  const unsubscribe = signal && onAbort(signal, () => joined.fail(abortError(signal)))
  try {
    await joined.over
  } finally {
    unsubscribe?.()
  }
}

/** A pipe and a connection that are being joined. */
export interface Joined {
  /** Settles as {@link bridge} does. */
  readonly over: Promise<void>
  /** Resets both at once; `over` rejects with the error. */
  fail(error: unknown): void
}

/** What the bridge uses of a pipe. */
export interface BridgedPipe extends Pick<
  Pipe,
  'signal' | 'write' | 'closeWrite' | 'stopReading' | 'abort' | 'abortWhenWritten'
> {
  /** As {@link Pipe.borrowed}. */
  readonly borrowed: AsyncIterable<Uint8ArrayList>
}

/** {@link bridge} for any connection: starts at once. */
export function join(pipe: BridgedPipe, connection: Connection, clock: Clock = systemClock): Joined {
  return new Bridge(pipe, connection, clock)
}

class Bridge implements Joined, ConnectionReceiver {
  readonly over: Promise<void>
  readonly #pipe: BridgedPipe
  readonly #connection: Connection
  readonly #clock: Clock
  #settle!: (failure: TrunkError | undefined) => void
  #failure: TrunkError | undefined
  #inFlight = 0
  #paused = false
  /** The pipe's reader has gone: what the connection still sends is dropped, as the peer asked. */
  #dropping = false
  /** The connection takes no more. What it has sent may still come. */
  #broken = false
  /** The pipe may have something that is to be written to the connection. */
  #reading = true
  #closed = false
  #settled = false
  /** Our end of the connection was sent. */
  #ended = false
  /** The end of the pipe's writing, or its reset, on its way to the line. */
  #ending: Promise<void> | undefined
  #wake: (() => void) | undefined
  #watching = false
  /** Bytes that the pipe has taken, and that the connection was given. */
  #taken = 0
  #written = 0
  /** A reset waits for what goes before it: how far that was when it last moved, and when. */
  #look: Timer | undefined
  #moved = -1
  #movedAt = 0

  constructor(pipe: BridgedPipe, connection: Connection, clock: Clock) {
    this.#pipe = pipe
    this.#connection = connection
    this.#clock = clock
    this.over = new Promise((resolve, reject) => {
      this.#settle = (failure) => {
        if (failure === undefined) resolve()
        else reject(failure)
      }
    })
    connection.start(this)
    void this.#pipeToConnection()
  }

  /**
   * The first failure is the one that counts; it resets both sides, which ends every wait below.
   */
  fail(error: unknown): void {
    if (this.#settled) return
    this.#failure ??= toTrunkError(error, 'ERR_HANDLER_FAILED', 'forwarding failed')
    this.#pipe.abort(this.#failure)
    this.#connection.reset()
  }

  // --- from the connection to the pipe -----------------------------------------------------------

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
        this.#taken += chunk.byteLength
        this.#connection.release(chunk)
        this.#hasLeft(chunk)
      },
      (error: unknown) => {
        // the line may still look at it: what is read next must not get into a batch that has not
        // left
        this.#connection.abandon(chunk)
        this.#hasLeft(chunk)
        this.#onWriteFailed(error)
      },
    )
  }

  #hasLeft(chunk: Uint8Array): void {
    this.#inFlight -= chunk.byteLength
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

  /**
   * The peer stopped reading: no failure. It may go on writing, so the connection stays until that
   * ends.
   */
  #onWriteFailed(error: unknown): void {
    const stopped = error instanceof TrunkError && error.code === 'ERR_PIPE_STOPPED'
    if (!this.#dropping) this.#drop()
    if (!stopped) {
      // where something may be left to be read, the reader is told when it has that
      if (!this.#reading || this.#closed) this.#pipeFailed(error)
    } else if (this.#ended && this.#failure === undefined) this.#resetBehind()
  }

  /**
   * What the connection still sends goes nowhere, but is read: who waits for its writes would not
   * read the answer.
   */
  #drop(): void {
    this.#dropping = true
    if (this.#paused) this.#resume()
  }

  broken(): void {
    if (this.#failure !== undefined) return
    this.#broken = true
    this.#pipe.stopReading()
    this.#wake?.()
    this.#lookNow()
  }

  failed(error: unknown): void {
    if (this.#failure !== undefined || this.#settled) return
    this.#failure = new TrunkError('ERR_CONNECTION_RESET', 'the TCP connection was cut', { cause: error })
    this.#ending = this.#pipe.abortWhenWritten(this.#failure)
    this.#wake?.()
  }

  closed(): void {
    this.#closed = true
    this.#look?.cancel()
    this.#wake?.()
    void this.#finish()
  }

  async #finish(): Promise<void> {
    await this.#ending
    if (this.#watching) this.#pipe.signal.removeEventListener('abort', this.#onPipe)
    this.#settled = true
    this.#settle(this.#failure)
  }

  // --- from the pipe to the connection -----------------------------------------------------------

  async #pipeToConnection(): Promise<void> {
    try {
      // borrowed: nothing more is asked for before the system has what came
      for await (const chunks of this.#pipe.borrowed) {
        if (this.#isOver) return
        this.#written += chunks.byteLength
        if (!this.#connection.write(chunks)) await this.#drained()
      }
    } catch (error) {
      this.#reading = false
      this.#pipeFailed(error)
      return
    }
    this.#reading = false
    if (this.#isOver) return
    if (!this.#broken) {
      this.#ended = true
      this.#connection.end()
    }
    // from here on nobody asks the pipe, which may still fail
    this.#watch()
    // Nobody listens to the connection's answer any more, so it is cut rather than left to send for
    // ever.
    if (this.#dropping && this.#failure === undefined) this.#resetBehind()
  }

  get #isOver(): boolean {
    return this.#closed || this.#failure !== undefined
  }

  drained(): void {
    this.#wake?.()
  }

  /**
   * Waits for `drained`, or the end of everything. The pipe is not asked meanwhile, so its failure
   * has to be heard of otherwise.
   */
  #drained(): Promise<void> {
    if (this.#isOver || this.#broken) return Promise.resolve()
    this.#watch()
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  /**
   * Hears of the pipe's failure without asking for what it has. A signal costs 2 µs and most
   * connections never need one.
   */
  #watch(): void {
    if (this.#watching) return
    this.#watching = true
    const { signal } = this.#pipe
    if (signal.aborted) this.#onPipe()
    else signal.addEventListener('abort', this.#onPipe, { once: true })
  }

  readonly #onPipe = (): void => {
    // what it had before is still to be written, as long as the connection takes it
    if (this.#reading) this.#lookNow()
    else this.#pipeFailed(abortError(this.#pipe.signal))
  }

  // --- resets that wait for what goes before -----------------------------------------------------

  /** The pipe has failed, and everything that came before was written. */
  #pipeFailed(error: unknown): void {
    if (this.#failure !== undefined || this.#settled) return
    this.#failure = toTrunkError(error, 'ERR_HANDLER_FAILED', 'forwarding failed')
    this.#pipe.abort(this.#failure)
    if (this.#closed) return
    this.#drop()
    this.#resetBehind()
  }

  /** Resets the connection when the other side's system has everything that was written. */
  #resetBehind(): void {
    if (this.#broken) this.#connection.reset()
    else this.#lookNow()
  }

  #lookNow(): void {
    this.#look?.cancel()
    if (!this.#closed) this.#lookAgain(new Doubling(FIRST_LOOK_MS, MAX_LOOK_MS))
  }

  #lookAgain(waits: Doubling): void {
    const { unsent, unacknowledged } = this.#connection
    const now = this.#clock.now()
    const moved = this.#taken + this.#written - unsent - (unacknowledged ?? 0)
    if (moved !== this.#moved) {
      this.#moved = moved
      this.#movedAt = now
    }
    const stoodMs = now - this.#movedAt
    const isLast = !this.#reading && !this.#broken
    const hasAll = unsent === 0 && (unacknowledged === undefined ? stoodMs >= UNTOLD_MS : unacknowledged === 0)
    if (isLast && hasAll) this.#connection.reset()
    else if (stoodMs >= STALL_MS)
      this.fail(new TrunkError('ERR_CONNECTION_RESET', 'what came before a reset is not taken'))
    else this.#look = this.#clock.after(waits.next(), () => this.#lookAgain(waits))
  }
}
