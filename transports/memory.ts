/**
 * In-process lines: `memory:NAME` is a rendezvous between `connect` and `listen` of one process;
 * {@link memoryPair} is two joined links.
 *
 * Promises: what a socket pair does, with nothing leaving the process: order, back-pressure,
 * half-close, a reset on `abort`. Bounds: 64 KiB under way per direction unless chosen otherwise,
 * 128 links that wait to be taken.
 */
import type { Duplex } from 'node:stream'
import type { Clock } from '../src/runtime/clock.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { badArgument, TrunkError } from '../src/contracts/errors.ts'
import { DEFAULT_LIMITS, requireInteger } from '../src/contracts/limits.ts'
import type { Link, Transport, TransportOptions, TransportTraits } from '../src/contracts/types.ts'
import { LinkListener } from './internal/link-listener.ts'
import { memoryEnds } from './internal/memory-end.ts'
import { socketLink } from './internal/socket-link.ts'

/** A rendezvous. */
export interface MemoryOptions {
  /** 1 to 64 letters, digits, dots, dashes and underscores. */
  name: string
  /**
   * Bytes under way per direction, 1 to 2^24. What the listener says holds. @default 65,536, what a
   * Unix socket pair takes
   */
  bufferBytes?: number
}

/** Options of {@link memoryPair}. */
export interface MemoryPairOptions {
  /** Bytes under way per direction, 1 to 2^24. @default 65,536 */
  bufferBytes?: number
  /** The clock of `close`. @default the machine's monotonic clock */
  clock?: Clock
  /**
   * How long `close` waits for the peer's end, in milliseconds. @default limits.closeTimeoutMs
   * (5,000)
   */
  closeTimeoutMs?: number
}

const TRAITS: TransportTraits = { lossless: true, connected: true, preferredFrameBytes: 64 * 1024 }
const DEFAULT_BUFFER_BYTES = 64 * 1024
const MAX_BUFFER_BYTES = 2 ** 24
const NAME = /^[A-Za-z0-9._-]{1,64}$/

/** A listener and what its links are made with. */
interface Rendezvous {
  readonly listener: LinkListener
  accept(options: TransportOptions): Link
}

/** The names that are listened at, in this process. */
const rendezvous = new Map<string, Rendezvous>()

/**
 * An in-process transport. Throws ERR_ADDRESS_INVALID for an address that is none, ERR_BAD_ARGUMENT
 * for bad options.
 *
 * @example
 * ```ts
 * const server = await serve(memory({ name: 'test' }), { protocols })
 * const trunk = await connect('memory:test')
 * ```
 */
export function memory(address: string | MemoryOptions): Transport {
  const name = typeof address === 'string' ? parseName(address) : checkName(address.name)
  const bufferBytes = checkBuffer(typeof address === 'string' ? undefined : address.bufferBytes)
  const written = `memory:${name}`
  return {
    scheme: 'memory',
    address: written,
    traits: TRAITS,
    async connect(options) {
      options.signal.throwIfAborted()
      const there = rendezvous.get(name)
      const refused = (what: string): TrunkError =>
        new TrunkError('ERR_CONNECT_REFUSED', `cannot connect to ${written}: ${what}`, { scope: 'link' })
      if (there === undefined) throw refused('nobody listens there')
      if (there.listener.full) throw refused('its backlog is full')
      return Promise.resolve(there.accept(options))
    },
    async listen(options) {
      options.signal.throwIfAborted()
      if (rendezvous.has(name)) {
        throw new TrunkError('ERR_ADDRESS_IN_USE', `cannot listen at ${written}: the address is in use`, {
          scope: 'link',
        })
      }
      const listener = new LinkListener(written, () => {
        rendezvous.delete(name)
      })
      rendezvous.set(name, {
        listener,
        accept(dialler) {
          const [near, far] = memoryEnds(bufferBytes)
          listener.push(linkOf(far, written, options.clock, options.limits.closeTimeoutMs))
          return linkOf(near, written, dialler.clock, dialler.limits.closeTimeoutMs)
        },
      })
      return Promise.resolve(listener)
    },
  }
}

/**
 * Two links, each the other's peer.
 *
 * @example
 * ```ts
 * const [here, there] = memoryPair()
 * const [near, far] = await Promise.all([overLink(here), overLink(there, { protocols })])
 * ```
 */
export function memoryPair(options: MemoryPairOptions = {}): [Link, Link] {
  const { clock = systemClock, closeTimeoutMs = DEFAULT_LIMITS.closeTimeoutMs } = options
  const [a, b] = memoryEnds(checkBuffer(options.bufferBytes))
  const timeoutMs = requireInteger('closeTimeoutMs', closeTimeoutMs, 1, 2 ** 31 - 1)
  return [linkOf(a, 'memory:', clock, timeoutMs), linkOf(b, 'memory:', clock, timeoutMs)]
}

function linkOf(end: Duplex, peer: string, clock: Clock, closeTimeoutMs: number): Link {
  return socketLink({ readable: end, writable: end, peer, clock, closeTimeoutMs })
}

function checkBuffer(bufferBytes = DEFAULT_BUFFER_BYTES): number {
  return requireInteger('bufferBytes', bufferBytes, 1, MAX_BUFFER_BYTES)
}

function parseName(address: string): string {
  const name = address.startsWith('memory:') ? address.slice('memory:'.length) : ''
  if (NAME.test(name)) return name
  const what = 'it must be memory:NAME, up to 64 letters, digits, dots, dashes and underscores'
  throw new TrunkError('ERR_ADDRESS_INVALID', `${JSON.stringify(address)} is no memory address: ${what}`)
}

function checkName(name: unknown): string {
  if (typeof name === 'string' && NAME.test(name)) return name
  throw badArgument(`name must be up to 64 letters, digits, dots, dashes and underscores, not ${JSON.stringify(name)}`)
}
