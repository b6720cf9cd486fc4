/**
 * A connectionless link, decided by one seed: two programs that are killed and started again at any
 * byte, over a line that flips, drops, doubles and inserts bytes for a while. No byte may reach a
 * reader that was not written for it in this session; and once the line is clean and nobody is
 * killed any more, a session is established within seconds, finishes its pipes and ends well.
 */
import type { ChecksumTools } from '../../src/core/checked-frame/checks.ts'
import { checksumTools } from '../../src/session/checksum-tools.ts'
import { compareEpochs } from '../../src/core/session/hello.ts'
import type { SimPeer, Shared } from './peer.ts'
import type { Random } from './random.ts'
import { Wire, type WireEnd, type WireKnobs } from './wire.ts'
import { checkInvariants, checked, makePeer, stage, swarmLimits, wireKnobs, type Outcome } from './world.ts'

/** What came of a run. */
export interface BareOutcome extends Outcome {
  readonly sessions: number
  readonly kills: number
}

const MAX_EVENTS = 5_000_000
/**
 * From a clean line without deaths to a session: a few repeated hellos, on lines that need a second
 * for one and stall for three.
 */
const RECOVERY_MS = 60_000
const FINISH_MS = 7_200_000

/** How a line is damaged. */
interface Damage {
  readonly flip: number
  readonly drop: number
  readonly double: number
  readonly insert: number
}

/** One end of the line: a program, and the next one after it. */
class Seat implements WireEnd {
  readonly name: string
  readonly #make: (name: string) => SimPeer
  readonly #shared: Shared
  peer: SimPeer
  wire!: Wire
  lives = 1
  #begun = false
  kills = 0
  sessions = 0

  constructor(name: string, shared: Shared, make: (name: string) => SimPeer) {
    this.name = name
    this.#shared = shared
    this.#make = make
    this.peer = this.#next()
  }

  #next(): SimPeer {
    const peer = this.#make(`${this.name}${this.lives}`)
    peer.onEnded = () => {
      if (peer.established) this.sessions++
      // as a server does on such a line: the next session, a second apart where this one failed
      this.#after(peer, peer.error !== undefined ? 1000 : this.#shared.finishing ? 60_000 : 0)
    }
    return peer
  }

  #after(peer: SimPeer, delayMs: number): void {
    this.#shared.timeline.after(delayMs, () => {
      if (this.peer === peer) this.start()
    })
  }

  /** The next run. */
  start(): void {
    this.lives++
    this.peer = this.#next()
    this.begin()
  }

  begin(): void {
    this.#begun = true
    this.peer.wire = this.wire
    this.peer.start()
    this.peer.live()
  }

  kill(random: Random): void {
    this.kills++
    const { peer } = this
    if (peer.established && !peer.ended) this.sessions++
    peer.kill()
    this.wire.loseTail(random.integer(0, this.wire.inFlight))
    this.#after(peer, random.scale(1, 3000))
  }

  data(chunk: Uint8Array): void {
    // nobody has the device open before that
    if (this.#begun) this.peer.data(chunk)
  }

  end(): void {
    // such a line has no end
  }
}

/** Runs one seed; `tools` are how a broken core is played. */
export function simulateBare(seed: number, tools: ChecksumTools = checksumTools): BareOutcome {
  const { shared, faults, trace } = stage(seed, { bare: true, sabotage: undefined })
  const { random, timeline, records } = shared
  const grain = random.scale(1, 65_536)
  const make = (name: string): SimPeer =>
    makePeer(name, shared, swarmLimits(random), grain, { checksumTools: tools, waitsForever: true })
  const seats = [new Seat('a', shared, make), new Seat('b', shared, make)] as const
  const [a, b] = seats
  const healthy = random.chance(0.3)
  const rate = (): number => (healthy || random.chance(0.4) ? 0 : 10 ** -random.integer(3, 6))
  const damage: Damage = { flip: rate(), drop: rate(), double: rate(), insert: rate() }
  const knobs = (): WireKnobs => ({
    ...evenly(wireKnobs(random, grain, 'none')),
    bufferBytes: random.scale(512, 65_536),
    damage: (piece) => (shared.finishing ? piece : damaged(piece, damage, random)),
  })
  a.wire = new Wire(timeline, random, knobs(), b)
  b.wire = new Wire(timeline, random, knobs(), a)
  for (const seat of seats) {
    // boot messages, half of an old frame
    if (random.chance(0.3)) seat.wire.write(noise(random, random.scale(1, 70_000)), () => undefined)
    timeline.after(random.chance(0.5) ? 0 : random.scale(1, 20_000), () => {
      seat.begin()
    })
  }
  const scriptMs = random.scale(1000, 20_000)
  const killings = random.chance(0.2) ? 0 : random.integer(1, 6)
  for (let i = 0; i < killings; i++) {
    timeline.after(random.next() * scriptMs, () => {
      const seat = random.pick(seats)
      if (!seat.peer.dead) seat.kill(random)
    })
  }
  timeline.after(Math.max(scriptMs, 20_000), () => {
    shared.finishing = true
  })
  checked(shared, () => {
    run(shared, seats)
  })
  const bytes = records.reduce((sum, record) => sum + record.forward.read + record.backward.read, 0)
  const sessions = a.sessions + b.sessions
  const kills = a.kills + b.kills
  return {
    seed,
    faults,
    trace: trace(),
    events: timeline.events,
    virtualMs: timeline.now,
    pipes: records.length,
    bytes,
    cut: 'none',
    sessions,
    kills,
  }
}

