/** What `serve` gives: sessions over the links that a listener accepts, or one after the other over a line that outlives them. */
import { TrunkError, toTrunkError } from './errors.ts'
import { establish, isBare, sessionOver, type Settings } from './establish.ts'
import { onAbort } from './on-abort.ts'
import { TokenBucket } from './mux/token-bucket.ts'
import { SharedLine } from './session/shared-line.ts'
import { tell } from './tell.ts'
import type { Link, Listener, Server, Transport, TransportTraits, Trunk } from './types.ts'

/** Links that are being told that the server is full; each is gone after a second at most. */
const MAX_TURNED_AWAY = 16
/** Sessions that may fail in a row on one line without a pause, and how often one may afterwards. */
const RESTART_BURST = 5
const RESTARTS_PER_SECOND = 1

export class TrunkServer implements Server {
  readonly address: string
  readonly trunks: Set<Trunk> = new Set<Trunk>()
  readonly #listener: Listener
  readonly #transport: Transport
  readonly #settings: Settings
  readonly #starting = new AbortController()
  readonly #accepting: Promise<void>
  /** Links that are saying hello: at most maxSessions. */
  readonly #establishing = new Set<Promise<Trunk>>()
  /** Trunks that no iteration has taken; those that have closed are dropped, so at most maxSessions. */
  readonly #fresh = new Set<Trunk>()
  readonly #waiting: ((result: IteratorResult<Trunk, void>) => void)[] = []
  /** Lines that outlive their sessions, until they are closed. */
  readonly #lines = new Set<Promise<void>>()
  #sessions = 0
  #turnedAway = 0
  #closing: Promise<void> | undefined
  #error: TrunkError | undefined

  constructor(listener: Listener, transport: Transport, settings: Settings) {
    this.address = listener.address
    this.#listener = listener
    this.#transport = transport
    this.#settings = settings
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

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    this.#starting.abort(new TrunkError('ERR_SESSION_CLOSED', 'the server is closing'))
    const [listening] = await Promise.allSettled([
      this.#listener.close(),
      ...[...this.trunks].map((trunk) => trunk.close()),
    ])
    await Promise.all(this.#lines)
    await this.#accepting
    this.#finish()
    // last: an address that could not be freed keeps nobody else from ending
    if (listening.status === 'rejected') throw listening.reason
  }

  async #accept(): Promise<void> {
    try {
      for await (const link of this.#listener) {
        if (isBare(this.#transport.traits)) this.#keep(this.#serveLine(link))
        else if (this.#sessions >= this.#settings.limits.maxSessions) {
          const error = new TrunkError(
            'ERR_SESSION_LIMIT',
            `at most ${this.#settings.limits.maxSessions} sessions at a time`,
          )
          this.#turnAway(link, error)
        } else void this.#start(link)
      }
    } catch (error) {
      this.#error = toTrunkError(error, 'ERR_LINK_FAILED', 'listening failed')
    }
    // A listener may end with its last link (stdio): what is still saying hello is to be offered before the end.
    await Promise.allSettled(this.#establishing)
    if (this.#closing === undefined) this.#finish()
  }

  /**
   * A line that outlives its sessions: one after the other, for as long as the line is there. A peer that starts anew all the time, or noise, costs
   * a session a second at most.
   */
  async #serveLine(raw: Link): Promise<void> {
    const { clock } = this.#settings
    const line = new SharedLine(raw)
    const restarts = new TokenBucket(RESTART_BURST, RESTARTS_PER_SECOND, clock.now())
    let told: string | undefined
    while (!line.over && !this.#isClosing()) {
      const error = await this.#start(line.take(), (given) => {
        // a line that is wrong stays wrong: once is enough. That nobody had come when the server closes is not wrong at all
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

  #keep(line: Promise<void>): void {
    this.#lines.add(line)
    void line.then(() => this.#lines.delete(line))
  }

  /** Waits, or until the server closes. */
  #pause(delayMs: number): Promise<void> {
    const { signal } = this.#starting
    return new Promise((resolve) => {
      const timer = this.#settings.clock.after(delayMs, () => {
        letGo()
        resolve()
      })
      const letGo = onAbort(signal, () => {
        timer.cancel()
        resolve()
      })
    })
  }

  /** One link from its hello to its end; gives the error that ended it, if any. Never rejects. */
  async #start(
    link: Link,
    rejected: (error: Error) => void = (error) => {
      this.#rejected(link, error)
    },
  ): Promise<Error | undefined> {
    let ended: Error | undefined
    this.#sessions++
    try {
      const options = { ...this.#settings.options, signal: this.#starting.signal }
      const establishing = establish(
        link,
        'serve',
        { ...pick(this.#transport), address: this.address, patient: isBare(this.#transport.traits) },
        { ...this.#settings, options },
      )
      this.#establishing.add(establishing)
      let trunk: Trunk
      try {
        trunk = await establishing
      } finally {
        this.#establishing.delete(establishing)
      }
      this.trunks.add(trunk)
      this.#fresh.add(trunk)
      this.#offer()
      await trunk.closed.catch((error: unknown) => {
        // the session stood: what ends it is told by its own `closed` and its pipes, it was not rejected
        ended = error as Error
      })
      this.trunks.delete(trunk)
      this.#fresh.delete(trunk)
    } catch (error) {
      ended = error as Error
      rejected(ended)
    } finally {
      this.#sessions--
    }
    return ended
  }

  /** Tells the peer why, where that holds few links: a hello that is aborted before it begins. A flood is cut at once. */
  #turnAway(link: Link, error: TrunkError): void {
    this.#rejected(link, error)
    if (this.#turnedAway >= MAX_TURNED_AWAY) {
      link.abort(error)
      return
    }
    this.#turnedAway++
    const session = sessionOver(link, 'serve', { ...pick(this.#transport), address: this.address }, this.#settings)
    void session
      .establish(AbortSignal.abort(error))
      .catch(() => session.closed)
      .catch(() => {
        // that is the error that we sent
      })
      .finally(() => this.#turnedAway--)
  }

  #rejected(link: Link, error: Error): void {
    tell(this.#settings.options.onRejected, { peer: link.peer ?? '', error })
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

function pick(transport: Transport): { scheme: string; traits: TransportTraits } {
  return { scheme: transport.scheme, traits: transport.traits }
}

function codeOf(error: Error): string {
  return error instanceof TrunkError ? error.code : error.name
}
