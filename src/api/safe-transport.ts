/**
 * A transport and a listener that keep their contracts, made of those that a program hands in.
 * Promises what `Transport` and `Listener` do: an answer in time and with a code, whatever they
 * throw, give or leave undone, and links that are safe (safe-link.ts). What they give too late is
 * let go of.
 */
import type { Clock } from '../runtime/clock.ts'
import { badArgument, TrunkError } from '../contracts/errors.ts'
import { callInTime, callNow, closeInTime, linkFailure } from './foreign-call.ts'
import { LIMIT_BOUNDS, requireInteger, type Limits } from '../contracts/limits.ts'
import { abortLink, brokenLink, requireMethods, safeLink } from './safe-link.ts'
import type { Link, Listener, Transport, TransportOptions, TransportTraits } from '../contracts/types.ts'

/** The transport of `given`. Throws ERR_BAD_ARGUMENT for what is none. */
export function safeTransport(given: unknown): Transport {
  return callNow(() => new SafeTransport(checked(given)), 'ERR_BAD_ARGUMENT', 'a transport that throws when it is read')
}

function checked(given: unknown): Transport {
  requireMethods('a transport', given, ['connect', 'listen'])
  const transport = given as Transport
  for (const name of ['scheme', 'address'] as const) {
    const text: unknown = transport[name]
    if (typeof text !== 'string') throw badArgument(`a transport has a ${name} that is a string, not ${typeof text}`)
  }
  requireTraits(transport.traits)
  return transport
}

/** Facts about a line, or ERR_BAD_ARGUMENT. */
export function requireTraits(given: unknown): TransportTraits {
  if (typeof given !== 'object' || given === null) throw badArgument(`traits is an object, not ${String(given)}`)
  const { lossless, connected, preferredFrameBytes, maxInFlightBytes } = given as TransportTraits
  for (const [name, value] of Object.entries({ lossless, connected })) {
    if (typeof value !== 'boolean') throw badArgument(`traits.${name} is true or false, not ${String(value)}`)
  }
  requireInteger('traits.preferredFrameBytes', preferredFrameBytes, 64, 2 ** 24 - 1)
  const traits = { lossless, connected, preferredFrameBytes }
  if (maxInFlightBytes === undefined) return traits
  const [least, most] = LIMIT_BOUNDS.maxInFlightBytes
  return { ...traits, maxInFlightBytes: requireInteger('traits.maxInFlightBytes', maxInFlightBytes, least, most) }
}

class SafeTransport implements Transport {
  readonly scheme: string
  readonly address: string
  readonly traits: TransportTraits
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
    this.scheme = transport.scheme
    this.address = transport.address
    this.traits = requireTraits(transport.traits)
  }

  async connect(options: TransportOptions): Promise<Link> {
    const link = await this.#inTime<unknown>('connect', options, (link) => {
      abortLink(link, new TrunkError('ERR_ABORTED', 'nobody waits for the link any more'))
    })
    try {
      return safeLink(link, safety(options))
    } catch (error) {
      throw new TrunkError('ERR_LINK_FAILED', `the transport of ${this.address} gave no link`, { cause: error })
    }
  }

  async listen(options: TransportOptions): Promise<Listener> {
    const listener = await this.#inTime<unknown>('listen', options, (late) => {
      const { clock, limits } = options
      const close = async (): Promise<void> => {
        await (late as Partial<Listener> | undefined)?.close?.()
      }
      // why it could not be closed concerns nobody any more
      void closeInTime(close, { clock, timeoutMs: limits.closeTimeoutMs, what: 'the listener' })
    })
    try {
      return new SafeListener(listener, options)
    } catch (error) {
      throw new TrunkError('ERR_LINK_FAILED', `the transport of ${this.address} gave no listener`, { cause: error })
    }
  }

  #inTime<T>(method: 'connect' | 'listen', options: TransportOptions, late: (value: T) => void): Promise<T> {
    const { address } = this
    const what = method === 'connect' ? `connect to ${address}` : `listen at ${address}`
    const { connectTimeoutMs } = options.limits
    return callInTime<T>({
      call: (signal) => this.#transport[method]({ ...options, signal }) as Promise<T>,
      signal: options.signal,
      clock: options.clock,
      timeoutMs: connectTimeoutMs,
      timedOut: () =>
        new TrunkError('ERR_CONNECT_TIMEOUT', `cannot ${what}: no answer within ${connectTimeoutMs} ms`, {
          scope: 'link',
        }),
      failed: `the transport cannot ${what}`,
      late,
    })
  }
}

function safety({ clock, limits }: TransportOptions): { clock: Clock; closeTimeoutMs: number } {
  return { clock, closeTimeoutMs: limits.closeTimeoutMs }
}

class SafeListener implements Listener {
  readonly address: string
  readonly #listener: Listener
  readonly #clock: Clock
  readonly #limits: Readonly<Limits>
  #closing: Promise<void> | undefined
  #over = false
  /**
   * Ends the wait for the next link. One at a time: no promise that lives long collects reactions.
   */
  #leave: (() => void) | undefined

  constructor(given: unknown, { clock, limits }: TransportOptions) {
    requireMethods('a listener', given, ['close'])
    const listener = given as Listener
    if (typeof (listener as Partial<Listener>)[Symbol.asyncIterator] !== 'function')
      throw badArgument('a listener can be iterated')
    const address: unknown = listener.address
    if (typeof address !== 'string') throw badArgument(`a listener has an address, not ${typeof address}`)
    this.address = address
    this.#listener = listener
    this.#clock = clock
    this.#limits = limits
  }

  /**
   * Ends with the listener, or as soon as it has been closed. What is no link comes as one that
   * fails.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Link, void, undefined> {
    const iterator = callNow(() => this.#listener[Symbol.asyncIterator](), 'ERR_LINK_FAILED', 'listening failed')
    for (;;) {
      const next = await this.#next(iterator)
      if (next === undefined || next.done === true) return
      const options = { clock: this.#clock, closeTimeoutMs: this.#limits.closeTimeoutMs }
      let link: Link
      try {
        link = safeLink(next.value, options)
      } catch (cause) {
        link = brokenLink(new TrunkError('ERR_LINK_FAILED', 'the listener gave what is no link', { cause }))
        // whoever gives nothing but such would keep everybody else waiting
        await new Promise((resolve) => setImmediate(resolve))
      }
      yield link
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const timeoutMs = this.#limits.closeTimeoutMs
    const error = await closeInTime(() => this.#listener.close(), {
      clock: this.#clock,
      timeoutMs,
      what: 'the listener',
    })
    this.#over = true
    this.#leave?.()
    if (error !== undefined) throw error
  }

  /** What it gives next; undefined once it has been closed. */
  #next(iterator: AsyncIterator<Link, unknown>): Promise<IteratorResult<Link, unknown> | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#over) {
        resolve(undefined)
        return
      }
      this.#leave = () => {
        resolve(undefined)
      }
      void (async () => {
        const next: unknown = await iterator.next()
        if (typeof next !== 'object' || next === null) throw badArgument('what a listener gives is no result')
        return next as IteratorResult<Link, unknown>
      })().then(
        (next) => {
          if (!this.#over) resolve(next)
          else if (next.done !== true) abortLink(next.value, new TrunkError('ERR_ABORTED', 'the listener was closed'))
        },
        (error: unknown) => {
          reject(linkFailure(error, 'listening failed'))
        },
      )
    })
  }
}
