/**
 * One flood against one victim, measured: who dials whom, the honest second session beside it, and
 * what has to hold meanwhile and afterwards. A row says what is sent and how the session ends; the
 * rest is the same for all.
 */
import assert from 'node:assert/strict'
import { performance } from 'node:perf_hooks'
import { connect, serve, TrunkError } from '../../src/index.ts'
import type { Limits } from '../../src/contracts/limits.ts'
import { eventually } from '../helpers/eventually.ts'
import { echo } from '../helpers/protocols.ts'
import { isWithin } from '../helpers/process-handles.ts'
import { HIGHEST_EPOCH, type HelloFields, type RawPeer } from '../helpers/raw-peer.ts'
import { dialRaw, listenRaw } from '../helpers/raw-tcp.ts'
import type { Victim } from '../helpers/victim.ts'
import type { VictimReport, VictimResources } from './victim.ts'

const MIB = 1024 * 1024
/** How long a flood goes on at least: a percentile needs a number of samples. */
const FLOOD_MS = 500
/** How much longer, where the loop was asked fewer times than it takes. */
const MORE_MS = 500
const MIN_SAMPLES = 30
const WARM_UP_MS = 100
const MAX_P99_MS = 100
const PATIENCE_MS = 20_000

/** Which side of the line the victim is on. */
export type Side = 'serve' | 'connect'

/** What an attack works with. */
export interface Attack {
  readonly peer: RawPeer
  /** Counts the rounds, over all sessions. */
  readonly round: number
  /** An id that was not used before in this session. */
  id(): number
  /** Measures what the victim holds now: at the moment when it should be most. */
  measure(): Promise<void>
  /** Makes the victim open a pipe on this session; resolves with what came of it. */
  opens(protocol: string, bytes?: number): Promise<string>
}

/** A flood. */
export interface Flood {
  readonly title: string
  /** The side it is for; both if it is missing. */
  readonly only?: Side
  readonly limits?: Partial<Limits>
  readonly hello?: HelloFields
  /** Bytes that the limits grant the peer, and that the victim may so hold twice. */
  readonly accounted: number
  /**
   * The number of the code that each round's session ends with; missing where one session lives
   * through all rounds.
   */
  readonly ends?: number
  readonly minRounds?: number
  /** Once per session. */
  prepare?(attack: Attack): Promise<void>
  /** One round. */
  attack(attack: Attack): Promise<void>
  /** Before the session is looked at, where it lives. */
  finish?(attack: Attack): Promise<void>
  /** After everything, with what the victim has counted. */
  check?(report: VictimReport): void
}

/** Runs a flood against `victim` and holds everything that has to hold. */
export async function runFlood(victim: Victim, side: Side, flood: Flood): Promise<void> {
  // a busy machine may spoil one measurement; a defect spoils both
  const first = await measured(victim, side, flood)
  if (first.length === 0) return
  const second = await measured(victim, side, flood)
  assert.deepEqual(second, [], `the first time: ${first.join('; ')}`)
}

async function measured(victim: Victim, side: Side, flood: Flood): Promise<string[]> {
  await warmUp(victim, side, flood)
  const resources = await victim.call('resources')
  const heap = await victim.call('held')
  const arena = await openArena(victim, side, flood)
  const complaints: string[] = []
  try {
    // where one session lives through all rounds it stands, and has its buffers
    await arena.flood(0)
    const base = await victim.call('begin')
    arena.base = base
    const echoes = arena.echoes()
    const start = performance.now()
    await arena.flood(FLOOD_MS)
    const took = performance.now() - start
    await arena.measure()
    const result = await victim.call('report')
    const growth = arena.peak - base
    const allowed = 2 * flood.accounted + MIB
    if (growth > allowed) complaints.push(`${growth} bytes held, ${allowed} allowed`)
    if (!(result.p99 < MAX_P99_MS)) complaints.push(`event loop: p99 ${result.p99.toFixed(1)} ms, max ${result.max}`)
    assert.ok(result.samples > 2, `only ${result.samples} samples in ${took} ms`)
    const honest = side === 'serve' ? arena.echoes() - echoes : result.echoes
    assert.ok(honest > 2, `the honest session had ${honest} answers in ${took} ms`)
    assert.deepEqual(result.strays, [])
    assert.deepEqual(result.polluted, [])
    flood.check?.(result)
    if (process.env.HOSTILE_VERBOSE !== undefined) {
      console.log(
        `${side} ${flood.title}: ${arena.rounds} rounds, ${(arena.sent() / took / 1000).toFixed(1)} MB/s, held ${growth} of ${allowed}, ` +
          `p99 ${result.p99.toFixed(1)} max ${result.max.toFixed(0)} ms, honest ${honest}`,
      )
    }
  } finally {
    await arena.close()
  }
  await nothingLeftOf(victim, resources, heap)
  return complaints
}

/** The same in small: what a process compiles, and buffers that it keeps for ever, are no leak. */
async function warmUp(victim: Victim, side: Side, flood: Flood): Promise<void> {
  const arena = await openArena(victim, side, flood)
  try {
    await arena.flood(WARM_UP_MS)
  } finally {
    await arena.close()
  }
}

