import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { simulateTrunks } from './trunk-world.ts'

/** Seeds in a plain test run. */
const SEEDS = 150

describe('whole trunks under a virtual clock', () => {
  it(`leave no promise pending when both cores are quiet, for ${SEEDS} seeds [R-363]`, async () => {
    let promises = 0
    const cuts = new Set<string>()
    for (let seed = 1; seed <= SEEDS; seed++) {
      const outcome = await simulateTrunks(seed)
      assert.deepEqual(outcome.faults, [], `seed ${seed} failed (cut: ${outcome.cut})`)
      promises += outcome.promises
      cuts.add(outcome.cut)
    }
    // worlds in which nothing is waited for would leave nothing pending
    assert.ok(promises > SEEDS * 40, `only ${promises} promises were waited for`)
    assert.deepEqual([...cuts].sort(), ['end', 'none', 'reset', 'silence'])
  })

  it('give the same trace for the same seed, and another for another', async () => {
    const traces = new Set<number>()
    for (let seed = 1; seed <= 10; seed++) {
      const first = await simulateTrunks(seed)
      assert.equal((await simulateTrunks(seed)).trace, first.trace, `seed ${seed}`)
      traces.add(first.trace)
    }
    assert.equal(traces.size, 10)
  })
})
