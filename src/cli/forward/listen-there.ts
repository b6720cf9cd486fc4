/** `-R`: the peer listens; for each of its connections this machine dials. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { tcpListen } from '../../../protocols/tcp-listener.ts'
import type { Pipe, Trunk } from '../../index.ts'
import { toTrunkError } from '../../errors.ts'
import { connectError } from '../../net-errors.ts'
import type { Context } from '../context.ts'
import { join, MAX_CONNECTIONS, sayConnectionError } from './forward.ts'
import type { Forward } from './forward.ts'
import { formatTarget } from './spec.ts'
import type { ForwardSpec } from './spec.ts'

/** Asks the peer to listen for `spec`. Rejects with its refusal. */
export async function listenThere(context: Context, trunk: Trunk, spec: ForwardSpec): Promise<Forward> {
  const listener = await tcpListen(trunk, {
    port: spec.port,
    ...(spec.bind === undefined ? {} : { host: spec.bind }),
  })
  const { host, port } = listener.address
  const description = `peer ${formatTarget(host, port)} -> ${formatTarget(spec.host, spec.hostPort)}`
  const ended = acceptAll(context, listener, spec, description)
  return { description, close: () => void listener.close(), ended }
}

/** At most MAX_CONNECTIONS at a time: the next one is asked for when one has ended, so the rest waits at the peer's kernel. */
async function acceptAll(
  context: Context,
  pipes: AsyncIterable<Pipe>,
  spec: ForwardSpec,
  description: string,
): Promise<void> {
  let active = 0
  let wake: (() => void) | undefined
  for await (const pipe of pipes) {
    active += 1
    void forwardOne(context, pipe, spec, description).then(() => {
      active -= 1
      wake?.()
    })
    while (active >= MAX_CONNECTIONS) await new Promise<void>((resolve) => (wake = resolve))
  }
}

/** Never rejects: what goes wrong ends this connection only, and is one line. */
async function forwardOne(context: Context, pipe: Pipe, spec: ForwardSpec, description: string): Promise<void> {
  let socket: Socket
  try {
    socket = await dial(spec.host, spec.hostPort, pipe.signal)
  } catch (error) {
    pipe.abort(toTrunkError(error, 'ERR_CONNECT_UNREACHABLE', 'the connection could not be made'))
    sayConnectionError(context, description, error)
    return
  }
  await join(pipe, socket)
}

function dial(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
    const stop = (): void => void socket.destroy(new Error('the peer has gone'))
    const failed = (error: Error): void => {
      signal.removeEventListener('abort', stop)
      reject(connectError(error, formatTarget(host, port)))
    }
    socket.once('error', failed)
    socket.once('connect', () => {
      signal.removeEventListener('abort', stop)
      socket.removeListener('error', failed)
      resolve(socket)
    })
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}
