/**
 * One process of the soak: serves at some addresses, works over others, and does what it is told
 * over IPC: pauses, tells what it holds, finishes. Everything that should not be (an unhandled
 * rejection, a warning, a wrong byte) is told at once. Usage: party.ts CONFIG (JSON).
 */
import { readdirSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { filesystem } from '../../protocols/filesystem.ts'
import { tcpConnection } from '../../protocols/tcp-connection.ts'
import { connect, serve, type Server, type Trunk } from '../../src/index.ts'
import { memoryHeld } from '../helpers/memory-held.ts'
import { count, echo } from '../helpers/protocols.ts'
import { keyed } from '../helpers/keyed-stream.ts'
import { Random } from '../sim/random.ts'
import { doJob } from './traffic.ts'

/** What a process is to be. */
export interface PartyConfig {
  readonly name: string
  /** Addresses to serve at, and to work over. */
  readonly serve: readonly string[]
  readonly connect: readonly string[]
  /** The folder that is served. */
  readonly root: string
  readonly echoPort: number
  readonly seed: number
}

/** What a process holds when nothing goes on. */
export interface Holding {
  readonly rssBytes: number
  /** What JavaScript can reach, garbage collected; without the bytes of buffers. */
  readonly heapBytes: number
  /** The bytes of buffers. */
  readonly bufferBytes: number
  readonly descriptors: number
  readonly handles: number
}

/** What it can be asked; each answers when it is so. */
export type PartyCall = 'ready' | 'pause' | 'resume' | 'hold' | 'finish'
/** What it says: an answer, or by itself. */
export type PartyWord =
  | { readonly id: number; readonly value: Holding | null }
  | { readonly did: string; readonly outcome: string }
  | { readonly fault: string }

/** Jobs at a time over one trunk. */
const WORKERS = 4
/**
 * A job that takes longer is stuck: every bound of a session is shorter, and nobody is stopped for
 * that long.
 */
const STUCK_MS = 120_000
const MAX_BYTES = 1024 * 1024
/** A serial line is shared by all that goes on, and its other end may just have been replaced. */
const MAX_SERIAL_BYTES = 64 * 1024

const config = JSON.parse(process.argv[2] ?? '{}') as PartyConfig
const random = new Random(config.seed)
const say = (word: PartyWord): void => void process.send?.(word)

process.on('unhandledRejection', (reason) => say({ fault: `unhandled rejection: ${String((reason as Error).stack)}` }))
process.on('warning', (warning) => say({ fault: `warning: ${warning.stack ?? warning.message}` }))
let finishing = false
// whoever started us is gone: nobody is left to be told
process.on('disconnect', () => finishing || process.exit(3))
if (!process.connected) process.exit(3)

/** Closed while everybody is to be still. */
let gate: { readonly opened: Promise<void>; open(): void } | undefined
const busy = new Set<Promise<void>>()

const servers: Server[] = []
for (const address of config.serve) {
  const protocols = [
    echo,
    count,
    keyed,
    filesystem({ root: config.root }),
    tcpConnection({ allow: [`127.0.0.1:${config.echoPort}`] }),
  ]
  servers.push(await serve(address, { protocols }))
}
const trunks: Trunk[] = []
const ready = Promise.all(
  config.connect.map(async (address) => {
    const trunk = await connect(address, { reconnect: true })
    trunks.push(trunk)
    for (let worker = 0; worker < WORKERS; worker++) void work(trunk, address, `${config.name}-${worker}`)
  }),
)

async function work(trunk: Trunk, address: string, fileName: string): Promise<void> {
  const maxBytes = address.startsWith('serial:') ? MAX_SERIAL_BYTES : MAX_BYTES
  const own = new Random(random.integer(0, 2 ** 31))
  while (!finishing) {
    if (gate !== undefined) {
      await gate.opened
      continue
    }
    const job = one(trunk, address, fileName, own, maxBytes)
    busy.add(job)
    await job
    busy.delete(job)
    // with two of nine jobs a reset, four workers stay below the 33 a second at which a peer starts
    // to hold them back
    await pause(own.integer(10, 50))
  }
}

async function one(trunk: Trunk, address: string, fileName: string, own: Random, maxBytes: number): Promise<void> {
  const over = new AbortController()
  const job = doJob({ trunk, address, echoPort: config.echoPort, random: own, fileName }, maxBytes)
  void pause(STUCK_MS, undefined, { signal: over.signal }).then(
    () => say({ fault: `a job of ${config.name} is stuck: ${JSON.stringify(trunk.status())}` }),
    () => undefined, // it is over, as it should be
  )
  const { name, outcome, fault } = await job
  over.abort()
  if (fault) say({ fault: `${config.name}, ${name}, ${outcome}` })
  else say({ did: name, outcome })
}

const answers: Record<PartyCall, () => Promise<Holding | null>> = {
  async ready() {
    await ready
    return null
  },
  async pause() {
    let open = (): void => undefined
    const opened = new Promise<void>((resolve) => (open = resolve))
    gate = { opened, open }
    await Promise.all(busy)
    // a session is established on each line: what is held then can be compared
    for (const trunk of trunks) await trunk.ping().catch(() => trunk.ping())
    return null
  },
  async resume() {
    gate?.open()
    gate = undefined
    return null
  },
  async hold() {
    // collects the garbage; what it gives is the sum of two that grow for different reasons
    await memoryHeld()
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
    return {
      rssBytes: rss,
      heapBytes: heapUsed,
      bufferBytes: arrayBuffers,
      descriptors: readdirSync('/proc/self/fd').length,
      handles: process.getActiveResourcesInfo().length,
    }
  },
  async finish() {
    finishing = true
    gate?.open()
    await Promise.all(busy)
    await Promise.all([...trunks, ...servers].map((one) => one.close()))
    return null
  },
}

process.on('message', ({ id, call }: { id: number; call: PartyCall }) => {
  answers[call]().then(
    (value) => {
      say({ id, value })
      // nothing of ours is left then: the process has to end by itself
      if (call === 'finish') process.disconnect()
    },
    (error: unknown) => say({ fault: `${config.name} could not ${call}: ${String((error as Error).stack)}` }),
  )
})
