/**
 * A flood without a pause: all that one turn of the event loop reads is parsed in it, up to 1 MiB.
 */
import { after, before, describe, it } from 'node:test'
import { frameRun } from '../helpers/frame-run.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import { frame, TYPE } from '../helpers/naive-codec.ts'
import { Victim } from '../helpers/victim.ts'
import { runFlood, type Flood } from './arena.ts'

const HOLD = cbor({ protocol: 'hold' })

const rows: Flood[] = [
  {
    title: 'R-239: one-byte data frames, 10 MiB of them without a pause',
    accounted: 16 * 65_536,
    ends: 27,
    async attack({ peer, id }) {
      const pipes = Array.from({ length: 16 }, id)
      for (const pipe of pipes) await peer.send(frame(TYPE.OPEN, pipe, HOLD))
      for (const pipe of pipes) await peer.send(frameRun(65_536, () => frame(TYPE.DATA, pipe, Uint8Array.of(1))))
      await peer.send(frame(TYPE.DATA, pipes[3], Uint8Array.of(1)))
    },
  },
]

describe('a flood at full speed', { timeout: 120_000 }, () => {
  let victim: Victim
  before(async () => {
    victim = await Victim.start()
  })
  after(() => victim.stop())
  for (const row of rows) it(row.title, { timeout: 60_000 }, () => runFlood(victim, 'serve', row))
})
