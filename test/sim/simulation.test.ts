import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as sabotage from './sabotage.ts'
import { simulate } from './world.ts'

/** Seeds in a plain test run; `npm run sim -- --seeds N` runs more. */
const SEEDS = 2000

describe('a whole session under a virtual clock', () => {
  it(`holds its invariants for ${SEEDS} seeds [R-017 R-030 R-035 R-048 R-055]`, () => {
    let bytes = 0
    let pipes = 0
    for (let seed = 1; seed <= SEEDS; seed++) {
      const outcome = simulate(seed)
      bytes += outcome.bytes
      pipes += outcome.pipes
      assert.deepEqual(outcome.faults, [], `seed ${seed} failed; replay: npm run sim -- --seed ${seed}`)
    }
    // a simulation in which nothing happens would hold every invariant
    assert.ok(pipes > SEEDS * 3, `only ${pipes} pipes were opened`)
    assert.ok(bytes > SEEDS * 1000, `only ${bytes} bytes were read`)
  })

  it('gives the same trace for the same seed, and another for another', () => {
    const traces = new Set<number>()
    for (let seed = 1; seed <= 50; seed++) {
      const first = simulate(seed)
      assert.equal(simulate(seed).trace, first.trace, `seed ${seed}`)
      traces.add(first.trace)
    }
    assert.equal(traces.size, 50)
  })
})

describe('a broken core is noticed by the simulation', () => {
  for (const [name, broken] of Object.entries(sabotage)) {
    it(`that ${name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)}`, () => {
      for (let seed = 1; seed <= 40; seed++) {
        if (simulate(seed, { sabotage: broken, healthy: true }).faults.length > 0) return
      }
      assert.fail('40 seeds, and nothing was noticed')
    })
  }
})
