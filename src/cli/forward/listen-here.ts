/**
 * `-L`: listens on this machine; for each connection the peer dials. The local socket stands before the peer has answered:
 * nothing is read from it until then, and where the peer refuses it is reset, which tells its client the truth. A connection that comes while there is
 * no session waits for one, for as long as connecting may take.
 */
import type { Connection } from '../../../protocols/tcp/connection.ts'
import { literalsOf } from '../../../protocols/tcp/resolve.ts'
import { Slots } from '../../../protocols/tcp/slots.ts'
import { tcpConnect } from '../../../protocols/tcp-connection.ts'
import type { TcpPipe, TcpTarget } from '../../../protocols/tcp-connection.ts'
import { Acceptor } from '../../../protocols/tcp-listener/acceptor.ts'
import { systemSource } from '../../../protocols/tcp-listener/system-source.ts'
import { Backoff } from '../../runtime/backoff.ts'
import { DEFAULT_LIMITS } from '../../index.ts'
import type { Trunk } from '../../index.ts'
import type { Timer } from '../../runtime/clock.ts'
import { TrunkError } from '../../contracts/errors.ts'
import { formatHostPort } from '../../runtime/host-port.ts'
import { listenError } from '../../runtime/net-errors.ts'
import type { Context } from '../context.ts'
import { formatDuration } from '../format.ts'
import { carry, MAX_CONNECTIONS, sayConnectionError } from './forward.ts'
import type { Forward } from './forward.ts'
import type { ForwardSpec } from './spec.ts'

const DEFAULT_BIND = '127.0.0.1'

/** Connections that the kernel holds while {@link MAX_CONNECTIONS} are served. */
const BACKLOG = 511

/** Listens for `spec`. Rejects with ERR_ADDRESS_IN_USE and the like. */
export async function listenHere(context: Context, trunk: Trunk, spec: ForwardSpec): Promise<Forward> {
  const slots = new Slots(MAX_CONNECTIONS)
  const acceptor = await bind(context, slots, spec.bind ?? DEFAULT_BIND, spec.port)
  const { address, port } = acceptor.local
  const target = { host: spec.host, port: spec.hostPort }
  const description = `${formatHostPort(address, port)} -> ${formatHostPort(target.host, target.port)}`
  const ended = takeAll(acceptor, (connection) => {
    void forwardOne(context, trunk, connection, target, description).then(() => slots.release())
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
  const timer = giveUpInTime(context, trunk, gone)
  try {
    const pipe = await connectInTurn(context, trunk, target, gone.signal)
    timer.cancel()
    await carry(pipe, connection)
  } catch (error) {
    timer.cancel()
    const { left } = client
    connection.reset()
    if (!left) sayConnectionError(context, description, error)
  }
}

/** Has the peer connect. Where it has as many connections as it wants, which other forwards may have as well, it is asked again until one has ended. */
async function connectInTurn(
  { clock }: Context,
  trunk: Trunk,
  target: TcpTarget,
  signal: AbortSignal,
): Promise<TcpPipe> {
  const until = clock.now() + DEFAULT_LIMITS.connectTimeoutMs
  const backoff = new Backoff({ limits: DEFAULT_LIMITS, clock })
  for (;;) {
    try {
      return await tcpConnect(trunk, target, { signal })
    } catch (error) {
      if (!(error instanceof TrunkError) || error.code !== 'ERR_CONNECTION_LIMIT') throw error
      const leftMs = until - clock.now()
      if (leftMs <= 0) throw error
      await backoff.wait(signal, leftMs)
    }
  }
}

/** Asks for the state only when the time is over: it costs more than a timer, and more with each connection that there is. */
function giveUpInTime(context: Context, trunk: Trunk, gone: AbortController): Timer {
  const { connectTimeoutMs } = DEFAULT_LIMITS
  return context.clock.after(connectTimeoutMs, () => {
    // then it is the peer that takes its time, which it bounds itself
    if (trunk.status().state === 'open') return
    const sentence = `no session with the peer for ${formatDuration(connectTimeoutMs)}`
    gone.abort(new TrunkError('ERR_CONNECT_TIMEOUT', sentence))
  })
}