/** Descriptors, handles, timers and listeners are those of before, and the heap within 1 MiB. */
export async function nothingLeftOf(victim: Victim, before: VictimResources, heap: number): Promise<void> {
  const deadline = performance.now() + 3_000
  let now = await victim.call('resources')
  const isMore = (kind: 'descriptors' | 'timers' | 'listeners'): boolean => now[kind] > before[kind]
  while (isMore('descriptors') || isMore('timers') || isMore('listeners') || !isWithin(now.handles, before.handles)) {
    if (performance.now() > deadline) assert.deepEqual(now, before)
    now = await victim.call('resources')
  }
  const left = (await victim.call('held')) - heap
  assert.ok(left < MIB, `${left} bytes are left of it`)
}

interface Arena {
  base: number
  peak: number
  rounds: number
  sent(): number
  echoes(): number
  measure(): Promise<void>
  flood(ms: number): Promise<void>
  close(): Promise<void>
}

async function openArena(victim: Victim, side: Side, flood: Flood): Promise<Arena> {
  const limits = flood.limits ?? {}
  const dialer = side === 'serve' ? await serveSide(victim, limits) : await connectSide(victim, limits)
  let session: Attack | undefined
  let sent = 0

  async function meet(): Promise<Attack> {
    const { peer, trunk } = await dialer.dial()
    await peer.hello({ epoch: HIGHEST_EPOCH, ...flood.hello })
    const send = peer.send.bind(peer)
    peer.send = (...parts) => {
      for (const part of parts) sent += part instanceof Uint8Array ? part.byteLength : 9 + part.payload.byteLength
      return send(...parts)
    }
    let ids = -1
    const attack: Attack = {
      peer,
      get round() {
        return arena.rounds
      },
      id: () => (ids += 2),
      measure: arena.measure,
      opens: async (protocol, bytes = 0) => await victim.call('open', await trunk(), protocol, bytes),
    }
    await flood.prepare?.(attack)
    return attack
  }

  /** A percentile needs samples; a flood of short sessions gives few a second. */
  async function tooFew(since: number): Promise<boolean> {
    return performance.now() < since + MORE_MS && (await victim.call('report')).samples < MIN_SAMPLES
  }

  const arena: Arena = {
    base: 0,
    peak: 0,
    rounds: 0,
    sent: () => sent,
    echoes: dialer.echoes,
    async measure() {
      const bytes = await victim.call('held')
      arena.peak = Math.max(arena.peak, bytes)
    },
    async flood(ms) {
      const until = performance.now() + ms
      const half = until - ms / 2
      let inTheMiddle: Promise<void> | undefined
      let rounds = 0
      arena.peak = 0
      do {
        if (ms > 0 && performance.now() > half) inTheMiddle ??= arena.measure()
        if (flood.ends === undefined) {
          session ??= await meet()
          await flood.attack(session)
        } else {
          const attack = await meet()
          await flood.attack(attack)
          assert.equal(await attack.peer.expectStatus('BYE'), flood.ends)
          await attack.peer.ended
        }
        arena.rounds++
        rounds++
      } while (performance.now() < until || (ms > 0 && (rounds < (flood.minRounds ?? 1) || (await tooFew(until)))))
      await inTheMiddle
      if (session !== undefined && ms > 0) {
        await flood.finish?.(session)
        await session.peer.sync()
      }
    },
    async close() {
      session?.peer.cut()
      await dialer.close()
      await victim.call('end')
    },
  }
  return arena
}

/** What an arena needs of the side that the victim is on. */
interface Dialer {
  dial(): Promise<{ peer: RawPeer; trunk: () => Promise<number> }>
  echoes(): number
  close(): Promise<void>
}

async function serveSide(victim: Victim, limits: Partial<Limits>): Promise<Dialer> {
  const address = await victim.call('serve', { limits })
  const trunk = await connect(address)
  const pipe = await trunk.open('echo')
  let echoes = 0
  const echoing = (async () => {
    for (;;) {
      await pipe.write(Buffer.from('still there?'))
      await pipe.source.next()
      echoes++
    }
  })().catch(() => undefined)
  return {
    dial: async () => ({ peer: await dialRaw(address), trunk: () => Promise.reject(new Error('the victim serves')) }),
    echoes: () => echoes,
    async close() {
      trunk.abort(new TrunkError('ERR_SESSION_ABORTED', 'the row is over'))
      await echoing
    },
  }
}

async function connectSide(victim: Victim, limits: Partial<Limits>): Promise<Dialer> {
  const raw = await listenRaw()
  const server = await serve('tcp://127.0.0.1:0', { protocols: [echo] })
  await victim.call('honest', server.address)
  return {
    async dial() {
      const connected = victim.call('connect', raw.address, { limits })
      const peer = await raw.next()
      const trunk = connected.then((number) => {
        if (typeof number === 'string') throw new Error(`the victim could not connect: ${number}`)
        return number
      })
      trunk.catch(() => undefined) // whoever needs it looks at it
      return { peer, trunk: () => trunk }
    },
    echoes: () => 0,
    async close() {
      raw.close()
      for (const trunk of server.trunks) trunk.abort(new TrunkError('ERR_SESSION_ABORTED', 'the row is over'))
      await server.close()
      await eventually(() => server.trunks.size === 0, 'the honest server is closed', PATIENCE_MS)
    },
  }
}
