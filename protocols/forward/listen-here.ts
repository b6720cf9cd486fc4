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
import { requireAddress } from '../unix/address.ts'
import { listenUnix, systemSockets } from '../unix/listen.ts'
import type { UnixBind } from '../unix/listener-client.ts'
import { OWNER_ONLY } from '../unix/messages.ts'
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
  const accepting = { slots, clock }
  const { acceptor, address } =
    'path' in options.listen
      ? await bindSocket(options.listen, signal, accepting)
      : await bindPort(options.listen, signal, accepting)
  const forward = new RunningForward({
    trunk,
    address,
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

interface Bound {
  readonly acceptor: Acceptor
  readonly address: Forward['address']
}

type Accepting = Pick<Parameters<typeof Acceptor.over>[1], 'slots' | 'clock'>

async function bindPort(at: TcpBind, signal: AbortSignal | undefined, accepting: Accepting): Promise<Bound> {
  const { host = DEFAULT_HOST, port } = at
  requireInteger('listen.port', port, 0, 65_535)
  if (signal?.aborted === true) throw abortError(signal)
  try {
    const names = literalsOf(host)
    const [address = host] = signal === undefined ? await names : await unlessAborted(names, signal)
    const acceptor = await Acceptor.listen({ address, port }, { open: systemSource(), backlog: BACKLOG, ...accepting })
    return { acceptor, address: { host: acceptor.local.address, port: acceptor.local.port } }
  } catch (error) {
    throw listenError(error, formatHostPort(host, port))
  }
}

async function bindSocket(at: UnixBind, signal: AbortSignal | undefined, accepting: Accepting): Promise<Bound> {
  const { path, mode = OWNER_ONLY } = at
  const address = requireAddress(path)
  requireInteger('listen.mode', mode, 0, 0o777)
  if (signal?.aborted === true) throw abortError(signal)
  // this machine's own user has named it
  const options = { policy: undefined, mode, backlog: BACKLOG, sockets: systemSockets() }
  const acceptor = await Acceptor.over((onReady) => listenUnix(address, options, onReady), accepting)
  return { acceptor, address: { host: '', port: 0, path } }
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
