/**
 * The real codec's two halves behind the naive one's shapes, so that the same frames go through
 * both.
 */
import { FrameBatch } from '../../src/core/frame/batch.ts'
import { FrameDecoder } from '../../src/core/frame/decoder.ts'
import { concat, frame, TYPE, type WireFrame } from './naive-codec.ts'

/**
 * The frames that the real decoder makes of `chunks`; `inPieces` says which types are handed on as
 * they lie in the chunks.
 */
export function decodeChunks(
  chunks: readonly Uint8Array[],
  inPieces: (type: number) => boolean = (type) => type === TYPE.DATA || type >= 0x40,
): WireFrame[] {
  const frames: WireFrame[] = []
  let current: { type: number; flags: number; pipe: number; pieces: Uint8Array[]; length: number } | undefined
  const decoder = new FrameDecoder({
    header(type, flags, pipe, length) {
      if (!inPieces(type)) return false
      current = { type, flags, pipe, pieces: [], length }
      return true
    },
    piece(bytes, last) {
      if (current === undefined || bytes.byteLength === 0) throw new Error('a piece of nothing')
      current.pieces.push(bytes)
      if (!last) return
      frames.push(frame(current.type, current.pipe, concat(...current.pieces), current.flags))
      current = undefined
    },
    frame(type, flags, pipe, payload) {
      // valid during the call only: whoever keeps it copies it
      frames.push(frame(type, pipe, new Uint8Array(payload), flags))
      current = undefined
    },
  })
  for (const chunk of chunks) decoder.push(chunk)
  if (!decoder.atBoundary) throw new Error('the last frame is not complete')
  return frames
}

/**
 * `frames` as the real encoder writes them, batch by batch; the payload of each in `pieces` parts.
 */
export function encodeFrames(frames: readonly WireFrame[], pieces = 1): Uint8Array {
  const batch = new FrameBatch()
  const written: Uint8Array[] = []
  const flush = (): void => {
    const bytes = concat(...batch.finish())
    if (bytes.byteLength !== batch.bytes)
      throw new Error(`${bytes.byteLength} bytes, but the batch says ${batch.bytes}`)
    written.push(bytes)
    batch.reset()
  }
  for (const { type, flags, pipe, payload } of frames) {
    if (!batch.hasRoom) flush()
    batch.header(type, flags, pipe, payload.byteLength)
    const step = Math.max(1, Math.ceil(payload.byteLength / pieces))
    for (let at = 0; at < payload.byteLength; at += step) batch.payload(payload.subarray(at, at + step))
  }
  flush()
  return concat(...written)
}
