/**
 * A port of this machine whose connections a forward takes, each to a place of its own; what comes
 * beyond waits in the kernel.
 */
import type { Connection } from '../../../protocols/tcp/connection.ts'
import { literalsOf } from '../../../protocols/tcp/resolve.ts'
import { Slots } from '../../../protocols/tcp/slots.ts'
import { Acceptor } from '../../../protocols/tcp-listener/acceptor.ts'
import { systemSource } from '../../../protocols/tcp-listener/system-source.ts'
import { TrunkError } from '../../contracts/errors.ts'
import { formatHostPort } from '../../runtime/host-port.ts'
import { listenError } from '../../runtime/net-errors.ts'
import type { Context } from '../context.ts'
import { MAX_CONNECTIONS } from './forward.ts'
import type { Forward } from './forward.ts'
import type { ListenSpec } from './spec.ts'

const DEFAULT_BIND = '127.0.0.1'

/** Connections that the kernel holds while {@link MAX_CONNECTIONS} are served. */
const BACKLOG = 511

/**
 * Listens at `at`. Rejects with ERR_ADDRESS_IN_USE and the like.
 * @param to what stands behind the arrow
 * @param serve is given each connection, and owns it; it never rejects
 */
export async function acceptHere(
  context: Context,
  at: ListenSpec,
  to: string,
  serve: (connection: Connection, description: string) => Promise<void>,
): Promise<Forward> {
  const slots = new Slots(MAX_CONNECTIONS)
  const acceptor = await bind(context, slots, at.bind ?? DEFAULT_BIND, at.port)
  const { address, port } = acceptor.local
  const description = `${formatHostPort(address, port)} -> ${to}`
  const ended = takeAll(acceptor, (connection) => {
    void serve(connection, description).then(() => slots.release())
  })
  return { description, port, close: () => acceptor.close(), ended }
}

async function bind({ clock }: Context, slots: Slots, host: string, port: number): Promise<Acceptor> {
  try {
    const [address = host] = await literalsOf(host)
    return await Acceptor.listen({ address, port }, { open: systemSource(), backlog: BACKLOG, slots, clock })
  } catch (error) {
    throw listenError(error, formatHostPort(host, port))
  }
}

/** Resolves when the acceptor is closed. */
async function takeAll(acceptor: Acceptor, take: (connection: Connection) => void): Promise<void> {
  try {
    for (;;) take(await acceptor.next())
  } catch (error) {
    // that is how it tells of its end
    if (!(error instanceof TrunkError) || error.code !== 'ERR_LISTENER_UNKNOWN') throw error
  }
}
