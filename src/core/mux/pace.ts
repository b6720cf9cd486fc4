/**
 * How much may be under way on a line whose speed nobody tells: between a serial port of 9,600 baud
 * and a virtio port lie four orders of magnitude, and a hypervisor's socket looks the same for
 * both. Found out by the time that bytes wait on the way to the peer's parser: while that is short,
 * more with each round trip; when it is long, less. So a small message waits for less than a tenth
 * of a second of bulk, on any line.
 *
 * A round trip may be long for what others do: a guest that seldom has its turn, the bulk of the
 * other direction. Then less under way makes it no shorter, and would only starve this direction.
 * So what a smaller limit has brought is looked at, and where it was nothing, the present round
 * trip is what a line without us takes.
 */

/** Begins with so little that a slow line is not filled before it is known. */
const FIRST_BYTES = 4 * 1024
/** Less would stop the line: a frame, and the word that it was parsed. */
const MIN_BYTES = 1024
/** What a message is to wait for, besides what an empty line needs. */
const TARGET_MS = 75
/** From one conclusion to the next it becomes at most so much more. */
const STEP = 2
/** A limit that has fallen to so much of what it was is to have made the round trip shorter, */
const JUDGED_AT = 0.7
/** by so much of what it would have, were all of it our own bytes' doing. */
const MIN_EFFECT = 0.12
/**
 * What goes through in so many milliseconds, at the best rate of late, may always be under way: a
 * quarter of what may wait.
 */
const FLOOR_MS = TARGET_MS / 4
/**
 * From one conclusion to the next the best rate of late counts so much less: it may have been
 * another load's.
 */
const RATE_DECAY = 0.9
/**
 * Of what came from the peer during a round trip, so much may go to it in one: neither direction of
 * bulk gets less than a quarter of the other, whatever made the round trip long.
 */
const SHARE = 0.4
/**
 * A round trip longer than this gives no more for that: with a line that is slower our way, the
 * wait would grow by itself.
 */
const SHARE_MS = 600
/** Batches whose time is remembered. */
const MAX_MARKS = 64
/** A frame of a slow line: its header is a thirtieth of it. */
const MIN_SPLIT_BYTES = 512
/**
 * Of what may be under way one frame is a third: one is sent, one is on the line, one is being
 * parsed.
 */
const FRAMES_UNDER_WAY = 3

/** When the data up to an offset were handed to the line. */
interface Mark {
  readonly offset: number
  readonly at: number
  /** What was under way then, itself included. */
  readonly underWay: number
  /** Bytes of data that had come from the peer by then. */
  readonly received: number
  /** True where there was as much under way as may be: what its time tells is the line's doing. */
  readonly full: boolean
}

export class Pace {
  /** Bytes of data frames that may be under way. */
  limit: number
  readonly #max: number
  readonly #marks: Mark[] = []
  /**
   * Nothing more is concluded before data that were sent after the last conclusion have been
   * parsed.
   */
  #notBefore = 0
  /** What a line takes at present without us, as far as that is known. */
  #baseMs = 0
  /** How long it took with how much under way, before the limit fell. */
  #before: { readonly underWay: number; readonly ms: number } | undefined
  /** The same, since it is known that others make it long. */
  #grown: { readonly underWay: number; readonly ms: number } | undefined
  /**
   * Bytes a millisecond that the peer has parsed during a round trip, the best of late. Between two
   * words of one read no time passes: that is no rate.
   */
  #rate = 0

  constructor(maxBytes: number) {
    this.#max = maxBytes
    this.limit = Math.min(maxBytes, FIRST_BYTES)
  }

  /** Largest data frame worth sending now, at most `splitBytes`. */
  split(splitBytes: number): number {
    return Math.min(splitBytes, Math.max(MIN_SPLIT_BYTES, Math.floor(this.limit / FRAMES_UNDER_WAY)))
  }

  /**
   * Data up to `offset` go to the line; `parsedBytes` of them have been parsed. `received` is how
   * many have come from the peer.
   */
  sent(offset: number, parsedBytes: number, now: number, received: number): void {
    if (this.#marks.length >= MAX_MARKS) return
    const underWay = offset - parsedBytes
    this.#marks.push({ offset, at: now, underWay, received, full: underWay * 2 >= this.limit })
  }

  /**
   * The peer has parsed up to `offset`; `sentBytes` have been sent so far, `received` have come
   * from it. An empty line needs `emptyMs` for its answer.
   */
  parsed(offset: number, sentBytes: number, emptyMs: number, now: number, received: number): void {
    const marks = this.#marks
    let last: Mark | undefined
    while (marks[0] !== undefined && marks[0].offset <= offset) last = marks.shift()
    if (last === undefined || offset < this.#notBefore) return
    const ms = Math.max(now - last.at, 1)
    this.#rate = Math.max(this.#rate * RATE_DECAY, (offset - last.offset + last.underWay) / ms)
    // the load may have gone: the shortest time of late is the most that a line without us takes
    this.#baseMs = Math.max(emptyMs, Math.min(this.#baseMs, ms))
    this.#judge(last.underWay, ms)
    this.#judgeGrowth(last.underWay, ms, emptyMs)
    // with so much under way it took so long: so much more, or less, takes as long as it is to take
    const factor = (this.#baseMs + TARGET_MS) / ms
    if (factor > 1 && !last.full) return
    if (factor >= 1) this.#before = undefined
    else this.#before ??= { underWay: last.underWay, ms }
    // half of the way: what is under way now was sent under another limit, and would be answered
    // twice
    const limit = this.limit * Math.min(STEP, (1 + factor) / 2)
    const share = (received - last.received) * SHARE * Math.min(1, SHARE_MS / ms)
    const floor = Math.max(MIN_BYTES, Math.min(this.limit, this.#rate * FLOOR_MS), Math.min(share, this.limit * STEP))
    // whole bytes: of a fraction of one a frame would never be filled
    this.limit = Math.min(this.#max, Math.floor(Math.max(floor, limit)))
    this.#notBefore = sentBytes
  }

  /** Whether less under way has made the round trip shorter. */
  #judge(underWay: number, ms: number): void {
    const before = this.#before
    if (before === undefined || underWay > before.underWay * JUDGED_AT) return
    const own = before.ms * (1 - underWay / before.underWay)
    const hadEffect = before.ms - ms >= own * MIN_EFFECT
    this.#before = undefined
    if (hadEffect) return
    this.#baseMs = ms
    this.#grown = { underWay, ms }
  }

  /**
   * Whether more under way has made it longer after all, as beside the bulk of the other direction
   * on a slow line: then it is ours again.
   */
  #judgeGrowth(underWay: number, ms: number, emptyMs: number): void {
    const grown = this.#grown
    if (grown === undefined || underWay * JUDGED_AT < grown.underWay) return
    const own = grown.ms * (underWay / grown.underWay - 1)
    const isOurs = ms - grown.ms >= own * MIN_EFFECT
    this.#grown = isOurs ? undefined : { underWay, ms }
    if (isOurs) this.#baseMs = emptyMs
  }
}
