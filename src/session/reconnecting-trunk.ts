/**
 * A trunk that outlives its sessions: what `connect` gives with `reconnect: true`. See
 * `ReconnectingTrunk` for what it promises. Holds one session at a time, dials only when the last
 * one's line has been closed, and keeps its users waiting in between, at most `maxPipes` of them.
 */
import { Backoff } from '../runtime/backoff.ts'
import type { Clock } from '../runtime/clock.ts'
import { abortError, badArgument, TrunkError, toTrunkError } from '../contracts/errors.ts'
import type { Limits } from '../contracts/limits.ts'
import { onAbort } from '../runtime/on-abort.ts'
import { bytesAtOnce, OpenRequestCache } from './open-request.ts'
import { requireProtocol } from '../contracts/protocol.ts'
import { isRetryable, redial, WORKED_MS, type SessionLinks } from './redial.ts'
import { notify } from '../runtime/notify.ts'
import type {
  ConnectionStatus,
  OpenOptions,
  Pipe,
  Protocol,
  ReconnectingTrunk,
  Trunk,
  TrunkStatus,
} from '../contracts/types.ts'
import { ObservableValue } from '../runtime/observable-value.ts'

/** What a session is to a reconnecting trunk. */
export interface Session extends Trunk {
  /** True while pipes can be opened. */
  readonly isOpen: boolean
}

/** What a reconnecting trunk is made of. */
export interface ReconnectingParts {
  /**
   * One attempt at a session that serves `protocols`. Rejects with the signal's reason as soon as
   * that aborts; leaves nothing then.
   */
  readonly dial: (signal: AbortSignal, protocols: ReadonlyMap<string, Protocol>) => Promise<Session>
  readonly protocols: ReadonlyMap<string, Protocol>
  readonly limits: Readonly<Limits>
  readonly clock: Clock
  readonly onConnection: ((status: ConnectionStatus) => void) | undefined
  /** Given where sessions outlive their links. */
  readonly links?: SessionLinks | undefined
  /** For the waits. @default Math.random */
  readonly random?: () => number
}

/**
 * Resolves when the first session is established; rejects with the signal's reason, or with an
 * error that trying again cannot cure.
 */
export async function connectLasting(
  parts: ReconnectingParts,
  signal: AbortSignal | undefined,
): Promise<ReconnectingTrunk> {
  const trunk = new LastingTrunk(parts)
  await trunk.start(signal)
  return trunk
}

class LastingTrunk implements ReconnectingTrunk {
  readonly closed: Promise<void>
  readonly #parts: ReconnectingParts
  readonly #protocols: Map<string, Protocol>
  readonly #backoff: Backoff
  readonly #connection = new ObservableValue<ConnectionStatus>({ state: 'connecting', attempt: 0, sessions: 0 })
  /** Ends attempts and waits. */
  readonly #stop = new AbortController()
  /** Protocols that the session was made with. */
  #served: ReadonlyMap<string, Protocol> = new Map()
  /** Calls that wait for a session: each looks again when it is called. */
  readonly #waiting = new Set<() => void>()
  /** The established session, else the last one. There is one before anybody holds this trunk. */
  #session!: Session
  /** What calls fail with from now on; set once it is closed or aborted, or has come to its end. */
  #over: TrunkError | undefined
  /** `close` found a session that stood: how that ends is how all of it ends. */
  #closedSession = false
  /** What it was aborted with. */
  #aborted: TrunkError | undefined
  #resolveClosed!: () => void
  #rejectClosed!: (error: TrunkError) => void

  constructor(parts: ReconnectingParts) {
    this.#parts = parts
    this.#protocols = new Map(parts.protocols)
    const { limits, clock, links, random = Math.random } = parts
    this.#backoff = new Backoff({ limits, clock, random })
    if (links !== undefined) {
      links.onStep = (told) => {
        this.#say({ ...told, sessions: this.connection.sessions })
      }
    }
    this.closed = new Promise((resolve, reject) => {
      this.#resolveClosed = resolve
      this.#rejectClosed = reject
    })
    this.closed.catch(() => {
      // whoever does not look at `closed` hears of it from the calls that fail; it must not end the
      // process
    })
  }

