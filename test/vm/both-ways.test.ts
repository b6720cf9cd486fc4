/**
 * Bulk both ways at once over each line of a guest, for ten seconds: alone, and beside busy loops
 * on the host, which take the guest its turns. No direction may get less than a quarter of the
 * other, unless it gets half of what it has when it is alone: an emulated UART is slower one way by
 * itself. Prints what each got.
 */
import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { installedApp } from './bed/app.ts'
import { Guest, GUEST_SERIAL, GUEST_UART } from './bed/guest.ts'
import { thisMachine, type Job, type Machine } from './bed/job.ts'
import { prepareBed } from './bed/prepare.ts'
import { Side } from './bed/side.ts'

const POUR_MS = 10_000
/** Longest time for a session, the pouring, and what was on its way at its end. */
const DONE_MS = 120_000
/**
 * Busy loops: as many as starved one direction of a virtio port for good, six on two processors.
 */
const LOOPS = 3 * availableParallelism()
const SHARE = 1 / 4
const SHARE_OF_ALONE = 1 / 2
const VSOCK_PORT = 5001
/** The address of AF_VSOCK's loopback. */
const CID_LOCAL = 1

/** Bytes a second to the serving side and from it. */
interface Rates {
  readonly up: number
  readonly down: number
}

/**
 * A pour that is not fair by chance, on a machine that others use, is followed by so many, each of
 * which has to be.
 */
const MORE_POURS = 2

describe('bulk both ways at once', () => {
  const scratch = temporaryFolder()
  let made: Promise<{ guest: Guest; host: Machine }> | undefined
  const bed = (): Promise<{ guest: Guest; host: Machine }> =>
    (made ??= (async () => {
      const app = await installedApp()
      return { guest: await Guest.boot({ bed: await prepareBed(), app }), host: thisMachine(app) }
    })())

  after(async () => {
    await (await made)?.guest.stop()
  })

  /** Where the driving side is, and both addresses. */
  const lines: Readonly<Record<string, (guest: Guest, host: Machine) => [driver: Machine, to: string, at: string]>> = {
    'a virtio port': ({ socket }, host) => [host, `serial+unix://${socket('serial')}`, `serial://${GUEST_SERIAL}`],
    'an emulated UART': ({ socket }, host) => [host, `serial+unix://${socket('uart')}`, `serial://${GUEST_UART}`],
    AF_VSOCK: ({ control }) => [control, `vsock://${CID_LOCAL}:${VSOCK_PORT}`, `vsock://any:${VSOCK_PORT}`],
  }

  /** What one pour has shown, and whether that is fair. */
  async function pour(name: string, busy: boolean): Promise<{ isFair: boolean; told: string }> {
    const { guest, host } = await bed()
    const [machine, to, at] = lines[name]!(guest, host)
    const loops: Job[] = []
    const serving = new Side({ machine: guest.control, address: at, folder: '/tmp/both' }, 'serve', 1)
    try {
      await serving.next('serving')
      if (busy) for (let i = 0; i < LOOPS; i++) loops.push(host.start("sh -c 'while :; do :; done'"))
      const driving = new Side({ machine, address: to, folder: join(scratch, 'both') }, 'both', POUR_MS)
      const rates = async (event: string): Promise<Rates> => (await driving.next(event, DONE_MS)) as unknown as Rates
      const { up, down } = await rates('both ways')
      const alone = { up: (await rates('up alone')).up, down: (await rates('down alone')).down }
      await driving.ended(DONE_MS)
      const shown = [up, alone.up, down, alone.down].map((rate) => (rate / 1024).toFixed(1))
      const told = `${shown[0]} KiB/s to the guest (alone ${shown[1]}), ${shown[2]} from it (alone ${shown[3]})`
      const [less, lessAlone] = up < down ? [up, alone.up] : [down, alone.down]
      return { isFair: less >= SHARE * Math.max(up, down) || less >= SHARE_OF_ALONE * lessAlone, told }
    } finally {
      for (const loop of loops) loop.kill()
      await serving.kill()
    }
  }

  for (const name of Object.keys(lines)) {
    for (const busy of [false, true]) {
      it(`is shared fairly over ${name}${busy ? ' beside busy loops on the host' : ''} [R-473]`, async (t) => {
        const first = await pour(name, busy)
        t.diagnostic(`${name}${busy ? `, ${LOOPS} busy loops` : ''}: ${first.told}`)
        for (let more = 0; !first.isFair && more < MORE_POURS; more++) {
          const { isFair, told } = await pour(name, busy)
          t.diagnostic(`again: ${told}`)
          assert.ok(isFair, `${first.told}; again: ${told}`)
        }
      })
    }
  }
})
