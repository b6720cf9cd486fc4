/**
 * `-L`: listens on this machine; for each connection the peer dials. The local socket stands before the peer has answered:
 * nothing is read from it until then, and where the peer refuses it is reset, which tells its client the truth. A connection that comes while there is
 * no session waits for one, for as long as connecting may take.
 */
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { resetSocket } from '../../../protocols/internal/reset-socket.ts'
import { tcpConnect } from '../../../protocols/tcp-connection.ts'
import { DEFAULT_LIMITS } from '../../index.ts'
import type { Trunk } from '../../index.ts'
import type { Timer } from '../../clock.ts'
import { TrunkError } from '../../errors.ts'
import { listenError } from '../../net-errors.ts'
import type { Context } from '../context.ts'
import { formatDuration } from '../format.ts'
import { join, MAX_CONNECTIONS, sayConnectionError } from './forward.ts'
import type { Forward } from './forward.ts'
import { formatTarget } from './spec.ts'
import type { ForwardSpec } from './spec.ts'

const DEFAULT_BIND = '127.0.0.1'

/** Listens for `spec`. Rejects with ERR_ADDRESS_IN_USE and the like. */
export async function listenHere(context: Context, trunk: Trunk, spec: ForwardSpec): Promise<Forward> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true })
  server.maxConnections = MAX_CONNECTIONS
  const { address, port } = await bind(server, spec.bind ?? DEFAULT_BIND, spec.port)
  const target = { host: spec.host, port: spec.hostPort }
  const description = `${formatTarget(address, port)} -> ${formatTarget(target.host, target.port)}`
  server.on('connection', (socket: Socket) => {
    void forwardOne(context, trunk, socket, target, description)
  })
  const ended = new Promise<void>((resolve, reject) => {
    server.once('close', resolve)
    server.once('error', (error) => reject(listenError(error, description)))
  })
  return { description, close: () => server.close(), ended }
}

function bind(server: Server, host: string, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(listenError(error, formatTarget(host, port)))
    server.once('error', failed)
    server.listen({ host, port }, () => {
      server.removeListener('error', failed)
      resolve(server.address() as AddressInfo)
    })
  })
}

/** Never rejects: what goes wrong ends this connection only, and is one line. */
async function forwardOne(
  context: Context,
  trunk: Trunk,
  socket: Socket,
  target: { host: string; port: number },
  description: string,
): Promise<void> {
  const gone = new AbortController()
  const leave = (): void => gone.abort()
  // A client that gives up while the peer still dials gives its pipe back.
  socket.once('close', leave).on('error', leave)
  const timer = giveUpInTime(context, trunk, gone)
  try {
    const pipe = await tcpConnect(trunk, target, { signal: gone.signal })
    timer.cancel()
    socket.removeListener('close', leave)
    await join(pipe, socket)
  } catch (error) {
    timer.cancel()
    const left = socket.destroyed
    resetSocket(socket)
    if (!left) sayConnectionError(context, description, error)
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
