/**
 * What `serve` gives: sessions over the links that a listener accepts, or one after the other over
 * a line that outlives them.
 */
import { TrunkError, toTrunkError } from '../contracts/errors.ts'
import { needsCheckedFraming, sessionOver, type Settings } from './establish.ts'
import { onAbort } from '../runtime/on-abort.ts'
import { TokenBucket } from '../runtime/token-bucket.ts'
import { SharedLink } from '../session/shared-link.ts'
import { KeptSessions } from '../session/kept-sessions.ts'
import { Strangers } from '../session/strangers.ts'
import { notify } from '../runtime/notify.ts'
import type { TrunkSession } from '../session/trunk.ts'
import type {
  Link,
  Listener,
  ServeOptions,
  Server,
  ServerStatus,
  Transport,
  TransportTraits,
  Trunk,
} from '../contracts/types.ts'

/**
 * Sessions that may fail in a row on one line without a pause, and how often one may afterwards.
 */
const RESTART_BURST = 5
const RESTARTS_PER_SECOND = 1

export class TrunkServer implements Server {
  readonly address: string
  readonly trunks: Set<Trunk> = new Set<Trunk>()
  readonly #listener: Listener
  readonly #transport: Transport
  readonly #settings: Settings
  readonly #onSessionError: ServeOptions['onSessionError']
  readonly #starting = new AbortController()
  readonly #accepting: Promise<void>
  /** Links that are saying hello: at most maxHandshakes. */
  readonly #establishing = new Set<Promise<void>>()
  /**
   * Trunks that no iteration has taken; those that have closed are dropped, so at most maxSessions.
   */
  readonly #fresh = new Set<Trunk>()
  readonly #waiting: ((result: IteratorResult<Trunk, void>) => void)[] = []
  /** Lines that outlive their sessions, until they are closed. */
  readonly #links = new Set<Promise<void>>()
  /**
   * Places that are taken: by established sessions, and by those whose peer has been admitted and
   * is about to.
   */
  #sessions = 0
  /** Sessions that outlive their links. */
  readonly #kept: KeptSessions
  /** Links that have proved nothing yet. */
  readonly #strangers: Strangers
  #closing: Promise<void> | undefined
  #error: TrunkError | undefined

