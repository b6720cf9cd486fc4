/**
 * How long a command tries for its first session with the peer: once, or with `--wait` until the
 * peer is there, the time is over, or the user interrupts. Says on stderr why it waits, once for
 * each reason.
 */
import { TrunkError, type Timer } from '../index.ts'
import { onAbort } from '../runtime/on-abort.ts'
import { asError, say } from './context.ts'
import type { Context } from './context.ts'
import { errorLine } from './failure.ts'

export class FirstSession {
  readonly #context: Context
  readonly #waitSeconds: number | undefined
  readonly #stop = new AbortController()
  readonly #timer: Timer | undefined
  readonly #unsubscribe: () => void
  /** Codes that were said. */
  readonly #said = new Set<string>()
  #error: TrunkError | undefined

  /** @param waitSeconds undefined: one attempt; Infinity: for ever */
  constructor(context: Context, address: string, waitSeconds: number | undefined) {
    this.#context = context
    this.#waitSeconds = waitSeconds
    this.#unsubscribe = onAbort(context.signal, () => this.#stop.abort(asError(context.signal.reason)))
    if (waitSeconds === undefined || waitSeconds === Infinity) return
    this.#timer = context.clock.after(waitSeconds * 1000, () => {
      const { code, message, scope } =
        this.#error ?? new TrunkError('ERR_CONNECT_TIMEOUT', `no session with ${address}`, { scope: 'link' })
      const cause = this.#error
      this.#stop.abort(new TrunkError(code, `${message}; waited ${waitSeconds} s`, { scope, cause }))
    })
  }

  /** Aborts when the trying is to end; the reason is what the command ends with. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** An attempt has failed, and another one may follow. */
  failed(error: TrunkError): void {
    this.#error = error
    if (this.#waitSeconds === undefined) this.#stop.abort(error)
    else if (!this.#said.has(error.code)) {
      this.#said.add(error.code)
      say(this.#context, errorLine(error.code, `${error.message}; waiting for the peer`))
    }
  }

  /** There is a session, or there will be none: nothing is left of this. */
  over(): void {
    this.#timer?.cancel()
    this.#unsubscribe()
  }
}
