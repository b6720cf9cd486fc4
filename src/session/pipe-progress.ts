/**
 * Ends a pipe that makes no progress while somebody waits for its peer: a peer whose muxer answers
 * and whose handler says nothing is alive to every other check. Looks a few times in the given
 * time, so that a pipe costs one timer and its bytes nothing.
 */
import type { Clock, Timer } from '../runtime/clock.ts'
import { TrunkError } from '../contracts/errors.ts'

/** Looks in the given time: how much later than that the end may come. */
const CHECKS = 4
/**
 * A look this late means that this process (or its machine) was suspended: the peer gets a fresh
 * interval.
 */
const SUSPENDED_MS = 1000

/** What is watched. */
export interface Progressing {
  /** Grows with whatever the peer does for the pipe. */
  readonly progress: number
  /** True while somebody here can only go on when the peer has done something. */
  readonly waitsForPeer: boolean
  abort(reason: Error): void
}

/** Watches `pipe` until the result is called, or the pipe was aborted by it. */
export function watchProgress(pipe: Progressing, timeoutMs: number, clock: Clock): () => void {
  const everyMs = Math.max(1, timeoutMs / CHECKS)
  let seen = pipe.progress
  let since = clock.now()
  let due = since
  let timer: Timer | undefined
  const look = (): void => {
    const now = clock.now()
    if (pipe.progress !== seen || !pipe.waitsForPeer || now - due > SUSPENDED_MS) {
      seen = pipe.progress
      since = now
    } else if (now - since >= timeoutMs) {
      pipe.abort(new TrunkError('ERR_PIPE_STALLED', `the peer has done nothing for this pipe in ${timeoutMs} ms`))
      return
    }
    arm(now)
  }
  const arm = (now: number): void => {
    due = now + everyMs
    timer = clock.after(everyMs, look)
  }
  arm(since)
  return () => timer?.cancel()
}
