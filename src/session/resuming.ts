/**
 * The connecting side of sessions that outlive their links: dials as soon as a link is lost, again
 * and again, until another link goes on with the session, or the session is over. Promises: a
 * session that the peer no longer knows is over at once, and the one that stands on that link in
 * its place waits for whoever connects again; where nobody will, it is closed.
 */
import { Backoff } from '../runtime/backoff.ts'
import type { Clock } from '../runtime/clock.ts'
import { toTrunkError, type TrunkError } from '../contracts/errors.ts'
import type { Limits } from '../contracts/limits.ts'
import type { ConnectionStatus, Protocol } from '../contracts/types.ts'
import { notify } from '../runtime/notify.ts'
import { redial } from './redial.ts'
import type { TrunkSession } from './trunk.ts'

type Dial = (signal: AbortSignal) => Promise<TrunkSession>

export class Resuming {
  readonly #parts: { readonly limits: Readonly<Limits>; readonly clock: Clock }
  readonly #onConnection: ((status: ConnectionStatus) => void) | undefined
  readonly #reconnects: boolean
  readonly #backoff: Backoff
  /** What stands on a link whose peer did not know our session. */
  #fresh: TrunkSession | undefined

  /** @param reconnects somebody takes the session that stands in place of a lost one */
  constructor(
    parts: { readonly limits: Readonly<Limits>; readonly clock: Clock },
    onConnection: ((status: ConnectionStatus) => void) | undefined,
    reconnects: boolean,
  ) {
    this.#parts = parts
    this.#onConnection = onConnection
    this.#reconnects = reconnects
    const { limits, clock } = parts
    this.#backoff = new Backoff({ limits, clock, random: Math.random })
  }

  /** The session that stands already, once; it serves `protocols`. */
  takeFresh(protocols: ReadonlyMap<string, Protocol>): TrunkSession | undefined {
    const fresh = this.#fresh
    this.#fresh = undefined
    if (fresh?.isOpen !== true) return undefined
    for (const protocol of protocols.values()) if (!fresh.serves(protocol.name)) fresh.handle(protocol)
    return fresh
  }

  /** `session` has lost its link to `lostTo`: finds another. */
  detached(session: TrunkSession, lostTo: TrunkError, dial: Dial): void {
    void this.#findLink(session, lostTo, dial)
  }

  /** Never rejects. */
  async #findLink(session: TrunkSession, lostTo: TrunkError, dial: Dial): Promise<void> {
    const stop = new AbortController()
    const over = (): void => {
      stop.abort(lostTo)
    }
    void session.closed.then(over, over)
    let attempts = 0
    try {
      const greeted = await redial(dial, {
        backoff: this.#backoff,
        clock: this.#parts.clock,
        signal: stop.signal,
        after: undefined,
        tell: ({ state, ...told }) => {
          attempts = told.attempt
          this.#tell({ error: lostTo, ...told, state: state === 'waiting' ? 'waiting' : 'resuming' })
        },
      })
      this.#backoff.reset()
      if (greeted.goneTo === undefined) this.#keep(greeted)
      else this.#tell({ state: 'open', attempt: attempts })
    } catch (error) {
      // what cannot pass by trying again; after the session's end there is nobody to tell
      if (!stop.signal.aborted) session.giveUp(toTrunkError(error, 'ERR_LINK_FAILED', 'there is no other link'))
    }
  }

  #keep(fresh: TrunkSession): void {
    if (this.#reconnects) this.#fresh = fresh
    else void fresh.close()
  }

  #tell(status: Omit<ConnectionStatus, 'sessions'>): void {
    notify(this.#onConnection, { ...status, sessions: 1 })
  }
}
