/**
 * The serving side of `unix-listener`: what is bound, and by which rules.
 * protocols/tcp-listener/serving.ts does the rest.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import type { Protocol } from '../../src/contracts/types.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { unwrap } from '../internal/decoded.ts'
import { Acceptor } from '../tcp-listener/acceptor.ts'
import { listenerLimits, listenerProtocol } from '../tcp-listener/serving.ts'
import type { UnixPath } from './address.ts'
import { listenUnix, systemSockets, type UnixSockets } from './listen.ts'
import { decodeListener, LISTENER, OWNER_ONLY, type ListenRequest } from './messages.ts'
import { socketPolicy } from './policy.ts'

/** Options of {@link unixListener}. */
export interface UnixListenerOptions {
  /**
   * Where the peer may listen. The rules are those of protocols/unix/policy.ts:
   * `/run/user/1000/app/*.sock`, `/srv/sockets/`, `@name`.
   */
  allow: readonly UnixPath[]
  /** The permission bits that a peer may give a socket, at most. @default 0o600 */
  mode?: number
  /** Listeners that one trunk may have at a time. @default 16 */
  maxListeners?: number
  /**
   * Connections that the listeners of one trunk may have at a time; further ones wait in the
   * kernel. @default 256
   */
  maxConnections?: number
  /** Connections that the kernel holds for each listener before it turns more away. @default 128 */
  backlog?: number
  /** The clock of all time limits. @default the machine's monotonic clock */
  clock?: Clock
}

/** That of the socket and that of its folder. */
const DESCRIPTORS = 2

/**
 * Lets the peer listen at unix sockets through us. Throws ERR_BAD_ARGUMENT at once for a bad rule
 * or number.
 *
 * It refuses with ERR_PARAMS_INVALID, ERR_DENIED, ERR_ADDRESS_IN_USE, ERR_BIND_DENIED,
 * ERR_ADDRESS_UNAVAILABLE, ERR_NO_SPACE, ERR_LISTENER_LIMIT and ERR_LISTENER_UNKNOWN.
 *
 * @example
 * ```ts
 * const protocols = [unixListener({ allow: ['/run/user/1000/app/*.sock'] })]
 * const server = await serve(address, { protocols })
 * ```
 */
export function unixListener(options: UnixListenerOptions): Protocol {
  return unixListenerOver(options, systemSockets)
}

/** {@link unixListener} over a chosen kind of sockets, which is looked for at the first listen. */
export function unixListenerOver(options: UnixListenerOptions, sockets: () => UnixSockets): Protocol {
  const policy = socketPolicy(options.allow)
  const widest = requireInteger('mode', options.mode ?? OWNER_ONLY, 0, 0o777)
  const backlog = requireInteger('backlog', options.backlog ?? 128, 1, 65_535)
  const clock = options.clock ?? systemClock
  return listenerProtocol<ListenRequest>({
    name: LISTENER,
    clock,
    ...listenerLimits(options),
    descriptors: DESCRIPTORS,
    parse: (params) => unwrap(decodeListener(params)),
    async bind(_request, { address, mode }, slots) {
      if ((mode & ~widest) !== 0) throw new TrunkError('ERR_DENIED', 'a socket of such a mode is not allowed here')
      const listen = (onReady: () => void) => {
        return listenUnix(address, { policy, mode, backlog, sockets: sockets() }, onReady)
      }
      return await Acceptor.over(listen, { slots, clock })
    },
    listening: (listener) => ({ op: 'listen', listener }),
    accepted: (request) => ({ op: 'accept', request }),
  })
}
