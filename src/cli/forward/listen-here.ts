/**
 * `-L`: listens on this machine; for each connection the peer dials. The local socket stands before the peer has answered:
 * nothing is read from it until then, and where the peer refuses it is reset, which tells its client the truth. A connection that comes while there is
 * no session waits for one, for as long as connecting may take.
 */
import type { Connection } from '../../../protocols/tcp/connection.ts'
import type { TcpTarget } from '../../../protocols/tcp-connection.ts'
import { connectInTurn } from '../../../protocols/tcp-connection/in-turn.ts'
import type { Trunk } from '../../index.ts'
import { formatHostPort } from '../../runtime/host-port.ts'
import type { Context } from '../context.ts'
import { acceptHere } from './accept-here.ts'
import { carry, sayConnectionError } from './forward.ts'
import type { Forward } from './forward.ts'
import type { ForwardSpec } from './spec.ts'

/** Listens for `spec`. Rejects with ERR_ADDRESS_IN_USE and the like. */
export async function listenHere(context: Context, trunk: Trunk, spec: ForwardSpec): Promise<Forward> {
  const target = { host: spec.host, port: spec.hostPort }
  return await acceptHere(context, spec, formatHostPort(target.host, target.port), (connection, description) =>
    forwardOne(context, trunk, connection, target, description),
  )
}

/** Never rejects: what goes wrong ends this connection only, and is one line. */
async function forwardOne(
  context: Context,
  trunk: Trunk,
  connection: Connection,
  target: TcpTarget,
  description: string,
): Promise<void> {
  const gone = new AbortController()
  const client = { left: false }
  // A client that gives up while the peer still dials gives its pipe back.
  connection.onGone(() => {
    client.left = true
    gone.abort()
  })
  try {
    const pipe = await connectInTurn(trunk, target, { stop: gone, clock: context.clock })
    await carry(pipe, connection)
  } catch (error) {
    const { left } = client
    connection.reset()
    if (!left) sayConnectionError(context, description, error)
  }
}
