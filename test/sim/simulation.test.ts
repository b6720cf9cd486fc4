import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Random } from './random.ts'
import { ownDice, SABOTAGES } from './sabotage.ts'
import { simulate, swarmLimits } from './world.ts'

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
      assert.deepEqual(outcome.faults, [], `seed ${seed} failed; replay: npm run sim -- --plain --seed ${seed}`)
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
  for (const [name, { breaks, batch, state }] of Object.entries(SABOTAGES)) {
    it(`R-300: that ${name}`, () => {
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

  it('R-301: that throws dice of its own', () => {
    for (let seed = 1; seed <= 40; seed++) {
      if (simulate(seed, { spoil: ownDice }).trace !== simulate(seed, { spoil: ownDice }).trace) return
    }
    assert.fail('40 seeds, and each could be replayed')
  })
})

describe('what a seed decides', () => {
  it('R-302: windows below 1 KiB, limits of one to three pipes, cuts of each kind', () => {
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
