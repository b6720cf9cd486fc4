/**
 * The asking side of `bench`. What the peer answers is checked like anything else that a peer
 * sends; it can lie about what it has read of a `write`, and about nothing else.
 */
import { Uint8ArrayList } from 'uint8arraylist'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import type { Bytes, Pipe, Trunk } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import {
  decodeReply,
  decodeReport,
  MAX_REPORT_BYTES,
  NAME,
  requireRequest,
  type BenchDirection,
  type Bounds,
} from './messages.ts'
import { receive, send } from './traffic.ts'

/** Options of {@link benchClient}. */
export interface BenchClientOptions {
  /** The clock that measures the time. @default the machine's monotonic clock */
  clock?: Clock
}

/** A measurement; it ends with its bytes or its time, whatever comes first. */
export interface BenchRequest {
  /**
   * `read`: from the peer to here. `write`: from here to the peer. `echo`: there and back at once.
   */
  readonly direction: BenchDirection
  /** A whole number above 0. @default as many as the time allows */
  readonly bytes?: number
  /**
   * Longest time of the measurement, in seconds, above 0. @default 1, or as long as the peer's own
   * bound where `bytes` is given
   */
  readonly seconds?: number
  /** Ends it early; then it rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/** What was measured. */
export interface BenchResult {
  /** Which way the bytes went: what was asked for. */
  readonly direction: BenchDirection
  /**
   * What reached its reader within the time: fewer than were asked for where the time or the peer's
   * bound came first.
   */
  readonly bytes: number
  /** From the first byte to the last, in milliseconds, by the clock of this side. */
  readonly milliseconds: number
  /** Each way, for `echo`. */
  readonly bytesPerSecond: number
}

/** Measurements over one trunk. Several may run at a time, and then share the line. */
export interface BenchClient {
  /**
   * Rejects with ERR_BAD_ARGUMENT before anything is sent; ERR_PROTOCOL_UNKNOWN where the peer does
   * not offer `bench`; ERR_MESSAGE_INVALID for an answer that is none; the pipe's error where it
   * fails.
   */
  measure(request: BenchRequest): Promise<BenchResult>
}

const DEFAULT_SECONDS = 1
/**
 * How long after its time the peer's report on a `write` may still come: it waits behind what is on
 * the line.
 */
const REPORT_GRACE_MS = 10_000

/**
 * The client side of `bench` on `trunk`.
 *
 * @example
 * ```ts
 * const result = await benchClient(trunk).measure({ direction: 'read' })
 * ```
 */
export function benchClient(trunk: Trunk, options: BenchClientOptions = {}): BenchClient {
  const clock = options.clock ?? systemClock
  return {
    async measure(request) {
      const asked = requireRequest({ direction: request.direction, ...boundsOf(request) })
      const { signal } = request
      const pipe = await trunk.open(NAME, { ...asked }, signal === undefined ? {} : { signal })
      try {
        const bounds = boundsInForce(pipe, asked)
        const measured = await MEASURE[asked.direction](pipe, bounds, clock)
        return resultOf(asked.direction, measured)
      } catch (error) {
        throw signal?.aborted === true ? signal.reason : error
      } finally {
        // What is still queued at either end means nothing: a reset drops it, where a close would
        // wait until a slow line has carried it.
        pipe.abort(new TrunkError('ERR_PIPE_STOPPED', 'it was measured'))
      }
    },
  }
}

function boundsOf({ bytes, seconds }: BenchRequest): Bounds {
  if (seconds !== undefined && !(typeof seconds === 'number' && seconds > 0 && Number.isFinite(seconds))) {
    throw badArgument(`seconds must be above 0, not ${String(seconds)}`)
  }
  const milliseconds =
    seconds === undefined && bytes !== undefined ? LONGEST_MS : Math.ceil((seconds ?? DEFAULT_SECONDS) * 1000)
  return { bytes: bytes ?? Number.MAX_SAFE_INTEGER, milliseconds: Math.min(milliseconds, LONGEST_MS) }
}

/** A day: what the peer allows will be less. */
const LONGEST_MS = 86_400_000

/** The peer may lower what was asked for, never raise it. */
function boundsInForce(pipe: Pipe, asked: Bounds): Bounds {
  const reply = unwrap(decodeReply(pipe.reply))
  return {
    bytes: Math.min(asked.bytes, reply.bytes),
    milliseconds: Math.min(asked.milliseconds, reply.milliseconds),
  }
}

type Measure = (pipe: Pipe, bounds: Bounds, clock: Clock) => Promise<Bounds>

const MEASURE: Readonly<Record<BenchDirection, Measure>> = {
  read: (pipe, bounds, clock) => receive(pipe, bounds, clock),
  async write(pipe, bounds, clock) {
    sendBeside(pipe, bounds, clock)
    const parts: Bytes[] = []
    const grace = { bytes: MAX_REPORT_BYTES, milliseconds: bounds.milliseconds + REPORT_GRACE_MS }
    await receive(pipe, grace, clock, async (bytes) => void parts.push(bytes))
    const report = decodeReport(new Uint8ArrayList(...parts).slice())
    if (report.bytes <= bounds.bytes) return report
    throw new TrunkError('ERR_MESSAGE_INVALID', 'the peer reports more bytes than were sent')
  },
  async echo(pipe, bounds, clock) {
    sendBeside(pipe, bounds, clock)
    return await receive(pipe, bounds, clock)
  },
}

/**
 * Sends while the caller reads. What makes it fail is the pipe's failure, which the reading tells.
 */
function sendBeside(pipe: Pipe, bounds: Bounds, clock: Clock): void {
  send(pipe, bounds, clock).catch(() => undefined)
}

function resultOf(direction: BenchDirection, { bytes, milliseconds }: Bounds): BenchResult {
  return { direction, bytes, milliseconds, bytesPerSecond: milliseconds > 0 ? (bytes * 1000) / milliseconds : 0 }
}
