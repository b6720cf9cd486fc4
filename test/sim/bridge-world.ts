/**
 * TCP connections bridged over whole trunks under a virtual clock. A program writes bulk and resets
 * its connection while what it wrote waits in its own system's queue, in the outbox, in the peer's
 * inbox, in the socket of the other machine, or in all of them. The invariant (I11): what came
 * before the reset reaches the other program, in order, and then the reset does; an end stays an
 * end.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { join, type BridgedPipe } from '../../protocols/tcp/bridge.ts'
import type { Connection } from '../../protocols/tcp/connection.ts'
import { resolveLimits } from '../../src/contracts/limits.ts'
import { defineProtocol } from '../../src/contracts/protocol.ts'
import { EPOCH_BYTES, helloLimits, type Hello } from '../../src/core/session/hello.ts'
import { SharedBudgets } from '../../src/runtime/budgets.ts'
import { TrunkSession } from '../../src/session/trunk.ts'
import type { Link, Pipe, Protocol } from '../../src/contracts/types.ts'
import { Flow } from './flow.ts'
import { Random } from './random.ts'
import { SimConnection, type ProgramKnobs } from './sim-connection.ts'
import { SimLink, virtualClock } from './sim-link.ts'
import { Timeline } from './timeline.ts'
import { Wire } from './wire.ts'
import { wireKnobs } from './world.ts'

/** Where bytes wait between two programs. */
export const PLACES = ['the system of the sender', 'the outbox', 'the inbox', 'the socket of the reader'] as const
export type Place = (typeof PLACES)[number]

/** What came of a run. */
export interface BridgeOutcome {
  readonly faults: readonly string[]
  /** Where anything waited when a program reset its connection. */
  readonly places: ReadonlySet<Place>
  readonly resets: number
  /** Bytes that waited then. */
  readonly behind: number
}

/** How a bridge is broken, to see that it is noticed. */
export interface BridgeSabotage {
  /** Pipes are reset at once, whatever they have queued. */
  readonly abortsAtOnce?: boolean
  /** What the inbox holds is not read once the reset is there. */
  readonly dropsInbox?: boolean
  /** The socket's connection is reset whatever its system still has. */
  readonly asksNoSystem?: boolean
  /** The system of the program that resets tells of the reset first. */
  readonly overtakes?: boolean
}

const PROTOCOL = 'bridged'
/** What a bridge that works needs for its slowest run is a tenth of this. */
const QUIET_MS = 3_600_000

/** Runs one seed. */
export async function simulateBridges(seed: number, sabotage: BridgeSabotage = {}): Promise<BridgeOutcome> {
  const world = new BridgeWorld(seed, sabotage)
  await world.run()
  return { faults: world.faults, places: world.places, resets: world.resets, behind: world.behind }
}

/** Two connections that are one for their programs. */
interface Bridged {
  readonly near: SimConnection
  readonly far: SimConnection
  nearPipe: Pipe | undefined
  farPipe: Pipe | undefined
  over: number
}

class BridgeWorld {
  readonly faults: string[] = []
  readonly places = new Set<Place>()
  resets = 0
  behind = 0
  readonly random: Random
  readonly timeline = new Timeline()
  readonly clock = virtualClock(this.timeline)
  readonly #sabotage: BridgeSabotage
  readonly #trunks: readonly [TrunkSession, TrunkSession]
  readonly #bridged: Bridged[]
  readonly #budgets = new SharedBudgets({}, this.clock)

  constructor(seed: number, sabotage: BridgeSabotage) {
    this.random = new Random(seed)
    this.#sabotage = sabotage
    const { random, timeline } = this
    const grain = random.scale(1024, 65_536)
    const [near, far] = [new SimLink(this), new SimLink(this)]
    near.wire = new Wire(timeline, random, wireKnobs(random, grain, 'none'), far)
    far.wire = new Wire(timeline, random, wireKnobs(random, grain, 'none'), near)
    this.#trunks = [this.#trunk(near), this.#trunk(far)]
    this.#bridged = Array.from({ length: random.integer(1, 3) }, (_, at) => this.#connections(at))
  }

