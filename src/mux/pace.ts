/**
 * How much may be under way on a line whose speed nobody tells: between a serial port of 9,600 baud and a virtio port lie four orders of magnitude,
 * and a hypervisor's socket looks the same for both. Found out by the time that bytes wait on the way to the peer's parser: while that is short, more with each
 * round trip; when it is long, less. So a small message waits for less than a tenth of a second of bulk, on any line.
 */

/** Begins with so little that a slow line is not filled before it is known. */
const FIRST_BYTES = 4 * 1024
/** Less would stop the line: a frame, and the word that it was parsed. */
const MIN_BYTES = 1024
/** What a message is to wait for, besides what an empty line needs. */
const TARGET_MS = 75
/** From one conclusion to the next it becomes at most so much more. */
const STEP = 2
/** Batches whose time is remembered. */
const MAX_MARKS = 64
/** A frame of a slow line: its header is a thirtieth of it. */
const MIN_SPLIT_BYTES = 512
/** Of what may be under way one frame is a third: one is sent, one is on the line, one is being parsed. */
const FRAMES_UNDER_WAY = 3

/** When the data up to an offset were handed to the line. */
interface Mark {
  readonly offset: number
  readonly at: number
  /** True where there was as much under way as may be: what its time tells is the line's doing. */
  readonly full: boolean
}

export class Pace {
  /** Bytes of data frames that may be under way. */
  limit: number
  readonly #max: number
  readonly #marks: Mark[] = []
  /** Nothing more is concluded before data that were sent after the last conclusion have been parsed. */
  #notBefore = 0

  constructor(maxBytes: number) {
    this.#max = maxBytes
    this.limit = Math.min(maxBytes, FIRST_BYTES)
  }

  /** Largest data frame worth sending now, at most `splitBytes`. */
  split(splitBytes: number): number {
    return Math.min(splitBytes, Math.max(MIN_SPLIT_BYTES, Math.floor(this.limit / FRAMES_UNDER_WAY)))
  }

  /** Data up to `offset` go to the line; `parsedBytes` of them have been parsed. */
  sent(offset: number, parsedBytes: number, now: number): void {
    if (this.#marks.length >= MAX_MARKS) return
    this.#marks.push({ offset, at: now, full: (offset - parsedBytes) * 2 >= this.limit })
  }

  /** The peer has parsed up to `offset`; `sentBytes` have been sent so far. An empty line needs `emptyMs` for its answer. */
  parsed(offset: number, sentBytes: number, emptyMs: number, now: number): void {
    const marks = this.#marks
    let last: Mark | undefined
    while (marks[0] !== undefined && marks[0].offset <= offset) last = marks.shift()
    if (last === undefined || offset < this.#notBefore) return
    // with so much under way it took so long: so much more, or less, takes as long as it is to take
    const factor = (emptyMs + TARGET_MS) / Math.max(now - last.at, 1)
    if (factor > 1 && !last.full) return
    // half of the way: what is under way now was sent under another limit, and would be answered twice
    const limit = this.limit * Math.min(STEP, (1 + factor) / 2)
    this.limit = Math.min(this.#max, Math.max(MIN_BYTES, Math.floor(limit)))
    this.#notBefore = sentBytes
  }
}
