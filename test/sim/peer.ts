/**
 * One peer of a simulated session: a real engine, a line below it, and an application above it that
 * does what its dice say. The application uses the core as the pipe adapter does (`PipeListener`,
 * plain calls), so nothing here waits for a promise and a run is one sequence of events.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Limits } from '../../src/contracts/limits.ts'
import type { PipeListener, PipeState } from '../../src/core/mux/pipe-state.ts'
import { Engine, type EngineOptions } from '../../src/core/session/engine.ts'
import { compareEpochs } from '../../src/core/session/hello.ts'
import { Flow } from './flow.ts'
import type { Random } from './random.ts'
import type { Timeline } from './timeline.ts'
import type { Wire, WireEnd } from './wire.ts'

/** Both sides of one pipe, shared by the two peers. */
export interface PipeRecord {
  readonly index: number
  /** Who opened it, in which run. */
  readonly opener: SimPeer
  readonly forward: Flow
  readonly backward: Flow
  refused: boolean
  /**
   * An application broke it off, on either side: what becomes of it is its own doing, and nobody
   * else's (I9).
   */
  torn: boolean
  /** The opener was told that the acceptor read everything and its handler finished. */
  confirmed: boolean
}

/** What the two peers and the checks have in common. */
export interface Shared {
  readonly timeline: Timeline
  readonly random: Random
  readonly records: PipeRecord[]
  /**
   * Sessions follow each other on one line: nothing is ended there, and what comes may be an older
   * session's.
   */
  readonly bare?: boolean
  /** Rewrites a batch on its way out: how a broken core is played. */
  readonly sabotage: ((batch: Uint8Array) => Uint8Array) | undefined
  /** True once the script is over: everybody finishes what is open. */
  finishing: boolean
  note(kind: string, value: number): void
  fault(sentence: string): void
}

/** How an application behaves. */
export interface AppKnobs {
  readonly maxPipes: number
  readonly maxWriteBytes: number
  readonly paceMs: number
  readonly violence: number
}

export class SimPipe implements PipeListener {
  readonly peer: SimPeer
  readonly record: PipeRecord
  readonly out: Flow
  readonly in: Flow
  readonly opener: boolean
  state!: PipeState
  open = false
  over = false
  waitFor = 0
  /** What the line still looks at. */
  #chunk: Uint8Array | undefined
  /** Somebody waits for the end to leave. */
  #ending = false
  readable_ = false
  error: TrunkError | undefined

  constructor(peer: SimPeer, record: PipeRecord, opener: boolean) {
    this.peer = peer
    this.record = record
    this.opener = opener
    this.out = opener ? record.forward : record.backward
    this.in = opener ? record.backward : record.forward
  }

  accepted(): void {
    this.open = true
  }

  readable(): void {
    this.readable_ = true
  }

  written(): void {
    if (this.state.endSent) this.#ending = false
    if (this.waitFor === 0 || this.state.sent < this.waitFor) return
    this.waitFor = 0
    // its writer's again
    this.#chunk?.fill(REUSED)
    this.#chunk = undefined
  }

  /** What a writer of this pipe waits for: a promise of the pipe adapter that is not settled. */
  get waits(): string | undefined {
    if (this.over) return undefined
    if (this.waitFor > 0) return `a write waits for byte ${this.waitFor}, ${this.state.sent} are sent`
    return this.#ending ? 'an end waits to leave' : undefined
  }

  stopped(): void {
    if (!this.record.torn) this.#blameless('was stopped')
    this.out.abandoned = true
    this.waitFor = 0
  }

  confirmed(error: TrunkError | undefined): void {
    if (error !== undefined) {
      if (!this.record.torn && error.scope === 'pipe') this.#blameless(`was not confirmed (${error.code})`)
      this.out.abandoned = true
    } else if (this.out.read !== this.out.written) {
      this.peer.shared.fault(`pipe ${this.state.id} confirmed with ${this.out.read} of ${this.out.written} bytes read`)
    }
    if (this.opener) this.record.confirmed = true
  }

  failed(error: TrunkError): void {
    // an open beyond a limit is refused; one that stands fails with its session, or because
    // somebody broke it
    if (this.open && !this.record.torn && error.scope === 'pipe') this.#blameless(`failed (${error.code})`)
    this.over = true
    this.error = error
    this.out.abandoned = true
    this.in.abandoned = true
    if (!this.open && this.opener) this.record.refused = true
  }

