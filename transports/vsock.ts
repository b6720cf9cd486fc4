/**
 * AF_VSOCK, the socket between a virtual machine and its host: `vsock://CID:PORT`, for listening
 * `vsock://any:PORT`. Its hybrid kind, where the host has a unix socket, is `hybridVsock`
 * (vsock/hybrid.ts).
 *
 * Promises: listeners answer only the CIDs that `allow` names and reset the others at once;
 * half-close either way; a peer that is gone is ERR_LINK_RESET, and an end only what the peer
 * ended, as long as our own side is open. After our end a cut of the peer looks like its end:
 * AF_VSOCK tells no more. Assumes Linux and the native addon, which is loaded when it is first
 * needed. Bounds: `limits.connectTimeoutMs` for dialling, `limits.closeTimeoutMs` for `close`, 128
 * links that wait to be taken.
 */
import { badArgument, TrunkError } from '../src/contracts/errors.ts'
import { requireInteger } from '../src/contracts/limits.ts'
import { nativeStatus, type NativeAddon } from '../src/native/load.ts'
import type { Link, Listener, Transport, TransportOptions } from '../src/contracts/types.ts'
import { LinkListener } from './internal/link-listener.ts'
import { PooledReader } from './internal/pooled-reader.ts'
import { socketLink } from './internal/socket-link.ts'
import { ANY_CID, checkCid, formatVsockAddress, MAX_PORT, parseVsockAddress } from './vsock/address.ts'
import type { VsockAddress } from './vsock/address.ts'
import { vsockConnectError, vsockListenError } from './vsock/errors.ts'
import { connect, createServer, type VsockConnection } from './vsock/net.ts'
import { VSOCK_TRAITS } from './vsock/traits.ts'

export { hybridVsock, type HybridVsockOptions } from './vsock/hybrid.ts'

/** Which machine: a CID, or the word for one. */
export type Cid = number | 'any' | 'host' | 'local' | 'hypervisor'

/**
 * Who may connect to a listener: CIDs, or a function that is asked for each connection with the
 * peer's CID and port (which the kernel vouches for). Throwing refuses, too.
 */
export type VsockPolicy = readonly Cid[] | ((peer: { readonly cid: number; readonly port: number }) => boolean)

/** Where to dial or listen. */
export interface VsockOptions {
  /**
   * The machine: 2 is the host, 3 and above are guests. @default 'any', which is only for listening
   */
  cid?: Cid
  /** 0 to 4,294,967,294; 0 only for listening: the kernel chooses. Below 1024 only for root. */
  port: number
  /** For listening. @default everyone who reaches the port */
  allow?: VsockPolicy
}

/**
 * An AF_VSOCK transport. Throws ERR_ADDRESS_INVALID for an address that is none, ERR_BAD_ARGUMENT
 * for bad options.
 * @example serve(vsock({ port: 7000, allow: [3] }))
 */
export function vsock(address: string | VsockOptions): Transport {
  const at = typeof address === 'string' ? parseVsockAddress(address) : checkOptions(address)
  const allows = policyOf(typeof address === 'string' ? undefined : address.allow)
  return {
    scheme: 'vsock',
    address: formatVsockAddress(at),
    traits: VSOCK_TRAITS,
    connect: (options) => dial(at, options),
    listen: (options) => listen(at, allows, options),
  }
}

function checkOptions({ cid = 'any', port }: VsockOptions): VsockAddress {
  return { cid: checkCid('cid', cid), port: requireInteger('port', port, 0, MAX_PORT) }
}

function policyOf(allow: VsockPolicy | undefined): (peer: VsockAddress) => boolean {
  if (allow === undefined) return () => true
  if (typeof allow === 'function') {
    return (peer) => {
      try {
        // a promise would pass for yes
        return (allow(peer) as unknown) === true
      } catch {
        return false // said so in VsockPolicy: a policy that fails lets nobody in
      }
    }
  }
  // typeof: without types anything may stand here, and what is no list must not let everyone in
  if (!Array.isArray(allow)) throw badArgument(`allow must be a list of CIDs or a function, not ${typeof allow}`)
  const cids = new Set(allow.map((cid, index) => checkCid(`allow[${index}]`, cid)))
  return ({ cid }) => cids.has(cid)
}

async function dial(to: VsockAddress, options: TransportOptions): Promise<Link> {
  const { signal, clock, limits } = options
  signal.throwIfAborted()
  const written = formatVsockAddress(to)
  if (to.cid === ANY_CID) throw new TrunkError('ERR_ADDRESS_INVALID', `${written}: any is only for listening`)
  if (to.port === 0) throw new TrunkError('ERR_ADDRESS_INVALID', `${written}: port 0 is only for listening`)
  const reader = new PooledReader()
  const native = requireNative()
  try {
    const timeoutMs = limits.connectTimeoutMs
    const connection = await connect(native, to, { signal, clock, timeoutMs, onread: reader.onread })
    return linkOf(connection, reader, options)
  } catch (error) {
    if (signal.aborted) throw error
    throw vsockConnectError(error, to)
  }
}

async function listen(
  at: VsockAddress,
  allows: (peer: VsockAddress) => boolean,
  options: TransportOptions,
): Promise<Listener> {
  options.signal.throwIfAborted()
  const native = requireNative()
  try {
    const server = createServer(native, at, {
      clock: options.clock,
      onRequest(request) {
        if (!allows(request.peer) || listener.full) {
          request.reset()
          return
        }
        const reader = new PooledReader()
        listener.push(linkOf(request.accept(reader.onread), reader, options))
      },
      onError(error) {
        listener.finish(error)
      },
    })
    const listener = new LinkListener(formatVsockAddress({ ...server.address, cid: at.cid }), server.close)
    return listener
  } catch (error) {
    throw vsockListenError(error, at)
  }
}

function linkOf({ socket, peer, endedBy }: VsockConnection, reader: PooledReader, options: TransportOptions): Link {
  return socketLink({
    readable: socket,
    writable: socket,
    reader,
    peer: formatVsockAddress(peer),
    clock: options.clock,
    closeTimeoutMs: options.limits.closeTimeoutMs,
    // a close without an end before it: the peer reads to the end of what arrived and finds that it
    // can't write
    cut: () => socket.destroy(),
    async explain(error) {
      if (error !== undefined) return error
      const code = endedBy()
      return code === undefined ? undefined : Object.assign(new Error(`the peer is gone: ${code}`), { code })
    },
  })
}

function requireNative(): NativeAddon {
  const status = nativeStatus()
  if ('native' in status) return status.native
  const message = `vsock needs trunkline's native addon, which is for Linux: ${status.problem}`
  throw new TrunkError('ERR_TRANSPORT_UNAVAILABLE', message)
}