  constructor(
    listener: Listener,
    transport: Transport,
    settings: Settings,
    onSessionError: ServeOptions['onSessionError'],
  ) {
    this.address = listener.address
    this.#listener = listener
    this.#transport = transport
    this.#settings = settings
    this.#onSessionError = onSessionError
    this.#strangers = new Strangers(settings.limits.maxHandshakes)
    this.#kept = new KeptSessions(settings.limits.maxKeptSessions)
    this.#accepting = this.#accept()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Trunk, void, undefined> {
    for (;;) {
      const next = await this.#next()
      if (next.done === true) {
        if (this.#error !== undefined) throw this.#error
        return
      }
      yield next.value
    }
  }

  status(): ServerStatus {
    return {
      address: this.address,
      sessions: this.trunks.size,
      handshakes: this.#strangers.count,
      cutHandshakes: this.#strangers.cut,
      budgets: this.#settings.budgets.status(),
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    this.#starting.abort(new TrunkError('ERR_SESSION_CLOSED', 'the server is closing'))
    // no link comes any more that could go on with them
    this.#kept.giveUpAll()
    const [listening] = await Promise.allSettled([
      this.#listener.close(),
      ...[...this.trunks].map((trunk) => trunk.close()),
    ])
    await Promise.all(this.#links)
    await this.#accepting
    this.#finish()
    // last: an address that could not be freed keeps nobody else from ending
    if (listening.status === 'rejected') throw listening.reason
  }

  async #accept(): Promise<void> {
    try {
      for await (const link of this.#listener) {
        if (!needsCheckedFraming(this.#transport.traits)) void this.#greet(link)
        else if (this.#links.size < this.#settings.limits.maxSessions) this.#keep(this.#serveShared(link))
        else {
          const error = this.#tooMany()
          this.#rejected(link, error)
          link.abort(error)
        }
      }
    } catch (error) {
      this.#error = toTrunkError(error, 'ERR_LINK_FAILED', 'listening failed')
    }
    // A listener may end with its last link (stdio): what is still saying hello is to be offered
    // before the end.
    await Promise.allSettled(this.#establishing)
    if (this.#closing === undefined) this.#finish()
  }

  /**
   * A line that outlives its sessions: one after the other, for as long as the line is there. A
   * peer that starts again all the time, or noise, costs a session a second at most.
   */
  async #serveShared(raw: Link): Promise<void> {
    const { clock } = this.#settings
    const line = new SharedLink(raw)
    const restarts = new TokenBucket(RESTART_BURST, RESTARTS_PER_SECOND, clock.now())
    let told: string | undefined
    while (!line.over && !this.#isClosing()) {
      const error = await this.#start(line.take(), (given) => {
        // a line that is wrong stays wrong: once is enough. That nobody had come when the server
        // closes is not wrong at all
        if (this.#isClosing()) return
        if (told !== codeOf(given)) this.#rejected(raw, given)
        told = codeOf(given)
      })
      await line.free()
      if (error === undefined) told = undefined
      else while (!this.#isClosing() && !restarts.take(clock.now())) await this.#pause(restarts.nextAt() - clock.now())
    }
    await line.close()
  }

  #isClosing(): boolean {
    return this.#closing !== undefined
  }

  #keep(link: Promise<void>): void {
    this.#links.add(link)
    void link.then(() => this.#links.delete(link))
  }

  /** Waits, or until the server closes. */
  #pause(delayMs: number): Promise<void> {
    const { signal } = this.#starting
    return new Promise((resolve) => {
      const timer = this.#settings.clock.after(delayMs, () => {
        unsubscribe()
        resolve()
      })
      const unsubscribe = onAbort(signal, () => {
        timer.cancel()
        resolve()
      })
    })
  }

  /** A link of a stranger, until it is over. Never rejects. */
  async #greet(link: Link): Promise<void> {
    const rejected = (error: Error): void => {
      this.#rejected(link, error)
    }
    const place = new Place(this)
    let session: TrunkSession
    try {
      const facts = { ...pick(this.#transport), address: this.address }
      const resume = {
        find: (id: Uint8Array) => this.#kept.find(id),
        onDetached: () => {
          this.#kept.trim()
        },
      }
      session = sessionOver(link, 'serve', { ...facts, admit: () => place.take(), resume }, this.#settings)
    } catch (error) {
      rejected(error as Error)
      return
    }
    const leave = this.#strangers.add(link.peer ?? '', () => {
      const sentence = `more than ${this.#strangers.max} links were in their hello, and this was the oldest of its address`
      session.cut(new TrunkError('ERR_SESSION_LIMIT', sentence, { scope: 'link' }))
    })
    await this.#run(session, leave, rejected)
    place.giveBack()
    // what failed in its hello stays a stranger until nothing of its link is left: it may be told
    // why, which takes a moment
    await session.closed.catch(() => undefined)
    leave()
  }

  /**
   * One link of a line that outlives it, from its hello to its end; gives the error that ended it,
   * if any. Never rejects.
   */
  async #start(link: Link, rejected: (error: Error) => void): Promise<Error | undefined> {
    try {
      const facts = { ...pick(this.#transport), address: this.address, waitsForever: true }
      const session = sessionOver(link, 'serve', facts, this.#settings)
      return await this.#run(session, () => undefined, rejected)
    } catch (error) {
      rejected(error as Error)
      return error as Error
    }
  }

  /** A place of a session, if there is one: see {@link Place}. */
  takePlace(): void {
    // one that only waits for a link keeps nobody out
    if (this.#sessions >= this.#settings.limits.maxSessions && !this.#kept.giveUpOne()) throw this.#tooMany()
    this.#sessions++
  }

  /** Gives a place back. */
  givePlace(): void {
    this.#sessions--
  }

  #tooMany(): TrunkError {
    return new TrunkError('ERR_SESSION_LIMIT', `at most ${this.#settings.limits.maxSessions} sessions at a time`)
  }

  /**
   * A session from its hello to its end; gives the error that ended it, if any. `established` is
   * called when it is one. Never rejects.
   */
  async #run(
    session: TrunkSession,
    established: () => void,
    rejected: (error: Error) => void,
  ): Promise<Error | undefined> {
    const establishing = session.establish(this.#starting.signal)
    this.#establishing.add(establishing)
    try {
      await establishing
    } catch (error) {
      rejected(error as Error)
      return error as Error
    } finally {
      this.#establishing.delete(establishing)
    }
    established()
    // its link went on with a session that is here already
    if (session.goneTo !== undefined) return undefined
    this.trunks.add(session)
    this.#kept.add(session)
    this.#fresh.add(session)
    this.#offer()
    // the session was established: what ends it is told by its own `closed` and its pipes, it was
    // not rejected
    const ended = await session.closed.then(
      () => undefined,
      (error: unknown) => error as Error,
    )
    this.trunks.delete(session)
    this.#kept.delete(session)
    this.#fresh.delete(session)
    return ended
  }

  #rejected(link: Link, error: Error): void {
    notify(this.#onSessionError, { peer: link.peer ?? '', error })
  }

  #next(): Promise<IteratorResult<Trunk, void>> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#offer()
    })
  }

  #offer(): void {
    for (const trunk of this.#fresh) {
      const resolve = this.#waiting.shift()
      if (resolve === undefined) return
      this.#fresh.delete(trunk)
      resolve({ done: false, value: trunk })
    }
    if (this.#over) this.#finish()
  }

  #over = false

  #finish(): void {
    this.#over = true
    for (const resolve of this.#waiting.splice(0)) resolve({ done: true, value: undefined })
  }
}

/**
 * The place that a session has among those of its server, from when its peer is admitted: it is
 * taken and given back once.
 */
class Place {
  readonly #server: TrunkServer
  #taken = false

  constructor(server: TrunkServer) {
    this.#server = server
  }

  take(): void {
    this.#server.takePlace()
    this.#taken = true
  }

  giveBack(): void {
    if (this.#taken) this.#server.givePlace()
    this.#taken = false
  }
}

function pick(transport: Transport): { scheme: string; traits: TransportTraits } {
  return { scheme: transport.scheme, traits: transport.traits }
}

function codeOf(error: Error): string {
  return error instanceof TrunkError ? error.code : error.name
}
