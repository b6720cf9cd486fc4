/**
 * One direction of a simulated line: bytes go in as batches, come out later in other pieces. Knobs:
 * latency, jitter, rate, splitting, coalescing, stalls, and a cut (end, reset or silence) after a
 * number of bytes. Order is kept and nothing is changed: a lossless line.
 */
import type { Random } from './random.ts'
import type { Timeline } from './timeline.ts'

/** How a direction ends when it is cut. */
export type CutKind = 'end' | 'reset' | 'silence'

/** What a direction is like. */
export interface WireKnobs {
  readonly latencyMs: number
  readonly jitterMs: number
  readonly bytesPerMs: number
  /** Largest piece that is delivered at once. */
  readonly maxPieceBytes: number
  /** Chance that the line stops for {@link stallMs} before a piece. */
  readonly stallChance: number
  readonly stallMs: number
  /** After this many bytes the line is cut; Infinity for never. */
  readonly cutAfterBytes: number
  readonly cutKind: CutKind
  /**
   * Chance that a batch is partly written: its front is delivered, and may be answered, long before
   * the writer is told that all of it has left, as where a kernel's queue is full. @default 0: it
   * is told after the time that the line takes for the batch
   */
  readonly partialChance?: number
  /** A writer waits while more than this is under way. @default Infinity */
  readonly bufferBytes?: number
  /** What becomes of a piece on its way: changed, shorter, longer. */
  readonly damage?: (piece: Uint8Array) => Uint8Array
}

/** Who is at the far end. */
export interface WireEnd {
  data(chunk: Uint8Array): void
  /** The line ended (undefined) or was reset. */
  end(reset: boolean): void
}

export class Wire {
  readonly #timeline: Timeline
  readonly #random: Random
  readonly #knobs: WireKnobs
  readonly #far: WireEnd
  #queue: Uint8Array[] = []
  readonly #waiting: (() => void)[] = []
  /** Writers that are told when the line has carried so much. */
  #partial: { readonly upTo: number; readonly left: () => void }[] = []
  #delivering = false
  #written = 0
  #carried = 0
  #ending = false
  cut = false
  /** Bytes that were written and not delivered. */
  inFlight = 0

  constructor(timeline: Timeline, random: Random, knobs: WireKnobs, far: WireEnd) {
    this.#timeline = timeline
    this.#random = random
    this.#knobs = knobs
    this.#far = far
  }

  /** Takes a batch; `left` is called when the sender's buffers are free. */
  write(batch: Uint8Array, left: () => void): void {
    if (!this.cut) {
      this.#queue.push(batch)
      this.inFlight += batch.byteLength
      this.#written += batch.byteLength
      this.#deliverSoon()
      if (this.#random.chance(this.#knobs.partialChance ?? 0)) {
        this.#partial.push({ upTo: this.#written, left })
        return
      }
    }
    this.#timeline.after(batch.byteLength / this.#knobs.bytesPerMs, () => {
      this.#waiting.push(left)
      this.#release()
    })
  }

  /**
   * What was written in part is reported as gone: at once, or after the peer has had time for an
   * answer.
   */
  #reportPartial(): void {
    const gone = this.#partial.filter(({ upTo }) => this.cut || upTo <= this.#carried)
    if (gone.length === 0) return
    this.#partial = this.#partial.filter((each) => !gone.includes(each))
    const { latencyMs, jitterMs } = this.#knobs
    const answered = this.#random.chance(0.5) ? 0 : (latencyMs + jitterMs) * this.#random.scale(1, 8)
    for (const { left } of gone) this.#timeline.after(answered, left)
  }

  #release(): void {
    if (this.inFlight > (this.#knobs.bufferBytes ?? Infinity)) return
    for (const left of this.#waiting.splice(0)) left()
  }

  /** The writer ends this direction after what it has written. */
  end(): void {
    this.#ending = true
    this.#deliverSoon()
  }

  #deliverSoon(): void {
    if (this.#delivering || this.cut || (this.#queue.length === 0 && !this.#ending)) return
    this.#delivering = true
    const stall = this.#random.chance(this.#knobs.stallChance) ? this.#knobs.stallMs : 0
    this.#timeline.after(this.#knobs.latencyMs + this.#random.next() * this.#knobs.jitterMs + stall, () => {
      this.#delivering = false
      this.#deliver()
    })
  }

  #deliver(): void {
    if (this.cut) return
    if (this.#queue.length === 0) {
      if (this.#ending) this.#cutNow('end')
      return
    }
    const piece = this.#piece(this.#random.scale(1, this.#knobs.maxPieceBytes))
    this.#carried += piece.byteLength
    const over = this.#carried - this.#knobs.cutAfterBytes
    if (over >= 0) {
      if (piece.byteLength > over) this.#far.data(piece.subarray(0, piece.byteLength - over))
      this.#cutNow(this.#knobs.cutKind)
      return
    }
    const { damage } = this.#knobs
    const arrived = damage === undefined ? piece : damage(piece)
    if (arrived.byteLength > 0) this.#far.data(arrived)
    this.#release()
    this.#reportPartial()
    this.#deliverSoon()
  }

  /** The writer was killed: of what it had handed over only the first `bytes` leave. */
  loseTail(bytes: number): void {
    const kept = this.#piece(bytes)
    this.#queue = kept.byteLength > 0 ? [kept] : []
    this.inFlight = kept.byteLength
    this.#written = this.#carried + kept.byteLength
    this.#partial = []
    this.#release()
  }

  /** The writer cuts this direction. */
  sever(): void {
    if (!this.cut) this.#cutNow('reset')
  }

  #cutNow(kind: CutKind): void {
    this.cut = true
    this.#queue = []
    this.inFlight = 0
    this.#reportPartial()
    if (kind !== 'silence') this.#far.end(kind === 'reset')
  }

  /** Up to `bytes` of what waits, across the borders of what was written: splits and coalesces. */
  #piece(bytes: number): Uint8Array {
    const parts: Uint8Array[] = []
    let length = 0
    while (length < bytes) {
      const first = this.#queue[0]
      if (first === undefined) break
      const taken = first.subarray(0, bytes - length)
      if (taken.byteLength === first.byteLength) this.#queue.shift()
      else this.#queue[0] = first.subarray(taken.byteLength)
      parts.push(taken)
      length += taken.byteLength
    }
    this.inFlight -= length
    const piece = new Uint8Array(length)
    let at = 0
    for (const part of parts) {
      piece.set(part, at)
      at += part.byteLength
    }
    return piece
  }
}
