/** A pipe and a connection that a forward has joined. */
import { abortError } from '../../src/contracts/errors.ts'
import type { Pipe } from '../../src/contracts/types.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import { join } from '../tcp/bridge.ts'
import type { Connection } from '../tcp/connection.ts'

/** What the connections of a forward are given. */
export interface Carrying {
  /** Aborts when they are to be reset. */
  readonly broken: AbortSignal
  readonly clock: Clock
}

/**
 * Joins the two until both directions have ended and the peer has given its place back. Never
 * rejects: a connection that breaks is its two ends' affair, not an error of ours.
 */
export async function carry(pipe: Pipe, connection: Connection, { broken, clock }: Carrying): Promise<void> {
  const joined = join(pipe, connection, clock)
  const unsubscribe = onAbort(broken, () => {
    const reason = abortError(broken)
    joined.fail(reason)
    // where both directions have ended, the peer's word is what is waited for
    pipe.abort(reason)
  })
  // It rejects where one end was reset; it has reset the other one by then, and that is what it
  // should look like.
  await joined.over.then(() => pipe.close()).catch(() => undefined)
  unsubscribe()
}
