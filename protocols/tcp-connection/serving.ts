/**
 * What the serving sides of `tcp-connection` and `unix-connection` have in common: a place is
 * taken, the connection is made, and only then is the pipe accepted and joined to it.
 *
 * Enforces: `maxConnections` per trunk, and a descriptor for each of those that all trunks share.
 */
import { accountOf, NO_DESCRIPTOR } from '../../src/runtime/budgets.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { defineProtocol } from '../../src/contracts/protocol.ts'
import type { PipeRequest, Protocol } from '../../src/contracts/types.ts'
import { perTrunk } from '../internal/per-trunk.ts'
import { join } from '../tcp/bridge.ts'
import type { Connection } from '../tcp/connection.ts'
import { Slots } from '../tcp/slots.ts'

/** How a protocol connects, and how it says so. */
export interface ConnectionKind<Request> {
  readonly name: string
  readonly maxConnections: number
  readonly clock: Clock
  /** Throws a `TrunkError`. */
  parse(params: unknown): Request
  /** Rejects with the refusal. The connection is the caller's. */
  connect(request: PipeRequest<Request>): Promise<Connection>
  /** What the acceptance carries. */
  replyOf(connection: Connection): unknown
}

/** The protocol of a kind of connection. */
export function connectionProtocol<Request>(kind: ConnectionKind<Request>): Protocol {
  const slotsOf = perTrunk((trunk) => new Slots(kind.maxConnections, accountOf(trunk).descriptors))
  return defineProtocol<Request>({
    name: kind.name,
    // what the other end of a connection sent before it was cut is delivered first
    readBeforeReset: true,
    parse: (params) => kind.parse(params),
    async handle(request) {
      const slots = slotsOf(request.trunk)
      if (!slots.take()) {
        const why = slots.full ? `this trunk has its ${slots.max} connections` : NO_DESCRIPTOR
        throw new TrunkError('ERR_CONNECTION_LIMIT', why)
      }
      try {
        await carry(request, kind)
      } finally {
        slots.release()
      }
    },
  })
}

async function carry<Request>(request: PipeRequest<Request>, kind: ConnectionKind<Request>): Promise<void> {
  const connection = await kind.connect(request)
  try {
    const pipe = request.accept(kind.replyOf(connection))
    await join(pipe, connection, kind.clock).over
  } finally {
    // Harmless after the bridge; where the pipe could not be had, the connection is not left
    // hanging.
    connection.reset()
  }
}
