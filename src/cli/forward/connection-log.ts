/**
 * Says on stderr that the session with the peer was lost, and that there is one again: a line each.
 */
import type { ConnectionStatus } from '../../index.ts'
import { say } from '../context.ts'
import type { Context } from '../context.ts'
import { errorLine } from '../failure.ts'
import { formatDuration } from '../format.ts'

/** Takes each change of a reconnecting trunk's connection. */
export function connectionLog(context: Context): (status: ConnectionStatus) => void {
  const { clock } = context
  let lostAt: number | undefined
  return ({ state, attempt, error }) => {
    // attempts that fail in between say nothing new: the peer is away
    if (state === 'waiting' && attempt === 0 && error !== undefined) {
      lostAt = clock.now()
      say(context, errorLine(error.code, `${error.message}; connecting again`))
    } else if (state === 'open' && lostAt !== undefined) {
      say(context, `trunkline: connected again after ${formatDuration(clock.now() - lostAt)}`)
      lostAt = undefined
    }
  }
}
