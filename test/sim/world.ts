/**
 * A whole session under a virtual clock, decided by one seed: two real engines, two directions of
 * line, two applications, and the invariants of the design checked after every event. The
 * configuration is part of what the seed decides: windows from 1 byte, frames from 1 byte, limits
 * from one pipe.
 */
import { resolveLimits, type Limits } from '../../src/contracts/limits.ts'
import type { EngineOptions } from '../../src/core/session/engine.ts'
import { EPOCH_BYTES, helloLimits, type Hello } from '../../src/core/session/hello.ts'
import { SimPeer, type Shared } from './peer.ts'
import { Random } from './random.ts'
import { Timeline } from './timeline.ts'
import { Wire, type CutKind, type WireKnobs } from './wire.ts'

/** What came of a run. */
export interface Outcome {
  readonly seed: number
  readonly faults: readonly string[]
  /** Hash of everything that happened, in order: the same seed gives the same (I8). */
  readonly trace: number
  readonly events: number
  readonly virtualMs: number
  readonly pipes: number
  readonly bytes: number
  readonly cut: CutKind | 'none'
}

/** How a run differs from what its seed says. */
export interface RunOptions {
  readonly sabotage?: (batch: Uint8Array) => Uint8Array
  /** Called before the invariants are checked: how a core that is wrong within is played. */
  readonly spoil?: (peer: SimPeer) => void
  /** Never cuts the line. */
  readonly healthy?: boolean
}

/** All that a healthy session may take in virtual time, from the end of the script to both ends. */
const FINISH_MS = 7_200_000
const MAX_EVENTS = 10_000_000

/** What a world is played on: its seed's dice, its clock, and what was noted and found wrong. */
export interface Stage {
  readonly shared: Shared
  readonly faults: readonly string[]
  /** Hash of what was noted so far. */
  readonly trace: () => number
}

/** An empty stage. */
export function stage(seed: number, kind: Pick<Shared, 'bare' | 'sabotage'>): Stage {
  const timeline = new Timeline()
  const faults: string[] = []
  let trace = 0x811c9dc5
  const shared: Shared = {
    timeline,
    random: new Random(seed),
    records: [],
    finishing: false,
    ...kind,
    note(what, value) {
      for (const part of [what.length, what.charCodeAt(0), value, Math.round(timeline.now * 1000)]) {
        trace = Math.imul(trace ^ part, 0x01000193) >>> 0
      }
    },
    fault(sentence) {
      if (faults.length < 10) faults.push(`${timeline.now.toFixed(3)} ms: ${sentence}`)
    },
  }
  return { shared, faults, trace: () => trace }
}

export function simulate(seed: number, options: RunOptions = {}): Outcome {
  const { shared, faults, trace } = stage(seed, { sabotage: options.sabotage })
  const { random, timeline, records } = shared
  const cut: CutKind | 'none' =
    options.healthy === true || random.chance(0.5) ? 'none' : random.pick(['end', 'reset', 'silence'])
  const limits = swarmLimits(random)
  // a session of one-byte frames is worth as much with fewer bytes
  const grain = random.scale(1, 65_536)
  const peers = [makePeer('a', shared, limits, grain), makePeer('b', shared, swarmLimits(random), grain)] as const
  const [a, b] = peers
  const cutDirection = random.integer(0, 1)
  a.wire = new Wire(timeline, random, wireKnobs(random, grain, cutDirection === 0 ? cut : 'none'), b)
  b.wire = new Wire(timeline, random, wireKnobs(random, grain, cutDirection === 1 ? cut : 'none'), a)
  for (const peer of peers) {
    peer.start()
    peer.live()
  }
  const scriptMs = random.scale(20, 2000)
  timeline.after(scriptMs, () => {
    shared.finishing = true
  })
  checked(shared, () => {
    run(shared, peers, options.spoil)
    check(shared, peers, cut)
  })
  const bytes = records.reduce((sum, record) => sum + record.forward.read + record.backward.read, 0)
  return {
    seed,
    faults,
    trace: trace(),
    events: timeline.events,
    virtualMs: timeline.now,
    pipes: records.length,
    bytes,
    cut,
  }
}

