/** The link of a simulated trunk: a direct interface over two wires. */
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { DirectReceiver, Link } from '../../src/contracts/types.ts'
import type { Random } from './random.ts'
import type { Timeline } from './timeline.ts'
import type { Wire, WireEnd } from './wire.ts'

/** What a world of whole trunks has. */
export interface LinkWorld {
  readonly faults: string[]
  readonly random: Random
  readonly timeline: Timeline
}

/** The clock of a world: time passes with its events. */
export function virtualClock(timeline: Timeline): Clock {
  return {
    now: () => timeline.now,
    after: (delayMs, callback) => {
      let live = true
      timeline.after(delayMs, () => {
        if (live) callback()
      })
      return {
        cancel: () => {
          live = false
        },
      }
    },
  }
}

/** A link over two wires. It looks at what it was handed until it says that it has left. */
export class SimLink implements Link, WireEnd {
  readonly direct: NonNullable<Link['direct']>
  wire!: Wire
  #receiver: DirectReceiver | undefined
  #ended = false
  #over: (() => void) | undefined
  readonly #world: LinkWorld

  constructor(world: LinkWorld) {
    this.#world = world
    this.direct = {
      start: (receiver) => {
        this.#receiver = receiver
      },
      write: (batch) => {
        const looked = Buffer.concat(batch)
        // now and then the kernel has room for all of it
        const whole = world.random.chance(0.3)
        this.wire.write(looked, () => {
          if (whole) return
          if (!Buffer.concat(batch).equals(looked)) world.faults.push('a batch that had not left was changed')
          this.#receiver?.drain()
        })
        return whole
      },
      end: () => {
        this.wire.end()
      },
    }
  }

  get source(): never {
    throw new Error('its direct interface is used')
  }

  readonly sink = (): Promise<never> => Promise.reject(new Error('its direct interface is used'))

  data(chunk: Uint8Array): void {
    this.#receiver?.data(new Uint8Array(chunk))
  }

  end(reset: boolean): void {
    this.#ended = true
    if (reset) this.#receiver?.fail(new TrunkError('ERR_LINK_RESET', 'reset'))
    else this.#receiver?.end()
    this.#over?.()
  }

  close(): Promise<void> {
    this.#receiver = undefined
    this.wire.end()
    if (this.#ended) return Promise.resolve()
    return new Promise((resolve) => {
      this.#over = resolve
      this.#world.timeline.after(10_000, resolve)
    })
  }

  abort(): void {
    this.#receiver = undefined
    this.wire.sever()
  }
}
