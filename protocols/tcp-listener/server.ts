/**
 * The serving side of `tcp-listener`: what is bound, and by which rules. serving.ts does the rest.
 */
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { accountOf } from '../../src/runtime/budgets.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { listenError } from '../../src/runtime/net-errors.ts'
import { addressPolicy, type AddressPolicy } from '../tcp/policy.ts'
import type { PipeRequest, Protocol } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import { resolveAllowed, type Lookup } from '../tcp/resolve.ts'
import type { Slots } from '../tcp/slots.ts'
import { addressesOf } from '../tcp/tcp-fields.ts'
import { Acceptor, type OpenSource } from './acceptor.ts'
import { decodeRequest, encodeReply, NAME, type ListenRequest } from './messages.ts'
import { listenerLimits, listenerProtocol } from './serving.ts'
import { systemSource } from './system-source.ts'

/** Options of {@link tcpListener}. */
export interface TcpListenerOptions {
  /**
   * What the peer may have bound: `127.0.0.1:8080`, `127.0.0.1:*`, `[::1]:8000-8100`. Port 0 needs
   * a rule with `0` or `*`. A wildcard address is bound only for a rule that names it
   * (`0.0.0.0:8080`, `[::]:8080`). The rules are those of protocols/tcp/policy.ts.
   */
  allow: readonly string[]
  /** Listeners that one trunk may have at a time. @default 16 */
  maxListeners?: number
  /**
   * Connections that the listeners of one trunk may have at a time; further ones wait in the
   * kernel. @default 256
   */
  maxConnections?: number
  /** Connections that the kernel holds for each listener before it turns more away. @default 128 */
  backlog?: number
  /** How names to bind are resolved. @default the system's resolver */
  lookup?: Lookup
  /** The clock of all time limits. @default the machine's monotonic clock */
  clock?: Clock
}

interface Settings {
  readonly policy: AddressPolicy
  readonly backlog: number
  readonly lookup: Lookup | undefined
  readonly clock: Clock
  readonly open: () => OpenSource
}

/**
 * Lets the peer listen for TCP connections through us. Throws ERR_BAD_ARGUMENT at once for a bad
 * rule or number.
 *
 * It refuses with ERR_PARAMS_INVALID, ERR_DENIED, ERR_ADDRESS_IN_USE, ERR_BIND_DENIED,
 * ERR_ADDRESS_UNAVAILABLE, ERR_NAME_NOT_FOUND, ERR_LISTENER_LIMIT and ERR_LISTENER_UNKNOWN.
 *
 * @example
 * ```ts
 * const server = await serve(address, { protocols: [tcpListener({ allow: ['127.0.0.1:8080'] })] })
 * ```
 */
export function tcpListener(options: TcpListenerOptions): Protocol {
  return listenerOver(options, systemSource)
}

/** {@link tcpListener} over a chosen kind of source, which is looked for at the first listen. */
export function listenerOver(options: TcpListenerOptions, open: () => OpenSource): Protocol {
  const settings: Settings = {
    policy: addressPolicy(options.allow),
    backlog: requireInteger('backlog', options.backlog ?? 128, 1, 65_535),
    lookup: options.lookup,
    clock: options.clock ?? systemClock,
    open,
  }
  return listenerProtocol<ListenRequest>({
    clock: settings.clock,
    name: NAME,
    ...listenerLimits(options),
    descriptors: 1,
    parse: (params) => unwrap(decodeRequest(params)),
    bind: (request, params, slots) => bind(request, params, slots, settings),
    listening(listener, { local }) {
      return encodeReply({ op: 'listen', listener, host: local.address, port: local.port })
    },
    accepted: (request, connection) => encodeReply({ op: 'accept', request, ...addressesOf(connection) }),
  })
}

async function bind(request: PipeRequest, params: ListenRequest, slots: Slots, settings: Settings): Promise<Acceptor> {
  const { host, port } = params
  const { policy, lookup, backlog, clock } = settings
  const [address = host] = await resolveAllowed(host, port, {
    policy,
    lookup,
    lookups: accountOf(request.trunk).lookups,
    signal: request.signal,
  })
  try {
    return await Acceptor.listen({ address, port }, { open: settings.open(), backlog, slots, clock })
  } catch (error) {
    throw listenError(error, formatHostPort(host, port))
  }
}
