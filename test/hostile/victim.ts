/**
 * The program that the hostile suite attacks: a real `serve()` or `connect()` over TCP, in a
 * process of its own, so that memory, the event loop's delay, descriptors and timers are those of
 * the attacked side alone. It does what its parent asks over IPC; helpers/victim.ts is the other
 * end. Started with --expose-gc.
 */
import {
  connect,
  serve,
  TrunkError,
  type Server,
  type Trunk,
  type TrunkCounters,
  type TrunkOptions,
} from '../../src/index.ts'
import { LoopDelay } from '../helpers/loop-delay.ts'
import { countHandles, type HandleCount } from '../helpers/process-handles.ts'
import { echo, protocol } from '../helpers/protocols.ts'

/** What has been measured and counted since `begin`. */
export interface VictimReport {
  /** Of the event loop's delay, in milliseconds. */
  readonly p99: number
  readonly max: number
  readonly samples: number
  /** Codes that sessions ended with; `clean` for a good end. */
  readonly ended: readonly string[]
  /** Codes of links that came to no session. */
  readonly rejected: readonly string[]
  /** Rejections that nobody handled, and warnings. */
  readonly strays: readonly string[]
  /** Handlers that were started. */
  readonly handlers: number
  readonly echoes: number
  readonly states: readonly string[]
  readonly pipes: number
  readonly counters: readonly TrunkCounters[]
  /** What somebody has hung on the prototypes of everything. */
  readonly polluted: readonly string[]
}

/** What it holds open. */
export interface VictimResources extends HandleCount {
  readonly timers: number
  /**
   * Of the process: what a session hangs there outlives it. Those of a session's own emitters are
   * heap.
   */
  readonly listeners: number
}

const servers: Server[] = []
/**
 * The trunks that stand, by the number that the parent knows them by: those that have ended must
 * not be held by us.
 */
const trunks = new Map<number, Trunk>()
let numbers = 0
let ended: string[] = []
let rejected: string[] = []
let strays: string[] = []
let handlers = 0
let echoes = 0
const delay = new LoopDelay()

process.on('unhandledRejection', (reason) => strays.push(`rejection: ${String(reason)}`))
process.on('warning', (warning) => strays.push(`warning: ${warning.message}`))

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })

const PROTOCOLS = [
  echo,
  /** Accepts, reads nothing, and ends when its pipe does. */
  protocol('hold', async ({ accept, signal }) => {
    handlers++
    accept()
    await untilAborted(signal)
  }),
  /** Never answers. */
  protocol('silent', async ({ signal }) => {
    handlers++
    await untilAborted(signal)
    throw new TrunkError('ERR_ABORTED', 'the opener has gone')
  }),
  /** Accepts, and fails at once: a reset of our own for each open. */
  protocol('fail', async ({ accept }) => {
    handlers++
    accept()
    await Promise.reject(new TrunkError('ERR_ABORTED', 'as always'))
  }),
  /** Writes for as long as it is let. */
  protocol('pour', async ({ accept }) => {
    handlers++
    const pipe = accept()
    for (;;) await pipe.write(new Uint8Array(16_384))
  }),
]

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? String(error)
}

function watch(trunk: Trunk): void {
  trunk.closed.then(
    () => ended.push('clean'),
    (error: unknown) => ended.push(codeOf(error)),
  )
}

function keep(trunk: Trunk): number {
  const number = numbers++
  trunks.set(number, trunk)
  const drop = (): void => void trunks.delete(number)
  trunk.closed.then(drop, drop)
  return number
}

