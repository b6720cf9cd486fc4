/**
 * Whole trunks under a virtual clock, as users hold them: promises, iterables, `close`, over the
 * same wires as the bare engines. What the other worlds cannot see: a promise that nobody settles,
 * and what a trunk does not give back. So when both cores are quiet, none is pending, and their
 * windows have nothing of what they share.
 *
 * Time is virtual, turns are the machine's: between two events everything runs that promises have
 * set off.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Uint8ArrayList } from 'uint8arraylist'
import { SharedBudgets } from '../../src/runtime/budgets.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { resolveLimits } from '../../src/contracts/limits.ts'
import { defineProtocol } from '../../src/contracts/protocol.ts'
import { EPOCH_BYTES, helloLimits, type Hello } from '../../src/core/session/hello.ts'
import { TrunkSession } from '../../src/session/trunk.ts'
import type { Link, Pipe, Protocol } from '../../src/contracts/types.ts'
import { Random } from './random.ts'
import { SimLink, virtualClock } from './sim-link.ts'
import { Timeline } from './timeline.ts'
import { Wire } from './wire.ts'
import { wireKnobs } from './world.ts'

/** What came of a run. */
export interface SkinOutcome {
  readonly faults: readonly string[]
  /** Promises that were waited for. */
  readonly promises: number
  /** Hash of which promise was settled when: the same seed gives the same. */
  readonly trace: number
  readonly cut: string
}

/** What a core that works needs for its slowest run is a hundredth of this. */
const QUIET_MS = 3_600_000
const PROTOCOL = 'trunks'
/** What memory holds that was given back, and is used for something else. */
const REUSED = 0xa5

/** Runs one seed. */
export async function simulateTrunks(seed: number): Promise<SkinOutcome> {
  const world = new World(seed)
  await world.run()
  return { faults: world.faults, promises: world.promises, trace: world.trace, cut: world.cut }
}

class World {
  readonly faults: string[] = []
  readonly random: Random
  readonly timeline = new Timeline()
  readonly cut: 'none' | 'end' | 'reset' | 'silence'
  promises = 0
  trace = 0x811c9dc5
  readonly #pending = new Map<number, string>()
  readonly #trunks: readonly [TrunkSession, TrunkSession]
  #settledAt = 0
  readonly clock: Clock = virtualClock(this.timeline)

  /** Enough for a few windows to grow, and seldom for all. */
  readonly #budgets = new SharedBudgets({ windowBytes: 128 * 1024 }, this.clock)

  constructor(seed: number) {
    this.random = new Random(seed)
    const { random, timeline } = this
    this.cut = random.chance(0.6) ? 'none' : random.pick(['end', 'reset', 'silence'])
    const cutFirst = random.chance(0.5)
    const grain = random.scale(1024, 65_536)
    const near = new SimLink(this)
    const far = new SimLink(this)
    near.wire = new Wire(timeline, random, wireKnobs(random, grain, cutFirst ? this.cut : 'none'), far)
    far.wire = new Wire(timeline, random, wireKnobs(random, grain, cutFirst ? 'none' : this.cut), near)
    this.#trunks = [this.#trunk(near), this.#trunk(far)]
  }

