/**
 * The host's side of a virtual serial port where the hypervisor gives it as a socket (QEMU's and
 * libvirt's character devices), or as the stdin and stdout of a command.
 *
 * Promises: one link at a time; ending one side alone is never tried, since QEMU answers it by
 * closing both; `close` ends our side after everything that was written and waits until QEMU, which
 * reads to that end, has closed: a socket that is closed at once takes unread bytes with it.
 * Assumes nothing of who is behind the device. Bounds: those of tcp, unix and exec, and one
 * connection that waits for the one before it to be over.
 */
import { connect, createServer, type Socket } from 'node:net'
import { TrunkError } from '../../src/contracts/errors.ts'
import { withDeadline } from '../../src/runtime/deadline.ts'
import { formatHostPort } from '../../src/runtime/host-port.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import type { Link, Listener, TransportOptions } from '../../src/contracts/types.ts'
import { startChild } from '../internal/child-link.ts'
import { dialDuplex } from '../internal/dial-duplex.ts'
import type { LinkListener } from '../internal/link-listener.ts'
import { serveSockets, type SocketServer } from '../internal/serve-sockets.ts'
import { PooledReader } from '../internal/pooled-reader.ts'
import type { SocketAccess } from '../internal/socket-access.ts'
import { socketLink, type ClosingLink } from '../internal/socket-link.ts'
import { claimSocketPath } from '../internal/unix-path.ts'

/**
 * How long a TCP peer may be silent before the kernel asks for it: what is behind a serial line may
 * say nothing for days.
 */
const KEEPALIVE_MS = 30_000

/** Connects to a character-device socket. */
export function dialUnix(path: string, address: string, options: TransportOptions): Promise<ClosingLink> {
  const reader = new PooledReader()
  const open = (): Socket => connect({ path, allowHalfOpen: true, onread: reader.onread })
  return dialDuplex({ open, target: address, toLink: (socket) => linkOf(socket, address, options, reader) }, options)
}

/** Connects to a character device over TCP. */
export function dialTcp(host: string, port: number, address: string, options: TransportOptions): Promise<ClosingLink> {
  const reader = new PooledReader()
  const alive = { keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS }
  const open = (): Socket =>
    connect({ host, port, allowHalfOpen: true, noDelay: true, onread: reader.onread, ...alive })
  return dialDuplex({ open, target: address, toLink: (socket) => linkOf(socket, address, options, reader) }, options)
}

/** Runs a command whose stdin and stdout are the line. */
export function runCommand(command: string, args: readonly string[], options: TransportOptions): Promise<ClosingLink> {
  return startChild({ command, args, stderr: 'inherit' }, options, false)
}

/** Listens where the hypervisor connects. */
export async function listenUnix(
  { path, access }: { readonly path: string; readonly access: SocketAccess },
  address: string,
  options: TransportOptions,
): Promise<Listener> {
  options.signal.throwIfAborted()
  const claim = await claimSocketPath(path, address, access)
  const setup = {
    server: createServer({ allowHalfOpen: true }),
    listen: { path: claim.temporaryPath },
    address() {
      claim.publish()
      return address
    },
    release: claim.release,
  }
  return await listenOneAtATime(setup, address, options)
}

/** Listens at a TCP port where the hypervisor connects. */
export async function listenTcp(
  { host, port }: { readonly host: string; readonly port: number },
  address: string,
  options: TransportOptions,
): Promise<Listener> {
  options.signal.throwIfAborted()
  const server = createServer({
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_MS,
  })
  const setup = {
    server,
    listen: { host, port },
    address() {
      const bound = server.address()
      if (bound === null || typeof bound === 'string') throw new Error('the server has no address')
      return `serial+tcp://${formatHostPort(bound.address, bound.port)}?listen`
    },
  }
  return await listenOneAtATime(setup, address, options)
}

async function listenOneAtATime(
  setup: Omit<SocketServer, 'target' | 'toLink'>,
  address: string,
  options: TransportOptions,
): Promise<Listener> {
  const queue = new LineQueue((socket) => linkOf(socket, address, options))
  const release = (): void => {
    queue.close()
    setup.release?.()
  }
  const listener = await serveSockets(
    { ...setup, target: address, toLink: (socket) => queue.take(socket), release },
    options,
  )
  queue.start(listener)
  return listener
}

/** Listens until the hypervisor has connected once. */
export async function acceptOnce(
  listen: (options: TransportOptions) => Promise<Listener>,
  address: string,
  options: TransportOptions,
): Promise<Link> {
  const { signal, clock, limits } = options
  const listener = await listen(options)
  const timedOut = (): TrunkError => {
    const message = `nobody has connected to ${address} within ${limits.connectTimeoutMs} ms`
    return new TrunkError('ERR_CONNECT_TIMEOUT', message, { scope: 'link' })
  }
  try {
    return await withDeadline({ clock, signal, ms: limits.connectTimeoutMs, timedOut }, async (limit) => {
      onAbort(limit, () => void listener.close())
      for await (const link of listener) return link
      limit.throwIfAborted()
      throw timedOut()
    })
  } finally {
    await listener.close()
  }
}

/**
 * Lets one connection after the other have the line. One may wait, what it sends stays in its
 * socket; further ones are refused.
 */
class LineQueue {
  readonly #toLink: (socket: Socket) => ClosingLink
  #listener: LinkListener | undefined
  #taken = false
  #waiting: Socket | undefined

  constructor(toLink: (socket: Socket) => ClosingLink) {
    this.#toLink = toLink
  }

  /** Where links go whose turn comes later. */
  start(listener: LinkListener): void {
    this.#listener = listener
  }

  /** The link of `socket` if it is its turn. */
  take(socket: Socket): ClosingLink | undefined {
    if (this.#taken) {
      this.#wait(socket)
      return undefined
    }
    this.#taken = true
    const link = this.#toLink(socket)
    void link.over.then(() => this.#next())
    return link
  }

  close(): void {
    this.#waiting?.destroy()
    this.#waiting = undefined
  }

  #wait(socket: Socket): void {
    socket.on('error', ignore)
    if (this.#waiting === undefined || this.#waiting.destroyed) this.#waiting = socket
    else socket.destroy()
  }

  #next(): void {
    this.#taken = false
    const socket = this.#waiting
    this.#waiting = undefined
    if (socket === undefined || socket.destroyed) return
    const link = this.take(socket)
    socket.off('error', ignore)
    if (link !== undefined) this.#listener?.push(link)
  }
}

/** A connection that fails while it waits is destroyed, which is all that matters. */
function ignore(): void {
  // nothing to do
}

function linkOf(socket: Socket, peer: string, { clock, limits }: TransportOptions, reader?: PooledReader): ClosingLink {
  return socketLink({
    readable: socket,
    writable: socket,
    ...(reader === undefined ? {} : { reader }),
    peer,
    clock,
    closeTimeoutMs: limits.closeTimeoutMs,
    halfClose: false,
  })
}
