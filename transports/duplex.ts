/**
 * What a transport of your own over Node's streams is made of (docs/guide/writing-a-transport.md):
 * a link over any `Duplex`, one attempt to dial, a listener that is fed by calls, and the codes of
 * Node's network errors.
 *
 * Promises and bounds are those of `Link` and `Listener` in src/contracts/types.ts. Assumes that
 * the duplex carries bytes, tells its peer's end by `end` and is nobody else's from here on. Where
 * its other side can be ended alone, open it with `allowHalfOpen: true`.
 */
import type { Duplex } from 'node:stream'
import type { Clock } from '../src/runtime/clock.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { badArgument } from '../src/contracts/errors.ts'
import { DEFAULT_LIMITS, requireInteger } from '../src/contracts/limits.ts'
import type { Link } from '../src/contracts/types.ts'
import { socketLink } from './internal/socket-link.ts'

export { type Dial, dialDuplex } from './internal/dial-duplex.ts'
export { LinkListener } from './internal/link-listener.ts'
export { connectError, listenError } from '../src/runtime/net-errors.ts'

/** Options of {@link linkFromDuplex}. */
export interface DuplexLinkOptions {
  /** Who is at the other end, for messages. */
  peer?: string
  /** Give on what `connect` or `listen` was given. @default the machine's monotonic clock */
  clock?: Clock
  /**
   * How long `close` waits for the peer's end, in milliseconds. @default limits.closeTimeoutMs
   * (5,000)
   */
  closeTimeoutMs?: number
  /**
   * Cuts the line so that the peer notices, for `abort`; the duplex is destroyed afterwards.
   * @default only destroys it
   */
  cut?: () => void
}

/**
 * The link of `duplex`. Throws ERR_BAD_ARGUMENT where it is in object mode, decodes text, or is
 * over already. From here on errors of `duplex` are the link's; it needs no listener of yours.
 *
 * @example
 * ```ts
 * const trunk = await overLink(linkFromDuplex(tlsSocket, { peer: 'vm-3' }))
 * ```
 */
export function linkFromDuplex(duplex: Duplex, options: DuplexLinkOptions = {}): Link {
  if (duplex.readableObjectMode || duplex.writableObjectMode) throw badArgument('the duplex must not be in object mode')
  if (duplex.readableEncoding !== null) throw badArgument(`the duplex must give bytes, not ${duplex.readableEncoding}`)
  if (duplex.destroyed || duplex.readableEnded || duplex.writableEnded) throw badArgument('the duplex is over already')
  const { peer, clock = systemClock, closeTimeoutMs = DEFAULT_LIMITS.closeTimeoutMs, cut } = options
  return socketLink({
    readable: duplex,
    writable: duplex,
    clock,
    closeTimeoutMs: requireInteger('closeTimeoutMs', closeTimeoutMs, 1, 2 ** 31 - 1),
    ...(peer === undefined ? {} : { peer }),
    ...(cut === undefined ? {} : { cut }),
  })
}
