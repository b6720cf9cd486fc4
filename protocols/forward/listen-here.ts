/**
 * A port of this machine whose connections a forward takes, each to a place of its own; what comes
 * beyond waits in the kernel.
 */
import { abortError, TrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import type { Trunk } from '../../src/contracts/types.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { listenError } from '../../src/runtime/net-errors.ts'
import { unlessAborted } from '../../src/runtime/on-abort.ts'
import type { Connection } from '../tcp/connection.ts'
import { literalsOf } from '../tcp/resolve.ts'
import { Slots } from '../tcp/slots.ts'
import { Acceptor } from '../tcp-listener/acceptor.ts'
import type { TcpBind } from '../tcp-listener/client.ts'
import { DEFAULT_HOST } from '../tcp-listener/messages.ts'
import { systemSource } from '../tcp-listener/system-source.ts'
import type { Carrying } from './carry.ts'
import { connectionsOf, RunningForward } from './running.ts'
import type { Forward, ForwardOptions } from './types.ts'

/** Connections that the kernel holds while as many as are allowed are served. */
const BACKLOG = 511

/** What becomes of the connections. */
export interface Served {
  /** What is behind the arrow. */
  readonly to: string
  /** Is given each connection, and owns it. Rejects with why it led nowhere. */
  readonly serve: (connection: Connection, carrying: Carrying) => Promise<void>
}

/** Listens. Rejects with ERR_ADDRESS_IN_USE and the like, or the signal's reason. */
export async function listenHere(trunk: Trunk, options: ForwardOptions, { to, serve }: Served): Promise<Forward> {
  const { signal, onFailure, clock = systemClock } = options
  const slots = new Slots(connectionsOf(options))
  const { host = DEFAULT_HOST, port } = options.listen
  requireInteger('listen.port', port, 0, 65_535)
  const acceptor = await bind({ host, port, signal }, (address) =>
    Acceptor.listen({ address, port }, { open: systemSource(), backlog: BACKLOG, slots, clock }),
  )
  const { local } = acceptor
  const forward = new RunningForward({
    trunk,
    address: { host: local.address, port: local.port },
    side: '',
    to,
    ...(signal && { signal }),
    ...(onFailure && { onFailure }),
    stop() {
      acceptor.close()
      return Promise.resolve()
    },
  })
  const carrying = { broken: forward.broken, clock }
  takeAll(acceptor, (connection) => {
    void forward.carry(() => serve(connection, carrying)).then(() => slots.release())
  }).catch((error: unknown) => forward.fail(error))
  return forward
}

async function bind(
  { host, port, signal }: TcpBind & { readonly host: string; readonly signal: AbortSignal | undefined },
  listen: (address: string) => Promise<Acceptor>,
): Promise<Acceptor> {
  if (signal?.aborted === true) throw abortError(signal)
  try {
    const names = literalsOf(host)
    const [address = host] = signal === undefined ? await names : await unlessAborted(names, signal)
    return await listen(address)
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
