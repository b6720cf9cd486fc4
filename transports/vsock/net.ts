/**
 * AF_VSOCK with the interface of Node's `net`, which does not know it: `connect` and
 * `createServer`, and sockets that are net's own.
 *
 * Promises: a connection is established when it is given; errors are the system's (`code`, `errno`,
 * `syscall`); after a failure, an abort or `close` nothing is left. Assumes Linux and the native
 * addon. Bounds: the caller's time limit for connecting, a backlog of 128.
 */
import type { OnReadOpts, Socket } from 'node:net'
import type { Clock } from '../../src/runtime/clock.ts'
import { withDeadline } from '../../src/runtime/deadline.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import type { TrunkError } from '../../src/contracts/errors.ts'
import { WRITABLE, type NativeAddon, type NativeAddress, type NativeWatch } from '../../src/native/load.ts'
import { acceptLoop } from '../internal/accept-loop.ts'
import { LOCAL_CID, type VsockAddress } from './address.ts'
import { adopt } from './adopt.ts'

/** A connection that is established. */
export interface VsockConnection {
  readonly socket: Socket
  readonly peer: VsockAddress
  /**
   * To be asked in the turn in which `socket` says 'end': the code of what really happened, or
   * undefined where the peer did end its side. The kernel reports an end also when the peer is gone
   * (it closed, was killed, its machine stopped). A peer that ended its side still reads; once we
   * have ended ours, too, nothing tells the difference.
   */
  readonly endedBy: () => string | undefined
}

/** A connection that waits for an answer: exactly one of the two calls, in the same turn. */
export interface VsockRequest {
  readonly peer: VsockAddress
  readonly accept: (onread?: OnReadOpts) => VsockConnection
  /** Closes it. The peer sees an end and can't write: `endedBy` says EPIPE there. */
  readonly reset: () => void
}

/** What {@link connect} is given. */
export interface ConnectOptions {
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly timeoutMs: number
  readonly onread?: OnReadOpts
}

/** What {@link createServer} is given. */
export interface ServerOptions {
  readonly clock: Clock
  readonly onRequest: (request: VsockRequest) => void
  /** Accepting is over. */
  readonly onError: (error: TrunkError) => void
}

/** A server that listens. */
export interface VsockServer {
  /** Where it listens: the port that the kernel chose for port 0. */
  readonly address: VsockAddress
  /** Leaves accepted connections alone. */
  readonly close: () => void
}

/** How many connections may wait to be accepted, in the kernel. */
const BACKLOG = 128
/**
 * By how much the kernel's own time limit is longer: ours decides, and the kernel's frees what an
 * abandoned attempt holds in it.
 */
const KERNEL_GRACE_MS = 1_000

/**
 * Connects. Rejects with the system's error, ETIMEDOUT after `timeoutMs`, or the signal's reason.
 */
export async function connect(
  native: NativeAddon,
  peer: VsockAddress,
  { signal, clock, timeoutMs, onread }: ConnectOptions,
): Promise<VsockConnection> {
  signal.throwIfAborted()
  if (peer.cid === LOCAL_CID) requireLoopback(native)
  const fd = native.connect(toNative(peer), Math.min(timeoutMs + KERNEL_GRACE_MS, 0x7fff_ffff))
  try {
    const error = await outcome(native, fd, { signal, clock, timeoutMs })
    if (error !== undefined) throw systemError(error)
  } catch (error) {
    native.close(fd)
    throw error
  }
  return connectionOf(native, fd, peer, onread)
}

/**
 * Without the module for the loopback the kernel hands what is for this very machine to the
 * hypervisor, where it is lost or, worse, answered. Throws EADDRNOTAVAIL there.
 */
function requireLoopback(native: NativeAddon): void {
  native.close(native.listen(toNative({ cid: LOCAL_CID, port: 0 }), 1))
}

/** Listens. Throws the system's error. */
export function createServer(native: NativeAddon, at: VsockAddress, options: ServerOptions): VsockServer {
  const fd = native.listen(toNative(at), BACKLOG)
  let address: VsockAddress
  try {
    address = fromNative(native.localAddress(fd))
  } catch (error) {
    native.close(fd)
    throw error
  }
  const close = acceptLoop(native, fd, {
    clock: options.clock,
    take: (connection) => {
      const peer = fromNative(connection.remote)
      options.onRequest({
        peer,
        accept: (onread) => connectionOf(native, connection.fd, peer, onread),
        reset() {
          native.close(connection.fd)
        },
      })
    },
    fail: options.onError,
  })
  return { address, close }
}

function connectionOf(native: NativeAddon, made: number, peer: VsockAddress, onread?: OnReadOpts): VsockConnection {
  const { socket, fd } = adopt(native, made, onread)
  return {
    socket,
    peer,
    endedBy() {
      if (socket.destroyed) return undefined
      // told where the device under the connection was taken away: the other machine was stopped or
      // moved
      const error = native.socketError(fd)
      return error ?? (socket.writableEnded ? undefined : native.writeError(fd))
    },
  }
}

/**
 * Waits for the outcome of a connection attempt: the code of its error, or undefined. Rejects with
 * ETIMEDOUT, or the signal's reason.
 */
async function outcome(
  native: NativeAddon,
  fd: number,
  { signal, clock, timeoutMs }: ConnectOptions,
): Promise<string | undefined> {
  let watch: NativeWatch | undefined
  const told = (limit: AbortSignal): Promise<string | undefined> =>
    new Promise((resolve, reject) => {
      watch = native.watch(fd, resolve)
      watch.start(WRITABLE)
      onAbort(limit, () => reject(limit.reason as Error))
    })
  const timedOut = (): Error => systemError('ETIMEDOUT')
  try {
    const error = await withDeadline({ clock, signal, ms: timeoutMs, timedOut }, told)
    // libuv calls any error of a polled descriptor EBADF; the socket knows which
    return native.socketError(fd) ?? error
  } finally {
    watch?.close()
  }
}

function systemError(code: string): Error {
  return Object.assign(new Error(`connect ${code}`), { code, syscall: 'connect' })
}

function toNative({ cid, port }: VsockAddress): NativeAddress {
  return { family: 'vsock', address: String(cid), port }
}

function fromNative({ address, port }: NativeAddress): VsockAddress {
  return { cid: Number(address), port }
}
