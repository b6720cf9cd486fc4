/**
 * What the serving sides of `tcp-listener` and `unix-listener` have in common: a listener is bound
 * for the peer, and each of its accept requests is answered with a connection.
 *
 * Enforces: `maxListeners` and `maxConnections` per trunk, and the descriptors that all trunks
 * share. A listener belongs to the pipe that asked for it and is known only on the trunk of that
 * pipe.
 */
import { accountOf, NO_DESCRIPTOR } from '../../src/runtime/budgets.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { defineProtocol } from '../../src/contracts/protocol.ts'
import type { Pipe, PipeRequest, Protocol } from '../../src/contracts/types.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { perTrunk } from '../internal/per-trunk.ts'
import { join } from '../tcp/bridge.ts'
import type { Connection } from '../tcp/connection.ts'
import { Slots } from '../tcp/slots.ts'
import type { Acceptor } from './acceptor.ts'
import type { AcceptRequest } from './messages.ts'

/** What is bound by a request, and how the protocol says it. */
export interface ListenerKind<Listen extends { readonly op: 'listen' }> extends ListenerLimits {
  readonly name: string
  readonly clock: Clock
  /** Descriptors that a listener takes. */
  readonly descriptors: number
  /** Throws a `TrunkError`. */
  parse(params: unknown): Listen | AcceptRequest
  /** Rejects with the refusal. The acceptor is the caller's. */
  bind(request: PipeRequest, params: Listen, slots: Slots): Promise<Acceptor>
  /** The reply to a request to listen. */
  listening(listener: number, acceptor: Acceptor, params: Listen): unknown
  /** The reply to a request to accept. */
  accepted(request: number, connection: Connection): unknown
}

/** What one trunk may have at a time. */
export interface ListenerLimits {
  readonly maxListeners: number
  readonly maxConnections: number
}

/** The limits that a user gives; ERR_BAD_ARGUMENT for a bad one. */
export function listenerLimits(options: Partial<ListenerLimits>): ListenerLimits {
  return {
    maxListeners: requireInteger('maxListeners', options.maxListeners ?? 16, 1, 100_000),
    maxConnections: requireInteger('maxConnections', options.maxConnections ?? 256, 1, 100_000),
  }
}

/** The listeners of one trunk. */
interface State {
  readonly listeners: Map<number, Acceptor>
  /** Those being bound count as well. */
  count: number
  nextId: number
  readonly slots: Slots
}

/** The protocol of a kind of listener. */
export function listenerProtocol<Listen extends { readonly op: 'listen' }>(kind: ListenerKind<Listen>): Protocol {
  const stateOf = perTrunk<State>((trunk) => ({
    listeners: new Map(),
    count: 0,
    nextId: 1,
    slots: new Slots(kind.maxConnections, accountOf(trunk).descriptors),
  }))
  return defineProtocol<Listen | AcceptRequest>({
    name: kind.name,
    // what the other end of a connection sent before it was cut is delivered first
    readBeforeReset: true,
    parse: (params) => kind.parse(params),
    async handle(request) {
      const state = stateOf(request.trunk)
      const { params } = request
      if (params.op === 'listen') await serveListen(request, params, state, kind)
      else await serveAccept(request, params, state, kind)
    },
  })
}

/** Binds, and holds what was bound until the pipe or its session ends. */
async function serveListen<Listen extends { readonly op: 'listen' }>(
  request: PipeRequest,
  params: Listen,
  state: State,
  kind: ListenerKind<Listen>,
): Promise<void> {
  if (state.count >= kind.maxListeners) {
    throw new TrunkError('ERR_LISTENER_LIMIT', `this trunk has its ${kind.maxListeners} listeners`)
  }
  const { descriptors } = accountOf(request.trunk)
  if (!descriptors.takeOrRefuse(kind.descriptors)) throw new TrunkError('ERR_LISTENER_LIMIT', NO_DESCRIPTOR)
  state.count += 1
  const listener = state.nextId
  state.nextId += 1
  let acceptor: Acceptor | undefined
  try {
    acceptor = await kind.bind(request, params, state.slots)
    state.listeners.set(listener, acceptor)
    const pipe = request.accept(kind.listening(listener, acceptor, params))
    await untilEnded(pipe)
  } finally {
    state.listeners.delete(listener)
    state.count -= 1
    acceptor?.close()
    descriptors.give(kind.descriptors)
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
async function serveAccept(
  request: PipeRequest,
  params: AcceptRequest,
  state: State,
  kind: Pick<ListenerKind<never>, 'accepted' | 'clock'>,
): Promise<void> {
  const acceptor = state.listeners.get(params.listener)
  if (acceptor === undefined) throw new TrunkError('ERR_LISTENER_UNKNOWN', `there is no listener ${params.listener}`)
  const connection = await acceptor.next(request.signal)
  try {
    const pipe = request.accept(kind.accepted(params.request, connection))
    await join(pipe, connection, kind.clock).over
  } finally {
    // Harmless after the bridge; where the pipe could not be had, the connection is not left
    // hanging.
    connection.reset()
    state.slots.release()
  }
}
