/**
 * One session's two byte streams, which outlive its links: what was sent and is not confirmed, and
 * how much of the peer's has been parsed.
 * A link only carries a range of them. The muxer does not know of it.
 *
 * The stream is what the numbered frames are, headers included: those of pipes, and CLOSING. All
 * others belong to their link. Positions are exact to the byte, so a link may be lost within a
 * frame. Bounds: `retained` of the log stays within the bytes in flight and 256 KiB.
 */
import { FrameBatch } from '../frame/batch.ts'
import { FIRST_OPTIONAL_TYPE, FIRST_PIPE_TYPE, FrameType, HEADER_BYTES } from '../frame/constants.ts'
import type { FrameDecoder } from '../frame/decoder.ts'
import { SentLog } from './sent-log.ts'

/**
 * Beside the bytes in flight: frames are added while less than this is retained. The last of them
 * may exceed it, by what an open request or its answer takes at most.
 */
const CONTROL_BYTES = 128 * 1024
/** The peer is told of so much parsed, or of a quarter of what may be in flight, */
const STEP_BYTES = 128 * 1024
/** and of the last byte within this. */
const TELL_AFTER_MS = 100

/** True for a frame that is part of the stream. */
export function isNumbered(type: number): boolean {
  return type === FrameType.CLOSING || (type >= FIRST_PIPE_TYPE && type < FIRST_OPTIONAL_TYPE)
}

export class SessionStream {
  readonly log: SentLog = new SentLog()
  /** What the session's frames are written into on their way to the log. */
  readonly batch: FrameBatch = new FrameBatch()
  readonly #maxInFlightBytes: number
  readonly #stepBytes: number
  /** Bytes of numbered frames whose header was parsed; of the last one part may be missing. */
  #headed = 0
  /** Reads the link that has the session, or read the last one: it may stand within a frame. */
  #decoder: FrameDecoder | undefined
  #told = 0
  #tellAt = Infinity
  #isDue = false

  constructor(maxInFlightBytes: number) {
    this.#maxInFlightBytes = maxInFlightBytes
    this.#stepBytes = Math.min(STEP_BYTES, maxInFlightBytes / 4)
  }

  // --- what the peer sends --------------------------------------------------------------------

  /**
   * From here on `decoder` reads the stream: where the link before was lost within a frame, it goes
   * on there.
   */
  readBy(decoder: FrameDecoder): void {
    const before = this.#decoder
    this.#decoder = decoder
    const { partial } = before ?? decoder
    // what was lost with its link is not missing: the rest of such a frame never comes
    if (before !== undefined && partial !== undefined && isNumbered(partial.type)) decoder.goOnFrom(before)
    // the positions in the READY have said what was owed
    if (before !== undefined) this.tell()
  }

  /** The header of a numbered frame was parsed. */
  headed(length: number): void {
    this.#headed += HEADER_BYTES + length
  }

  /** Bytes of the peer's stream that were parsed. */
  get received(): number {
    const partial = this.#decoder?.partial
    if (partial === undefined || !isNumbered(partial.type)) return this.#headed
    return partial.missing === undefined ? this.#headed + partial.headerBytes : this.#headed - partial.missing
  }

  /** True where the peer is to be told now how much was parsed; else it is told soon. */
  owesWord(now: number): boolean {
    const untold = this.received - this.#told
    if (untold === 0) return false
    if (this.#isDue || untold >= this.#stepBytes) return true
    if (this.#tellAt === Infinity) this.#tellAt = now + TELL_AFTER_MS
    return false
  }

  /** How much was parsed, for the peer. */
  tell(): number {
    this.#told = this.received
    this.#tellAt = Infinity
    this.#isDue = false
    return this.#told
  }

  /** When {@link tick} has something to do. */
  deadline(): number {
    return this.#tellAt
  }

  /** True where the peer is to be told now. */
  tick(now: number): boolean {
    if (now < this.#tellAt) return false
    this.#tellAt = Infinity
    this.#isDue = true
    return true
  }

  // --- what the peer gets ---------------------------------------------------------------------

  /** Bytes that may be added; none where the peer has to confirm something first. */
  get room(): number {
    return this.#maxInFlightBytes + CONTROL_BYTES - this.log.retained
  }

  /** The frames of the batch are part of the stream from here on. */
  addBatch(): void {
    for (const piece of this.batch.finish()) this.log.add(piece)
  }
}
