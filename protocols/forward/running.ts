/**
 * What every forward has, whichever side listens: its connections by number, its status, its one
 * end.
 */
import { abortError, toTrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import type { Trunk } from '../../src/contracts/types.ts'
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { notify } from '../../src/runtime/notify.ts'
import { ObservableValue } from '../../src/runtime/observable-value.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import { perTrunk } from '../internal/per-trunk.ts'
import { printableAddress, requireAddress } from '../unix/address.ts'
import type { Forward, ForwardFailure, ForwardOptions, ForwardStatus } from './types.ts'

/** As many as the other side's protocol allows by default. */
const MAX_CONNECTIONS = 256
const MOST_CONNECTIONS = 100_000

/** What a forward is made of. */
export interface RunningOptions extends Pick<ForwardOptions, 'signal' | 'onFailure'> {
  readonly trunk: Trunk
  readonly address: Forward['address']
  /** What is in front of the address: `peer ` where the peer listens. */
  readonly side: '' | 'peer '
  /** What is behind the arrow. */
  readonly to: string
  /** Frees the port; called once. Never rejects. */
  readonly stop: () => Promise<void>
}

/** `maxConnections`, checked. */
export function connectionsOf({ maxConnections = MAX_CONNECTIONS }: ForwardOptions): number {
  return requireInteger('maxConnections', maxConnections, 1, MOST_CONNECTIONS)
}

/** The forwards of a trunk, which end with it. One that was closed is not kept until then. */
class Forwards {
  readonly #all = new Set<RunningForward>()
  /** Ends one as the trunk has ended; there once it has. */
  #end: ((forward: RunningForward) => void) | undefined

  constructor(trunk: Trunk) {
    trunk.closed.then(
      () => this.#endAll((forward) => void forward.close()),
      (error: unknown) => this.#endAll((forward) => forward.fail(error)),
    )
  }

  add(forward: RunningForward): void {
    this.#all.add(forward)
    // the trunk may have ended while its name was looked up
    const end = this.#end
    if (end !== undefined) queueMicrotask(() => end(forward))
  }

  delete(forward: RunningForward): void {
    this.#all.delete(forward)
  }

  #endAll(end: (forward: RunningForward) => void): void {
    this.#end = end
    for (const forward of this.#all) end(forward)
  }
}

const forwardsOf = perTrunk((trunk) => new Forwards(trunk))

function nameOf({ host, port, path }: Forward['address']): string {
  return path === undefined ? formatHostPort(host, port) : printableAddress(requireAddress(path))
}

/** See the top of the file. */
export class RunningForward implements Forward {
  readonly address: Forward['address']
  readonly description: string
  readonly closed: Promise<void>
  readonly #status = new ObservableValue<ForwardStatus>({ state: 'listening', connections: 0, taken: 0, failed: 0 })
  readonly #onFailure: ForwardOptions['onFailure']
  readonly #stop: () => Promise<void>
  readonly #broken = new AbortController()
  readonly #forwards: Forwards
  readonly #unsubscribe: () => void
  #settle!: { readonly resolve: () => void; readonly reject: (error: unknown) => void }
  #closing: Promise<void> | undefined

  constructor({ trunk, address, side, to, signal, onFailure, stop }: RunningOptions) {
    this.address = address
    this.description = `${side}${nameOf(address)} -> ${to}`
    this.#onFailure = onFailure
    this.#forwards = forwardsOf(trunk)
    this.#forwards.add(this)
    this.#stop = stop
    this.closed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    // whoever waits for it is told
    this.closed.catch(() => undefined)
    const unlessEnded = signal && onAbort(signal, () => this.#break(abortError(signal)))
    this.#unsubscribe = () => unlessEnded?.()
  }

  /** Aborts when the connections are to be reset. */
  get broken(): AbortSignal {
    return this.#broken.signal
  }

  get isClosed(): boolean {
    return this.#closing !== undefined
  }

  status(): ForwardStatus {
    return this.#status.value
  }

  watch(): AsyncIterable<ForwardStatus> {
    return this.#status.watch()
  }

  close(): Promise<void> {
    return this.#end(() => this.#settle.resolve())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** It can no longer take connections. */
  fail(error: unknown): void {
    void this.#end(() => this.#settle.reject(error))
  }

  #break(reason: Error): void {
    this.fail(reason)
    this.#broken.abort(reason)
  }

  #end(settle: () => void): Promise<void> {
    this.#closing ??= (async () => {
      this.#change({ state: 'closed' })
      this.#forwards.delete(this)
      await this.#stop()
      settle()
      if (this.status().connections === 0) this.#over()
    })()
    return this.#closing
  }

  /** Nothing changes any more. */
  #over(): void {
    this.#unsubscribe()
    this.#status.end(this.#status.value)
  }

  #change(part: Partial<ForwardStatus>): void {
    this.#status.set({ ...this.#status.value, ...part })
  }

  /** Between two listenings of the peer. */
  set isWaiting(waiting: boolean) {
    if (!this.isClosed) this.#change({ state: waiting ? 'waiting' : 'listening' })
  }

  /**
   * One connection, from its first moment to its last. Never rejects: what goes wrong ends this one
   * only, and is told.
   */
  async carry(connection: () => Promise<void>): Promise<void> {
    const { connections, taken } = this.status()
    this.#change({ connections: connections + 1, taken: taken + 1 })
    try {
      await connection()
    } catch (error) {
      this.#change({ failed: this.status().failed + 1 })
      this.tell('connect', error)
    }
    this.#change({ connections: this.status().connections - 1 })
    if (this.isClosed && this.status().connections === 0) this.#over()
  }

  /** Tells the user of a failure; not of those that the user's own signal has made. */
  tell(phase: ForwardFailure['phase'], thrown: unknown): void {
    if (this.broken.aborted) return
    const error = toTrunkError(thrown, 'ERR_HANDLER_FAILED', 'forwarding failed')
    notify(this.#onFailure, { phase, forward: this.description, error })
  }
}
