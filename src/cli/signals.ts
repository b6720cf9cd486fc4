/**
 * SIGINT and SIGTERM. The first one aborts the returned signal: whoever works unwinds, says goodbye
 * and ends within `closeTimeoutMs`. The second one ends the process at once, the way the signal
 * itself would have.
 */
import { setMaxListeners } from 'node:events'
import { TrunkError } from '../index.ts'

/** More than one command ever has listening at a time. */
const MAX_LISTENERS = 1000

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/**
 * Starts listening to both signals.
 * @param lastWords runs before the second signal ends the process; must be synchronous
 */
export function handleSignals(lastWords: () => void): AbortSignal {
  const first = new AbortController()
  // Every pipe of a tree's copy listens to it; Node warns of a leak at 10 unless it is told how
  // many are meant.
  setMaxListeners(MAX_LISTENERS, first.signal)
  for (const name of SIGNALS) {
    process.on(name, () => {
      if (!first.signal.aborted) {
        first.abort(new TrunkError('ERR_ABORTED', `interrupted by ${name}`, { cause: name }))
        return
      }
      lastWords()
      process.removeAllListeners(name)
      process.kill(process.pid, name)
    })
  }
  return first.signal
}
