/**
 * The real checked codec's two halves behind the naive one's shapes, so that the same bytes go
 * through both.
 */
import { CheckedBatch } from '../../src/core/checked-frame/checked-batch.ts'
import { CheckedDecoder } from '../../src/core/checked-frame/checked-decoder.ts'
import { PROBE } from '../../src/core/checked-frame/probe.ts'
import { checksumTools } from '../../src/session/checksum-tools.ts'
import { frame, type WireFrame } from './naive-codec.ts'
import type { Finding, CheckedBytes, LengthLimit } from './naive-checked-codec.ts'

/** What the real decoder tells; `cut` behind a HELLO whose sync word came inside another frame. */
export type Told = Exclude<Finding, { type: 'skipped' } | { type: 'frame' } | { type: 'cut' }> | ToldFrame

interface ToldFrame {
  readonly type: 'frame'
  readonly frame: WireFrame
  readonly cut: boolean
}

/** What ends the hearing: the handler has to throw there. */
const PLAIN = new Error('a plain hello')

/** A real decoder that writes down what it tells. */
export class CheckedEar {
  readonly told: Told[] = []
  readonly decoder: CheckedDecoder

  constructor(runningCrc: number | undefined, limit: LengthLimit = () => 2 ** 24 - 1) {
    const tell = (one: WireFrame, cut = false): void => {
      this.told.push({ type: 'frame', frame: one, cut })
    }
    let header = frame(0)
    this.decoder = new CheckedDecoder(checksumTools, {
      maxPayload: limit,
      probe: (bytes) => {
        this.told.push({ type: 'probe', bytes: bytes.slice() })
        return Buffer.compare(bytes, PROBE) === 0
      },
      plainHello: () => {
        this.told.push({ type: 'plain' })
        throw PLAIN
      },
      helloBurst: (type, payload, cut) => {
        tell(frame(type, 0, payload.slice()), cut)
      },
      sequenced: () => true,
      damaged: () => {
        this.told.push({ type: 'damage' })
      },
      header(type, flags, pipe, length) {
        header = frame(type, pipe, new Uint8Array(length), flags)
        if (length === 0 && type % 2 === 0) tell(header)
        // both ways of handing a payload on
        return type % 2 === 0
      },
      piece: (bytes) => {
        tell({ ...header, payload: bytes.slice() })
      },
      frame: (type, flags, pipe, payload) => {
        tell(frame(type, pipe, payload.slice(), flags))
      },
    })
    this.decoder.runningCrc = runningCrc
  }

  /** Everything told about `chunks`. */
  hear(chunks: readonly Uint8Array[]): Told[] {
    try {
      for (const chunk of chunks) this.decoder.push(chunk)
    } catch (error) {
      if (error !== PLAIN) throw error
    }
    return this.told
  }

  /** The frames among it. */
  get frames(): WireFrame[] {
    return this.told.flatMap((told) => (told.type === 'frame' ? [told.frame] : []))
  }
}

/** `frames` as the real encoder writes them in one batch; the payload of each in `pieces` parts. */
export function writeChecked(frames: readonly WireFrame[], start: number, pieces = 1): CheckedBytes {
  const batch = new CheckedBatch(checksumTools)
  batch.runningCrc = start
  for (const { type, flags, pipe, payload } of frames) {
    batch.header(type, flags, pipe, payload.byteLength)
    const step = Math.max(1, Math.ceil(payload.byteLength / pieces))
    for (let at = 0; at < payload.byteLength; at += step) batch.payload(payload.subarray(at, at + step))
  }
  const bytes = Buffer.concat(batch.finish())
  if (bytes.byteLength !== batch.bytes) throw new Error(`${bytes.byteLength} bytes, the batch says ${batch.bytes}`)
  return { bytes: new Uint8Array(bytes), sum: batch.runningCrc }
}
