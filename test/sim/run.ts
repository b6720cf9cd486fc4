/**
 * Runs simulated sessions: `npm run sim -- --seeds 2000`, `npm run sim -- --seed 17` for one of them in detail.
 * Ends with status 1 when a run broke an invariant, after printing the command that replays it.
 */
import { parseArgs } from 'node:util'
import { simulateBare } from './bare-world.ts'
import { simulate } from './world.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    /** The line that does not tell. */
    bare: { type: 'boolean', default: false },
  },
})
const first = Number(values.seed ?? values.from)
const count = values.seed === undefined ? Number(values.seeds) : 1
let failed = 0
let events = 0
let virtualMs = 0
const startedAt = performance.now()
for (let seed = first; seed < first + count; seed++) {
  const outcome = values.bare ? simulateBare(seed) : simulate(seed)
  events += outcome.events
  virtualMs += outcome.virtualMs
  if (values.seed !== undefined) console.log(outcome)
  if (outcome.faults.length === 0) continue
  failed++
  console.log(
    `seed ${seed} failed (cut: ${outcome.cut}):\n  ${outcome.faults.join('\n  ')}\n  replay: npm run sim -- ${values.bare ? '--bare ' : ''}--seed ${seed}`,
  )
  if (failed >= 20) break
}
const seconds = (performance.now() - startedAt) / 1000
console.log(
  `${count} seeds from ${first}, ${failed} failed; ${events} events, ${Math.round(virtualMs / 1000)} virtual seconds in ${seconds.toFixed(1)} s`,
)
process.exitCode = failed > 0 ? 1 : 0
