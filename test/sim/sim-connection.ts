/**
 * A TCP connection of a simulated machine, as the bridge uses it: a program at its other end, and
 * what the two kernels hold between them. The program writes bulk and then ends or resets; it reads
 * at its own pace. What it wrote before a reset is told before the reset, as the contract of
 * `Connection` says.
 */
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Connection, ConnectionReceiver, Endpoint } from '../../protocols/tcp/connection.ts'
import type { Flow } from './flow.ts'
import type { Random } from './random.ts'
import type { Timeline } from './timeline.ts'

/** What the program at the other end does. */
export interface ProgramKnobs {
  /** Bytes of each of its writes. */
  readonly writes: readonly number[]
  readonly resets: boolean
  /** Between two things that it does, in milliseconds. */
  readonly paceMs: number
  readonly readBytes: number
  /** What the kernels hold for a program that does not read. */
  readonly bufferBytes: number
  /**
   * Its system tells of a reset before what was written before it: how a broken connection is
   * played.
   */
  readonly overtakes: boolean
}

/** What memory holds that was given back, and is used for something else. */
const REUSED = 0xa5
const ENDPOINT: Endpoint = { address: 'sim', port: 1 }

export class SimConnection implements Connection {
  readonly local: Endpoint = ENDPOINT
  readonly remote: Endpoint = ENDPOINT
  /** What the program has written, and what it has read. */
  readonly out: Flow
  readonly in: Flow
  /** How the connection came to its end, as the program sees it. */
  sawReset = false
  sawEnd = false
  /** The program has reset it. */
  hasReset = false
  /** Says where what it wrote before its reset is, at the moment of that. */
  onReset: (() => void) | undefined
  fault: string | undefined
  readonly #timeline: Timeline
  readonly #random: Random
  readonly #knobs: ProgramKnobs
  readonly #arrived: Uint8Array[] = []
  #receiver: ConnectionReceiver | undefined
  #paused = false
  #telling = false
  #hasEnded = false
  #toldEnd = false
  #kept: Uint8Array[] = []
  #keptBytes = 0
  #waits = false
  #weEnded = false
  #isOver = false
  #written = 0

  constructor(timeline: Timeline, random: Random, knobs: ProgramKnobs, out: Flow, into: Flow) {
    this.#timeline = timeline
    this.#random = random
    this.#knobs = knobs
    this.out = out
    this.in = into
    this.#act()
    this.#read()
  }

  get unsent(): number {
    return Math.max(0, this.#keptBytes - this.#knobs.bufferBytes)
  }

  get unacknowledged(): number {
    return Math.min(this.#keptBytes, this.#knobs.bufferBytes)
  }

  /** Bytes that the program has written and the bridge was not told. */
  get untold(): number {
    return this.#arrived.reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  onGone(): void {
    // whoever has it starts it at once
  }

  start(receiver: ConnectionReceiver): void {
    this.#receiver = receiver
    this.#tellSoon()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#tellSoon()
  }

  release(chunk: Uint8Array): void {
    chunk.fill(REUSED)
  }

  abandon(): void {
    // the collector's
  }

  write(chunks: Uint8ArrayList): boolean {
    if (this.#isOver || this.hasReset) return true
    this.#kept.push(chunks.slice())
    this.#keptBytes += chunks.byteLength
    this.#waits = this.unsent > 0
    return !this.#waits
  }

  end(): void {
    this.#weEnded = true
  }

  reset(): void {
    if (this.#isOver) return
    this.#isOver = true
    // what its system has not taken is lost, as a reset does it
    this.#kept = []
    this.#keptBytes = 0
    this.sawReset = !this.hasReset
    this.#timeline.after(0, () => this.#receiver?.closed())
  }

  // --- the program -------------------------------------------------------------------------------

  #act(): void {
    this.#timeline.after(this.#random.next() * this.#knobs.paceMs, () => {
      if (this.sawReset || this.#isOver) return
      const bytes = this.#knobs.writes[this.#written]
      if (bytes !== undefined) {
        this.#written++
        this.#arrived.push(this.out.produce(bytes))
        this.#act()
      } else if (this.#knobs.resets) {
        this.onReset?.()
        this.hasReset = true
        this.#kept = []
        this.#keptBytes = 0
        // where somebody writes, its system says that this goes nowhere before it tells the reset
        if (this.#random.chance(0.5)) this.#timeline.after(0, () => this.#isOver || this.#receiver?.broken())
      } else {
        this.out.ended = true
        this.#hasEnded = true
      }
      this.#tellSoon()
    })
  }

  #read(): void {
    this.#timeline.after(this.#random.next() * this.#knobs.paceMs, () => {
      if (this.#isOver || this.hasReset) return
      this.#take(this.#random.scale(1, this.#knobs.readBytes))
      if (this.#waits && this.unsent === 0) {
        this.#waits = false
        this.#receiver?.drained()
      }
      if (this.#weEnded && this.#keptBytes === 0) this.sawEnd = true
      this.#closeWhenBothEnded()
      this.#read()
    })
  }

  #take(bytes: number): void {
    for (let left = bytes; left > 0;) {
      const first = this.#kept[0]
      if (first === undefined) return
      const taken = first.subarray(0, left)
      if (taken.byteLength === first.byteLength) this.#kept.shift()
      else this.#kept[0] = first.subarray(taken.byteLength)
      left -= taken.byteLength
      this.#keptBytes -= taken.byteLength
      this.fault ??= this.in.consume(taken)
    }
  }

  // --- what the bridge is told -------------------------------------------------------------------

  #tellSoon(): void {
    if (this.#telling || this.#receiver === undefined) return
    this.#telling = true
    this.#timeline.after(this.#random.next(), () => {
      this.#telling = false
      this.#tell()
    })
  }

  #tell(): void {
    const receiver = this.#receiver
    if (receiver === undefined || this.#isOver || (this.#paused && this.#arrived.length > 0)) return
    if (this.hasReset && this.#knobs.overtakes) this.#arrived.length = 0
    const chunk = this.#arrived.shift()
    if (chunk !== undefined) {
      receiver.data(chunk)
      this.#tellSoon()
    } else if (this.hasReset) {
      this.#isOver = true
      receiver.failed(new Error('reset by the program'))
      this.#timeline.after(0, () => {
        receiver.closed()
      })
    } else if (this.#hasEnded && !this.#toldEnd) {
      this.#toldEnd = true
      receiver.end()
      this.#closeWhenBothEnded()
    }
  }

  #closeWhenBothEnded(): void {
    if (this.#isOver || !this.#toldEnd || !this.sawEnd) return
    this.#isOver = true
    this.#timeline.after(0, () => this.#receiver?.closed())
  }
}
