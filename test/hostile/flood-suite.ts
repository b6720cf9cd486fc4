/**
 * Floods by hand over TCP, against `serve()` and against `connect()`: memory, the event loop's
 * delay, the documented end, an honest session that is served meanwhile, and nothing left. What is
 * measured is the victim's own process. HOSTILE_VERBOSE=1 prints the figures.
 */
import { after, before, describe, it } from 'node:test'
import { Victim } from '../helpers/victim.ts'
import { FLOODS } from './flood-rows.ts'
import { runFlood, type Side } from './arena.ts'

export function floodSuite(side: Side): void {
  describe(`a flood against ${side}()`, () => {
    let victim: Victim
    before(async () => {
      victim = await Victim.start()
    })
    after(() => victim.stop())

    for (const flood of FLOODS) {
      if (flood.only !== undefined && flood.only !== side) continue
      it(flood.title, { timeout: 60_000 }, () => runFlood(victim, side, flood))
    }
  })
}
