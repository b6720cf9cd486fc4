/**
 * A link that keeps its contract, made of one that may not: every link that a program or its
 * transport hands in is touched here and nowhere else.
 *
 * Promises what `Link` does, whatever the other one throws, gives or leaves undone: a fault of it
 * is told by `fail`, with ERR_LINK_FAILED and what was thrown as its cause; `close` settles, well,
 * within `closeTimeoutMs` and a second, and cuts what has not closed; `abort` does not throw.
 * Nothing that is told after an end, and no drain that nothing waits for, is passed on.
 */
import type { Clock } from '../runtime/clock.ts'
import { badArgument, type TrunkError } from '../contracts/errors.ts'
import { callNow, closeInTime, linkFailure } from './foreign-call.ts'
import { asDirectLink, type DirectAdapter } from '../session/direct-adapter.ts'
import type { DirectLink, DirectReceiver, Link } from '../contracts/types.ts'

/** What a {@link SafeLink} needs besides the link. */
export interface SafeLinkOptions {
  readonly clock: Clock
  readonly closeTimeoutMs: number
}

/**
 * The link of `given`. Throws ERR_BAD_ARGUMENT for what is none, and has then aborted what can be
 * aborted.
 */
export function safeLink(given: unknown, options: SafeLinkOptions): Link {
  try {
    const make = (): Link => new SafeLink(requireLink(given), options)
    return callNow(make, 'ERR_BAD_ARGUMENT', 'a link that throws when its members are read')
  } catch (error) {
    abortLink(given, error as TrunkError)
    throw error
  }
}

/** A link that fails with `error` as soon as it is started: what stands for one that is none. */
export function brokenLink(error: TrunkError): Link {
  const direct: DirectLink = {
    start(receiver) {
      queueMicrotask(() => {
        receiver.fail(error)
      })
    },
    write: () => false,
    end: () => undefined,
  }
  return new DirectOnly(direct)
}

/** Aborts what was handed in as a link, if that is possible at all. */
export function abortLink(given: unknown, reason: Error): void {
  try {
    ;(given as Partial<Link> | undefined)?.abort?.(reason)
  } catch {
    // its own failure to end: there is nothing else that could be done with it
  }
}

function requireLink(given: unknown): Link {
  if (typeof given !== 'object' || given === null) throw badArgument(`a link is an object, not ${String(given)}`)
  const link = given as Record<string, unknown>
  requireMethods('a link', link, ['sink', 'close', 'abort'])
  if (link['direct'] !== undefined) {
    requireMethods('the direct interface of a link', link['direct'], ['start', 'write', 'end'])
    return given as Link
  }
  const { source } = link as { source?: object }
  if (typeof source !== 'object' || typeof (source as AsyncIterable<unknown>)[Symbol.asyncIterator] !== 'function')
    throw badArgument('a link has a source that can be iterated')
  return given as Link
}

/**
 * Throws ERR_BAD_ARGUMENT unless `given` is an object with these methods: what comes from outside
 * the package may come without types.
 */
export function requireMethods(what: string, given: unknown, methods: readonly string[]): void {
  if (typeof given !== 'object' || given === null) throw badArgument(`${what} is an object, not ${String(given)}`)
  const members = given as Record<string, unknown>
  for (const name of methods) {
    if (typeof members[name] !== 'function')
      throw badArgument(`${what} has a method ${name}, not ${typeof members[name]}`)
  }
}

/** What a session uses of a link. */
class DirectOnly implements Link {
  readonly direct: DirectLink

  constructor(direct: DirectLink) {
    this.direct = direct
  }

  get source(): never {
    throw badArgument('this link has its direct interface alone')
  }

  readonly sink = (): Promise<never> => Promise.reject(badArgument('this link has its direct interface alone'))

  close(): Promise<void> {
    return Promise.resolve()
  }

  abort(_reason: Error): void {
    // nothing is held
  }
}

class SafeLink extends DirectOnly {
  readonly peer?: string
  readonly #link: Link
  readonly #adapter: SafeAdapter
  readonly #options: SafeLinkOptions
  #closing: Promise<void> | undefined

  constructor(link: Link, options: SafeLinkOptions) {
    const adapter = new SafeAdapter(asDirectLink(link))
    super(adapter)
    const peer: unknown = link.peer
    if (typeof peer === 'string') this.peer = peer
    this.#link = link
    this.#adapter = adapter
    this.#options = options
  }

  override close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#adapter.stop()
    const { clock, closeTimeoutMs: timeoutMs } = this.#options
    const error = await closeInTime(() => this.#link.close(), { clock, timeoutMs, what: 'the link' })
    if (error !== undefined) abortLink(this.#link, error)
  }

  override abort(reason: Error): void {
    this.#adapter.stop()
    abortLink(this.#link, reason)
  }
}

/** The adapter of the link, and between it and the session in both directions. */
class SafeAdapter implements DirectLink {
  readonly release?: (view: Uint8Array) => void
  readonly #adapter: DirectAdapter
  #receiver: DirectReceiver | undefined
  /** A batch was handed over and has not left. */
  #holds = false
  #writing = false
  /** Nothing follows. */
  #over = false

  constructor(adapter: DirectAdapter) {
    this.#adapter = adapter
    if (adapter.release !== undefined) {
      this.release = (view) => {
        this.#do('release', () => adapter.release?.(view))
      }
    }
  }

  start(receiver: DirectReceiver): void {
    this.#receiver = receiver
    this.#do('start', () => {
      this.#adapter.start(this.#told)
    })
  }

  write(batch: readonly Uint8Array[]): boolean {
    this.#holds = true
    this.#writing = true
    let left: unknown
    try {
      left = this.#adapter.write(batch)
    } catch (error) {
      this.#broken('write', error)
      return false
    } finally {
      this.#writing = false
    }
    if (typeof left === 'boolean') {
      // a link may say already within the call that all of it has left
      if (left) this.#holds = false
      return !this.#holds
    }
    this.#broken('write', badArgument(`write gives true or false, not ${typeof left}`))
    return false
  }

  end(): void {
    this.#do('end', () => {
      this.#adapter.end()
    })
  }

  /** Nothing more is told. */
  stop(): void {
    this.#over = true
    this.#receiver = undefined
    this.#do('stop', () => {
      this.#adapter.stop()
    })
  }

  /** What the link calls. */
  readonly #told: DirectReceiver = {
    data: (chunk) => {
      if (this.#over) return
      if (chunk instanceof Uint8Array) this.#receiver?.data(chunk)
      else this.#broken('reading', badArgument(`a link gives Uint8Arrays, not ${typeof chunk}`))
    },
    kept: () => this.#receiver?.kept?.() ?? Infinity,
    isOver: () => this.#receiver?.isOver?.() ?? false,
    end: () => {
      if (this.#over) return
      this.#over = true
      this.#receiver?.end()
    },
    fail: (error) => {
      if (this.#over) return
      this.#over = true
      this.#receiver?.fail(linkFailure(error, 'the line failed'))
    },
    drain: () => {
      if (!this.#holds) return
      this.#holds = false
      if (!this.#writing) this.#receiver?.drain()
    },
  }

  #do(what: string, call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#broken(what, error)
    }
  }

  /** Told in a moment: whoever called may be in the middle of something. */
  #broken(what: string, thrown: unknown): void {
    if (this.#over) return
    this.#over = true
    const receiver = this.#receiver
    const failure = linkFailure(thrown, `the link failed in ${what}`)
    queueMicrotask(() => {
      receiver?.fail(failure)
    })
  }
}
