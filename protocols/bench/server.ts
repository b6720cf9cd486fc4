/**
 * The serving side of `bench`: sends, takes, or sends back bytes that mean nothing. It costs the
 * line and the processor, so its bounds are enforced for each pipe; the pipes are bounded by the
 * trunk's own limits.
 */
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { defineProtocol } from '../../src/contracts/protocol.ts'
import type { Pipe, Protocol } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import { decodeRequest, encodeReport, NAME, type Bounds, type MeasureRequest } from './messages.ts'
import { receive, send, unlessStopped } from './traffic.ts'

/** Options of {@link bench}. */
export interface BenchOptions {
  /**
   * Most bytes that one measurement moves each way; one that asks for more gets this. @default 64
   * GiB
   */
  maxBytes?: number
  /** Longest time of one measurement in seconds; one that asks for more gets this. @default 60 */
  maxSeconds?: number
  /** The clock that bounds a measurement. @default the machine's monotonic clock */
  clock?: Clock
}

const DEFAULT_MAX_BYTES = 64 * 1024 ** 3
const DEFAULT_MAX_SECONDS = 60
const LONGEST_SECONDS = 86_400

/**
 * Lets the peer measure the line to us. Throws ERR_BAD_ARGUMENT at once for a bad number; refuses
 * with ERR_PARAMS_INVALID.
 *
 * @example
 * ```ts
 * const server = await serve(address, { protocols: [bench({ maxSeconds: 5 })] })
 * ```
 */
export function bench(options: BenchOptions = {}): Protocol {
  const maxBytes = requireInteger('maxBytes', options.maxBytes ?? DEFAULT_MAX_BYTES, 1, Number.MAX_SAFE_INTEGER)
  const maxSeconds = requireInteger('maxSeconds', options.maxSeconds ?? DEFAULT_MAX_SECONDS, 1, LONGEST_SECONDS)
  const clock = options.clock ?? systemClock
  return defineProtocol<MeasureRequest>({
    name: NAME,
    parse: (params) => unwrap(decodeRequest(params)),
    async handle({ params, accept }) {
      const bounds = {
        bytes: Math.min(params.bytes, maxBytes),
        milliseconds: Math.min(params.milliseconds, maxSeconds * 1000),
      }
      const pipe = accept(bounds)
      await SERVE[params.direction](pipe, bounds, clock)
    },
  })
}

type Serve = (pipe: Pipe, bounds: Bounds, clock: Clock) => Promise<void>

const SERVE: Readonly<Record<MeasureRequest['direction'], Serve>> = {
  read: send,
  async write(pipe, bounds, clock) {
    await pipe.write(encodeReport(await receive(pipe, bounds, clock)))
  },
  async echo(pipe, bounds, clock) {
    await unlessStopped(() => receive(pipe, bounds, clock, (bytes) => pipe.write(bytes)))
  },
}
