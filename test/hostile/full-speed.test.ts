/** Floods without a pause: all that one turn of the event loop reads is parsed in it, up to 1 MiB. */
import { after, before, describe, it } from 'node:test'
import { frameRun } from '../helpers/frame-run.ts'
import { cbor } from '../helpers/naive-cbor.ts'
import { encodeStatus, frame, TYPE } from '../helpers/naive-codec.ts'
import { Victim } from '../helpers/victim.ts'
import { runFlood, type Flood } from './arena.ts'

const HOLD = cbor({ protocol: 'hold' })
const RESET = encodeStatus({ number: 64, name: '', sentence: '' })

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
  {
    title: 'R-321: 2,100 pipes with a handler opened and reset in one write',
    limits: { maxPipes: 10_000, maxWaitingPipes: 10_000 },
    accounted: 2100 * 4096,
    ends: 28,
    async attack({ peer, id }) {
      let pipe = 0
      await peer.send(
        frameRun(4200, (i) => {
          if (i % 2 === 0) pipe = id()
          return i % 2 === 0 ? frame(TYPE.OPEN, pipe, HOLD) : frame(TYPE.RESET, pipe, RESET)
        }),
      )
    },
  },
]

describe('floods at full speed', { timeout: 120_000 }, () => {
  let victim: Victim
  before(async () => {
    victim = await Victim.start()
  })
  after(() => victim.stop())
  for (const row of rows) it(row.title, { timeout: 60_000 }, () => runFlood(victim, 'serve', row))
})
