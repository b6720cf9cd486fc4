/**
 * A second codec of what travels on connectionless links, written from
 * docs/reference/wire-format.md alone ("Connectionless links"), on top of the naive codec of plain
 * frames: what the real one is compared with, what checked.json was made with, and what the raw
 * checked peer speaks. One value after another, whole buffers, no thought of speed. Imports nothing
 * of src/.
 */
import { concat, encodeFrame, frame, fromBigEndian, SYNC, TYPE, type WireFrame } from './naive-codec.ts'

/** The flag of a frame whose payload is stuffed. */
export const STUFFED = 0x40

/** What stands behind each sync word: every value of a byte, descending. */
export const PROBE: Uint8Array = Uint8Array.from({ length: 256 }, (_, i) => 255 - i)

/** What a stuffed payload has a zero behind. */
const HALF = SYNC.slice(0, 4)

const HEADER = 9
const CHECK = 2
const SUM = 5

/** Bytes that a checked frame is longer than the payload that it carries. */
export const CHECKED_OVERHEAD: number = HEADER + CHECK + SUM

// --- CRC-32 --------------------------------------------------------------------------------------

/** Remainder of each byte's eight bits, lowest first. */
const REMAINDERS = Array.from({ length: 256 }, (_, byte) => {
  let rest = byte
  for (let bit = 0; bit < 8; bit++) rest = (rest & 1) === 1 ? (rest >>> 1) ^ 0xed_b8_83_20 : rest >>> 1
  return rest >>> 0
})

/**
 * CRC-32 as in zlib, gone on with from `start`: the sum of two runs is that of the second one,
 * started at that of the first.
 */
export function crc(bytes: Uint8Array, start = 0): number {
  let rest = ~start
  for (const byte of bytes) rest = (rest >>> 8) ^ REMAINDERS[(rest ^ byte) & 255]!
  return ~rest >>> 0
}

/**
 * Where the running CRC of a direction begins. Without a receiver: what a BYE begins at whose
 * sender does not know its peer.
 */
export function startOfCrc(sender: Uint8Array, receiver: Uint8Array = new Uint8Array(8)): number {
  return crc(receiver, crc(sender))
}

// --- stuffing ------------------------------------------------------------------------------------

/** Where `part` begins in `bytes`, from `from` on; -1 where it does not. */
function find(bytes: Uint8Array, part: Uint8Array, from = 0): number {
  return Buffer.from(bytes).indexOf(Buffer.from(part), from)
}

/** `payload` with a zero behind each first half of a sync word. */
export function stuff(payload: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = []
  let from = 0
  for (let at = find(payload, HALF); at >= 0; at = find(payload, HALF, from)) {
    parts.push(payload.slice(from, at + 4), Uint8Array.of(0))
    from = at + 4
  }
  return concat(...parts, payload.slice(from))
}

/**
 * The payload without the zeros; undefined where something else than a zero is behind a half, or
 * nothing.
 */
export function unstuff(sent: Uint8Array): Uint8Array | undefined {
  const parts: Uint8Array[] = []
  let from = 0
  for (let at = find(sent, HALF); at >= 0; at = find(sent, HALF, from)) {
    parts.push(sent.slice(from, at + 4))
    if (sent[at + 4] !== 0) return undefined
    from = at + 5
  }
  return concat(...parts, sent.slice(from))
}

// --- frames --------------------------------------------------------------------------------------

/** A checked frame as bytes, and the sum that the next sequenced one starts at. */
export interface CheckedBytes {
  readonly bytes: Uint8Array
  readonly sum: number
}

/** A frame, checked; its start is 0 (HELLO, READY) or the sum of the sequenced frame before it. */
export function encodeChecked(one: WireFrame, start: number): CheckedBytes {
  const needed = find(one.payload, SYNC) >= 0
  return checkedFrame(needed ? { ...one, flags: one.flags | STUFFED, payload: stuff(one.payload) } : one, start)
}