/** Bytes that are reachable now; the second collection gives back what the first one has found. */
async function heldNow(): Promise<number> {
  await new Promise((resolve) => setImmediate(resolve))
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

async function settled(): Promise<number> {
  delay.stop()
  // what comes while a flood goes on is garbage in a moment: the least of a few is what is held
  let bytes = Infinity
  for (let i = 0; i < 3; i++) bytes = Math.min(bytes, await heldNow())
  delay.start()
  return bytes
}

/** What the parent may ask for. */
export interface VictimCalls {
  /** Serves on loopback; the address. */
  serve(options: TrunkOptions): Promise<string>
  /**
   * Connects to a peer and keeps the trunk; the number to name it by, or the code of what came of
   * it.
   */
  connect(address: string, options: TrunkOptions): Promise<number | string>
  /** Opens a pipe, writes `bytes`, half-closes and reads to the end: the outcome of each. */
  open(trunk: number, name: string, bytes: number): Promise<string>
  /**
   * A well-behaved use beside the attacked one: an echo after the other over a trunk of its own.
   */
  honest(address: string): Promise<void>
  /** Forgets what was measured, and gives the bytes held now. */
  begin(): Promise<number>
  /** The bytes held now. */
  held(): Promise<number>
  report(): Promise<VictimReport>
  resources(): Promise<VictimResources>
  /** Ends everything; resolves when it has ended. */
  end(): Promise<void>
}

const CALLS: VictimCalls = {
  async serve(options: TrunkOptions): Promise<string> {
    const server = await serve('tcp://127.0.0.1:0', {
      ...options,
      protocols: PROTOCOLS,
      onSessionError: ({ error }) => rejected.push(codeOf(error)),
    })
    servers.push(server)
    void (async () => {
      for await (const trunk of server) watch(trunk)
    })()
    return server.address
  },

  async connect(address: string, options: TrunkOptions): Promise<number | string> {
    try {
      const trunk = await connect(address, { ...options, protocols: PROTOCOLS })
      watch(trunk)
      return keep(trunk)
    } catch (error) {
      return codeOf(error)
    }
  },

  async open(trunk: number, name: string, bytes: number): Promise<string> {
    const pipe = await trunks.get(trunk)?.open(name).catch(codeOf)
    if (pipe === undefined) return 'no such trunk'
    if (typeof pipe === 'string') return pipe
    const writing = (async () => {
      if (bytes > 0) await pipe.write(new Uint8Array(bytes))
      await pipe.closeWrite()
    })().then(() => 'wrote', codeOf)
    let read = 0
    try {
      for await (const chunk of pipe.source) read += chunk.byteLength
    } catch (error) {
      return `${await writing} ${codeOf(error)}`
    }
    return `${await writing} ${read}`
  },

  async honest(address: string): Promise<void> {
    const trunk = await connect(address)
    keep(trunk)
    const pipe = await trunk.open('echo')
    void (async () => {
      for (;;) {
        await pipe.write(Buffer.from('still there?'))
        await pipe.source.next()
        echoes++
      }
    })().catch(() => undefined) // its end is the end of the trunk
  },

  async begin(): Promise<number> {
    ended = []
    rejected = []
    handlers = 0
    echoes = 0
    const bytes = await settled()
    delay.reset()
    return bytes
  },

  held: settled,

  report(): Promise<VictimReport> {
    const statuses = [...servers.flatMap((server) => [...server.trunks]), ...trunks.values()].map((trunk) =>
      trunk.status(),
    )
    return Promise.resolve({
      p99: delay.p99,
      max: delay.max,
      samples: delay.samples,
      ended,
      rejected,
      strays,
      handlers,
      echoes,
      states: statuses.map(({ state }) => state),
      pipes: statuses.flatMap(({ pipes }) => pipes).length,
      counters: statuses.map(({ counters }) => counters),
      polluted: Object.keys(Object.prototype).concat(Object.keys(Array.prototype)),
    })
  },

  resources(): Promise<VictimResources> {
    delay.stop()
    const timers = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
    const { handles, descriptors } = countHandles()
    const listeners = process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
    return Promise.resolve({ handles, descriptors, timers, listeners })
  },

  async end(): Promise<void> {
    for (const trunk of trunks.values()) trunk.abort(new TrunkError('ERR_SESSION_ABORTED', 'the row is over'))
    for (const server of servers) {
      for (const trunk of server.trunks) trunk.abort(new TrunkError('ERR_SESSION_ABORTED', 'the row is over'))
    }
    await Promise.all(servers.splice(0).map((server) => server.close()))
    strays = []
    delay.stop()
  },
}

process.on('message', ({ id, call, args }: { id: number; call: keyof VictimCalls; args: never[] }) => {
  const run = CALLS[call] as (...given: never[]) => Promise<unknown>
  run(...args).then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: String((error as Error).stack) }),
  )
})
process.once('disconnect', () => process.exit())
process.send?.({ id: 0 })
