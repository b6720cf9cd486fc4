import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { holdsFor } from './holds.ts'
import { ownDice, SABOTAGES } from './sabotage.ts'
import { simulate } from './world.ts'

/** Seeds of the long run; `npm run sim -- --seeds N` runs more. */
const SEEDS = 2000

describe('a whole session under a virtual clock', () => {
  it(`holds its invariants for ${SEEDS} seeds [R-017 R-030 R-035 R-048 R-055]`, () => {
    holdsFor(SEEDS)
  })
})

describe('a broken core is noticed by the simulation', () => {
  for (const [name, { breaks, batch, state }] of Object.entries(SABOTAGES)) {
    it(`that ${name} [R-300]`, () => {
      const seen = new Set<string>()
      for (let seed = 1; seed <= 40; seed++) {
        const { faults } = simulate(seed, {
          healthy: true,
          ...(batch === undefined ? {} : { sabotage: batch }),
          ...(state === undefined ? {} : { spoil: state }),
        })
        if (faults.some((fault) => breaks.test(fault))) return
        for (const fault of faults) seen.add(fault)
      }
      assert.fail(`40 seeds, and it was not noticed as what it is: ${[...seen].slice(0, 3).join('; ')}`)
    })
  }

  it('that throws dice of its own [R-301]', () => {
    for (let seed = 1; seed <= 40; seed++) {
      if (simulate(seed, { spoil: ownDice }).trace !== simulate(seed, { spoil: ownDice }).trace) return
    }
    assert.fail('40 seeds, and each could be replayed')
  })
})
