import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Random } from './random.ts'
import { holdsFor } from './holds.ts'
import { simulate, swarmLimits } from './world.ts'

/**
 * Seeds of the quick run; simulation.long.test.ts takes 2,000, and `npm run sim -- --seeds N` more.
 */
const SEEDS = 300

describe('a whole session under a virtual clock', () => {
  it(`holds its invariants for ${SEEDS} seeds [R-017 R-030 R-035 R-048 R-055]`, () => {
    holdsFor(SEEDS)
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

describe('what a seed decides', () => {
  it('windows below 1 KiB, limits of one to three pipes, cuts of each kind [R-302]', () => {
    const windows: number[] = []
    const pipes: number[] = []
    const random = new Random(1)
    for (let i = 0; i < 200; i++) {
      const { initialWindowBytes, maxPipes } = swarmLimits(random)
      windows.push(initialWindowBytes)
      pipes.push(maxPipes)
    }
    assert.ok(Math.min(...windows) < 16 && windows.filter((bytes) => bytes <= 1024).length > 50, 'few small windows')
    for (const limit of [1, 2, 3]) assert.ok(pipes.includes(limit), `no limit of ${limit}`)
    const cuts = new Set(Array.from({ length: 60 }, (_, i) => simulate(i + 1).cut))
    assert.deepEqual([...cuts].sort(), ['end', 'none', 'reset', 'silence'])
  })
})
