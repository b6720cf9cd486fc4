/**
 * The serving side of `tcp-listener`: binds for the peer, and answers each of its accept requests
 * with a connection.
 *
 * Enforces: the allow-list, `maxListeners` and `maxConnections` per trunk. A listener belongs to
 * the pipe that asked for it and is known only on the trunk of that pipe.
 */
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { accountOf, NO_DESCRIPTOR } from '../../src/runtime/budgets.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { defineProtocol } from '../../src/contracts/protocol.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { listenError } from '../../src/runtime/net-errors.ts'
import { addressPolicy, type AddressPolicy } from '../tcp/policy.ts'
import type { Pipe, PipeRequest, Protocol } from '../../src/contracts/types.ts'
import { join } from '../tcp/bridge.ts'
import { unwrap } from '../internal/decoded.ts'
import { perTrunk } from '../internal/per-trunk.ts'
import { resolveAllowed, type Lookup } from '../tcp/resolve.ts'
import { Slots } from '../tcp/slots.ts'
import { addressesOf } from '../tcp/tcp-fields.ts'
import { Acceptor, type OpenSource } from './acceptor.ts'
import {
  decodeRequest,
  encodeReply,
  NAME,
  type AcceptRequest,
  type ListenerRequest,
  type ListenRequest,
} from './messages.ts'
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
  /** @default the machine's monotonic clock */
  clock?: Clock
}

interface Settings {
  readonly policy: AddressPolicy
  readonly maxListeners: number
  readonly backlog: number
  readonly lookup: Lookup | undefined
  readonly clock: Clock
  readonly open: () => OpenSource
}

/** The listeners of one trunk. */
interface State {
  readonly listeners: Map<number, Acceptor>
  /** Those being bound count as well. */
  count: number
  nextId: number
  readonly slots: Slots
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
    maxListeners: requireInteger('maxListeners', options.maxListeners ?? 16, 1, 100_000),
    backlog: requireInteger('backlog', options.backlog ?? 128, 1, 65_535),
    lookup: options.lookup,
    clock: options.clock ?? systemClock,
    open,
  }
  const maxConnections = requireInteger('maxConnections', options.maxConnections ?? 256, 1, 100_000)
  const stateOf = perTrunk<State>((trunk) => ({
    listeners: new Map(),
    count: 0,
    nextId: 1,
    slots: new Slots(maxConnections, accountOf(trunk).descriptors),
  }))
  return defineProtocol<ListenerRequest>({
    name: NAME,
    // what the other end of a connection sent before it was cut is delivered first
    readBeforeReset: true,
    parse: (params) => unwrap(decodeRequest(params)),
    async handle(request) {
      const state = stateOf(request.trunk)
      const { params } = request
      if (params.op === 'listen') await serveListen(request, params, state, settings)
      else await serveAccept(request, params, state)
    },
  })
}

/** Binds, and holds the port until the pipe or its session ends. */
async function serveListen(
  request: PipeRequest,
  params: ListenRequest,
  state: State,
  settings: Settings,
): Promise<void> {
  if (state.count >= settings.maxListeners) {
    throw new TrunkError('ERR_LISTENER_LIMIT', `this trunk has its ${settings.maxListeners} listeners`)
  }
  const { descriptors } = accountOf(request.trunk)
  if (!descriptors.takeOrRefuse(1)) throw new TrunkError('ERR_LISTENER_LIMIT', NO_DESCRIPTOR)
  state.count += 1
  const listener = state.nextId
  state.nextId += 1
  let acceptor: Acceptor | undefined
  try {
    acceptor = await bind(request, params, state.slots, settings)
    state.listeners.set(listener, acceptor)
    const { address, port } = acceptor.local
    const pipe = request.accept(encodeReply({ op: 'listen', listener, host: address, port }))
    await untilEnded(pipe)
  } finally {
    state.listeners.delete(listener)
    state.count -= 1
    acceptor?.close()
    descriptors.give(1)
  }
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

/**
 * The pipe of a listener carries nothing; its end is the listener's. Throws when it, or its
 * session, fails.
 */
async function untilEnded(pipe: Pipe): Promise<void> {
  for await (const chunk of pipe.source) {
    if (chunk.byteLength > 0) throw new TrunkError('ERR_MESSAGE_INVALID', 'the pipe of a listener carries no bytes')
  }
}

/** Waits for a connection, then carries it. */
async function serveAccept(request: PipeRequest, params: AcceptRequest, state: State): Promise<void> {
  const acceptor = state.listeners.get(params.listener)
  if (acceptor === undefined) throw new TrunkError('ERR_LISTENER_UNKNOWN', `there is no listener ${params.listener}`)
  const connection = await acceptor.next(request.signal)
  try {
    const pipe = request.accept(encodeReply({ op: 'accept', request: params.request, ...addressesOf(connection) }))
    await join(pipe, connection).over
  } finally {
    // Harmless after the bridge; where the pipe could not be had, the connection is not left
    // hanging.
    connection.reset()
    state.slots.release()
  }
}
