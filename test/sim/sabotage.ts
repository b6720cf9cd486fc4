/**
 * Breaks a core on purpose, by what it sends or by what it keeps: the simulation has to notice each
 * of these, and as what it is, or it proves nothing. Each is listed under the invariant that it
 * breaks.
 */
import { FrameType, HEADER_BYTES, SYNC_WORD } from '../../src/core/frame/constants.ts'
import { readU24, readU32 } from '../../src/core/frame/numbers.ts'
import { encodeStatus } from '../../src/core/frame/status.ts'
import type { PipeState } from '../../src/core/mux/pipe-state.ts'
import type { SimPeer } from './peer.ts'

/**
 * A way to break a core: what becomes of its batches, or what is done to its state before the
 * invariants are checked.
 */
export interface Sabotage {
  /** What a run says that notices it: the invariants' numbers, any of them. */
  readonly breaks: RegExp
  readonly batch?: (batch: Uint8Array) => Uint8Array
  readonly state?: (peer: SimPeer) => void
}

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
const dropsCredit = without((frame) => frame.type === FrameType.CREDIT)

/** A core that forgets to say that a direction has ended. */
const losesEnd = without((frame) => frame.type === FrameType.END)

/** A core that forgets to confirm. */
const losesDone = without((frame) => frame.type === FrameType.DONE)

/**
 * A core that forgets to tell what it has parsed. By PONG it would tell as well: its sender asks by
 * PING.
 */
const losesParsed = without((frame) => frame.type === FrameType.PARSED || frame.type === FrameType.PONG)

/** A core that changes one byte of its data. */
function changesData(batch: Uint8Array): Uint8Array {
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
function repeatsData(batch: Uint8Array): Uint8Array {
  return Buffer.concat(
    frames(batch).flatMap((frame) => (frame.type === FrameType.DATA ? [frame.bytes, frame.bytes] : [frame.bytes])),
  )
}

/**
 * A core that says after a cut that the direction had ended: the peer gets the last data frame
 * without its last byte, then the end.
 */
function cutsAndEnds(batch: Uint8Array): Uint8Array {
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

/** A core that grants a byte more than it has room for. */
function grantsTooMuch(batch: Uint8Array): Uint8Array {
  return Buffer.concat(
    frames(batch).map((frame) => {
      if (frame.type !== FrameType.CREDIT) return frame.bytes
      const more = frame.bytes.slice()
      const last = HEADER_BYTES + 7
      if ((more[last] ?? 0) < 255) more[last] = (more[last] ?? 0) + 1
      return more
    }),
  )
}

/** A core that breaks off a pipe when it has credit to give to another. */
function breaksANeighbour(batch: Uint8Array): Uint8Array {
  const sent = frames(batch)
  const credit = sent.find((frame) => frame.type === FrameType.CREDIT)
  const data = sent.find((frame) => frame.type === FrameType.DATA && frame.pipe !== credit?.pipe)
  if (credit === undefined || data === undefined) return batch
  const status = encodeStatus('ERR_PIPE_RESET', '')
  const header = Uint8Array.of(FrameType.RESET, 0, 0, status.byteLength, ...data.bytes.subarray(4, HEADER_BYTES))
  return Buffer.concat([batch, header, status])
}

/** A core that counts as read what waits to be read. */
function forgetsWhatItHolds(peer: SimPeer): void {
  for (const pipe of peer.engine.mux?.pipes.values() ?? []) {
    const held = pipe.receiveQueue?.length ?? 0
    if (held > 0) pipe.consumed = pipe.granted - held + 1
  }
}

/** A core that lets windows grow out of nothing. */
function growsWindows(peer: SimPeer): void {
  for (const pipe of peer.engine.mux?.pipes.values() ?? []) pipe.window += 2_000_000
}

/** A core that keeps a pipe when all is over. */
function keepsAPipe(peer: SimPeer): void {
  const pipes = peer.engine.mux?.pipes as Map<number, PipeState> | undefined
  const [first] = pipes?.values() ?? []
  if (first !== undefined) kept.set(peer, first)
  const pipe = kept.get(peer)
  if (peer.ended && pipe !== undefined) pipes?.set(pipe.id, pipe)
}
const kept = new WeakMap<SimPeer, PipeState>()

/** A core that forgets who waits for a batch to leave when the peer's answer comes first. */
function forgetsWriters(peer: SimPeer): void {
  for (const pipe of peer.made) if (pipe.state.phase === 'closed') pipe.written = () => undefined
}

/** A core that throws. */
function throws(peer: SimPeer): void {
  if (peer.established) throw new RangeError('a defect')
}

/** By what they are called in a test's title. */
export const SABOTAGES: Readonly<Record<string, Sabotage>> = {
  'changes its data': { breaks: /I1:/, batch: changesData },
  'sends its data twice': { breaks: /I1:|I6:/, batch: repeatsData },
  'ends early': { breaks: /I2:|I6:/, batch: cutsAndEnds },
  'loses an end': { breaks: /I2:|I5:|I6:/, batch: losesEnd },
  'grants too much': { breaks: /I3:/, batch: grantsTooMuch },
  'lets windows grow out of nothing': { breaks: /I3:/, state: growsWindows },
  'forgets what it holds': { breaks: /I4:/, state: forgetsWhatItHolds },
  'loses the confirmation': { breaks: /I5:|I6:/, batch: losesDone },
  'keeps a pipe when all is over': { breaks: /I5:/, state: keepsAPipe },
  'gives no credit': { breaks: /I6:/, batch: dropsCredit },
  'tells by no frame what it has parsed': { breaks: /I6:/, batch: losesParsed },
  throws: { breaks: /I7:/, state: throws },
  'forgets who waits for a batch to leave': { breaks: /I10:/, state: forgetsWriters },
  'breaks off a neighbour': { breaks: /I9:/, batch: breaksANeighbour },
}

/** Dice that the seed does not throw (I8): the trace of such a run can't be had again. */
export function ownDice(peer: SimPeer): void {
  if (Math.random() < 0.01) peer.shared.random.next()
}
