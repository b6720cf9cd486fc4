/**
 * Dials literal addresses one after another until one answers ("happy eyeballs", RFC 8305 in short): the next one starts when one has
 * failed or {@link STAGGER_MS} have passed, the first to stand wins and the others are dropped. No name is ever resolved here.
 */
import { connect, type Socket } from 'node:net'
import type { Clock, Timer } from '../../src/clock.ts'
import { abortError, TrunkError } from '../../src/errors.ts'
import { connectError } from '../../src/net-errors.ts'
import { resetSocket } from '../internal/reset-socket.ts'

/** RFC 8305, section 8: the recommended delay between two attempts. */
const STAGGER_MS = 250
/** When the kernel first asks an idle connection for a sign of life: a host that vanished must not hold its place for ever. */
const KEEPALIVE_MS = 60_000
/** Of several attempts' failures, the one to report: what an answering host said comes before silence. */
const TELLING = ['ERR_CONNECT_REFUSED', 'ERR_CONNECT_UNREACHABLE', 'ERR_CONNECT_TIMEOUT']

/** What {@link dial} is given. */
export interface DialOptions {
  /** How the peer called it, for messages. */
  readonly target: string
  /** Aborting it drops every attempt; its reason is the error. */
  readonly signal: AbortSignal
  readonly clock: Clock
}

/**
 * A connection to one of `addresses` (literals, at least one), half-open allowed, no-delay set. It is the caller's: nothing listens for its errors but
 * an empty listener. Rejects with ERR_CONNECT_REFUSED, ERR_CONNECT_UNREACHABLE, ERR_CONNECT_TIMEOUT … or the signal's reason.
 */
export function dial(addresses: readonly string[], port: number, options: DialOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    new Dialling(addresses, port, options, resolve, reject).start()
  })
}

class Dialling {
  readonly #addresses: readonly string[]
  readonly #port: number
  readonly #options: DialOptions
  readonly #resolve: (socket: Socket) => void
  readonly #reject: (error: TrunkError) => void
  readonly #attempts = new Set<Socket>()
  readonly #failures: TrunkError[] = []
  readonly #onAbort = (): void => {
    this.#finish()
    this.#reject(abortError(this.#options.signal))
  }
  #next = 0
  #stagger: Timer | undefined
  #settled = false

  constructor(
    addresses: readonly string[],
    port: number,
    options: DialOptions,
    resolve: (socket: Socket) => void,
    reject: (error: TrunkError) => void,
  ) {
    this.#addresses = addresses
    this.#port = port
    this.#options = options
    this.#resolve = resolve
    this.#reject = reject
  }

  start(): void {
    const { signal } = this.#options
    if (signal.aborted) {
      this.#onAbort()
      return
    }
    signal.addEventListener('abort', this.#onAbort, { once: true })
    this.#attemptNext()
  }

  #attemptNext(): void {
    this.#stagger?.cancel()
    const address = this.#addresses[this.#next]
    if (address === undefined) return
    this.#next += 1
    const socket = connect({
      host: address,
      port: this.#port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEPALIVE_MS,
      // A literal has one family; without this Node may take its own timeout of 250 ms to it.
      autoSelectFamily: false,
    })
    this.#attempts.add(socket)
    socket.once('connect', () => {
      this.#onConnect(socket)
    })
    socket.on('error', (error) => {
      this.#onError(socket, error)
    })
    this.#stagger = this.#options.clock.after(STAGGER_MS, () => {
      this.#attemptNext()
    })
  }

  #onConnect(socket: Socket): void {
    if (this.#settled) return
    // Dialling a free local port of the ephemeral range can meet itself (simultaneous open). Nobody listens there.
    if (socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress) {
      this.#onError(socket, Object.assign(new Error('self-connection'), { code: 'ECONNREFUSED' }))
      return
    }
    this.#attempts.delete(socket)
    this.#finish()
    this.#resolve(socket)
  }

  #onError(socket: Socket, error: Error): void {
    if (this.#settled || !this.#attempts.delete(socket)) return
    socket.destroy()
    this.#failures.push(connectError(error, this.#options.target))
    if (this.#next < this.#addresses.length) this.#attemptNext()
    else if (this.#attempts.size === 0) this.#failAll()
  }

  #failAll(): void {
    this.#finish()
    const telling = TELLING.map((code) => this.#failures.find((failure) => failure.code === code))
    const failure = telling.find((found) => found !== undefined) ?? this.#failures[0]
    this.#reject(failure ?? new TrunkError('ERR_CONNECT_UNREACHABLE', `${this.#options.target} has no address`))
  }

  #finish(): void {
    this.#settled = true
    this.#stagger?.cancel()
    this.#options.signal.removeEventListener('abort', this.#onAbort)
    for (const socket of this.#attempts) drop(socket)
    this.#attempts.clear()
  }
}

/**
 * Gives an attempt up. The kernel may have connected it without our having been told yet: closed now, its other end would see a clean end of a
 * connection on which nothing was said. So the loop gets a turn to tell us, and then it is a reset.
 */
function drop(socket: Socket): void {
  socket.once('connect', () => {
    resetSocket(socket)
  })
  setImmediate(() => {
    // the first one may run in the turn that was polled before
    setImmediate(() => {
      socket.destroy()
    })
  })
}