/**
 * A line that carries less than a hello burst a second has no session within seconds: small pieces
 * come fast.
 */
function evenly(knobs: WireKnobs): WireKnobs {
  return knobs.maxPieceBytes < 64 ? { ...knobs, latencyMs: 0.1, jitterMs: 0.1, stallChance: 0 } : knobs
}

/** True where both have the same session. */
function together(a: SimPeer, b: SimPeer): boolean {
  const [near, far] = [a.engine.peer, b.engine.peer]
  return (
    a.established &&
    b.established &&
    near !== undefined &&
    far !== undefined &&
    compareEpochs(near.epoch, b.epoch) === 0 &&
    compareEpochs(far.epoch, a.epoch) === 0
  )
}

function run(shared: Shared, seats: readonly [Seat, Seat]): void {
  const { timeline } = shared
  const [a, b] = seats
  let finishingAt = Infinity
  let carried = Infinity
  let stoodAt = Infinity
  while (timeline.events < MAX_EVENTS) {
    if (!timeline.step()) break
    const peers = [a.peer, b.peer] as const
    if (together(...peers)) checkInvariants(shared, peers)
    if (!shared.finishing) continue
    if (finishingAt === Infinity) finishingAt = timeline.now
    // what a slow line still carries from before has to arrive first
    if (carried === Infinity && (together(...peers) || a.wire.inFlight + b.wire.inFlight < 5000)) carried = timeline.now
    if (stoodAt === Infinity && together(...peers) && !a.peer.ended && !b.peer.ended) stoodAt = timeline.now
    if (endedWell(...peers)) return
    if (timeline.now - carried > RECOVERY_MS && stoodAt === Infinity) break
    if (timeline.now - finishingAt > FINISH_MS) break
    if (together(...peers) && idle(a.peer) && idle(b.peer) && a.peer.engine.state === 'open') a.peer.close()
  }
  const [near, far] = [a.peer, b.peer]
  if (stoodAt === Infinity) shared.fault(`no session on a clean line: a ${state(near)}, b ${state(far)}`)
  else shared.fault(`I6: no end: a ${state(near)}, b ${state(far)}`)
}

function endedWell(a: SimPeer, b: SimPeer): boolean {
  return together(a, b) && a.ended && b.ended && a.error === undefined && b.error === undefined
}

function idle(peer: SimPeer): boolean {
  return peer.engine.mux !== undefined && peer.engine.mux.pipes.size === 0 && peer.waiting.length === 0
}

function state(peer: SimPeer): string {
  return `${peer.name} ${peer.dead ? 'dead' : peer.engine.state} ${peer.error?.code ?? ''} pipes ${peer.engine.mux?.pipes.size ?? 0}`
}

function noise(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.integer(0, 255))
}

/**
 * Each byte may be changed, left out, doubled, or get others before it; and sometimes a block is
 * missing (a UART's overrun).
 */
function damaged(piece: Uint8Array, damage: Damage, random: Random): Uint8Array {
  const { flip, drop, double, insert } = damage
  if (flip + drop + double + insert === 0) return piece
  const chanceOfAny = (flip + drop + double + insert) * piece.byteLength
  if (!random.chance(Math.min(1, chanceOfAny))) return piece
  const at = random.integer(0, piece.byteLength - 1)
  const kind = random.next() * (flip + drop + double + insert)
  if (kind < flip) {
    const changed = piece.slice()
    changed[at] = (changed[at] ?? 0) ^ (1 << random.integer(0, 7))
    return changed
  }
  if (kind < flip + drop) {
    const length = random.chance(0.5) ? 1 : random.scale(1, 4096)
    return Buffer.concat([piece.subarray(0, at), piece.subarray(Math.min(piece.byteLength, at + length))])
  }
  if (kind < flip + drop + double) {
    const length = random.scale(1, 64)
    return Buffer.concat([piece.subarray(0, at), piece.subarray(at, at + length), piece.subarray(at)])
  }
  return Buffer.concat([piece.subarray(0, at), noise(random, random.scale(1, 64)), piece.subarray(at)])
}
