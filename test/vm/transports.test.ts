/**
 * The installed package over real lines between a guest and its host: one program (program.mjs), told nothing but another address. For each line it
 * copies files both ways, forwards a TCP connection, and is killed and started anew on either side. Prints one table.
 *
 * Environment: TRUNKLINE_VM_SEED replays the moments of the kills; TRUNKLINE_VM_RESTARTS is how many there are over
 * a line (default 20).
 */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { installedApp } from './bed/app.ts'
import { Guest, GUEST_SERIAL, GUEST_UART } from './bed/guest.ts'
import { run, thisMachine, type Machine } from './bed/job.ts'
import { bootNested, HOST_CID, INNER_CID, type Nested } from './bed/nested.ts'
import { prepareBed } from './bed/prepare.ts'
import { surviveKills, type Line } from './bed/rounds.ts'
import { Side, type Place } from './bed/side.ts'
import { table, type Measured, type Row } from './bed/table.ts'

const KiB = 1024
const MiB = 1024 * KiB
const RESTARTS = Number(process.env.TRUNKLINE_VM_RESTARTS ?? 20)
const NESTED_RESTARTS = 3
const SEED = Number(process.env.TRUNKLINE_VM_SEED ?? randomInt(2 ** 31))
const TCP_PORT = 7311
const VSOCK_PORT = 5000
/** The address of AF_VSOCK's loopback. */
const CID_LOCAL = 1
/** Longest time for everything that the program measures. */
const MEASURE_MS = 300_000

/** A file as the program copied it. */
interface Copy {
  readonly seconds: number
  readonly digest: string
}

const rows: Row[] = []
const scratch = temporaryFolder()
let app: string

before(async () => {
  console.log(`seed ${SEED}`)
  app = await installedApp()
})

after(() => {
  console.log(table(rows))
})

describe('one program', () => {
  let guest: Guest

  before(async () => {
    guest = await Guest.boot({ bed: await prepareBed(), app })
  })

  after(async () => {
    // undefined where it did not boot
    await (guest as Guest | undefined)?.stop()
  })

  const inGuest = (address: string) => at(guest.control, address)

  works('TCP on this machine', RESTARTS, () => {
    const address = `tcp://127.0.0.1:${TCP_PORT}`
    return { server: here(address), driver: here(address), bytes: 64 * MiB }
  })

  works('a virtio-serial port', RESTARTS, () => {
    const driver = here(`serial+unix://${guest.socket('serial')}`)
    return { server: inGuest(`serial://${GUEST_SERIAL}`), driver, bytes: 16 * MiB }
  })

  works('an emulated UART', RESTARTS, () => {
    const driver = here(`serial+unix://${guest.socket('uart')}`)
    return { server: inGuest(`serial://${GUEST_UART}`), driver, bytes: 256 * KiB }
  })

  works('AF_VSOCK inside a guest', RESTARTS, () => {
    const driver = inGuest(`vsock://${CID_LOCAL}:${VSOCK_PORT}`)
    return { server: inGuest(`vsock://any:${VSOCK_PORT}`), driver, bytes: 16 * MiB }
  })
})

describe('one program', () => {
  let nested: Nested

  before(async () => {
    nested = await bootNested(await prepareBed(), app)
  })

  after(async () => {
    // undefined where it did not boot
    await (nested as Nested | undefined)?.stop()
  })

  works('AF_VSOCK, host to guest', NESTED_RESTARTS, () => {
    const server = at(nested.guest, `vsock://any:${VSOCK_PORT}`)
    return { server, driver: at(nested.host, `vsock://${INNER_CID}:${VSOCK_PORT}`), bytes: 4 * MiB }
  })

  works('AF_VSOCK, guest to host', NESTED_RESTARTS, () => {
    const server = at(nested.host, `vsock://any:${VSOCK_PORT}`)
    return { server, driver: at(nested.guest, `vsock://${HOST_CID}:${VSOCK_PORT}`), bytes: 4 * MiB }
  })
})

/** What the program has to do over one line; adds its row to the table. */
function works(name: string, restarts: number, makeLine: () => Line): void {
  describe(`over ${name}`, () => {
    let measured: Measured | undefined

    it('copies files both ways and forwards a connection', async () => {
      measured = await measure(makeLine())
    })

    it('survives the death of either side in mid-transfer', async (t) => {
      const survival = await surviveKills(makeLine(), restarts, SEED)
      t.diagnostic(`old pipes failed with ${[...survival.codes].join(', ')}`)
      if (measured !== undefined) rows.push({ line: name, ...measured, survival })
    })
  })
}

let places = 0

/** A side of the program in a guest, with files of its own. */
function at(machine: Machine, address: string): Place {
  return { machine, address, folder: `/tmp/side-${places++}` }
}

/** A side of the program on this machine. */
function here(address: string): Place {
  return { machine: thisMachine(app), address, folder: join(scratch, `side-${places++}`) }
}

/** Lets the program measure, and checks what only both sides together can tell. */
async function measure({ server, driver, bytes }: Line): Promise<Measured> {
  const serving = new Side(server, 'serve', bytes)
  try {
    const { digest } = await serving.next('serving')
    const driving = new Side(driver, 'measure', bytes)
    const { startMs, up, down } = await driving.next('measured', MEASURE_MS)
    await driving.ended()
    for (const copy of down as Copy[]) assert.equal(copy.digest, digest, 'a file arrived as another one')
    for (const [index, copy] of (up as Copy[]).entries()) {
      const [sum] = (await run(server.machine, `sha256sum ${server.folder}/up-${index}`)).split(' ')
      assert.equal(sum, copy.digest, 'a file arrived as another one')
    }
    const secondsOf = (copies: unknown) => (copies as Copy[]).map(({ seconds }) => seconds)
    return { startMs: startMs as number[], bytes, upSeconds: secondsOf(up), downSeconds: secondsOf(down) }
  } catch (error) {
    throw new Error(serving.story, { cause: error })
  } finally {
    await serving.kill()
  }
}