  #blameless(what: string): void {
    this.peer.shared.fault(`I9: pipe ${this.state.id} ${what}, and no application had touched it`)
  }

  // --- what the application does -----------------------------------------------------------------

  write(bytes: number): void {
    const { state } = this
    if (this.over || state.endQueued || state.stopError !== undefined || this.waitFor > 0) return
    const chunk = this.out.produce(bytes)
    this.waitFor = this.peer.core.write(state, chunk)
    if (this.waitFor > 0) this.#chunk = chunk
    else chunk.fill(REUSED)
  }

  end(): void {
    if (this.over || this.out.ended) return
    this.out.ended = true
    this.peer.core.end(this.state)
    this.#ending = !this.state.endSent
  }

  read(): void {
    if (this.over || this.state.readStopped) return
    const pieces = this.peer.core.read(this.state, { now: () => this.peer.shared.timeline.now })
    for (const piece of pieces) {
      const wrong = this.in.consume(piece)
      if (wrong !== undefined) this.peer.shared.fault(`I1: pipe ${this.state.id}: ${wrong}`)
      this.peer.shared.note('read', piece.byteLength)
    }
    // every other pipe only borrows what it reads
    if ((this.state.id & 2) === 0) this.peer.core.release(pieces)
    if (this.state.receivedAll && !this.in.sawEnd) {
      this.in.sawEnd = true
      if (this.in.abandoned) return
      if (!this.in.ended || this.in.read !== this.in.written) {
        this.peer.shared.fault(
          `I2: pipe ${this.state.id} ended cleanly after ${this.in.read} of ${this.in.written} bytes`,
        )
      }
    }
  }

  stop(): void {
    if (this.over || this.state.receivedAll) return
    this.in.abandoned = true
    this.record.torn = true
    this.peer.core.stop(this.state, 'ERR_PIPE_STOPPED')
  }

  reset(): void {
    if (this.over) return
    this.record.torn = true
    const error = new TrunkError('ERR_ABORTED', 'the dice said so')
    this.peer.core.reset(this.state, error)
    this.failed(error)
    if (!this.opener) this.peer.core.handlerEnded(this.state)
  }

  finishHandler(): void {
    if (this.opener || !this.open || this.state.handlerEnded) return
    if (!this.over && !this.state.receivedAll) {
      this.in.abandoned = true
      this.record.torn = true
    }
    this.out.ended = true
    this.peer.core.handlerEnded(this.state)
  }
}

/** What memory holds that was given back, and is used for something else. */
const REUSED = 0xa5

export class SimPeer implements WireEnd {
  readonly name: string
  readonly limits: Readonly<Limits>
  readonly shared: Shared
  readonly engine: Engine
  readonly pipes: Set<SimPipe> = new Set<SimPipe>()
  /** All that there ever were. */
  readonly made: SimPipe[] = []
  readonly waiting: SimPipe[] = []
  readonly #knobs: AppKnobs
  wire!: Wire
  established = false
  ended = false
  /** Its process was killed. */
  dead = false
  onEnded: (() => void) | undefined
  error: TrunkError | undefined
  #flushing = false
  #busy = false
  #wireEnded = false
  #armedAt = Infinity

  constructor(name: string, shared: Shared, knobs: AppKnobs, options: Omit<EngineOptions, 'host' | 'now'>) {
    this.name = name
    this.limits = options.limits
    this.shared = shared
    this.#knobs = knobs
    this.engine = new Engine({
      ...options,
      now: shared.timeline.now,
      host: {
        wake: () => {
          this.wake()
        },
        established: () => {
          this.established = true
        },
        incoming: (state, head) => {
          this.#incoming(state, head)
        },
        ponged: () => {
          shared.note('pong', 0)
        },
        release: (view) => {
          view.fill(REUSED)
        },
        ended: (error) => {
          this.ended = true
          this.error = error
          shared.note(`ended ${error?.code ?? 'well'}`, 0)
          this.wake()
          this.onEnded?.()
        },
      },
    })
  }

  /** What a peer that stands knows it by. */
  get epoch(): Uint8Array {
    const { own } = this.engine
    if (own === undefined) throw new Error('no session yet')
    return own.epoch
  }

  get core(): NonNullable<Engine['mux']> {
    const { mux } = this.engine
    if (mux === undefined) throw new Error('no session yet')
    return mux
  }

  start(): void {
    this.wake()
    this.#arm()
  }

