/**
 * The peer: does the line open, does a trunkline answer, who is it, how far away, how fast. Each
 * step has its time; a trunk that came about is closed again.
 */
import { withDeadline, type Deadline } from '../../runtime/deadline.ts'
import { benchClient } from '../../../protocols/bench.ts'
import type { BenchDirection, BenchResult } from '../../../protocols/bench.ts'
import { connect, TrunkError } from '../../index.ts'
import type { Transport, Trunk, TrunkOptions } from '../../index.ts'
import type { Context } from '../context.ts'
import { formatBytes, formatDuration, formatRate } from '../format.ts'
import { adviceFor } from './advice.ts'
import { note, ok, problem, type Finding, type Findings } from './findings.ts'
import type { Target } from './target.ts'

/** Longest times of the steps; together less than what the whole examination may take. */
const CONNECT_MS = 4_000
const HELLO_MS = 5_000
const PINGS_MS = 2_000
const CLOSE_MS = 1_000
const PINGS = 10
/**
 * The rate is measured with ever more bytes until they take this long: a slow line has carried all
 * of them then, and nothing waits on it.
 */
const BENCH_ENOUGH_MS = 250
const BENCH_BYTES = [1024, 16 * 1024, 256 * 1024, 4 * 1024 * 1024, 64 * 1024 * 1024, 256 * 1024 * 1024]
const BENCH_SECONDS = 2
/** Beyond that, for the answers on a slow line. */
const BENCH_LIMIT_MS = 3_000

/** What is connected to, and how. */
export interface PeerCheck {
  readonly transport: Transport
  readonly target: Target
  readonly token: Uint8Array | undefined
  /** Ends the whole examination. */
  readonly signal: AbortSignal
}

/** Connects and says what came of it. */
export async function* examinePeer(context: Context, check: PeerCheck): Findings {
  const { transport, target, signal } = check
  const seen: { opened: boolean } = { opened: false }
  const watched: Transport = {
    scheme: transport.scheme,
    address: transport.address,
    traits: transport.traits,
    listen: (options) => transport.listen(options),
    async connect(options) {
      const link = await transport.connect(options)
      seen.opened = true
      return link
    },
  }
  let trunk: Trunk
  try {
    trunk = await connect(watched, optionsOf(context, check))
  } catch (error) {
    if (signal.aborted || !(error instanceof TrunkError)) throw error
    if (seen.opened) yield ok('line', lineOf(transport, target))
    yield problem(seen.opened ? 'peer' : 'line', sentenceOf(error), ...adviceFor(error.code, transport.address, target))
    return false
  }
  try {
    yield ok('line', lineOf(transport, target))
    yield describePeer(trunk)
    yield* examineTrunk(context, trunk, signal)
  } finally {
    await trunk.close()
  }
  return true
}

function optionsOf(context: Context, { token, signal }: PeerCheck): TrunkOptions {
  return {
    signal,
    clock: context.clock,
    name: 'trunkline doctor',
    limits: { connectTimeoutMs: CONNECT_MS, helloTimeoutMs: HELLO_MS, closeTimeoutMs: CLOSE_MS },
    ...(token === undefined ? {} : { token }),
  }
}

function lineOf({ address }: Transport, { type }: Target): string {
  return type === 'device' ? `the line opens: ${address}` : `${address} takes connections`
}

/**
 * The error's own words, with its code: what it says is better than what could be said of its code.
 */
function sentenceOf(error: TrunkError): string {
  return `${error.message.trim().replaceAll(/\s*\n\s*/g, ' ')} (${error.code})`
}

function describePeer(trunk: Trunk): Finding {
  const { peer, version } = trunk.status()
  const offers = peer.protocols.length === 0 ? 'nothing' : peer.protocols.join(', ')
  const what = `${peer.name} answers: wire version ${version}, epoch ${peer.epoch}, offers ${offers}`
  return ok('peer', what, { name: peer.name, wireVersion: version, epoch: peer.epoch, protocols: peer.protocols })
}

async function* examineTrunk(context: Context, trunk: Trunk, signal: AbortSignal): AsyncGenerator<Finding, void> {
  const times = await withDeadline(deadline(context, signal, PINGS_MS), (limit) => pingsOf(trunk, limit))
  const median = times[Math.floor(times.length / 2)]
  if (median === undefined) {
    const what = `no answer to a ping within ${formatDuration(PINGS_MS)}: the line, or the peer, stands still`
    yield problem('round-trip', what, 'Look at what loads the line or the machine at its other end.')
    return
  }
  const roundTrips = times.length === 1 ? 'one' : `the median of ${times.length}`
  yield ok('round-trip', `round trip ${formatDuration(median)}, ${roundTrips}`, { milliseconds: median })
  if (!trunk.status().peer.protocols.includes('bench')) {
    yield note('rate', 'the rate was not measured: the peer does not offer it', 'trunkline serve --bench does.')
    return
  }
  for (const direction of ['read', 'write'] as const) yield await examineRate(context, trunk, direction, signal)
}

/** Sorted. As many as the time allows. */
async function pingsOf(trunk: Trunk, signal: AbortSignal): Promise<number[]> {
  const times: number[] = []
  try {
    while (times.length < PINGS) times.push(await trunk.ping({ signal }))
  } catch (error) {
    if (!signal.aborted) throw error
  }
  return times.sort((one, other) => one - other)
}

async function examineRate(
  context: Context,
  trunk: Trunk,
  direction: BenchDirection,
  signal: AbortSignal,
): Promise<Finding> {
  const name = direction === 'read' ? 'from the peer' : 'to the peer'
  const measured = await withDeadline(deadline(context, signal, BENCH_LIMIT_MS), async (limit) => {
    try {
      return await rateOf(context, trunk, direction, limit)
    } catch (error) {
      if (limit.aborted && !signal.aborted) return undefined
      throw error
    }
  })
  if (measured === undefined || measured.bytes === 0) {
    const what = `nothing came through ${name} in ${formatDuration(BENCH_LIMIT_MS)}: the line, or the peer, stands still`
    return problem('rate', what, 'Look at what loads the line or the machine at its other end.')
  }
  const { bytes, milliseconds, bytesPerSecond } = measured
  const what = `${formatRate(bytes, milliseconds)} ${name} (${formatBytes(bytes)} in ${formatDuration(milliseconds)})`
  return ok('rate', what, { direction, bytes, milliseconds, bytesPerSecond })
}

async function rateOf(
  { clock }: Context,
  trunk: Trunk,
  direction: BenchDirection,
  signal: AbortSignal,
): Promise<BenchResult | undefined> {
  const client = benchClient(trunk, { clock })
  let result: BenchResult | undefined
  for (const bytes of BENCH_BYTES) {
    result = await client.measure({ direction, bytes, seconds: BENCH_SECONDS, signal })
    if (result.milliseconds >= BENCH_ENOUGH_MS) break
  }
  return result
}

function deadline({ clock }: Context, signal: AbortSignal, ms: number): Deadline {
  return { clock, signal, ms, timedOut: () => new TrunkError('ERR_ABORTED', 'it took too long') }
}
