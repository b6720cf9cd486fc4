import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PLACES, simulateBridges, type BridgeSabotage, type Place } from './bridge-world.ts'

/** Seeds in a plain test run. */
const SEEDS = 80

describe('connections that are reset after bulk, under a virtual clock', () => {
  it(`[R-703] lose nothing that came before the reset, wherever it waits, for ${SEEDS} seeds`, async () => {
    const places = new Set<Place>()
    let resets = 0
    let behind = 0
    for (let seed = 1; seed <= SEEDS; seed++) {
      const outcome = await simulateBridges(seed)
      assert.deepEqual(outcome.faults, [], `seed ${seed} failed`)
      for (const place of outcome.places) places.add(place)
      resets += outcome.resets
      behind += outcome.behind
    }
    assert.deepEqual([...places].sort(), [...PLACES].sort())
    assert.ok(resets > SEEDS, `only ${resets} resets`)
    // resets that follow nothing would overtake nothing
    assert.ok(behind > resets * 1000, `only ${behind} bytes waited`)
  })
})

describe('a broken bridge is noticed by the simulation', () => {
  const broken: Readonly<Record<string, BridgeSabotage>> = {
    'is told of a reset before what came before it': { overtakes: true },
    'resets its pipe before what is queued has left': { abortsAtOnce: true },
    'reads nothing once the reset is there': { dropsInbox: true },
    'resets its connection whatever the system still has': { asksNoSystem: true },
  }
  for (const [name, sabotage] of Object.entries(broken)) {
    it(`[R-704] that ${name}`, async () => {
      for (let seed = 1; seed <= 40; seed++) {
        const { faults } = await simulateBridges(seed, sabotage)
        if (faults.some((fault) => /^I11: a reset after/.test(fault))) return
      }
      assert.fail('40 seeds, and it was not noticed')
    })
  }
})
