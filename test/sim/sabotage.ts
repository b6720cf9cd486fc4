/** Breaks a core on purpose, by what it sends: the simulation has to notice each of these, or it proves nothing. */
import { FrameType, HEADER_BYTES, SYNC_WORD } from '../../src/frame/constants.ts'
import { readU24, readU32 } from '../../src/frame/numbers.ts'

/** A frame as it lies in a batch. */
interface SentFrame {
  readonly type: number
  readonly pipe: number
  readonly bytes: Uint8Array
}

function frames(batch: Uint8Array): SentFrame[] {
  const found: SentFrame[] = []
  let at = 0
  if (batch[0] === SYNC_WORD[0]) {
    found.push({ type: -1, pipe: 0, bytes: batch.subarray(0, SYNC_WORD.byteLength) })
    at = SYNC_WORD.byteLength
  }
  while (at < batch.byteLength) {
    const end = at + HEADER_BYTES + readU24(batch, at + 1)
    found.push({ type: batch[at] ?? 0, pipe: readU32(batch, at + 4), bytes: batch.subarray(at, end) })
    at = end
  }
  return found
}

function without(lost: (frame: SentFrame) => boolean): (batch: Uint8Array) => Uint8Array {
  return (batch) =>
    Buffer.concat(
      frames(batch)
        .filter((frame) => !lost(frame))
        .map((frame) => frame.bytes),
    )
}

/** A core that grants credit for its first pipes' windows and never again. */
export const dropsCredit: (batch: Uint8Array) => Uint8Array = without((frame) => frame.type === FrameType.CREDIT)

/** A core that forgets to say that a direction has ended. */
export const losesEnd: (batch: Uint8Array) => Uint8Array = without((frame) => frame.type === FrameType.END)

/** A core that forgets to confirm. */
export const losesDone: (batch: Uint8Array) => Uint8Array = without((frame) => frame.type === FrameType.DONE)

/** A core that forgets to tell what it has parsed. */
export const losesParsed: (batch: Uint8Array) => Uint8Array = without((frame) => frame.type === FrameType.PARSED)

/** A core that changes one byte of its data. */
export function changesData(batch: Uint8Array): Uint8Array {
  return Buffer.concat(
    frames(batch).map((frame) => {
      if (frame.type !== FrameType.DATA) return frame.bytes
      const changed = frame.bytes.slice()
      changed[HEADER_BYTES] = (changed[HEADER_BYTES] ?? 0) ^ 1
      return changed
    }),
  )
}

/** A core that sends a data frame twice. */
export function repeatsData(batch: Uint8Array): Uint8Array {
  return Buffer.concat(
    frames(batch).flatMap((frame) => (frame.type === FrameType.DATA ? [frame.bytes, frame.bytes] : [frame.bytes])),
  )
}

/** A core that says after a cut that the direction had ended: the peer gets the last data frame without its last byte, then the end. */
export function cutsAndEnds(batch: Uint8Array): Uint8Array {
  return Buffer.concat(
    frames(batch).flatMap((frame) => {
      if (frame.type === FrameType.END) {
        const earlier = frame.bytes.slice()
        const last = HEADER_BYTES + 7
        if ((earlier[last] ?? 0) > 0) earlier[last] = (earlier[last] ?? 0) - 1
        return [earlier]
      }
      return [frame.bytes]
    }),
  )
}
