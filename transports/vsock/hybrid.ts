/**
 * Hybrid vsock, the host's side of a guest's vsock where the virtual machine monitor gives it as a
 * unix socket (Firecracker, Cloud Hypervisor, vhost-device-vsock):
 * `vsock+unix:///run/vm.sock?port=5000`.
 *
 * Connecting reaches a port of the guest's. A guest that is not ready (no socket yet, nobody who
 * accepts, a hang-up before the answer) is waited for with back-off, until
 * `limits.connectTimeoutMs`; what waiting cannot cure is an error at once. Listening gives what the
 * guest sends to a port of the host's, by the file PATH_PORT, which is made and removed as the unix
 * transport does. Bounds: those of unix, 2 s for one attempt.
 *
 * The monitors know no half-close: an end of one side ends the other, too, after what was sent
 * before it. A session never needs one.
 */
import { connect, createServer, type Socket } from 'node:net'
import { Backoff } from '../../src/runtime/backoff.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Link, Listener, Transport, TransportOptions } from '../../src/contracts/types.ts'
import { dialDuplex } from '../internal/dial-duplex.ts'
import { serveSockets } from '../internal/serve-sockets.ts'
import { PooledReader } from '../internal/pooled-reader.ts'
import { socketLink } from '../internal/socket-link.ts'
import { claimSocketPath } from '../internal/unix-path.ts'
import {
  checkHybridOptions,
  formatHybridAddress,
  guestSocketPath,
  parseHybridAddress,
  type HybridAddress,
} from './hybrid-address.ts'
import { askForPort, JOINED } from './hybrid-handshake.ts'
import { VSOCK_TRAITS } from './traits.ts'

/** Where to dial or listen. */
export interface HybridVsockOptions {
  /** The monitor's socket: absolute, or relative to the current folder. */
  path: string
  /** 1 to 4,294,967,294: of the guest's for connecting, of the host's for listening. */
  port: number
  /**
   * Of the socket that listening makes: permission bits, such as 0o660. @default 0o600, with a
   * group 0o660
   */
  mode?: number
  /** Of the socket that listening makes: a group's name or number. */
  group?: string
}

/**
 * How long one attempt may take, from connecting to the answer. A guest that runs answers within
 * milliseconds; Firecracker gives up after as long by itself, others never, and an attempt that was
 * asked before the guest's driver was there may be lost.
 */
const ATTEMPT_MS = 2_000

/** What may be otherwise in a moment, while a guest boots. */
const NOT_READY: ReadonlySet<string> = new Set(['ERR_CONNECT_REFUSED', 'ERR_CONNECT_TIMEOUT'])

/**
 * A hybrid vsock transport. Throws ERR_ADDRESS_INVALID for an address that is none,
 * ERR_BAD_ARGUMENT for bad options.
 *
 * @example
 * ```ts
 * const trunk = await connect(hybridVsock({ path: '/run/vm.vsock', port: 7000 }), { retry: true })
 * ```
 */
export function hybridVsock(address: string | HybridVsockOptions): Transport {
  const at = typeof address === 'string' ? parseHybridAddress(address) : checkHybridOptions(address)
  return {
    scheme: 'vsock+unix',
    address: formatHybridAddress(at),
    traits: VSOCK_TRAITS,
    connect: (options) => dial(at, options),
    listen: (options) => listen(at, options),
  }
}

/** Tries until the guest is there or the time is over. */
async function dial(to: HybridAddress, options: TransportOptions): Promise<Link> {
  const { signal, clock, limits } = options
  signal.throwIfAborted()
  const deadline = clock.now() + limits.connectTimeoutMs
  const backoff = new Backoff({ limits, clock })
  for (;;) {
    let seen: TrunkError
    try {
      return await attempt(to, options, Math.min(ATTEMPT_MS, deadline - clock.now()))
    } catch (error) {
      if (signal.aborted || !(error instanceof TrunkError) || !NOT_READY.has(error.code)) throw error
      seen = error
    }
    const leftMs = deadline - clock.now()
    if (leftMs > 0) await backoff.wait(signal, leftMs)
    if (clock.now() >= deadline) throw notReady(to, limits.connectTimeoutMs, seen)
  }
}

function notReady(to: HybridAddress, waitedMs: number, seen: TrunkError): TrunkError {
  const what = `the guest was not ready within ${String(waitedMs)} ms; at last: ${seen.message}`
  const message = `cannot connect to ${formatHybridAddress(to)}: ${what}`
  return new TrunkError('ERR_CONNECT_TIMEOUT', message, { cause: seen, scope: 'link' })
}

function attempt(to: HybridAddress, options: TransportOptions, timeoutMs: number): Promise<Link> {
  const reader = new PooledReader()
  return dialDuplex(
    {
      open() {
        const socket = connect({ path: to.path, allowHalfOpen: true, onread: reader.onread })
        askForPort(socket, reader, to.port, to.path)
        return socket
      },
      ready: JOINED,
      target: to.path,
      toLink: (socket) => linkOf(socket, formatHybridAddress(to), options, reader),
    },
    { ...options, limits: { ...options.limits, connectTimeoutMs: timeoutMs } },
  )
}

async function listen(at: HybridAddress, options: TransportOptions): Promise<Listener> {
  options.signal.throwIfAborted()
  const target = formatHybridAddress(at)
  const claim = await claimSocketPath(guestSocketPath(at), target, at.access)
  return serveSockets(
    {
      server: createServer({ allowHalfOpen: true }),
      listen: { path: claim.temporaryPath },
      target,
      address() {
        claim.publish()
        return target
      },
      toLink: (socket) => linkOf(socket, target, options),
      release: claim.release,
    },
    options,
  )
}

function linkOf(socket: Socket, peer: string, { clock, limits }: TransportOptions, reader?: PooledReader): Link {
  return socketLink({
    readable: socket,
    writable: socket,
    ...(reader === undefined ? {} : { reader }),
    clock,
    closeTimeoutMs: limits.closeTimeoutMs,
    peer,
  })
}
