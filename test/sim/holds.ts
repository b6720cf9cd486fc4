import assert from 'node:assert/strict'
import { simulate } from './world.ts'

/**
 * Fails where one of the first `seeds` seeds breaks an invariant, and where they did next to
 * nothing.
 */
export function holdsFor(seeds: number): void {
  let bytes = 0
  let pipes = 0
  for (let seed = 1; seed <= seeds; seed++) {
    const outcome = simulate(seed)
    bytes += outcome.bytes
    pipes += outcome.pipes
    assert.deepEqual(outcome.faults, [], `seed ${seed} failed; replay: npm run sim -- --plain --seed ${seed}`)
  }
  // a simulation in which nothing happens would hold every invariant
  assert.ok(pipes > seeds * 3, `only ${pipes} pipes were opened`)
  assert.ok(bytes > seeds * 1000, `only ${bytes} bytes were read`)
}