  /** Dials for the first session, then keeps at it. */
  async start(signal: AbortSignal | undefined): Promise<void> {
    const unsubscribe = signal && onAbort(signal, () => this.#stop.abort(signal.reason))
    try {
      this.#session = await this.#dial()
    } catch (error) {
      this.#ended(toTrunkError(error, 'ERR_ABORTED', 'connecting was aborted'))
      throw error
    } finally {
      unsubscribe?.()
    }
    // the abort may have come in the moment in which the attempt succeeded
    if (signal?.aborted === true) this.abort(abortError(signal))
    const running = this.#run()
    if (signal?.aborted === true) {
      await running
      throw signal.reason
    }
  }

  // --- ReconnectingTrunk -------------------------------------------------------------------------

  get connection(): ConnectionStatus {
    return this.#connection.value
  }

  watch(): AsyncIterable<ConnectionStatus> {
    return this.#connection.watch()
  }

  async open(protocol: string, params?: unknown, options: OpenOptions = {}): Promise<Pipe> {
    if (!this.#session.isOpen) {
      // what is wrong with the call is said at once, not when there is a session again
      bytesAtOnce(options)
      new OpenRequestCache().encode(protocol, params, options, this.#parts.limits.maxOpenBytes)
    }
    while (!this.#session.isOpen) await this.#nextSession(options.signal)
    return await this.#session.open(protocol, params, options)
  }

  async ping(options: { signal?: AbortSignal } = {}): Promise<number> {
    while (!this.#session.isOpen) await this.#nextSession(options.signal)
    return await this.#session.ping(options)
  }

  handle(protocol: Protocol): void {
    requireProtocol(protocol)
    if (this.#protocols.has(protocol.name))
      throw badArgument(`protocol ${JSON.stringify(protocol.name)} is served already`)
    this.#protocols.set(protocol.name, protocol)
    this.#session.handle(protocol)
  }

  status(): TrunkStatus {
    const status = this.#session.status()
    const { state } = this.connection
    if (state !== 'open') return { ...status, state }
    if (status.state !== 'closed') return status
    // the session is over, and its line is being closed
    return { ...status, state: this.#over === undefined ? 'waiting' : 'closing' }
  }

  async close(): Promise<void> {
    if (this.#over === undefined) {
      this.#over = new TrunkError('ERR_SESSION_CLOSED', 'the trunk is closed')
      this.#closedSession = this.#session.isOpen
      this.#stop.abort(this.#over)
      this.#look()
      void this.#session.close()
    }
    await this.closed.catch(() => {
      // as with a trunk of one session: closing settles well whatever the session ended with
    })
  }

  abort(reason: Error): void {
    if (this.#aborted !== undefined || this.connection.state === 'closed') return
    const error = toTrunkError(reason, 'ERR_SESSION_ABORTED', 'the trunk was aborted')
    this.#aborted = this.#over = error
    this.#stop.abort(error)
    this.#look()
    this.#session.abort(error)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  // --- inside ------------------------------------------------------------------------------------

  /** One session after the other, until the end. Never rejects. */
  async #run(): Promise<void> {
    let lost: TrunkError | undefined
    for (;;) {
      // closed or aborted in the moment in which the attempt succeeded
      if (this.#over !== undefined) this.#session.abort(this.#over)
      else this.#established()
      const stoodAt = this.#parts.clock.now()
      lost = await endOf(this.#session)
      if (this.#isOver()) break
      lost ??= new TrunkError('ERR_SESSION_CLOSED', 'the peer has closed the session', { origin: 'remote' })
      if (!isRetryable(lost)) break
      if (this.#parts.clock.now() - stoodAt >= WORKED_MS) this.#backoff.reset()
      try {
        this.#session = await this.#dial(lost)
      } catch (error) {
        lost = error as TrunkError
        break
      }
    }
    if (this.#parts.links !== undefined) await this.#parts.links.end()
    // `close` takes nothing amiss but the failure of the session that it closed
    const excused = this.#over !== undefined && !this.#closedSession
    this.#ended(this.#aborted ?? (excused ? undefined : lost))
  }

  #isOver(): boolean {
    return this.#over !== undefined
  }

  /** The next session; `after` is why there is to be one. */
  #dial(after?: TrunkError): Promise<Session> {
    const { dial, clock } = this.#parts
    const attempt = (signal: AbortSignal): Promise<Session> => {
      this.#served = new Map(this.#protocols)
      return dial(signal, this.#served)
    }
    return redial(attempt, {
      backoff: this.#backoff,
      clock,
      signal: this.#stop.signal,
      after,
      tell: (told) => {
        this.#say({ ...told, sessions: this.connection.sessions })
      },
    })
  }

  /** A session is established: whoever waits for it may go on. */
  #established(): void {
    for (const protocol of this.#protocols.values()) {
      if (!this.#served.has(protocol.name)) this.#session.handle(protocol)
    }
    const { attempt, sessions } = this.connection
    this.#say({ state: 'open', attempt, sessions: sessions + 1 })
    this.#look()
  }

  #say(status: ConnectionStatus): void {
    this.#connection.set(status)
    notify(this.#parts.onConnection, status)
  }

  #ended(error: TrunkError | undefined): void {
    this.#over ??= error ?? new TrunkError('ERR_SESSION_CLOSED', 'the trunk is closed')
    const { attempt, sessions } = this.connection
    const status: ConnectionStatus = { state: 'closed', attempt, sessions, ...(error === undefined ? {} : { error }) }
    this.#connection.end(status)
    notify(this.#parts.onConnection, status)
    this.#look()
    if (error === undefined) this.#resolveClosed()
    else this.#rejectClosed(error)
  }

  /** Waits until there may be another session; at most maxPipes calls do. */
  async #nextSession(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    if (this.#over !== undefined) throw this.#over
    const { maxPipes } = this.#parts.limits
    if (this.#waiting.size >= maxPipes)
      throw new TrunkError('ERR_PIPE_LIMIT', `there is no session, and ${maxPipes} calls wait for one already`)
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        unsubscribe?.()
        resolve()
      }
      this.#waiting.add(look)
      const unsubscribe =
        signal &&
        onAbort(signal, () => {
          this.#waiting.delete(look)
          reject(signal.reason as Error)
        })
    })
  }

  #look(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const look of waiting) look()
  }
}

/**
 * Resolves when the session is over and its line closed, with the error that ended it, if one did.
 */
async function endOf(session: Session): Promise<TrunkError | undefined> {
  return await session.closed.then(
    () => undefined,
    (error: unknown) => toTrunkError(error, 'ERR_LINK_FAILED', 'the session failed'),
  )
}
