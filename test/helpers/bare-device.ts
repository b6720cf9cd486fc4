/**
 * A connectionless device, made of memory links: each opening of it is a link, and the other end of
 * that is the test's.
 */
import {
  connect,
  overLink,
  serve,
  type Server,
  type Trunk,
  type ConnectOptions,
  type LinkOptions,
  type ServeOptions,
} from '../../src/index.ts'
import type { Link, Transport, TransportTraits } from '../../src/contracts/types.ts'
import { LinkListener } from '../../transports/internal/link-listener.ts'
import { memoryPair } from '../../transports/memory.ts'
import { manualClock, type ManualClock } from './manual-clock.ts'

/** What a serial line is. */
export const BARE: TransportTraits = { lossless: false, connected: false, preferredFrameBytes: 65_536 }

export class BareDevice implements Transport {
  readonly scheme = 'bare'
  readonly address = 'bare:'
  readonly traits: TransportTraits = BARE
  readonly clock: ManualClock = manualClock()
  /** How often it was opened. */
  openings = 0
  readonly #bufferBytes: number
  #listener: LinkListener | undefined

  /** @param bufferBytes what the device takes while nobody reads at the other end */
  constructor(bufferBytes = 65_536) {
    this.#bufferBytes = bufferBytes
  }

  /** For those who serve: the device is there, and is opened. Gives its other end. */
  plug(): Link {
    const [near, far] = this.#open()
    if (this.#listener === undefined) throw new Error('nobody listens')
    this.#listener.push(near)
    return far
  }

  /** For those who connect: their opening's other end. */
  readonly dialled: Link[] = []

  connect(): Promise<Link> {
    const [near, far] = this.#open()
    this.dialled.push(far)
    return Promise.resolve(near)
  }

  listen(): Promise<LinkListener> {
    this.#listener = new LinkListener(this.address, () => undefined)
    return Promise.resolve(this.#listener)
  }

  #open(): [Link, Link] {
    this.openings++
    return memoryPair({ clock: this.clock, bufferBytes: this.#bufferBytes })
  }

  /** Lets time pass until `ending` settles: for what may wait for a peer that says nothing. */
  async whileTimePasses<T>(ending: Promise<T>): Promise<T> {
    const wait = { over: false }
    const done = (): void => {
      wait.over = true
    }
    ending.then(done, done)
    while (!wait.over) {
      this.clock.advance(1000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    return await ending
  }

  // --- users of it, under its clock --------------------------------------------------------------

  serve(options: ServeOptions = {}): Promise<Server> {
    return serve(this, { clock: this.clock, ...options })
  }

  dial(options: ConnectOptions = {}): Promise<Trunk> {
    return connect(this, { clock: this.clock, ...options })
  }

  /** A session over a link of its other end. */
  over(link: Link, options: LinkOptions = {}): Promise<Trunk> {
    return overLink(link, { clock: this.clock, traits: BARE, ...options })
  }
}
