/**
 * Opening a line that may not be there yet, and opening it again whenever it is over.
 *
 * Promises: one attempt at a time with a back-off between attempts, an abort ends it at once, and a
 * link that comes too late is closed. Bounds: `limits.connectTimeoutMs` for connecting; a listener
 * tries for as long as it is open, and has one link at a time.
 */
import { Backoff } from '../../src/runtime/backoff.ts'
import { toTrunkError, TrunkError, type KnownCode } from '../../src/contracts/errors.ts'
import type { Listener, TransportOptions } from '../../src/contracts/types.ts'
import { LinkListener } from '../internal/link-listener.ts'
import type { ClosingLink } from '../internal/socket-link.ts'

/** A line that can be opened again and again. */
export interface Line {
  /** How messages and listeners name it. */
  readonly address: string
  /** One attempt; nothing is left where it rejects. */
  readonly open: (options: TransportOptions) => Promise<ClosingLink>
  /** Codes of attempts after which waiting is of use. */
  readonly retryableCodes: ReadonlySet<string>
}

/**
 * Opens the line within `limits.connectTimeoutMs`; rejects with what the last attempt met, or with
 * what no waiting helps against.
 */
export async function openInTime(line: Line, options: TransportOptions): Promise<ClosingLink> {
  const { signal, clock, limits } = options
  const deadline = clock.now() + limits.connectTimeoutMs
  const backoff = new Backoff(options)
  let reason: TrunkError | undefined
  for (;;) {
    const leftMs = Math.max(1, deadline - clock.now())
    try {
      return await attempt(line, { ...options, limits: { ...limits, connectTimeoutMs: leftMs } })
    } catch (error) {
      signal.throwIfAborted()
      // a device that has just come gets its owner and mode a moment later
      if (!isRetryable(line, error) && !(reason !== undefined && hasCode(error, 'ERR_ACCESS'))) throw error
      const timedOut = hasCode(error, 'ERR_CONNECT_TIMEOUT')
      // an attempt that begins shortly before the deadline is cut off, which says less than what
      // the one before it met
      if (!timedOut) reason = error
      if (timedOut || clock.now() >= deadline)
        throw reason === undefined ? error : gaveUp(reason, limits.connectTimeoutMs)
    }
    await backoff.wait(signal, deadline - clock.now())
  }
}

/**
 * A listener that gives a link for each opening of the line. What is not there yet, or in use, is
 * waited for; any other failure of the first attempt rejects.
 */
export async function listenByOpening(line: Line, options: TransportOptions): Promise<Listener> {
  const waits = new Waits(options)
  const first = await attempt(line, options).catch((error: unknown) => {
    options.signal.throwIfAborted()
    if (!isRetryable(line, error) && !hasCode(error, 'ERR_BUSY')) throw error
    waits.failed(error)
    return undefined
  })
  const over = new AbortController()
  const listener = new LinkListener(line.address, () =>
    over.abort(new TrunkError('ERR_SESSION_CLOSED', 'the listener was closed')),
  )
  // It ends by the listener's close alone, and says nothing then.
  void keepOpen(line, { ...options, signal: over.signal }, { listener, first, waits }).catch((error: unknown) => {
    if (!over.signal.aborted)
      listener.finish(toTrunkError(error, 'ERR_LINK_FAILED', `${line.address} cannot be opened again`))
  })
  return listener
}

async function keepOpen(
  line: Line,
  options: TransportOptions,
  { listener, first, waits }: { listener: LinkListener; first: ClosingLink | undefined; waits: Waits },
): Promise<never> {
  const { clock, limits, signal } = options
  const backoff = new Backoff(options)
  // a line that was open for a while is opened again at once; one that is over at once is not
  let atOnce = first !== undefined
  for (let link = first; ; link = undefined) {
    if (link === undefined) {
      if (!atOnce) await backoff.wait(signal)
      atOnce = false
      // whatever hinders it now may pass
      link = await attempt(line, options).catch((error: unknown) => {
        if (!signal.aborted) waits.failed(toTrunkError(error, 'ERR_LINK_FAILED', `${line.address} cannot be opened`))
        return undefined
      })
      signal.throwIfAborted()
    }
    if (link === undefined) continue
    waits.opened()
    const since = clock.now()
    listener.push(link)
    await link.over
    if (clock.now() - since < limits.reconnectMaxMs) continue
    backoff.reset()
    atOnce = true
  }
}

/** Says why a listener waits: at the first failure, and again where the reason is another. */
class Waits {
  readonly #told: ((error: TrunkError) => void) | undefined
  #code: string | undefined

  constructor({ onWaiting }: TransportOptions) {
    this.#told = onWaiting
  }

  failed(error: TrunkError): void {
    if (error.code === this.#code) return
    this.#code = error.code
    this.#told?.(error)
  }

  opened(): void {
    this.#code = undefined
  }
}

/** One attempt, which an abort leaves behind. */
async function attempt(line: Line, options: TransportOptions): Promise<ClosingLink> {
  const { signal } = options
  signal.throwIfAborted()
  const opening = line.open(options)
  let onAbort: (() => void) | undefined
  try {
    return await new Promise<ClosingLink>((resolve, reject) => {
      onAbort = () => {
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', onAbort)
      opening.then((link) => {
        if (signal.aborted) link.abort(signal.reason as Error)
        else resolve(link)
      }, reject)
    })
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort)
  }
}

function isRetryable(line: Line, error: unknown): error is TrunkError {
  return error instanceof TrunkError && line.retryableCodes.has(error.code)
}

function hasCode(error: unknown, code: KnownCode): error is TrunkError {
  return error instanceof TrunkError && error.code === code
}

function gaveUp(error: TrunkError, waitedMs: number): TrunkError {
  const message = `${error.message} (waited ${waitedMs} ms for it)`
  return new TrunkError(error.code, message, { cause: error.cause ?? error, scope: 'link' })
}
