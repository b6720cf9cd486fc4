/**
 * One line on stderr per refused open. A hostile peer can cause as many as it likes, so lines are
 * rationed: a burst of LINES_BURST, then LINES_PER_SECOND; what was left out is counted and said
 * with the next line.
 */
import { TokenBucket } from '../runtime/token-bucket.ts'
import type { Refusal } from '../index.ts'
import { say, sayError } from './context.ts'
import type { Context } from './context.ts'
import { asFailure, errorLine } from './failure.ts'

const LINES_BURST = 200
const LINES_PER_SECOND = 20

/** What `serve` is given as `onPipeError` and `onSessionError`. */
export interface RefusalLog {
  refused(refusal: Refusal): void
  rejected(rejection: { readonly peer: string; readonly error: Error }): void
}

/** Says whether a line may be printed now, having printed how many were left out before it. */
export function lineRation(context: Context): () => boolean {
  const lines = new TokenBucket(LINES_BURST, LINES_PER_SECOND, context.clock.now())
  let leftOut = 0
  return () => {
    if (!lines.take(context.clock.now())) {
      leftOut += 1
      return false
    }
    if (leftOut > 0) say(context, `trunkline: ${leftOut} further lines were left out`)
    leftOut = 0
    return true
  }
}

/** A log that prints to the context's stderr. */
export function refusalLog(context: Context): RefusalLog {
  const mayPrint = lineRation(context)
  return {
    refused({ peer, protocol, code, message, refused }) {
      if (!mayPrint()) return
      say(context, errorLine(code, `${refused ? 'refused' : 'failed'} ${protocol} for ${peer}: ${message}`))
    },
    rejected({ peer, error }) {
      if (mayPrint()) sayError(context, asFailure(error, peer === '' ? 'session' : `session with ${peer}`))
    },
  }
}