  wake(): void {
    if (this.#flushing) return
    this.#flushing = true
    this.shared.timeline.after(0, () => {
      this.#flushing = false
      this.#flush()
    })
  }

  /** SIGKILL: nothing is said, nothing is done any more. */
  kill(): void {
    this.dead = true
    this.ended = true
    for (const pipe of this.pipes) {
      pipe.over = true
      pipe.in.abandoned = true
      pipe.out.abandoned = true
    }
  }

  #flush(): void {
    if (this.#busy || this.dead) return
    const parts = this.engine.pull(this.shared.timeline.now)
    if (parts === undefined) {
      if (this.ended && !this.#wireEnded && this.shared.bare !== true) {
        this.#wireEnded = true
        this.wire.end()
      }
      return
    }
    this.#busy = true
    const batch = Buffer.concat(parts)
    this.wire.write(this.shared.sabotage === undefined ? batch : this.shared.sabotage(batch), () => {
      this.#busy = false
      if (this.dead) return
      if (!Buffer.concat(parts).equals(batch)) this.shared.fault(`I1: ${this.name} changed a batch that had not left`)
      this.engine.batchLeft()
      this.wake()
      this.#arm()
    })
    this.#arm()
  }

  data(chunk: Uint8Array): void {
    if (this.dead) return
    this.shared.note(this.name, chunk.byteLength)
    // read into memory that is read into again where the session keeps nothing of it
    const own = new Uint8Array(chunk)
    this.engine.receive(own, this.shared.timeline.now)
    if (this.engine.kept() === 0) own.fill(REUSED)
    this.#arm()
  }

  end(reset: boolean): void {
    this.engine.linkEnded(reset ? new TrunkError('ERR_LINK_RESET', 'reset') : undefined, this.shared.timeline.now)
  }

  /** The line is closed: what it still held of ours it looks at no more, as the driver says it. */
  lineGone(): void {
    if (!this.#busy || this.dead) return
    this.#busy = false
    this.engine.batchLeft()
  }

  close(): void {
    this.engine.close(this.shared.timeline.now)
    this.#arm()
  }

  #arm(): void {
    const at = this.engine.deadline()
    if (at >= this.#armedAt || at === Infinity) return
    this.#armedAt = at
    this.shared.timeline.after(at - this.shared.timeline.now, () => {
      if (this.#armedAt !== at || this.dead) return
      this.#armedAt = Infinity
      if (this.engine.deadline() <= this.shared.timeline.now) this.engine.tick(this.shared.timeline.now)
      this.#arm()
    })
  }

  #incoming(state: PipeState, head: Uint8Array): void {
    const index = new DataView(head.buffer, head.byteOffset).getUint32(0)
    const record = this.shared.records[index]
    if (record === undefined) {
      this.shared.fault('an open that nobody made')
      return
    }
    const { peer } = this.engine
    if (peer === undefined || compareEpochs(peer.epoch, record.opener.epoch) !== 0) {
      this.shared.fault(`an open of another session: record ${index}`)
      return
    }
    const pipe = new SimPipe(this, record, false)
    pipe.state = state
    state.listener = pipe
    this.pipes.add(pipe)
    this.made.push(pipe)
    this.waiting.push(pipe)
  }

  // --- the application ---------------------------------------------------------------------------

  /** One thing that the application does, and when the next one comes. */
  live(): void {
    if (this.ended) return
    if (this.established) {
      if (this.shared.finishing) this.#finish()
      else this.#act()
      for (const pipe of this.pipes) {
        if (pipe.state.phase !== 'closed') continue
        pipe.read()
        this.pipes.delete(pipe)
      }
    }
    this.shared.timeline.after(this.shared.random.next() * this.#knobs.paceMs, () => {
      this.live()
    })
  }

  #act(): void {
    const { random } = this.shared
    const pipes = [...this.pipes]
    const dice = random.next()
    if (pipes.length === 0 || dice < 0.1) {
      this.#open()
      return
    }
    if (dice < 0.3) this.#answer(random.chance(0.9))
    const pipe = random.pick(pipes)
    if (!pipe.open) return
    const { violence } = this.#knobs
    if (dice < 0.6) pipe.write(random.scale(1, this.#knobs.maxWriteBytes))
    else if (dice < 0.9) pipe.read()
    else if (dice < 0.95) pipe.end()
    else if (random.chance(violence)) random.pick([() => pipe.stop(), () => pipe.reset(), () => pipe.finishHandler()])()
  }

  /** Everything that is open comes to its end. */
  #finish(): void {
    while (this.waiting.length > 0) this.#answer(true)
    for (const pipe of this.pipes) {
      pipe.read()
      if (!pipe.open) continue
      pipe.end()
      if (pipe.over || pipe.state.receivedAll) pipe.finishHandler()
    }
  }

  #open(): void {
    if (this.pipes.size >= this.#knobs.maxPipes || this.engine.state !== 'open') return
    const { records } = this.shared
    const index = records.length
    const record = {
      index,
      opener: this,
      forward: new Flow(index * 2),
      backward: new Flow(index * 2 + 1),
      refused: false,
      torn: false,
      confirmed: false,
    }
    const head = new Uint8Array(4)
    new DataView(head.buffer).setUint32(0, index)
    const pipe = new SimPipe(this, record, true)
    try {
      pipe.state = this.core.open(head, pipe, this.shared.timeline.now)
    } catch (error) {
      // our own pipes and those that wait for the peer's handlers fill the limit: the code says so,
      // and nothing was sent
      if (error instanceof TrunkError && error.code === 'ERR_PIPE_LIMIT') return
      throw error
    }
    records.push(record)
    this.pipes.add(pipe)
    this.made.push(pipe)
    // early data, before the answer
    if (this.shared.random.chance(0.5)) pipe.write(this.shared.random.scale(1, this.#knobs.maxWriteBytes))
  }

  #answer(accept: boolean): void {
    const pipe = this.waiting.shift()
    if (pipe === undefined) return
    if (pipe.over) {
      this.core.handlerEnded(pipe.state)
    } else if (accept) {
      pipe.open = true
      this.core.accept(pipe.state, new Uint8Array(0))
    } else {
      pipe.record.refused = true
      pipe.record.torn = true
      pipe.in.abandoned = true
      pipe.out.abandoned = true
      pipe.over = true
      this.core.refuse(pipe.state, new TrunkError('ERR_DENIED', 'the dice said so'))
    }
  }
}