/** Runs `world`; what it throws is a fault like any other: the seed has to be told (I7). */
export function checked(shared: Shared, world: () => void): void {
  try {
    world()
  } catch (error) {
    shared.fault(`I7: thrown: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  }
}

function run(shared: Shared, peers: readonly [SimPeer, SimPeer], spoil?: (peer: SimPeer) => void): void {
  const { timeline } = shared
  const [a, b] = peers
  let closeBy = Infinity
  while (timeline.events < MAX_EVENTS) {
    if (a.ended && b.ended) return
    if (!timeline.step()) break
    if (spoil !== undefined) peers.forEach(spoil)
    checkInvariants(shared, peers)
    if (shared.finishing && closeBy === Infinity) closeBy = timeline.now + FINISH_MS
    if (timeline.now > closeBy) break
    const idle = shared.finishing && a.established && b.established && noPipes(a) && noPipes(b)
    if (idle && a.engine.state === 'open') a.close()
  }
  if (!(a.ended && b.ended)) {
    shared.fault(`I6: no end after ${timeline.events} events: a ${describe(a)}, b ${describe(b)}`)
  }
}

function noPipes(peer: SimPeer): boolean {
  return peer.engine.mux !== undefined && peer.engine.mux.pipes.size === 0 && peer.waiting.length === 0
}

function describe(peer: SimPeer): string {
  const pipes = [...(peer.engine.mux?.pipes.values() ?? [])].map(
    (pipe) =>
      `${pipe.id} ${pipe.phase} sent ${pipe.sent}/${pipe.creditLimit} of ${pipe.written} end ${String(pipe.endSent)} received ${pipe.received} read ${pipe.consumed} final ${pipe.finalOffset} done ${String(pipe.doneSent)}/${String(pipe.doneReceived)} pending ${pipe.pending} listed ${String(pipe.listed)} scheduled ${String(pipe.scheduled)} readStopped ${String(pipe.readStopped)} stopped ${String(pipe.stopError?.code)} window ${pipe.window} granted ${pipe.granted}`,
  )
  return `${peer.ended ? 'ended' : peer.engine.state} [${pipes.join('; ')}]`
}

/** After each event: what must hold at any instant. */
export function checkInvariants(shared: Shared, peers: readonly [SimPeer, SimPeer]): void {
  for (const peer of peers) {
    const { mux } = peer.engine
    const far = (peer === peers[0] ? peers[1] : peers[0]).engine.mux
    if (mux === undefined || peer.ended) continue
    const { maxPipes, windowPoolBytes, initialWindowBytes } = peer.limits
    let inbound = 0
    let grown = 0
    for (const pipe of mux.pipes.values()) {
      if (!pipe.outbound) inbound++
      grown += pipe.window - initialWindowBytes
      const held = pipe.receiveQueue?.length ?? 0
      if (held > pipe.granted - pipe.consumed) {
        shared.fault(`I4: pipe ${pipe.id} holds ${held} unread bytes, ${pipe.granted - pipe.consumed} were granted`)
      }
      if (pipe.sent > pipe.creditLimit)
        shared.fault(`I3: pipe ${pipe.id} sent ${pipe.sent}, credit ${pipe.creditLimit}`)
      const other = far?.pipes.get(pipe.id)
      if (other !== undefined && pipe.creditLimit > other.granted) {
        shared.fault(`I3: pipe ${pipe.id} has credit ${pipe.creditLimit}, granted were ${other.granted}`)
      }
    }
    if (grown > windowPoolBytes)
      shared.fault(`I3: windows have grown by ${grown} bytes, the pool is ${windowPoolBytes}`)
    if (inbound > maxPipes) shared.fault(`I4: ${inbound} pipes of the peer's, at most ${maxPipes} may be`)
  }
}

/** At the end: what must have come of it. */
function check(shared: Shared, peers: readonly [SimPeer, SimPeer], cut: string): void {
  for (const peer of peers) {
    // an end that had come before the session's is still there to be read
    for (const pipe of peer.pipes) pipe.read()
    peer.lineGone()
    for (const { state, waits } of peer.made) {
      if (waits !== undefined)
        shared.fault(`I10: pipe ${state.id} of ${peer.name}: ${waits}, and nothing more will come`)
    }
    const left = peer.engine.mux?.pipes.size ?? 0
    if (peer.ended && left > 0) shared.fault(`I5: ${peer.name} has ${left} pipes after its end`)
    if (peer.ended && peer.engine.deadline() !== Infinity)
      shared.fault(`I5: ${peer.name} waits for a time after its end`)
    if (cut === 'none' && peer.ended && peer.error !== undefined) {
      shared.fault(`I6: ${peer.name} ended with ${peer.error.code}: ${peer.error.message}`)
    }
  }
  if (cut !== 'none') return
  for (const record of shared.records) {
    for (const flow of [record.forward, record.backward]) {
      if (flow.abandoned || record.refused) continue
      if (!flow.sawEnd || flow.read !== flow.written) {
        shared.fault(
          `I2: pipe record ${record.index}: ${flow.read} of ${flow.written} bytes, end ${flow.sawEnd ? 'seen' : 'not seen'}`,
        )
      }
    }
    const whole = !record.refused && !record.forward.abandoned && !record.backward.abandoned
    if (whole && !record.confirmed) shared.fault(`I5: pipe record ${record.index} was never confirmed`)
  }
}

/** A peer with what its seed gives it; `engine` adds to its engine's options. */
export function makePeer(
  name: string,
  shared: Shared,
  limits: Readonly<Limits>,
  grain: number,
  engine: Pick<EngineOptions, 'checksumTools' | 'waitsForever'> = {},
): SimPeer {
  const { random } = shared
  const hello = (): Hello => ({
    versions: [1, 1],
    epoch: Uint8Array.from({ length: EPOCH_BYTES }, () => random.integer(0, 255)),
    name,
    role: 'peer',
    limits: helloLimits(limits),
    protocols: [],
    features: [],
  })
  const knobs = {
    maxPipes: random.integer(1, 6),
    maxWriteBytes: random.scale(1, Math.min(40_000, grain * 64)),
    paceMs: random.scale(1, 20),
    violence: random.chance(0.5) ? 0 : random.next(),
  }
  return new SimPeer(name, shared, knobs, {
    hello: hello(),
    renewHello: hello,
    limits,
    preferredFrameBytes: random.scale(grain, 65_536),
    ...engine,
  })
}

/** Small limits find more: a window of one byte makes every credit count. */
export function swarmLimits(random: Random): Readonly<Limits> {
  const window = random.scale(1, 65_536)
  return resolveLimits({
    initialWindowBytes: window,
    maxWindowBytes: random.scale(window, 1_048_576),
    windowPoolBytes: random.scale(1, 1_048_576),
    maxInFlightBytes: random.scale(1024, 1_048_576),
    maxFrameBytes: random.scale(64, 262_144),
    maxPipes: random.chance(0.5) ? random.integer(1, 3) : random.integer(4, 8),
    maxWaitingPipes: random.integer(1, 4),
    maxOpenBytes: random.scale(64, 4096),
    helloTimeoutMs: 60_000,
    // a hello in pieces of one byte, each of which may stall, takes its time
    writeStallMs: 60_000,
  })
}

export function wireKnobs(random: Random, grain: number, cut: CutKind | 'none'): WireKnobs {
  return {
    latencyMs: random.scale(1, 100) / 10,
    jitterMs: random.next() * 5,
    bytesPerMs: random.scale(20, 1_000_000),
    maxPieceBytes: random.scale(grain, 100_000),
    stallChance: random.chance(0.7) ? 0 : 0.02,
    stallMs: random.scale(10, 3000),
    partialChance: random.pick([0, 0.3, 1]),
    cutAfterBytes: cut === 'none' ? Infinity : random.scale(1, 100_000),
    cutKind: cut === 'none' ? 'end' : cut,
  }
}
