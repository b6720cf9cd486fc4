/**
 * The installed package over real lines between a guest and its host: one program (program.mjs),
 * told nothing but another address. For each line it copies files both ways, forwards a TCP
 * connection, and is killed and started again on either side; and it says what the same line does
 * without trunkline. Prints two tables.
 *
 * Environment: TRUNKLINE_VM_SEED replays the moments of the kills; TRUNKLINE_VM_RESTARTS is how
 * many there are over a line (default 20).
 */
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { installedApp } from './bed/app.ts'
import { Guest, GUEST_SERIAL, GUEST_UART } from './bed/guest.ts'
import { thisMachine, type Machine } from './bed/job.ts'
import { measure, type Measured } from './bed/measure.ts'
import { bootNested, HOST_CID, INNER_CID, type Nested } from './bed/nested.ts'
import { prepareBed } from './bed/prepare.ts'
import { surviveKills, type Line } from './bed/rounds.ts'
import type { Place } from './bed/side.ts'
import { shares, table, type Row } from './bed/table.ts'

const KiB = 1024
const MiB = 1024 * KiB
/** Kills of each line: as many of either side. */
const RESTARTS = Number(process.env.TRUNKLINE_VM_RESTARTS ?? 20)
const NESTED_RESTARTS = 3
const SEED = Number(process.env.TRUNKLINE_VM_SEED ?? randomInt(2 ** 31))
const TCP_PORT = 7311
const VSOCK_PORT = 5000
/** The address of AF_VSOCK's loopback. */
const CID_LOCAL = 1

const rows: Row[] = []
const lines: (Measured & { readonly line: string })[] = []
const scratch = temporaryFolder()
/** What has been booted, to be stopped. */
const booted: { stop: () => Promise<void> }[] = []

console.log(`seed ${SEED}`)

after(async () => {
  await stopAll()
  console.log(`${table(rows)}\n\n${shares(lines)}`)
})

const app = lazily(installedApp)
const guest = lazily(async () => kept(await Guest.boot({ bed: await prepareBed(), app: await app() })))
let nested = lazily(guestInGuest)
/** The last one. */
let innermost: Nested | undefined

async function guestInGuest(): Promise<Nested> {
  await stopAll() // a machine may have room for one of them, not for both
  innermost = kept(await bootNested(await prepareBed(), await app()))
  return innermost
}

works('over TCP on this machine', RESTARTS, async () => {
  const address = `tcp://127.0.0.1:${TCP_PORT}`
  return { server: await here(address), driver: await here(address), bytes: 64 * MiB, streamed: 512 * MiB }
})

works('over a virtio-serial port', RESTARTS, async () => {
  const { control, socket } = await guest()
  const server = at(control, `serial://${GUEST_SERIAL}`)
  return { server, driver: await here(`serial+unix://${socket('serial')}`), bytes: 16 * MiB, streamed: 64 * MiB }
})

works('over an emulated UART', RESTARTS, async () => {
  const { control, socket } = await guest()
  const server = at(control, `serial://${GUEST_UART}`)
  return { server, driver: await here(`serial+unix://${socket('uart')}`), bytes: 128 * KiB, streamed: 128 * KiB }
})

works('over AF_VSOCK inside a guest', RESTARTS, async () => {
  const { control } = await guest()
  const server = at(control, `vsock://any:${VSOCK_PORT}`)
  return { server, driver: at(control, `vsock://${CID_LOCAL}:${VSOCK_PORT}`), bytes: 16 * MiB, streamed: 64 * MiB }
})

works('over AF_VSOCK from a host to its guest', NESTED_RESTARTS, async () => {
  const { host, guest: inner } = await nested()
  const server = at(inner, `vsock://any:${VSOCK_PORT}`)
  return { server, driver: at(host, `vsock://${INNER_CID}:${VSOCK_PORT}`), bytes: 4 * MiB, streamed: 8 * MiB }
})

works('over AF_VSOCK from a guest to its host', NESTED_RESTARTS, async () => {
  const { host, guest: inner } = await nested()
  const server = at(host, `vsock://any:${VSOCK_PORT}`)
  return { server, driver: at(inner, `vsock://${HOST_CID}:${VSOCK_PORT}`), bytes: 4 * MiB, streamed: 8 * MiB }
})

/** What the program has to do over one line; adds its row to the table. */
function works(name: string, restarts: number, makeLine: () => Promise<Line>): void {
  const line = name.replace(/^over /, '')
  let measured: Measured | undefined

  it(`copies files both ways and forwards a connection ${name}`, async () => {
    measured = await untilDone(async () => measure(await makeLine()))
    lines.push({ line, ...measured })
  })

  it(`survives the death of either side in mid-transfer ${name}`, async (t) => {
    const survival = await untilDone(async () => surviveKills(await makeLine(), restarts, SEED))
    t.diagnostic(`old pipes failed with ${[...survival.codes].join(', ')}`)
    if (measured !== undefined) rows.push({ line, ...measured, survival })
  })
}

/**
 * A test whose inner guest has died was cut off (see Nested.gone): it says so, and is begun anew,
 * once; a second death fails it.
 */
async function untilDone<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const gone = innermost?.gone()
    if (gone === undefined) throw error
    console.error(`begun anew: ${gone}`)
    innermost = undefined
    nested = lazily(guestInGuest)
    return await work()
  }
}

/**
 * Does it when it is first asked for: a run of some of the tests boots nothing that they do not
 * use.
 */
function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}

async function stopAll(): Promise<void> {
  await Promise.all(booted.splice(0).map((machine) => machine.stop()))
}

function kept<T extends { stop: () => Promise<void> }>(machine: T): T {
  booted.push(machine)
  return machine
}

let places = 0

/** A side of the program in a guest, with files of its own. */
function at(machine: Machine, address: string): Place {
  return { machine, address, folder: `/tmp/side-${places++}` }
}

/** A side of the program on this machine. */
async function here(address: string): Promise<Place> {
  return { machine: thisMachine(await app()), address, folder: join(scratch, `side-${places++}`) }
}
