/**
 * The simulation, in handfuls of seeds: what a mutant does to a session is mostly seen within the
 * first.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { simulateBare } from '../sim/bare-world.ts'
import { simulate } from '../sim/world.ts'

const PLAIN = { seeds: 60, handful: 5 }
const BARE = { seeds: 10, handful: 1 }

describe('seeds', () => {
  for (let first = 1; first <= PLAIN.seeds; first += PLAIN.handful) {
    it(`hold from ${first} on`, () => {
      for (let seed = first; seed < first + PLAIN.handful; seed++) {
        assert.deepEqual(simulate(seed).faults, [], `seed ${seed}`)
      }
    })
  }
  for (let first = 1; first <= BARE.seeds; first += BARE.handful) {
    it(`hold on a bare line from ${first} on`, () => {
      for (let seed = first; seed < first + BARE.handful; seed++) {
        assert.deepEqual(simulateBare(seed).faults, [], `seed ${seed}`)
      }
    })
  }
})