  #trunk(link: Link): TrunkSession {
    const { random } = this
    const window = random.scale(1024, 65_536)
    const limits = resolveLimits({
      initialWindowBytes: window,
      maxWindowBytes: random.scale(window, 1_048_576),
      maxInFlightBytes: random.scale(8192, 1_048_576),
      maxWaitingPipes: random.integer(1, 8),
    })
    const protocol = this.#protocol()
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
      protocols: new Map([[PROTOCOL, protocol]]),
      budgets: this.#budgets,
      onPipeError: undefined,
      hello: hello(),
      renewHello: hello,
    })
  }

  /** The promise has to be settled before both cores are quiet. */
  watch<T>(what: string, promise: Promise<T>): Promise<T> {
    const number = ++this.promises
    this.#pending.set(number, what)
    const settled = (): void => {
      this.#pending.delete(number)
      this.#settledAt = this.timeline.now
      this.trace = Math.imul(this.trace ^ number ^ Math.round(this.timeline.now * 1000), 0x01000193) >>> 0
    }
    promise.then(settled, settled)
    return promise
  }

  async run(): Promise<void> {
    const [a, b] = this.#trunks
    for (const trunk of this.#trunks) {
      void this.watch('establish', trunk.establish(undefined)).catch(ignore)
      void this.watch('closed', trunk.closed).catch(ignore)
    }
    await this.#settle(() => a.isOpen && b.isOpen)
    const uses = this.#trunks.map((trunk) => this.#use(trunk))
    void this.watch('everything', Promise.all(uses)).then(async () => {
      const closers = this.random.pick([[a], [b], [a, b]])
      await Promise.all(closers.map((trunk) => this.watch('close', trunk.close())))
    })
    await this.#settle(() => this.#pending.size === 0)
    for (const what of new Set(this.#pending.values())) this.faults.push(`${what} is pending, and both cores are quiet`)
    const { windowBytes, inboxBytes } = this.#budgets.status()
    const used = windowBytes.used + inboxBytes.used
    if (this.#pending.size === 0 && used !== 0)
      this.faults.push(`windows have ${used} bytes of what is shared, and both trunks are over`)
  }

  /** Goes on until there is what is waited for, or nothing more will come. */
  async #settle(there: () => boolean): Promise<void> {
    await nextTurn()
    while (!there()) {
      if (!this.timeline.step()) return
      if (this.timeline.now - this.#settledAt > QUIET_MS) return
      await nextTurn()
    }
  }

  /** Opens pipes and uses them, until all are over. */
  async #use(trunk: TrunkSession): Promise<void> {
    const count = this.random.integer(1, 6)
    await Promise.all(
      Array.from({ length: count }, async () => {
        await this.#rest()
        try {
          const early = this.random.chance(0.3) ? new Uint8Array(this.random.scale(1, 20_000)) : undefined
          const end = early !== undefined && this.random.chance(0.5)
          const opening = trunk.open(PROTOCOL, undefined, { ...(early && (end ? { body: early } : { early })) })
          await this.#live(await this.watch('open', opening), { writes: !end, reads: this.random.chance(0.8) })
        } catch {
          // refused, cut, broken off: each is an end
        }
      }),
    )
  }

  #protocol(): Protocol {
    return defineProtocol({
      name: PROTOCOL,
      parse: () => undefined,
      handle: async ({ accept }) => {
        await this.#rest()
        if (this.random.chance(0.1)) throw new TrunkError('ERR_DENIED', 'the dice said so')
        // one of the two has to read, or both may wait for ever for the other's reader
        await this.#live(accept(), { writes: true, reads: true })
      },
    })
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => this.timeline.after(this.random.scale(1, 50), resolve))
  }

  /** Writes and reads, each in its own way, then waits for the confirmation. */
  async #live(pipe: Pipe, { writes, reads }: { writes: boolean; reads: boolean }): Promise<void> {
    const violent = this.random.chance(0.15)
    const over = Promise.allSettled([writes ? this.#write(pipe) : undefined, reads ? this.#read(pipe) : undefined])
    if (violent) {
      await this.#rest()
      this.random.pick([() => pipe.abort(new Error('the dice said so')), () => pipe.stopReading()])()
    }
    await over
    await this.watch('pipe.close', pipe.close()).catch(ignore)
  }

  async #write(pipe: Pipe): Promise<void> {
    const { random } = this
    const sizes = Array.from({ length: random.integer(0, 4) }, () => random.scale(1, 40_000))
    if (random.chance(0.4)) {
      await this.watch('sink', Promise.resolve(pipe.sink(sizes.map((size) => new Uint8Array(size)))))
      return
    }
    for (const size of sizes) {
      const chunk = new Uint8Array(size)
      await this.watch('write', pipe.write(random.chance(0.5) ? chunk : new Uint8ArrayList(chunk)))
      chunk.fill(REUSED) // its writer's again: the wire tells if it is not
    }
    await this.watch('closeWrite', pipe.closeWrite())
  }

  async #read(pipe: Pipe): Promise<void> {
    const { random } = this
    const source = random.chance(0.5) ? pipe.borrowed : pipe.source
    for (;;) {
      const next = await this.watch('next', source.next())
      if (next.done === true) return
      if (next.value.subarray().includes(REUSED)) this.faults.push('a byte that was changed before it had left')
      if (random.chance(0.3)) await this.#rest()
    }
  }
}

function ignore(): void {
  // each failure is an end, and ends are all that is asked for
}
