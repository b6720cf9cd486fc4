/**
 * Joins an engine to a link and a clock: reads the link into the engine, writes the engine's batches, calls it when it is time, and
 * at the end sees that the goodbye leaves before the link is closed. Holds no decision of the protocol.
 *
 * Reading never waits for writing (design: invariant 2). It owns the link: after `finished` settles nothing of it is left.
 */
import { abortableSource } from 'abortable-iterator'
import { Uint8ArrayList } from 'uint8arraylist'
import type { Clock, Timer } from '../clock.ts'
import { TrunkError, toTrunkError } from '../errors.ts'
import type { Bytes, DirectLink, Link } from '../types.ts'
import type { Engine } from './engine.ts'

/** After this much in one go the event loop gets a turn: a kernel that keeps taking bytes would starve everything else. */
const YIELD_BYTES = 1024 * 1024
/** How long a link that we end waits for the peer's end: closing earlier may turn our goodbye into a reset. */
const LINGER_MS = 1000

export class Driver {
  readonly #engine: Engine
  readonly #link: Link
  readonly #clock: Clock
  /** Settles when the link has been closed; never rejects. */
  readonly finished: Promise<void>
  #resolveFinished!: () => void
  #writer: BatchWriter | undefined
  #flushing = false
  #timer: Timer | undefined
  #timerAt = Infinity
  #inputOver = false
  #ended = false
  #linger: Timer | undefined
  /** Ends the iteration of a link that is read through its `source`. */
  readonly #over = new AbortController()

  constructor(engine: Engine, link: Link, clock: Clock) {
    this.#engine = engine
    this.#link = link
    this.#clock = clock
    this.finished = new Promise((resolve) => {
      this.#resolveFinished = resolve
    })
  }

  /** Starts to read and write. */
  start(): void {
    const { direct } = this.#link
    const left = (): void => {
      this.#batchLeft()
    }
    if (direct !== undefined) {
      const writer = new DirectWriter(direct)
      this.#writer = writer
      direct.start({
        data: (chunk) => {
          this.#received(chunk)
        },
        end: () => {
          this.#inputEnded(undefined)
        },
        fail: (error) => {
          this.#inputEnded(linkError(error))
        },
        drain: () => {
          writer.busy = false
          left()
        },
      })
    } else {
      const writer = new IterableWriter(left)
      this.#writer = writer
      void this.#writeLoop(writer.source)
      void this.#readLoop()
    }
    this.wake()
    this.#arm()
  }

  /** The engine may have something to send: asks it once, after everything of this tick has been said. */
  wake(): void {
    if (this.#flushing) return
    this.#flushing = true
    // a microtask is too early (each chunk of an iterated writer would leave alone), setImmediate too late for latency
    process.nextTick(this.#flush)
  }

  /** The engine has ended: sends what is left to say and closes the link. */
  engineEnded(error: TrunkError | undefined): void {
    if (this.#ended) return
    this.#ended = true
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

  async #writeLoop(source: AsyncIterable<Bytes>): Promise<void> {
    try {
      await this.#link.sink(source)
    } catch (error) {
      this.#inputEnded(linkError(error))
    }
  }

  async #readLoop(): Promise<void> {
    try {
      // a foreign source may hang for ever; the link itself is closed by #finish, which owns it
      for await (const chunk of abortableSource(this.#link.source, this.#over.signal, { returnOnAbort: true })) {
        if (chunk instanceof Uint8Array) this.#received(chunk)
        else for (const piece of chunk) this.#received(piece)
        if (this.#finishing) return
      }
      this.#inputEnded(undefined)
    } catch (error) {
      this.#inputEnded(linkError(error))
    }
  }

  #received(chunk: Uint8Array): void {
    // after the end what still comes is dropped, but read, so that the peer's writes do not block its own end
    if (this.#ended) return
    this.#engine.receive(chunk, this.#clock.now())
    if (!this.#isEnded()) this.#arm()
  }

  #inputEnded(error: TrunkError | undefined): void {
    if (this.#inputOver) return
    this.#inputOver = true
    if (this.#ended) this.#finish(error)
    else this.#engine.linkEnded(error, this.#clock.now())
  }

  readonly #flush = (): void => {
    this.#flushing = false
    const writer = this.#writer
    if (writer === undefined || this.#finishing) return
    let bytes = 0
    for (;;) {
      const batch = this.#engine.pull(this.#clock.now())
      if (batch === undefined) break
      if (!writer.write(batch)) break
      this.#engine.batchLeft()
      for (const piece of batch) bytes += piece.byteLength
      if (bytes >= YIELD_BYTES) {
        this.#flushing = true
        setImmediate(this.#flush)
        break
      }
    }
    if (!this.#ended) this.#arm()
    else if (!this.#flushing && !writer.busy) writer.end()
  }

  #batchLeft(): void {
    if (this.#finishing) return
    this.#engine.batchLeft()
    this.wake()
  }

  #arm(): void {
    const at = this.#engine.deadline()
    // a timer that fires early only looks again: so the hot path seldom touches it
    if (at >= this.#timerAt || at === Infinity) return
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

  #isEnded(): boolean {
    return this.#ended
  }

  #finishing = false

  #finish(error: TrunkError | undefined): void {
    if (this.#finishing) return
    this.#finishing = true
    this.#linger?.cancel()
    this.#timer?.cancel()
    this.#over.abort()
    this.#writer?.end()
    if (error !== undefined) {
      this.#link.abort(error)
      this.#resolveFinished()
      return
    }
    this.#link.close().then(this.#resolveFinished, () => {
      // the link says that its close failed: it is gone all the same
      this.#resolveFinished()
    })
  }
}

/** Writes one batch at a time. */
interface BatchWriter {
  readonly busy: boolean
  /** True: the batch has left. False: the driver is told when it has. */
  write(batch: readonly Uint8Array[]): boolean
  end(): void
}

class DirectWriter implements BatchWriter {
  readonly #direct: DirectLink
  #ended = false
  /** The line holds a batch: it may not be ended yet, the goodbye may be still to come. */
  busy = false

  constructor(direct: DirectLink) {
    this.#direct = direct
  }

  write(batch: readonly Uint8Array[]): boolean {
    this.busy = !this.#direct.write(batch)
    return !this.busy
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#direct.end()
  }
}

/** The link's sink drains `source`: asking for the next batch is what says that the last one has left. */
class IterableWriter implements BatchWriter {
  readonly #left: () => void
  #batch: readonly Uint8Array[] | undefined
  #wake: (() => void) | undefined
  #ended = false
  readonly source: AsyncIterable<Bytes>

  constructor(left: () => void) {
    this.#left = left
    this.source = this.#batches()
  }

  get busy(): boolean {
    return this.#batch !== undefined
  }

  write(batch: readonly Uint8Array[]): boolean {
    this.#batch = batch
    this.#wake?.()
    return false
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  async *#batches(): AsyncGenerator<Bytes> {
    for (;;) {
      const batch = this.#batch
      if (batch !== undefined) {
        const only = batch[0]
        yield batch.length === 1 && only !== undefined ? only : new Uint8ArrayList(...batch)
        this.#batch = undefined
        this.#left()
        continue
      }
      if (this.#ended) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
  }
}

function linkError(thrown: unknown): TrunkError {
  return toTrunkError(thrown, 'ERR_LINK_FAILED', 'the line failed')
}