/** A frame, checked as it is: what a test damages on purpose, or stuffs itself. */
export function checkedFrame(sent: WireFrame, start: number): CheckedBytes {
  const header = encodeFrame(sent).slice(0, HEADER)
  const h = crc(header, start)
  const sum = crc(sent.payload, h)
  const bytes = concat(header, sevenBits(h, CHECK), sent.payload, sevenBits(sum, SUM))
  return { bytes, sum }
}

/** The lowest `count` times seven bits of `value`, most significant first, seven to a byte. */
function sevenBits(value: number, count: number): Uint8Array {
  const bits = BigInt(value)
  return Uint8Array.from({ length: count }, (_, i) => Number((bits >> BigInt(7 * (count - 1 - i))) & 0x7fn))
}

/** Frames of one direction that are sequenced, one behind the other. */
export function encodeSequence(frames: readonly WireFrame[], start: number): CheckedBytes {
  let sum = start
  const parts = frames.map((one) => {
    const checked = encodeChecked(one, sum)
    sum = checked.sum
    return checked.bytes
  })
  return { bytes: concat(...parts), sum }
}

/** A helloBurst: sync word, probe, HELLO, and READY where there is one. */
export function helloBurst(hello: Uint8Array, ready?: Uint8Array): Uint8Array {
  return concat(
    SYNC,
    PROBE,
    encodeChecked(frame(TYPE.HELLO, 0, hello), 0).bytes,
    ready === undefined ? new Uint8Array(0) : encodeChecked(frame(TYPE.READY, 0, ready), 0).bytes,
  )
}

// --- receiving -----------------------------------------------------------------------------------

/** What a receiver finds on the line. */
export type Finding =
  /** Bytes that are no part of anything: noise, or what follows damage. */
  | { readonly type: 'skipped'; readonly bytes: number }
  /** A sync word with what came in the probe's place. */
  | { readonly type: 'probe'; readonly bytes: Uint8Array }
  /** A frame whose sums are right; `payload` is without the zeros and `flags` without STUFFED. */
  | { readonly type: 'frame'; readonly frame: WireFrame; readonly stuffed: boolean }
  /**
   * A wrong check, a wrong sum, a wrong zero, a length above the limit, a HELLO or READY that is
   * none.
   */
  | { readonly type: 'damage' }
  /** The hello of a peer that takes the line for a plain one. Nothing is read after it. */
  | { readonly type: 'plain' }
  /** A frame or a probe that a sync word broke off. */
  | { readonly type: 'cut' }

/** Largest payload, by type; what is above is damage. */
export type LengthLimit = (type: number) => number

/**
 * Reads one direction of a line. Takes the running CRCs' starts from outside, since only its user
 * knows both epochs: whoever learns of another run sets them.
 */
export class NaiveCheckedReader {
  /** What the next sequenced frame starts at; undefined while the sender is not known. */
  runningCrc: number | undefined
  /** What a BYE starts at whose sender does not know us. */
  farewell: number | undefined
  #rest: Uint8Array = new Uint8Array(0)
  #place: 'noise' | 'probe' | 'frames' | 'over' = 'noise'
  readonly #limit: LengthLimit

  constructor(limit: LengthLimit = () => 2 ** 24 - 1) {
    this.#limit = limit
  }

  /** True where nothing of a frame or probe is waiting for its other bytes. */
  get atBoundary(): boolean {
    return this.#place === 'frames' && this.#rest.byteLength === 0
  }

