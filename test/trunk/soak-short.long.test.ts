/**
 * The soak (test/soak), for twenty seconds: the chaos itself is as in a long run, and its bytes and
 * its ends are held to the same.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { soak } from '../soak/soak.ts'

const SEED = Number(process.env.TRUNKLINE_SEED ?? Math.floor(Math.random() * 1e9))
const MINUTES = 1 / 3
/** The caches and pools of a program that has only just begun still fill: a long run says more. */
const HEAP_BYTES = 12 * 2 ** 20

describe('processes that are killed and stopped at random while traffic goes on', () => {
  it(
    '20 s of seeded chaos on TCP and on a pty leave no wrong byte, no descriptor and no handle [R-135]',
    { skip: process.platform !== 'linux' && 'the pseudo-terminals are made for Linux' },
    async (t) => {
      t.diagnostic(`replay: TRUNKLINE_SEED=${SEED} node test/run.mjs soak-short`)
      const { counts, steady, faults } = await soak({ minutes: MINUTES, seed: SEED, heapBytes: HEAP_BYTES })
      for (const report of steady) {
        const { name, first, last, heapSlope } = report
        t.diagnostic(
          `${name}: heap ${Math.round(heapSlope / 1024)} KiB a minute, descriptors ${first.descriptors} to ${last.descriptors}, handles ${first.handles} to ${last.handles}`,
        )
      }
      assert.deepEqual(faults, [])
      // otherwise there was no chaos, or no traffic
      const sum = (of: RegExp): number => [...counts].reduce((all, [key, count]) => all + (of.test(key) ? count : 0), 0)
      assert.ok(sum(/^process: /) >= 4, JSON.stringify([...counts]))
      assert.ok(sum(/: done$/) >= 100, JSON.stringify([...counts]))
    },
  )
})
