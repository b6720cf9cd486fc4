import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { checksumTools } from '../../src/session/checksum-tools.ts'
import { simulateBare } from './bare-world.ts'

/** Seeds in a plain test run; `npm run sim -- --bare --seeds N` runs more. */
const SEEDS = 400

describe('a connectionless link, under a virtual clock', () => {
  it(`delivers no wrong byte and finds back to a session for ${SEEDS} seeds [R-051 R-053 R-055 R-056 R-063]`, () => {
    let bytes = 0
    let sessions = 0
    let kills = 0
    for (let seed = 1; seed <= SEEDS; seed++) {
      const outcome = simulateBare(seed)
      bytes += outcome.bytes
      sessions += outcome.sessions
      kills += outcome.kills
      assert.deepEqual(outcome.faults, [], `seed ${seed} failed; replay: npm run sim -- --bare --seed ${seed}`)
    }
    // a simulation in which nothing happens would hold every invariant
    assert.ok(kills > SEEDS, `only ${kills} kills`)
    assert.ok(sessions > SEEDS * 3, `only ${sessions} sessions stood`)
    assert.ok(bytes > SEEDS * 1000, `only ${bytes} bytes were read`)
  })

  it('gives the same trace for the same seed, and another for another', () => {
    const traces = new Set<number>()
    for (let seed = 1; seed <= 20; seed++) {
      const first = simulateBare(seed)
      assert.equal(simulateBare(seed).trace, first.trace, `seed ${seed}`)
      traces.add(first.trace)
    }
    assert.equal(traces.size, 20)
  })
})

describe('a broken check is noticed by the simulation', () => {
  const broken = {
    'checks nothing': { ...checksumTools, crc32: () => 0 },
    'does not chain its frames': { ...checksumTools, crc32: (bytes: Uint8Array) => checksumTools.crc32(bytes, 0) },
    'never finds a sync word': { ...checksumTools, find: () => -1 },
  }
  for (const [name, tools] of Object.entries(broken)) {
    it(`that ${name}`, () => {
      for (let seed = 1; seed <= 200; seed++) {
        if (simulateBare(seed, tools).faults.length > 0) return
      }
      assert.fail('200 seeds, and nothing was noticed')
    })
  }
})
