/**
 * One session by `connect`, without a next one: dialled once, or until there is one. Tells of each
 * change, to the session's end. Leaves nothing behind where there is no session.
 */
import { Backoff } from '../runtime/backoff.ts'
import { abortError, toTrunkError } from '../contracts/errors.ts'
import type { ConnectionStatus } from '../contracts/types.ts'
import { notify } from '../runtime/notify.ts'
import { ignore } from './pipe/rejected.ts'
import type { ReconnectingParts, Session } from './reconnecting-trunk.ts'
import { redial } from './redial.ts'

/**
 * Resolves with the session; rejects with the signal's reason, or with why there is none. `retry`:
 * tries until there is one.
 */
export async function dialSession(parts: ReconnectingParts, signal: AbortSignal, retry: boolean): Promise<Session> {
  const { dial, protocols, limits, clock, onConnection, links, random = Math.random } = parts
  let attempts = 1
  const say = (status: ConnectionStatus): void => {
    attempts = status.attempt
    notify(onConnection, status)
  }
  const closed = (sessions: number, thrown?: unknown): void => {
    const error = thrown === undefined ? {} : { error: toTrunkError(thrown, 'ERR_ABORTED', 'connecting was aborted') }
    say({ state: 'closed', attempt: attempts, sessions, ...error })
  }
  const attempt = (attemptSignal: AbortSignal): Promise<Session> => dial(attemptSignal, protocols)
  let session: Session
  try {
    if (retry) {
      const backoff = new Backoff({ limits, clock, random })
      const told = (status: Omit<ConnectionStatus, 'sessions'>): void => {
        say({ ...status, sessions: 0 })
      }
      session = await redial(attempt, { backoff, clock, signal, after: undefined, tell: told })
    } else {
      say({ state: 'connecting', attempt: 1, sessions: 0 })
      session = await attempt(signal)
    }
    // the abort may have come in the moment in which the attempt succeeded
    if (signal.aborted) {
      session.abort(abortError(signal))
      await session.closed.catch(ignore)
      throw signal.reason
    }
  } catch (error) {
    closed(0, error)
    throw error
  }
  say({ state: 'open', attempt: attempts, sessions: 1 })
  if (links !== undefined) {
    links.onStep = (told) => {
      say({ ...told, sessions: 1 })
    }
  }
  const ended = (error?: unknown): void => {
    void links?.end()
    closed(1, error)
  }
  session.closed.then(ended, ended)
  return session
}
