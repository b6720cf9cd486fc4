/** A time limit on a part of a command. */
import { TrunkError } from '../contracts/errors.ts'
import type { Context } from './context.ts'

/** See the head of this file. `end` is to be called when that part is over. */
export class TimeLimit {
  /** The command's context, whose signal aborts with the user's interrupt and with the limit. */
  readonly context: Context
  readonly #limit = new AbortController()
  readonly #timer: { cancel(): void }

  constructor(context: Context, milliseconds: number) {
    this.#timer = context.clock.after(milliseconds, () => {
      this.#limit.abort(new TrunkError('ERR_CONNECT_TIMEOUT', `there was no end after ${milliseconds / 1000} s`))
    })
    this.context = { ...context, signal: AbortSignal.any([context.signal, this.#limit.signal]) }
  }

  /** True where the time was over before `end`. */
  get isOver(): boolean {
    return this.#limit.signal.aborted
  }

  end(): void {
    this.#timer.cancel()
  }
}
