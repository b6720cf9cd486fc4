/**
 * Many frames as one run of bytes, fast: what floods are made of. The layout is that of
 * docs/reference/wire-format.md, "Frames".
 */
import type { WireFrame } from './naive-codec.ts'

/** `count` frames, each as `make` gives it. */
export function frameRun(count: number, make: (i: number) => WireFrame): Uint8Array {
  const frames = Array.from({ length: count }, (_, i) => make(i))
  const bytes = Buffer.alloc(frames.reduce((sum, { payload }) => sum + 9 + payload.byteLength, 0))
  let at = 0
  for (const { type, pipe, payload, flags } of frames) {
    bytes.writeUInt32BE(type * 2 ** 24 + payload.byteLength, at)
    bytes.writeUInt32BE(pipe, at + 4)
    bytes.writeUInt8(flags, at + 8)
    bytes.set(payload, at + 9)
    at += 9 + payload.byteLength
  }
  return bytes
}

/** A number as eight bytes, most significant first; fast, up to 2^53 - 1. */
export function u64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
