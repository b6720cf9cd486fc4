/**
 * One bound port or socket, and the requests that wait for its connections: first come, first
 * served.
 *
 * Promises: a connection is taken from the {@link ConnectionSource} only for a request that waits
 * and a place that is free; a source that fails is asked again after a pause, never in a loop;
 * after `close` the port is free and every waiting request is refused. Assumes that whoever got a
 * connection gives its place back (`slots.release()`) when the connection is over.
 */
import { Doubling } from '../../src/runtime/backoff.ts'
import type { Clock, Timer } from '../../src/runtime/clock.ts'
import { abortError, TrunkError } from '../../src/contracts/errors.ts'
import { ofOneConnection } from '../../src/runtime/net-errors.ts'
import type { Connection, Endpoint } from '../tcp/connection.ts'
import type { Slots } from '../tcp/slots.ts'

/**
 * Where connections come from: the kernel's queue (acceptor-native.ts), or Node's server
 * (acceptor-net.ts).
 */
export interface ConnectionSource {
  readonly local: Endpoint
  /**
   * One connection that has arrived, no byte of it read yet; undefined when there is none. Throws a
   * system error when accepting fails.
   */
  take(): Connection | undefined
  /** From now on `onReady` is told when `take` may give something. Repeating it changes nothing. */
  arm(): void
  /** No longer. */
  disarm(): void
  /** Frees the port; connections that nobody took are cut. */
  close(): void
}

/** Makes a source. Rejects with a system error when it cannot be bound. */
export type OpenSource = (at: Endpoint, backlog: number, onReady: () => void) => Promise<ConnectionSource>

interface Waiting {
  readonly signal: AbortSignal | undefined
  readonly onAbort: () => void
  readonly resolve: (connection: Connection) => void
  readonly reject: (error: TrunkError) => void
}

/**
 * First and longest pause after an error such as EMFILE, which stays until a descriptor is closed
 * somewhere.
 */
const MIN_PAUSE_MS = 100
const MAX_PAUSE_MS = 5_000

/** See the top of the file. */
export class Acceptor {
  readonly #slots: Slots
  readonly #clock: Clock
  readonly #waiting: Waiting[] = []
  readonly #pump = (): void => {
    this.#serve()
  }
  #source: ConnectionSource | undefined
  #pause: Timer | undefined
  readonly #pauses = new Doubling(MIN_PAUSE_MS, MAX_PAUSE_MS)
  #closed = false

  private constructor(slots: Slots, clock: Clock) {
    this.#slots = slots
    this.#clock = clock
  }

  /** Binds. Rejects with the system's error. */
  static async listen(
    at: Endpoint,
    options: { open: OpenSource; backlog: number; slots: Slots; clock: Clock },
  ): Promise<Acceptor> {
    const { open, backlog, slots, clock } = options
    return await Acceptor.over((onReady) => open(at, backlog, onReady), { slots, clock })
  }

  /** One over any source. Rejects as `open` does. */
  static async over(
    open: (onReady: () => void) => Promise<ConnectionSource>,
    { slots, clock }: { slots: Slots; clock: Clock },
  ): Promise<Acceptor> {
    const acceptor = new Acceptor(slots, clock)
    acceptor.#source = await open(acceptor.#pump)
    return acceptor
  }

  /** The real address: the port that the system chose for port 0. */
  get local(): Endpoint {
    return this.#source?.local ?? { address: '', port: 0 }
  }

  /**
   * The next connection, with a place in `slots` taken for it. Rejects with ERR_LISTENER_UNKNOWN
   * once closed, or the signal's reason.
   */
  next(signal?: AbortSignal): Promise<Connection> {
    return new Promise((resolve, reject) => {
      if (this.#closed) reject(closedError())
      else if (signal?.aborted === true) reject(abortError(signal))
      else this.#wait(signal, resolve, reject)
    })
  }

  /** Frees the port and refuses every request that waits. Connections that were given out go on. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#pause?.cancel()
    this.#slots.forget(this.#pump)
    this.#source?.close()
    for (const waiting of this.#waiting.splice(0)) {
      waiting.signal?.removeEventListener('abort', waiting.onAbort)
      waiting.reject(closedError())
    }
  }

  #wait(signal: AbortSignal | undefined, resolve: Waiting['resolve'], reject: Waiting['reject']): void {
    const onAbort = (): void => {
      const index = this.#waiting.indexOf(waiting)
      if (index >= 0) this.#waiting.splice(index, 1)
      if (this.#waiting.length === 0) this.#rest()
      if (signal !== undefined) reject(abortError(signal))
    }
    const waiting: Waiting = { signal, onAbort, resolve, reject }
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#waiting.push(waiting)
    this.#serve()
  }

  /** Gives out what there is; arms the source only while a request waits and a place is free. */
  #serve(): void {
    if (this.#closed || this.#pause !== undefined) return
    while (this.#waiting.length > 0) {
      if (!this.#slots.take()) {
        this.#rest()
        this.#slots.onRelease(this.#pump)
        return
      }
      const connection = this.#take()
      if (connection === undefined) {
        this.#slots.release()
        return
      }
      this.#give(connection)
    }
    this.#rest()
  }

  #take(): Connection | undefined {
    try {
      const connection = this.#source?.take()
      if (connection === undefined) this.#source?.arm()
      else this.#pauses.reset()
      return connection
    } catch (error) {
      if (ofOneConnection(error)) this.#source?.arm()
      else this.#backOff()
      return undefined
    }
  }

  #give(connection: Connection): void {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) {
      // Whoever waited gave up while the connection was being taken: nobody will ever read it.
      connection.reset()
      this.#slots.release()
      return
    }
    waiting.signal?.removeEventListener('abort', waiting.onAbort)
    waiting.resolve(connection)
  }

  #backOff(): void {
    this.#source?.disarm()
    this.#pause = this.#clock.after(this.#pauses.next(), () => {
      this.#pause = undefined
      this.#serve()
    })
  }

  #rest(): void {
    if (!this.#closed) this.#source?.disarm()
  }
}

function closedError(): TrunkError {
  return new TrunkError('ERR_LISTENER_UNKNOWN', 'the listener is closed')
}
