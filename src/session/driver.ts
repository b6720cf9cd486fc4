/**
 * Joins an engine to a link and a clock: reads the link into the engine, writes the engine's
 * batches, calls it when it is time, and at the end sees that the goodbye leaves before the link is
 * closed. Holds no decision of the protocol.
 *
 * Reading never waits for writing (invariant 2 of docs/internals/catalogue.md). It owns the link:
 * after `finished` settles nothing of it is left.
 */
import type { Clock, Timer } from '../runtime/clock.ts'
import { TrunkError, toTrunkError } from '../contracts/errors.ts'
import type { Link } from '../contracts/types.ts'
import { asDirectLink, type DirectAdapter } from './direct-adapter.ts'
import type { Engine } from '../core/session/engine.ts'

/**
 * After this much in one go the event loop gets a turn: a kernel that keeps taking bytes would
 * starve everything else.
 */
const YIELD_BYTES = 1024 * 1024
/**
 * How long a link that we end waits for the peer's end: closing earlier may turn our goodbye into a
 * reset.
 */
const LINGER_MS = 1000

export class Driver {
  #engine: Engine
  readonly #link: Link
  readonly #clock: Clock
  /** True where the line would tell us of the peer's end. */
  readonly #connected: boolean
  /** Settles when the link has been closed; never rejects. */
  readonly finished: Promise<void>
  #resolveFinished!: () => void
  #adapter: DirectAdapter | undefined
  /** The line holds a batch: it may not be ended yet, the goodbye may be still to come. */
  #busy = false
  #writeEnded = false
  #flushing = false
  #timer: Timer | undefined
  #timerAt = Infinity
  #inputOver = false
  #ended = false
  #error: TrunkError | undefined
  #linger: Timer | undefined

  constructor(engine: Engine, link: Link, clock: Clock, connected: boolean) {
    this.#engine = engine
    this.#link = link
    this.#clock = clock
    this.#connected = connected
    this.finished = new Promise((resolve) => {
      this.#resolveFinished = resolve
    })
  }

  /** Starts to read and write. */
  start(): void {
    const adapter = asDirectLink(this.#link)
    this.#adapter = adapter
    adapter.start({
      data: (chunk) => {
        this.#received(chunk)
      },
      kept: () => this.#engine.kept(),
      isOver: () => this.#ended,
      end: () => {
        this.#inputEnded(undefined)
      },
      fail: (error) => {
        this.#inputEnded(toTrunkError(error, 'ERR_LINK_FAILED', 'the line failed'))
      },
      drain: () => {
        this.#batchLeft()
      },
    })
    this.wake()
    this.#arm()
  }

  /**
   * The engine may have something to send: asks it once, after everything of this tick has been
   * said.
   */
  wake(): void {
    if (this.#flushing) return
    this.#flushing = true
    // a microtask is too early (each chunk of an iterated writer would leave alone), setImmediate
    // too late for latency
    process.nextTick(this.#flush)
  }

  /** A view of a chunk of the link is no longer looked at. */
  release(view: Uint8Array): void {
    this.#adapter?.release?.(view)
  }

  /** The link goes on with this engine's session. */
  carry(engine: Engine): void {
    this.#engine = engine
    this.wake()
  }

  /** The session goes on without this link, which is dropped: what it holds is not waited for. */
  leave(error: TrunkError): void {
    this.#ended = true
    this.#busy = false
    this.#finish(error)
  }

  /** The engine has ended: sends what is left to say and closes the link. */
  engineEnded(error: TrunkError | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#inputOver || error?.scope === 'link') this.#finish(error)
    else {
      this.#linger = this.#clock.after(LINGER_MS, () => {
        this.#finish(error ?? new TrunkError('ERR_LINK_LOST', 'the peer did not end the line'))
      })
      this.wake()
    }
  }

  /** Ends at once, whatever is still to be said or waited for. */
  cut(error: TrunkError): void {
    this.#finish(error)
  }

  #received(chunk: Uint8Array): void {
    // after the end what still comes is dropped, but read, so that the peer's writes do not block
    // its own end
    if (this.#ended) return
    this.#engine.receive(chunk, this.#clock.now())
    // where something is to be sent, that looks at the time as well
    if (!this.#flushing && !this.#isEnded()) this.#arm()
  }

  #inputEnded(error: TrunkError | undefined): void {
    if (this.#inputOver) return
    this.#inputOver = true
    if (this.#ended) this.#finish(error)
    else this.#engine.linkEnded(error, this.#clock.now())
  }

  readonly #flush = (): void => {
    this.#flushing = false
    const adapter = this.#adapter
    if (adapter === undefined || this.#finishing) return
    let bytes = 0
    const now = this.#clock.now()
    for (;;) {
      const batch = this.#engine.pull(now)
      if (batch === undefined) break
      this.#busy = !adapter.write(batch)
      if (this.#busy || this.#isFinishing()) break
      this.#engine.batchLeft()
      if (!this.#engine.hasMore) break
      for (const piece of batch) bytes += piece.byteLength
      if (bytes >= YIELD_BYTES) {
        this.#flushing = true
        setImmediate(this.#flush)
        break
      }
    }
    if (!this.#ended) this.#arm()
    else if (!this.#flushing && !this.#busy) this.#saidAll()
  }

  /** The goodbye has left. A connectionless link will not tell us of the peer's end either. */
  #saidAll(): void {
    if (this.#connected) this.#endWriting()
    else this.#finish(this.#error)
  }

  #endWriting(): void {
    if (this.#writeEnded) return
    this.#writeEnded = true
    this.#adapter?.end()
  }

  #batchLeft(): void {
    if (this.#finishing) return
    this.#busy = false
    this.#engine.batchLeft()
    this.wake()
  }

  #arm(): void {
    const at = this.#engine.deadline()
    // a timer that fires early only looks again: so the hot path seldom touches it
    if (at >= this.#timerAt) return
    this.#timer?.cancel()
    this.#timerAt = at
    this.#timer = this.#clock.after(at - this.#clock.now(), () => {
      this.#timerAt = Infinity
      this.#timer = undefined
      if (this.#ended) return
      const now = this.#clock.now()
      if (this.#engine.deadline() <= now) this.#engine.tick(now)
      if (!this.#isEnded()) this.#arm()
    })
  }

  #isFinishing(): boolean {
    return this.#finishing
  }

  #isEnded(): boolean {
    return this.#ended
  }

  #finishing = false

  #finish(error: TrunkError | undefined): void {
    if (this.#finishing) return
    this.#finishing = true
    this.#linger?.cancel()
    this.#timer?.cancel()
    this.#endWriting()
    this.#adapter?.stop()
    if (error !== undefined) {
      this.#link.abort(error)
      this.#linkGone()
      return
    }
    this.#link.close().then(this.#linkGone, this.#linkGone)
  }

  /**
   * The link is closed, whether it says that this went well or not: so it has let go of the last
   * batch, and will not tell.
   */
  readonly #linkGone = (): void => {
    if (this.#busy) this.#engine.batchLeft()
    this.#busy = false
    this.#resolveFinished()
  }
}
