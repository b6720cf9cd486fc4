/**
 * Dials until there is an answer: one attempt at a time, with a wait after each that failed.
 * Promises: it goes on for ever unless the signal aborts, which ends an attempt and a wait at once,
 * or an error comes that trying again cannot cure. Leaves no timer and no listener behind.
 */
import type { Backoff } from '../runtime/backoff.ts'
import { pause, type Clock } from '../runtime/clock.ts'
import { toTrunkError, type TrunkError } from '../contracts/errors.ts'
import type { ConnectionStatus } from '../contracts/types.ts'

/**
 * Errors that the same attempt would meet again, until somebody changes something at either side.
 */
const PERMANENT_CODES: ReadonlySet<string> = new Set([
  'ERR_AUTH_REQUIRED',
  'ERR_AUTH_FAILED',
  'ERR_VERSION_MISMATCH',
  'ERR_LINE_MISMATCH',
  'ERR_ACCESS',
  'ERR_DENIED',
  'ERR_TRANSPORT_UNAVAILABLE',
  'ERR_UNSUPPORTED',
])

/**
 * True where trying again is of use: nobody is there yet, the line was cut, the peer started again.
 */
export function isRetryable(error: TrunkError): boolean {
  return error.scope !== 'argument' && !PERMANENT_CODES.has(error.code)
}

/** What stood for this long worked: after it the first wait is the shortest. */
export const WORKED_MS = 1000

/** What is told on the way. */
export type Attempt = Omit<ConnectionStatus, 'sessions'>

/** What finds other links for a session that outlives them. */
export interface SessionLinks {
  /** Called with each step on the way to another link. */
  onStep: ((attempt: Attempt) => void) | undefined
  /** No session is wanted any more: ends what stands in place of a lost one. Never rejects. */
  end(): Promise<void>
}

/** What a {@link redial} is given. */
export interface RedialOptions {
  /** Its `next` is each wait; it is reset by whoever knows that something worked. */
  readonly backoff: Backoff
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Told of each attempt's beginning and of each wait. */
  readonly tell: (attempt: Attempt) => void
  /** Why a first wait comes before the first attempt; undefined: it is made at once. */
  readonly after: TrunkError | undefined
}

/**
 * Resolves with what `dial` gives; rejects with the signal's reason, or with the error that cannot
 * pass.
 */
export async function redial<T>(dial: (signal: AbortSignal) => Promise<T>, options: RedialOptions): Promise<T> {
  const { backoff, clock, signal, tell, after } = options
  let error = after
  for (let attempt = 0; ;) {
    if (error !== undefined) {
      const retryInMs = backoff.next()
      tell({ state: 'waiting', attempt, error, retryInMs })
      await pause(clock, retryInMs, signal)
    }
    signal.throwIfAborted()
    attempt++
    tell({ state: 'connecting', attempt, ...(error === undefined ? {} : { error }) })
    try {
      return await dial(signal)
    } catch (thrown) {
      signal.throwIfAborted()
      error = toTrunkError(thrown, 'ERR_LINK_FAILED', 'connecting failed')
      if (!isRetryable(error)) throw error
    }
  }
}
