/**
 * A client of the proxy on a TCP connection: read here until its request is known, then a
 * connection for the bridge, whose first bytes are those that came behind the request.
 *
 * Holds what one turn of the event loop reads, while nobody asks for it.
 */
import { Uint8ArrayList } from 'uint8arraylist'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Connection, ConnectionReceiver } from '../tcp/connection.ts'
import { BodyMeter } from './body-meter.ts'
import { LEAVE_MS, type Asked, type ProxyClient } from './client.ts'

/** See the top of the file. It owns the connection, which it starts. */
export class ClientConnection implements ProxyClient {
  readonly #connection: Connection
  readonly #clock: Clock
  readonly #gone = new AbortController()
  /** What nobody has asked for: bytes that are ours. */
  #unread: Uint8Array[] = []
  #paused = false
  #ended = false
  #broken = false
  #failed = false
  #failure: unknown
  #closed = false
  /** Wakes whoever waits for something of the connection's. */
  #wake: (() => void) | undefined
  #drained = true
  #leaving: Promise<void> | undefined
  /** The bridge's, once it has been told what came before it. */
  #receiver: ConnectionReceiver | undefined
  #meter: BodyMeter | undefined

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection
    this.#clock = clock
    connection.start(this.#events)
  }

  get gone(): AbortSignal {
    return this.#gone.signal
  }

  async read(): Promise<Uint8Array | undefined> {
    while (this.#unread.length === 0 && !this.#ended && this.#isHere) {
      if (this.#paused) this.#go()
      await this.#event()
    }
    this.#requireHere()
    return this.#unread.shift()
  }

  async send(bytes: Uint8Array): Promise<void> {
    this.#requireHere()
    this.#write(bytes)
    while (!this.#drained && this.#isHere) await this.#event()
    this.#requireHere()
  }

  leave(reply: Uint8Array): Promise<void> {
    this.#leaving ??= this.#leave(reply)
    return this.#leaving
  }

  async #leave(reply: Uint8Array): Promise<void> {
    // nobody reads any more
    this.#wake?.()
    this.#unread = []
    if (this.#isClosed()) return
    const timer = this.#clock.after(LEAVE_MS, () => this.#connection.reset())
    if (reply.byteLength === 0 || this.#gone.signal.aborted || !this.#drained) this.#connection.reset()
    else this.#write(reply)
    while (!this.#drained && !this.#isClosed()) await this.#event()
    if (!this.#isClosed()) {
      this.#connection.end()
      // what the client still says is read, and dropped: its system would be sent a reset
      // otherwise, which may take the reply away
      this.#go()
    }
    while (!this.#isClosed()) await this.#event()
    timer.cancel()
  }

  /**
   * The connection for the bridge: what the client has said behind its request, and says from now
   * on. Nobody may read or send here any more. Bytes behind an HTTP request that is passed on are
   * dropped: they are another request, perhaps for another server.
   */
  joined({ request, rest }: Asked): Connection {
    const { passed } = request
    const meter = passed && new BodyMeter(passed.body)
    this.#meter = meter
    const unread = [rest, ...this.#unread].map((bytes) =>
      meter === undefined ? bytes : bytes.subarray(0, meter.take(bytes)),
    )
    this.#unread = [...(passed === undefined ? [] : [passed.head]), ...unread].filter((bytes) => bytes.byteLength > 0)
    const connection = this.#connection
    return {
      local: connection.local,
      remote: connection.remote,
      get unsent() {
        return connection.unsent
      },
      get unacknowledged() {
        return connection.unacknowledged
      },
      onGone: (callback) => {
        this.gone.addEventListener('abort', callback, { once: true })
      },
      start: (receiver) => {
        queueMicrotask(() => {
          this.#hand(receiver)
        })
      },
      pause: () => {
        this.#paused = true
        connection.pause()
      },
      resume: () => {
        this.#go()
      },
      release: (chunk) => connection.release(chunk),
      abandon: (chunk) => connection.abandon(chunk),
      write: (chunks) => connection.write(chunks),
      end: () => connection.end(),
      reset: () => connection.reset(),
    }
  }

  /** Tells the bridge what came before it, and from now on what comes. */
  #hand(receiver: ConnectionReceiver): void {
    this.#receiver = receiver
    const wasPaused = this.#paused
    this.#paused = false
    for (const bytes of this.#unread.splice(0)) receiver.data(bytes)
    if (this.#meter?.malformed === true) this.#cut(receiver)
    if (this.#ended) receiver.end()
    if (this.#broken) receiver.broken()
    if (this.#failed) receiver.failed(this.#failure)
    if (this.#closed) receiver.closed()
    // it may have asked for a pause meanwhile
    else if (wasPaused && !this.#isPaused()) this.#go()
  }

  #isClosed(): boolean {
    return this.#closed
  }

  #isPaused(): boolean {
    return this.#paused
  }

  /** A body that is none: where it ends nobody knows. */
  #cut(receiver: ConnectionReceiver): void {
    receiver.failed(new TrunkError('ERR_MESSAGE_INVALID', 'the chunks of a body are none'))
    this.#connection.reset()
  }

  #write(bytes: Uint8Array): void {
    if (bytes.byteLength > 0) this.#drained = this.#connection.write(new Uint8ArrayList(bytes))
  }

  #event(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #go(): void {
    this.#paused = false
    this.#connection.resume()
  }

  get #isHere(): boolean {
    return !this.#gone.signal.aborted && this.#leaving === undefined
  }

  #requireHere(): void {
    if (!this.#isHere) throw new TrunkError('ERR_ABORTED', 'the client of the proxy has left', { cause: this.#failure })
  }

  readonly #events: ConnectionReceiver = {
    data: (chunk) => {
      const receiver = this.#receiver
      if (receiver === undefined) {
        if (this.#leaving === undefined) {
          this.#unread.push(chunk.slice())
          if (!this.#paused) {
            this.#paused = true
            this.#connection.pause()
          }
        }
        this.#connection.release(chunk)
        this.#wake?.()
        return
      }
      const meter = this.#meter
      const count = meter === undefined ? chunk.byteLength : meter.take(chunk)
      if (count > 0) receiver.data(count === chunk.byteLength ? chunk : chunk.subarray(0, count))
      else this.#connection.release(chunk)
      if (meter?.malformed === true) this.#cut(receiver)
    },
    end: () => {
      this.#ended = true
      this.#receiver?.end()
      this.#wake?.()
    },
    drained: () => {
      this.#drained = true
      this.#receiver?.drained()
      this.#wake?.()
    },
    broken: () => {
      this.#broken = true
      this.#receiver?.broken()
    },
    failed: (error) => {
      this.#failed = true
      this.#failure = error
      this.#receiver?.failed(error)
      this.#left()
    },
    closed: () => {
      this.#closed = true
      this.#drained = true
      this.#receiver?.closed()
      this.#left()
    },
  }

  #left(): void {
    this.#gone.abort(new TrunkError('ERR_ABORTED', 'the client of the proxy has left'))
    this.#wake?.()
  }
}
