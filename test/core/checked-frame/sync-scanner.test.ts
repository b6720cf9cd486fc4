/**
 * The scanner for sync words: it finds each one, hands on every other byte once and in order, and
 * how the line cuts the bytes means nothing.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { SYNC_WORD } from '../../../src/core/frame/constants.ts'
import { SyncScanner } from '../../../src/core/checked-frame/sync-scanner.ts'
import { checksumTools } from '../../../src/session/checksum-tools.ts'
import { CHUNKINGS, splitAt } from '../../helpers/chunkings.ts'
import { seededBytes } from '../../helpers/link-traffic.ts'
import { memoryHeld } from '../../helpers/memory-held.ts'
import { concat, hex, SYNC } from '../../helpers/naive-codec.ts'

const seed = Number(process.env.TRUNKLINE_SEED ?? Date.now() % 2 ** 31)

/** What a scanner tells of `chunks`: `|` for a word, the bytes between as hexadecimal digits. */
function scan(chunks: readonly Uint8Array[]): string {
  let told = ''
  const scanner = new SyncScanner(checksumTools, {
    between(bytes) {
      assert.ok(bytes.byteLength > 0, 'a piece of nothing')
      told += hex(bytes)
    },
    sync() {
      told += '|'
    },
  })
  for (const chunk of chunks) scanner.push(chunk)
  return told
}

/** The same by looking at every place. What may be the beginning of a word is not told yet. */
function naiveScan(bytes: Uint8Array): string {
  let told = ''
  let at = 0
  while (at < bytes.byteLength) {
    const rest = bytes.subarray(at, at + 8)
    const matching = rest.every((byte, index) => byte === SYNC[index])
    if (matching && rest.byteLength < 8) break
    told += matching ? '|' : hex(bytes.subarray(at, at + 1))
    at += matching ? 8 : 1
  }
  return told
}

/** Pieces of the word: its beginnings, its ends, its middle, itself, and single bytes of it. */
const pieceOfWord = fc
  .tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 8 }))
  .map(([from, to]) => SYNC.subarray(Math.min(from, to - 1), to))
const wordy = fc
  .array(fc.oneof({ weight: 5, arbitrary: pieceOfWord }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 4 }) }), {
    maxLength: 12,
  })
  .map((pieces) => concat(...pieces))

describe(`sync scanner, seed ${seed}`, () => {
  it('finds the words among pieces of words, cut anywhere', () => {
    fc.assert(
      fc.property(wordy, fc.array(fc.nat({ max: 60 }), { maxLength: 6 }), (bytes, places) => {
        const cuts = [0, ...places.filter((place) => place < bytes.byteLength).sort((a, b) => a - b), bytes.byteLength]
        // pieces of no bytes among them
        const chunks = cuts.slice(1).map((to, i) => bytes.subarray(cuts[i], to))
        assert.equal(scan(chunks), naiveScan(bytes))
      }),
      { seed, numRuns: 20_000 },
    )
  })

  it('finds the same however the line cuts the bytes', () => {
    const shifted = concat(...Array.from({ length: 9 }, (_, i) => concat(SYNC.subarray(0, i), SYNC, SYNC.subarray(i))))
    const bytes = concat(seededBytes(1, 3000), shifted, SYNC, SYNC, seededBytes(2, 700), SYNC.subarray(0, 7))
    const expected = naiveScan(bytes)
    assert.equal(expected.split('|').length - 1, 13)
    for (const { cut } of CHUNKINGS) assert.equal(scan(cut(bytes)), expected)
    for (let offset = 0; offset <= bytes.byteLength; offset++)
      assert.equal(scan(splitAt(offset).cut(bytes)), expected, `split at ${offset}`)
  })

  it('holds back the beginning of a word alone, and not for longer than it may be one', () => {
    for (let held = 1; held < 8; held++) {
      const before = concat(Uint8Array.of(0x61), SYNC.subarray(0, held))
      assert.equal(scan([before]), '61')
      assert.equal(scan([before, SYNC.subarray(held)]), '61|')
      assert.equal(scan([before, Uint8Array.of(0x62)]), `61${hex(SYNC.subarray(0, held))}62`)
      // the byte that ends one beginning begins another
      assert.equal(scan([before, SYNC]), `61${hex(SYNC.subarray(0, held))}|`)
    }
  })

  it('leaves the chunk and the word as they were', () => {
    const chunk = concat(SYNC.subarray(0, 5), SYNC, SYNC.subarray(0, 3))
    const before = hex(chunk)
    scan([chunk, chunk, Uint8Array.of(1)])
    assert.equal(hex(chunk), before)
    assert.deepEqual([...SYNC_WORD], [...SYNC])
  })

  it('keeps nothing of 64 MiB of noise', async () => {
    let between = 0
    const scanner = new SyncScanner(checksumTools, {
      between: (bytes) => (between += bytes.byteLength),
      sync: () => undefined,
    })
    const noise = seededBytes(3, 65_536)
    const before = await memoryHeld()
    for (let i = 0; i < 1024; i++) scanner.push(noise.subarray(0))
    const growth = (await memoryHeld()) - before
    assert.ok(between > 2 ** 26 - 8)
    // the collector and the compiler have their own: 224,544 bytes were seen on a busy machine
    assert.ok(growth < 1_000_000, `${growth} bytes held`)
  })
})