  /** The next thing on the line, once `more` is added to it; undefined until more comes. */
  next(more: Uint8Array = new Uint8Array(0)): Finding | undefined {
    this.#rest = concat(this.#rest, more)
    if (this.#place === 'over') return undefined
    if (this.#place === 'noise') return this.#noise()
    // a sync word is a sync word wherever it comes: what is here ends before it
    const sync = find(this.#rest, SYNC)
    const here = sync < 0 ? this.#rest : this.#rest.slice(0, sync)
    const found = this.#place === 'probe' ? this.#probe(here) : this.#frame(here)
    if (found !== undefined || sync < 0) return found
    this.#place = 'noise'
    if (here.byteLength === 0) return this.next()
    this.#rest = this.#rest.slice(here.byteLength)
    return { type: 'cut' }
  }

  #noise(): Finding | undefined {
    const sync = find(this.#rest, SYNC)
    const skipped = sync >= 0 ? sync : Math.max(0, this.#rest.byteLength - 7)
    this.#rest = this.#rest.slice(skipped)
    if (sync >= 0) {
      this.#rest = this.#rest.slice(8)
      this.#place = 'probe'
    }
    if (skipped > 0) return { type: 'skipped', bytes: skipped }
    return sync >= 0 ? this.next() : undefined
  }

  #probe(here: Uint8Array): Finding | undefined {
    if (here[0] === TYPE.HELLO && here[1] === 0) this.#place = 'over'
    if (this.#place === 'over') return { type: 'plain' }
    if (here.byteLength < PROBE.byteLength) return undefined
    this.#rest = this.#rest.slice(PROBE.byteLength)
    const bytes = here.slice(0, PROBE.byteLength)
    this.#place = sameBytes(bytes, PROBE) ? 'frames' : 'noise'
    return { type: 'probe', bytes }
  }

  #frame(here: Uint8Array): Finding | undefined {
    if (here.byteLength < HEADER + CHECK) return undefined
    const type = here[0]!
    const length = Number(fromBigEndian(here.slice(1, 4)))
    const flags = here[8]!
    const stuffed = (flags & STUFFED) !== 0
    const free = type === TYPE.HELLO || type === TYPE.READY
    const starts = free ? [0] : type === TYPE.BYE ? [this.runningCrc, this.farewell] : [this.runningCrc]
    const start = starts.find(
      (one) => one !== undefined && sameBytes(checkOf(here, one), here.slice(HEADER, HEADER + CHECK)),
    )
    const limit = this.#limit(type)
    if (start === undefined || length > (stuffed ? limit + Math.ceil(limit / 4) : limit)) return this.#damaged()
    const end = HEADER + CHECK + length
    if (here.byteLength < end + SUM) return undefined
    const sent = here.slice(HEADER + CHECK, end)
    const sum = crc(sent, crc(here.slice(0, HEADER), start))
    const payload = stuffed ? unstuff(sent) : sent
    if (
      payload === undefined ||
      payload.byteLength > limit ||
      !sameBytes(sevenBits(sum, SUM), here.slice(end, end + SUM))
    )
      return this.#damaged()
    this.#rest = this.#rest.slice(end + SUM)
    if (!free) this.runningCrc = sum
    const pipe = Number(fromBigEndian(here.slice(4, 8)))
    if (free && (pipe !== 0 || (flags & ~STUFFED) !== 0 || length === 0)) return this.#damaged()
    return { type: 'frame', frame: frame(type, pipe, payload, flags & ~STUFFED), stuffed }
  }

  #damaged(): Finding {
    this.#place = 'noise'
    return { type: 'damage' }
  }
}

function checkOf(here: Uint8Array, start: number): Uint8Array {
  return sevenBits(crc(here.slice(0, HEADER), start), CHECK)
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/**
 * Everything that is on the line in `bytes`, by a reader of its own whose running CRC starts at
 * `runningCrc`.
 */
export function readChecked(bytes: Uint8Array, runningCrc?: number, limit?: LengthLimit): Finding[] {
  const reader = new NaiveCheckedReader(limit)
  reader.runningCrc = runningCrc
  const findings: Finding[] = []
  for (let found = reader.next(bytes); found !== undefined; found = reader.next()) findings.push(found)
  return findings
}

/** The frames among them. */
export function framesOf(findings: readonly Finding[]): WireFrame[] {
  return findings.flatMap((found) => (found.type === 'frame' ? [found.frame] : []))
}
