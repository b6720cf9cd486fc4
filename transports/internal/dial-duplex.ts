/**
 * Dialling with Node's sockets: one attempt with a deadline and a signal. Promises: a link, or a
 * rejection (ERR_CONNECT_*, ERR_NAME_NOT_FOUND, ERR_DENIED, or the signal's own reason) after which
 * nothing is left. Bounds: `limits.connectTimeoutMs`, the name's lookup and any handshake included.
 */
import type { Duplex } from 'node:stream'
import { withDeadline } from '../../src/runtime/deadline.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { connectError } from '../../src/runtime/net-errors.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import type { Link, TransportOptions } from '../../src/contracts/types.ts'

/** What {@link dialDuplex} dials. */
export interface Dial<T extends Duplex, L extends Link = Link> {
  /** Begins to connect. */
  readonly open: () => T
  /** The event that says that the connection is established. @default 'connect' */
  readonly ready?: string
  /** How messages name what was dialled. */
  readonly target: string
  /**
   * Claims the connected duplex, in the same turn, so that no error of it goes unheard; may throw.
   */
  readonly toLink: (duplex: T) => L
  /** What an error of the attempt means. @default {@link connectError} */
  readonly toError?: (error: Error) => Error
}

/**
 * Waits for the duplex to connect and makes the link.
 *
 * @example
 * ```ts
 * connect: (options) =>
 *   dialDuplex(
 *     {
 *       open: () => net.connect(path),
 *       target: path,
 *       toLink: (socket) => linkFromDuplex(socket, options),
 *     },
 *     options,
 *   )
 * ```
 */
export async function dialDuplex<T extends Duplex, L extends Link>(
  dial: Dial<T, L>,
  options: TransportOptions,
): Promise<L> {
  const { target, toLink, ready = 'connect', toError = (error) => connectError(error, target, 'link') } = dial
  const { signal, clock, limits } = options
  signal.throwIfAborted()
  const duplex = dial.open()
  const timedOut = (): TrunkError => {
    const message = `cannot connect to ${target}: no answer within ${String(limits.connectTimeoutMs)} ms`
    return new TrunkError('ERR_CONNECT_TIMEOUT', message, { scope: 'link' })
  }
  const connected = (limit: AbortSignal): Promise<L> =>
    new Promise((resolve, reject) => {
      const onError = (error: Error): void => {
        reject(toError(error))
      }
      duplex.on('error', onError)
      duplex.once(ready, () => {
        try {
          resolve(toLink(duplex))
          duplex.off('error', onError)
        } catch (error) {
          reject(connectError(error, target, 'link'))
        }
      })
      onAbort(limit, () => reject(limit.reason as Error))
    })
  try {
    return await withDeadline({ clock, signal, ms: limits.connectTimeoutMs, timedOut }, connected)
  } catch (error) {
    // The error listener stays: a failed attempt may still report about an address that it tries.
    duplex.destroy()
    throw error
  }
}
