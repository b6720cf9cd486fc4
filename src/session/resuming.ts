/**
 * The connecting side of sessions that outlive their links: dials when a link is lost, again and
 * again, until another link goes on with the session, or the session is over.
 *
 * Promises: a session that the peer no longer knows is over at once, and the one that stands on
 * that link in its place waits for the next dial; where there is none, it is ended. A line that
 * carries nothing before it is cut is dialled after a wait, each longer than the last.
 */
import { Backoff } from '../runtime/backoff.ts'
import type { Clock } from '../runtime/clock.ts'
import { toTrunkError, TrunkError } from '../contracts/errors.ts'
import type { Limits } from '../contracts/limits.ts'
import type { Protocol } from '../contracts/types.ts'
import { ignore } from './pipe/rejected.ts'
import { redial, WORKED_MS, type Attempt, type SessionLinks } from './redial.ts'
import type { TrunkSession } from './trunk.ts'

type Dial = (signal: AbortSignal) => Promise<TrunkSession>

/** Of one session: what ends the search for its next link, while there is one. */
interface Search {
  stop: AbortController | undefined
}

export class Resuming implements SessionLinks {
  onStep: ((attempt: Attempt) => void) | undefined
  readonly #parts: { readonly limits: Readonly<Limits>; readonly clock: Clock }
  readonly #reconnects: boolean
  readonly #backoff: Backoff
  /** By session that has lost a link. */
  readonly #searches = new WeakMap<TrunkSession, Search>()
  /** What stands on a link whose peer did not know our session. */
  #fresh: TrunkSession | undefined
  #over = false

  /** @param reconnects somebody takes the session that stands in place of a lost one */
  constructor(parts: { readonly limits: Readonly<Limits>; readonly clock: Clock }, reconnects: boolean) {
    this.#parts = parts
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

  /** SessionLinks: see there. */
  async end(): Promise<void> {
    this.#over = true
    const fresh = this.#fresh
    this.#fresh = undefined
    if (fresh !== undefined) await drop(fresh)
  }

  /** `session` has lost its link to `lostTo`: finds another. */
  detached(session: TrunkSession, lostTo: TrunkError, dial: Dial): void {
    void this.#findLink(session, lostTo, dial)
  }

  /** Never rejects. */
  async #findLink(session: TrunkSession, lostTo: TrunkError, dial: Dial): Promise<void> {
    const { clock } = this.#parts
    const search = this.#searchOf(session)
    const stop = (search.stop = new AbortController())
    const { attachedAt = 0, carried = 0 } = session.resumable ?? {}
    const hasStood = clock.now() - attachedAt >= WORKED_MS
    if (hasStood || carried > 0) this.#backoff.reset()
    let attempts = 0
    try {
      const greeted = await redial(dial, {
        backoff: this.#backoff,
        clock,
        signal: stop.signal,
        after: hasStood ? undefined : lostTo,
        tell: ({ state, ...told }) => {
          attempts = told.attempt
          this.#tell(session, { error: lostTo, ...told, state: state === 'waiting' ? 'waiting' : 'resuming' })
        },
      })
      if (greeted.goneTo === undefined) this.#keep(greeted)
      // else that link is lost already, and another search is under way
      else if (search.stop === stop) this.#tell(session, { state: 'open', attempt: attempts })
    } catch (error) {
      // what cannot pass by trying again; after the session's end there is nobody to tell
      if (!stop.signal.aborted) session.giveUp(toTrunkError(error, 'ERR_LINK_FAILED', 'there is no other link'))
    } finally {
      if (search.stop === stop) search.stop = undefined
    }
  }

  /** One listener for each session, however often it is lost. */
  #searchOf(session: TrunkSession): Search {
    const known = this.#searches.get(session)
    if (known !== undefined) return known
    const search: Search = { stop: undefined }
    this.#searches.set(session, search)
    const over = (): void => search.stop?.abort(new TrunkError('ERR_SESSION_CLOSED', 'the session is over'))
    void session.closed.then(over, over)
    return search
  }

  #keep(fresh: TrunkSession): void {
    if (this.#reconnects && !this.#over) this.#fresh = fresh
    else void drop(fresh)
  }

  #tell(session: TrunkSession, attempt: Attempt): void {
    // one that nobody has taken yet is no news
    if (!this.#over && session !== this.#fresh) this.onStep?.(attempt)
  }
}

/** Ends a session that nobody uses: for its peer it is one that was closed. */
async function drop(session: TrunkSession): Promise<void> {
  session.abort(new TrunkError('ERR_SESSION_CLOSED', 'nobody wants the session'))
  await session.closed.catch(ignore)
}
