/**
 * Forwarding of TCP ports over a trunk, either way, to one target or as a proxy: what `trunkline
 * forward` is made of. docs/guide/forwarding.md.
 *
 * Promises: an end of writing crosses as an end, a reset as a reset, each behind what came before
 * it; a slow side slows the other one, and no bytes pile up here; connections beyond
 * `maxConnections` wait in the kernel of the side that listens; where the native addon is there, no
 * connection is an object of Node's.
 */
export { forwardLocal, proxyLocal } from './local.ts'
export { forwardRemote, proxyRemote } from './remote.ts'
export type {
  Forward,
  ForwardFailure,
  ForwardLocalOptions,
  ForwardOptions,
  ForwardRemoteOptions,
  ForwardStatus,
  ProxyLocalOptions,
  ProxyRemoteOptions,
} from './types.ts'
export type { HandshakeOptions } from '../proxy/handshake.ts'
export type { TcpTarget } from '../tcp-connection/client.ts'
export type { TcpBind } from '../tcp-listener/client.ts'
export type { UnixPath } from '../unix/address.ts'
export type { UnixTarget } from '../unix/connection-client.ts'
export type { UnixBind } from '../unix/listener-client.ts'
export type { Lookup } from '../tcp/resolve.ts'
