/** The ways in which a line may cut what was written: every codec test goes through all of them. */
import { seeded } from './link-traffic.ts'

/** A way to cut bytes into chunks, by name. */
export interface Chunking {
  readonly name: string
  cut(bytes: Uint8Array): Uint8Array[]
}

/** Chunks of `size` bytes. */
export function inPiecesOf(size: number): Chunking {
  return {
    name: size === 1 ? 'byte by byte' : `in pieces of ${size}`,
    cut(bytes) {
      const chunks: Uint8Array[] = []
      for (let at = 0; at < bytes.byteLength; at += size) chunks.push(bytes.subarray(at, at + size))
      return chunks
    },
  }
}

/** Chunks of 1 to `max` bytes, by a seed. */
export function atRandom(seed: number, max: number): Chunking {
  return {
    name: `at random (seed ${seed}, up to ${max})`,
    cut(bytes) {
      const next = seeded(seed)
      const chunks: Uint8Array[] = []
      for (let at = 0; at < bytes.byteLength;) {
        const size = 1 + (next() % max)
        chunks.push(bytes.subarray(at, at + size))
        at += size
      }
      return chunks
    },
  }
}

/** Two chunks, cut at `offset`. */
export function splitAt(offset: number): Chunking {
  return { name: `split at ${offset}`, cut: (bytes) => [bytes.subarray(0, offset), bytes.subarray(offset)] }
}

/** Whole; byte by byte; in small, odd and large pieces; coalesced; at random. */
export const CHUNKINGS: readonly Chunking[] = [
  { name: 'whole', cut: (bytes) => [bytes] },
  inPiecesOf(1),
  inPiecesOf(7),
  inPiecesOf(9),
  inPiecesOf(1460),
  inPiecesOf(65_536),
  atRandom(1, 3),
  atRandom(2, 64),
  atRandom(3, 20_000),
]
