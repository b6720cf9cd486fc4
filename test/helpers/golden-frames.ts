/**
 * A thousand frames out of a seed: every type, odd sizes, ids and flags at their edges. Their hash
 * is a golden vector.
 */
import { seeded } from './link-traffic.ts'
import { FINAL, frame, TYPE, type WireFrame } from './naive-codec.ts'

export const GOLDEN_SEED = 20_261_120
export const GOLDEN_COUNT = 1000

const TYPES = [...Object.values(TYPE), 0x40, 0x7f]
const EDGE_IDS = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
const EDGE_SIZES = [0, 1, 8, 9, 255, 256, 2048, 2049]
const LARGE_SIZES = [65_535, 65_536]

/**
 * `count` frames; those of a seed are always the same. Sizes are mostly small, so that all of them
 * together stay below 1 MiB.
 */
export function goldenFrames(count: number = GOLDEN_COUNT, seed: number = GOLDEN_SEED): WireFrame[] {
  const next = seeded(seed)
  const pick = <T>(items: readonly T[]): T => items[next() % items.length]!
  return Array.from({ length: count }, () => {
    const type = pick(TYPES)
    const edge = next() % 128 === 0 ? pick(LARGE_SIZES) : pick(EDGE_SIZES)
    const size = next() % 8 < 2 ? edge : next() % [10, 40, 300, 1000][next() % 4]!
    const pipe = next() % 4 === 0 ? pick(EDGE_IDS) : next()
    const payload = new Uint8Array(size)
    for (let i = 0; i < size; i++) payload[i] = next()
    const flags = type === TYPE.RESET && next() % 2 === 0 ? FINAL : type >= 0x40 ? next() % 128 : 0
    return frame(type, pipe, payload, flags)
  })
}
