/**
 * What frames carry on a connectionless or lossy link (docs/reference/wire-format.md, "Checked
 * frames"): a check behind the header, so that a damaged length is never waited for, a checksum
 * behind the payload, and the rule that a sync word stands before a hello and nowhere else.
 *
 *     header 9 | check 2 | payload | checksum 5
 *
 * The bytes that are added are all below 0x80, as are the first and the last of a header; so a sync
 * word, whose bytes are all above, could only lie inside a payload. A payload that holds one is
 * *stuffed*: flagged, and a zero put behind the word's first half.
 */
import { FrameFlag, SYNC_WORD } from '../frame/constants.ts'

/** What the framing needs from outside: they look at every byte, so they had better be native. */
export interface ChecksumTools {
  /** CRC-32 (ISO 3309, as in zlib) of `bytes`, continued from `before`. */
  crc32(bytes: Uint8Array, before: number): number
  /** Where `word` begins in `bytes`, not before `from`; -1 where it does not. */
  find(bytes: Uint8Array, word: Uint8Array, from: number): number
}

/** Bytes of the check behind a header: 14 bits of the checksum so far, seven in each. */
export const CHECK_BYTES = 2
/** Bytes of the checksum behind a payload: 32 bits, seven in each byte. */
export const CHECKSUM_BYTES = 5

/** A frame that was stuffed says so in its flags. */
export const STUFFED: number = FrameFlag.STUFFED

/** The half of the sync word behind which a zero is put. */
const HALF = SYNC_WORD.subarray(0, SYNC_WORD.byteLength / 2)

/** How much longer stuffing can make a payload: a byte for each half of a word. */
export function stuffedLength(length: number): number {
  return length + Math.ceil(length / HALF.byteLength)
}

/** Writes the check for the header whose checksum is `sum`. */
export function writeCheck(bytes: Uint8Array, at: number, sum: number): void {
  bytes[at] = (sum >>> 7) & 0x7f
  bytes[at + 1] = sum & 0x7f
}

/** True where the check at `at` is that of `sum`. */
export function checkMatches(bytes: Uint8Array, at: number, sum: number): boolean {
  return bytes[at] === ((sum >>> 7) & 0x7f) && bytes[at + 1] === (sum & 0x7f)
}

/** Writes the checksum of a frame. */
export function writeChecksum(bytes: Uint8Array, at: number, sum: number): void {
  bytes[at] = (sum >>> 28) & 0x0f
  bytes[at + 1] = (sum >>> 21) & 0x7f
  bytes[at + 2] = (sum >>> 14) & 0x7f
  bytes[at + 3] = (sum >>> 7) & 0x7f
  bytes[at + 4] = sum & 0x7f
}

/** True where the checksum at `at` is `sum`. */
export function checksumMatches(bytes: Uint8Array, at: number, sum: number): boolean {
  return (
    bytes[at] === ((sum >>> 28) & 0x0f) &&
    bytes[at + 1] === ((sum >>> 21) & 0x7f) &&
    bytes[at + 2] === ((sum >>> 14) & 0x7f) &&
    bytes[at + 3] === ((sum >>> 7) & 0x7f) &&
    bytes[at + 4] === (sum & 0x7f)
  )
}

/**
 * `payload` with a zero behind each first half of a sync word; undefined where it holds no whole
 * word and may go as it is.
 */
export function stuff(payload: Uint8Array, tools: ChecksumTools): Uint8Array | undefined {
  if (payload.byteLength < SYNC_WORD.byteLength || tools.find(payload, SYNC_WORD, 0) < 0) return undefined
  const stuffed = new Uint8Array(stuffedLength(payload.byteLength))
  let length = 0
  let from = 0
  for (;;) {
    const found = tools.find(payload, HALF, from)
    const end = found < 0 ? payload.byteLength : found + HALF.byteLength
    stuffed.set(payload.subarray(from, end), length)
    length += end - from
    if (found < 0) return stuffed.subarray(0, length)
    stuffed[length++] = 0
    from = end
  }
}

/** What {@link stuff} made it from; undefined where a zero is missing. */
export function unstuff(stuffed: Uint8Array, tools: ChecksumTools): Uint8Array | undefined {
  const payload = new Uint8Array(stuffed.byteLength)
  let length = 0
  let from = 0
  for (;;) {
    const found = tools.find(stuffed, HALF, from)
    const end = found < 0 ? stuffed.byteLength : found + HALF.byteLength
    payload.set(stuffed.subarray(from, end), length)
    length += end - from
    if (found < 0) return payload.subarray(0, length)
    if (stuffed[end] !== 0) return undefined
    from = end + 1
  }
}
