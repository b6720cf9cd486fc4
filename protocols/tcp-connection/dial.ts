/**
 * Dials literal addresses one after another until one answers ("happy eyeballs", RFC 8305 in
 * short): the next one starts when one has failed or {@link STAGGER_MS} have passed, the first to
 * stand wins and the others are dropped. No name is ever resolved here.
 */
import type { Clock, Timer } from '../../src/runtime/clock.ts'
import { abortError, TrunkError } from '../../src/contracts/errors.ts'
import { connectError } from '../../src/runtime/net-errors.ts'
import type { Connection } from '../tcp/connection.ts'
import type { Attempt, Attempts } from './attempt.ts'
import { systemAttempts } from './system-attempts.ts'

/** RFC 8305, section 8: the recommended delay between two attempts. */
const STAGGER_MS = 250
/**
 * Of several attempts' failures, the one to report: what an answering host said comes before
 * silence.
 */
const TELLING = ['ERR_CONNECT_REFUSED', 'ERR_CONNECT_UNREACHABLE', 'ERR_CONNECT_TIMEOUT']

/** What {@link dial} is given. */
export interface DialOptions {
  /** How the peer called it, for messages. */
  readonly target: string
  /** Aborting it drops every attempt; its reason is the error. */
  readonly signal: AbortSignal
  readonly clock: Clock
  /** How one address is tried. @default by the native addon where there is one, else by Node */
  readonly attempts?: Attempts
}

/**
 * A connection to one of `addresses` (literals, at least one), no-delay and keep-alive set. It is
 * the caller's. Rejects with ERR_CONNECT_REFUSED, ERR_CONNECT_UNREACHABLE, ERR_CONNECT_TIMEOUT … or
 * the signal's reason.
 */
export function dial(addresses: readonly string[], port: number, options: DialOptions): Promise<Connection> {
  return new Promise((resolve, reject) => {
    new Dialling(addresses, port, options, resolve, reject).start()
  })
}

class Dialling {
  readonly #addresses: readonly string[]
  readonly #port: number
  readonly #options: DialOptions
  readonly #resolve: (connection: Connection) => void
  readonly #reject: (error: TrunkError) => void
  readonly #start: Attempts
  readonly #attempts = new Set<Attempt>()
  readonly #failures: TrunkError[] = []
  readonly #onAbort = (): void => {
    this.#finish()
    this.#reject(abortError(this.#options.signal))
  }
  #next = 0
  #stagger: Timer | undefined

  constructor(
    addresses: readonly string[],
    port: number,
    options: DialOptions,
    resolve: (connection: Connection) => void,
    reject: (error: TrunkError) => void,
  ) {
    this.#addresses = addresses
    this.#port = port
    this.#options = options
    this.#start = options.attempts ?? systemAttempts()
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
    const attempt = this.#start(address, this.#port, {
      connected: (connection) => {
        this.#attempts.delete(attempt)
        this.#onConnect(connection)
      },
      failed: (error) => {
        this.#attempts.delete(attempt)
        this.#onFailed(error)
      },
    })
    this.#attempts.add(attempt)
    this.#stagger = this.#options.clock.after(STAGGER_MS, () => {
      this.#attemptNext()
    })
  }

  #onConnect(connection: Connection): void {
    const { local, remote } = connection
    // Dialling a free local port of the ephemeral range can meet itself (simultaneous open). Nobody
    // listens there.
    if (local.port === remote.port && local.address === remote.address) {
      connection.reset()
      this.#onFailed(Object.assign(new Error('self-connection'), { code: 'ECONNREFUSED' }))
      return
    }
    this.#finish()
    this.#resolve(connection)
  }

  #onFailed(error: unknown): void {
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
    this.#stagger?.cancel()
    this.#options.signal.removeEventListener('abort', this.#onAbort)
    for (const attempt of this.#attempts) attempt.drop()
    this.#attempts.clear()
  }
}
