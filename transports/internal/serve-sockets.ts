/**
 * Listening with Node's servers, for tcp and unix. Promises: a listener that stands when the call
 * resolves, or a rejection (ERR_ADDRESS_*, ERR_BIND_DENIED, or the signal's reason) after which
 * nothing is left. Bounds: a kernel backlog of 512, and 128 accepted links that wait to be taken.
 */
import type { ListenOptions, Server, Socket } from 'node:net'
import { linkError, listenError } from '../../src/runtime/net-errors.ts'
import type { Link, TransportOptions } from '../../src/contracts/types.ts'
import { KERNEL_BACKLOG, LinkListener } from './link-listener.ts'

/** What {@link serveSockets} listens with. */
export interface SocketServer {
  readonly server: Server
  readonly listen: ListenOptions
  /** How messages name the address. */
  readonly target: string
  /**
   * The real address, asked when the server listens; what it does beforehand (renaming, modes) may
   * fail.
   */
  readonly address: () => string | Promise<string>
  /** Claims the socket; undefined where its link is pushed later, or never. */
  readonly toLink: (socket: Socket) => Link | undefined
  /** Called when the server no longer listens. Must not throw. */
  readonly release?: () => void
}

/** Starts to listen. */
export async function serveSockets(setup: SocketServer, options: TransportOptions): Promise<LinkListener> {
  const { server, target, toLink } = setup
  options.signal.throwIfAborted()
  let listener: LinkListener | undefined
  server.on('connection', (socket: Socket) => {
    if (listener === undefined) {
      socket.destroy()
      return
    }
    const link = toLink(socket)
    if (link !== undefined) listener.push(link)
  })
  try {
    await listening(server, setup.listen)
    options.signal.throwIfAborted()
    listener = new LinkListener(await setup.address(), () => {
      // The callback of close() waits for accepted links, which are left alone; the address itself
      // is free at once.
      server.close()
      setup.release?.()
    })
    server.on('error', (error) => {
      listener?.finish(linkError(error))
    })
    return listener
  } catch (error) {
    server.close()
    if (options.signal.aborted) throw options.signal.reason
    throw listenError(error, target, 'link')
  }
}

function listening(server: Server, listen: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ backlog: KERNEL_BACKLOG, ...listen }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
