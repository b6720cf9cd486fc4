/**
 * Has the peer connect for somebody who waits here: where it has as many connections as it allows,
 * it is asked again until one has ended; where there is no session at the moment, the next one is
 * waited for. Neither for ever.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import { DEFAULT_LIMITS } from '../../src/contracts/limits.ts'
import type { Pipe, Trunk } from '../../src/contracts/types.ts'
import { Backoff } from '../../src/runtime/backoff.ts'
import type { Clock, Timer } from '../../src/runtime/clock.ts'

/** How long either may take. */
const { connectTimeoutMs: PATIENCE_MS } = DEFAULT_LIMITS

/**
 * A pipe that carries the connection. Rejects as `connect` does, and with ERR_CONNECT_TIMEOUT where
 * no session came.
 * @param connect asks the peer, until its signal aborts
 * @param stop aborting it gives the attempt up; it is aborted here when no session comes
 */
export async function connectInTurn<P extends Pipe>(
  trunk: Trunk,
  connect: (signal: AbortSignal) => Promise<P>,
  { stop, clock }: { readonly stop: AbortController; readonly clock: Clock },
): Promise<P> {
  const { signal } = stop
  const timer = giveUpInTime(trunk, clock, stop)
  const until = clock.now() + PATIENCE_MS
  const backoff = new Backoff({ limits: DEFAULT_LIMITS, clock })
  try {
    for (;;) {
      try {
        return await connect(signal)
      } catch (error) {
        if (!(error instanceof TrunkError) || error.code !== 'ERR_CONNECTION_LIMIT') throw error
        const leftMs = until - clock.now()
        if (leftMs <= 0) throw error
        await backoff.wait(signal, leftMs)
      }
    }
  } finally {
    timer.cancel()
  }
}

/**
 * Asks for the state only when the time is over: it costs more than a timer, and more with each
 * connection that there is.
 */
function giveUpInTime(trunk: Trunk, clock: Clock, stop: AbortController): Timer {
  return clock.after(PATIENCE_MS, () => {
    // then it is the peer that takes its time, which it bounds itself
    if (trunk.status().state === 'open') return
    stop.abort(new TrunkError('ERR_CONNECT_TIMEOUT', `no session with the peer for ${PATIENCE_MS / 1000} s`))
  })
}