  #connections(at: number): Bridged {
    const { random, timeline } = this
    const [out, back] = [new Flow(4 * at + 1), new Flow(4 * at + 2)]
    const resetter = random.pick(['near', 'far', 'none'])
    const knobs = (resets: boolean): ProgramKnobs => ({
      writes: Array.from({ length: resets ? random.integer(1, 8) : random.integer(0, 4) }, () =>
        random.scale(1, 65_536),
      ),
      resets,
      paceMs: random.scale(1, 1000),
      readBytes: random.scale(4096, 65_536),
      bufferBytes: random.scale(1, 262_144),
      overtakes: this.#sabotage.overtakes === true,
    })
    const near = new SimConnection(timeline, random, knobs(resetter === 'near'), out, back)
    const far = new SimConnection(timeline, random, knobs(resetter === 'far'), back, out)
    const bridged: Bridged = { near, far, nearPipe: undefined, farPipe: undefined, over: 0 }
    near.onReset = () => {
      this.#note(near, bridged.nearPipe, bridged.farPipe, far)
    }
    far.onReset = () => {
      this.#note(far, bridged.farPipe, bridged.nearPipe, near)
    }
    return bridged
  }

  /** Notes where something waits that was written before the reset. */
  #note(from: SimConnection, writer: Pipe | undefined, reader: Pipe | undefined, to: SimConnection): void {
    this.resets++
    this.behind += from.out.written - from.out.read
    const held: Record<Place, number> = {
      'the system of the sender': from.untold,
      'the outbox': stateOf(writer)?.queued ?? 0,
      'the inbox': stateOf(reader)?.readable ?? 0,
      'the socket of the reader': to.unsent + to.unacknowledged,
    }
    for (const place of PLACES) if (held[place] > 0) this.places.add(place)
  }

  #trunk(link: Link): TrunkSession {
    const { random } = this
    const window = random.scale(1024, 65_536)
    const limits = resolveLimits({
      initialWindowBytes: window,
      maxWindowBytes: random.scale(window, 1_048_576),
      maxInFlightBytes: random.scale(8192, 1_048_576),
    })
    const hello = (): Hello => ({
      versions: [1, 1],
      epoch: Uint8Array.from({ length: EPOCH_BYTES }, () => random.integer(0, 255)),
      name: 'sim',
      role: 'peer',
      limits: helloLimits(limits),
      protocols: [],
      features: [],
    })
    return new TrunkSession({
      link,
      limits,
      clock: this.clock,
      scheme: 'sim',
      address: 'sim:',
      traits: { lossless: true, connected: true, preferredFrameBytes: random.scale(1024, 65_536) },
      checksumTools: undefined,
      waitsForever: undefined,
      authenticator: undefined,
      protocols: new Map([[PROTOCOL, this.#protocol()]]),
      budgets: this.#budgets,
      onPipeError: undefined,
      hello: hello(),
      renewHello: hello,
    })
  }

  #protocol(): Protocol {
    return defineProtocol<number>({
      name: PROTOCOL,
      parse: (params) => params as number,
      readBeforeReset: this.#sabotage.dropsInbox !== true,
      handle: async ({ params, accept }) => {
        const bridged = this.#bridged[params] as Bridged
        bridged.farPipe = accept()
        await this.#join(bridged, bridged.farPipe, bridged.far)
      },
    })
  }

  async #join(bridged: Bridged, pipe: Pipe, connection: SimConnection): Promise<void> {
    const { abortsAtOnce, asksNoSystem } = this.#sabotage
    try {
      await join(
        abortsAtOnce === true ? abortingAtOnce(pipe) : pipe,
        asksNoSystem === true ? askingNobody(connection) : connection,
        this.clock,
      ).over
    } catch {
      // reset: what the programs have seen of it is looked at in the end
    }
    bridged.over++
  }

  async run(): Promise<void> {
    const [a, b] = this.#trunks
    for (const trunk of this.#trunks) void trunk.establish(undefined)
    await this.#until(() => a.isOpen && b.isOpen)
    for (const [at, bridged] of this.#bridged.entries()) {
      const readBeforeReset = this.#sabotage.dropsInbox !== true
      void a.open(PROTOCOL, at, { readBeforeReset }).then((pipe) => {
        bridged.nearPipe = pipe
        return this.#join(bridged, pipe, bridged.near)
      })
    }
    await this.#until(() => this.#bridged.every(({ over }) => over === 2))
    for (const bridged of this.#bridged) this.#check(bridged)
    for (const trunk of this.#trunks) trunk.abort(new Error('the run is over'))
    await nextTurn()
  }

  async #until(there: () => boolean): Promise<void> {
    await nextTurn()
    while (!there() && this.timeline.now < QUIET_MS && this.timeline.step()) await nextTurn()
  }

  #check({ near, far, over }: Bridged): void {
    if (over !== 2) this.faults.push(`I11: ${2 - over} bridges of a connection have no end`)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      if (to.fault !== undefined) this.faults.push(`I11: ${to.fault}`)
      // who has reset its connection reads nothing more of it
      if (to.hasReset) continue
      const whole = to.in.read === to.in.written
      if (from.hasReset && !(to.sawReset && whole)) {
        this.faults.push(`I11: a reset after ${to.in.written} bytes: ${to.in.read} were read, then ${howEnded(to)}`)
      } else if (!from.hasReset && !(to.sawEnd && whole)) {
        this.faults.push(`I11: an end after ${to.in.written} bytes: ${to.in.read} were read, then ${howEnded(to)}`)
      }
    }
  }
}

function howEnded({ sawReset, sawEnd }: SimConnection): string {
  return sawReset ? 'a reset' : sawEnd ? 'an end' : 'nothing'
}

/** What the core knows of a pipe. */
function stateOf(pipe: Pipe | undefined): { readonly queued: number; readonly readable: number } | undefined {
  return (pipe as { state?: { readonly queued: number; readonly readable: number } } | undefined)?.state
}

/** A pipe whose resets overtake what it has queued. */
function abortingAtOnce(pipe: Pipe): BridgedPipe {
  return new Proxy(pipe, {
    get(target, name) {
      if (name === 'abortWhenWritten') {
        return (reason: Error): Promise<void> => {
          target.abort(reason)
          return Promise.resolve()
        }
      }
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** A connection whose system says that nothing waits. */
function askingNobody(connection: Connection): Connection {
  return new Proxy(connection, {
    get(target, name) {
      if (name === 'unsent' || name === 'unacknowledged') return 0
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}
