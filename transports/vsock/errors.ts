/**
 * What the system's errors mean on AF_VSOCK, where some of them say something else than on a
 * network.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import { connectError, listenError } from '../../src/runtime/net-errors.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import { ANY_CID, formatVsockAddress, LOCAL_CID, type VsockAddress } from './address.ts'

const ADVICE = 'load the module for this machine: modprobe vhost_vsock on a host, vmw_vsock_virtio_transport in a guest'
const LOCAL_ADVICE = 'load the kernel module for it: modprobe vsock_loopback'

/** Why connecting failed. */
export function vsockConnectError(error: unknown, to: VsockAddress): TrunkError {
  const target = formatVsockAddress(to)
  const what = `cannot connect to ${target}`
  const code = errnoOf(error)
  const options = { cause: error, scope: 'link' } as const
  // the kernel's answer where nobody listens is a reset, not a refusal
  if (code === 'ECONNRESET') return new TrunkError('ERR_CONNECT_REFUSED', `${what}: nobody listens there`, options)
  if (code === 'ENODEV') {
    const message = `${what}: no machine here has that CID, or vsock has no device: ${ADVICE}`
    return new TrunkError('ERR_CONNECT_UNREACHABLE', message, options)
  }
  return noLoopback(code, what, to, error) ?? noFamily(code, what, error) ?? connectError(error, target, 'link')
}

/** Why listening failed. */
export function vsockListenError(error: unknown, at: VsockAddress): TrunkError {
  const target = formatVsockAddress(at)
  const what = `cannot listen at ${target}`
  const code = errnoOf(error)
  const unable = noLoopback(code, what, at, error) ?? noFamily(code, what, error)
  if (unable !== undefined) return unable
  if (code === 'EADDRNOTAVAIL' && at.cid !== ANY_CID) {
    const why = 'that CID is not of this machine: vsock://any:PORT listens at all that are'
    return new TrunkError('ERR_ADDRESS_UNAVAILABLE', `${what}: ${why}`, { cause: error, scope: 'link' })
  }
  return listenError(error, target, 'link')
}

function noLoopback(
  code: string | undefined,
  what: string,
  { cid }: VsockAddress,
  error: unknown,
): TrunkError | undefined {
  if (code !== 'EADDRNOTAVAIL' || cid !== LOCAL_CID) return undefined
  return unavailable(`${what}: this machine has no vsock loopback: ${LOCAL_ADVICE}`, error)
}

function noFamily(code: string | undefined, what: string, error: unknown): TrunkError | undefined {
  if (code !== 'EAFNOSUPPORT') return undefined
  return unavailable(`${what}: the kernel has no vsock: ${ADVICE}`, error)
}

function unavailable(message: string, cause: unknown): TrunkError {
  return new TrunkError('ERR_TRANSPORT_UNAVAILABLE', message, { cause })
}
