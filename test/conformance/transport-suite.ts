/**
 * What the points of the transport suite share: pairs of links that are freed and counted, and how
 * a point is skipped. See transport.ts.
 */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { systemClock } from '../../src/runtime/clock.ts'
import { resolveLimits } from '../../src/contracts/limits.ts'
import type { Limits } from '../../src/contracts/limits.ts'
import type { Link, Listener, Transport, TransportOptions } from '../../src/contracts/types.ts'
import { keptAlive } from '../helpers/eventually.ts'
import { countHandles, nothingLeft } from '../helpers/process-handles.ts'

/** The points that a line may be unable to have. */
export type ConformancePoint = 'half-close' | 'direct' | 'listen' | 'dial' | 'abort is seen' | 'unread bytes'

/** Two connected links. */
export interface LinkPair {
  /** The end that dialled. */
  readonly near: Link
  /** The end that was accepted. */
  readonly far: Link
  /** Frees what belongs to neither link. */
  readonly done: () => Promise<void>
}

/** What is special about a line. */
export interface ConformanceOptions {
  /** Makes two connected links where `factory`'s transports cannot listen. */
  pair?: (options: TransportOptions) => Promise<LinkPair>
  /** Points that the line cannot have, each with the reason. */
  skip?: Readonly<Partial<Record<ConformancePoint, string>>>
  /**
   * The most that the line may hold for a peer that does not read. @default 48 MiB, above what
   * TCP's own buffers grow to (tcp_rmem and tcp_wmem: 32 and 4 MiB)
   */
  maxUnreadBytes?: number
}

/** 1,048,576. */
export const MIB: number = 1024 * 1024
/** How long a close may take in the point whose peer does not answer. */
export const SHORT_CLOSE_MS = 300

/** What a transport's calls are given. */
export function transportOptions(
  signal: AbortSignal = new AbortController().signal,
  limits: Partial<Limits> = {},
): TransportOptions {
  return { signal, clock: systemClock, limits: resolveLimits(limits) }
}

/**
 * An error with a code, told by its shape: the transport may come from another copy of the package.
 */
export function coded(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^ERR_[A-Z_]+$/.test(String(error.code)) && 'scope' in error
}

/** True where one side can be ended alone, so that an end says that everything has arrived. */
export function halfCloses(suite: Suite): boolean {
  return suite.options.skip?.['half-close'] === undefined
}

/** One run of the suite. */
export interface Suite {
  readonly factory: (address?: string) => Transport
  readonly options: ConformanceOptions
  /** Runs `use` on a fresh pair, then frees it and checks that nothing is left. */
  readonly withPair: (use: (near: Link, far: Link) => Promise<void>, limits?: Partial<Limits>) => Promise<void>
}

/** `it`, or a skip that prints why. */
export function point(
  suite: Suite,
  needs: ConformancePoint | undefined,
  title: string,
  run: () => Promise<void>,
): void {
  const reason = needs === undefined ? undefined : suite.options.skip?.[needs]
  it(title, { timeout: 30_000, ...(reason === undefined ? {} : { skip: reason }) }, () => keptAlive(run))
}

/** Runs `use` on a fresh pair, then frees it and checks that nothing is left. */
export async function withPair(
  suite: Suite,
  use: (near: Link, far: Link) => Promise<void>,
  limits: Partial<Limits> = {},
): Promise<void> {
  const before = countHandles()
  const pair = suite.options.pair ?? ((given: TransportOptions) => dialAndAccept(suite, given))
  const { near, far, done } = await pair(transportOptions(undefined, limits))
  try {
    await use(near, far)
  } finally {
    near.abort(new Error('the point is over'))
    far.abort(new Error('the point is over'))
    await Promise.all([near.close(), far.close(), done()])
  }
  await nothingLeft(before)
}

async function dialAndAccept(suite: Suite, options: TransportOptions): Promise<LinkPair> {
  const listener = await suite.factory().listen(options)
  const [near, far] = await Promise.all([suite.factory(listener.address).connect(options), firstOf(listener)])
  return { near, far, done: () => listener.close() }
}

/** The first link of `listener`. */
export async function firstOf(listener: Listener): Promise<Link> {
  for await (const link of listener) return link
  throw new Error('the listener ended before it gave a link')
}

/**
 * A source that gives what `source` gives and then stays open: for lines that cannot end one side
 * alone.
 */
export async function* held(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  yield* source
  await new Promise(() => undefined)
}

/** One source of `chunks`. */
export async function* of(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  yield* chunks
}

/** A source that never ends. */
export async function* endless(): AsyncGenerator<Uint8Array, void, undefined> {
  const chunk = new Uint8Array(1024)
  for (;;) yield chunk
}

/** A source that waits until `signal` aborts, then ends. */
export async function* waiting(signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  yield Uint8Array.of(1)
  await new Promise((resolve) => {
    signal.addEventListener('abort', resolve)
  })
}

/** Compares without printing megabytes. */
export function sameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assert.equal(actual.byteLength, expected.byteLength, `${what}: length`)
  assert.ok(Buffer.from(actual.buffer, actual.byteOffset, actual.byteLength).equals(expected), `${what}: bytes differ`)
}
