/**
 * A proxy over a trunk: clients say where they want to go, by SOCKS5, SOCKS4a or HTTP, and the side
 * that has the network connects there. docs/guide/proxy.md.
 *
 * Promises: a client is told of success only when its connection is established; a name is resolved
 * by the side that dials, and nowhere else; everything that a client says before that is bounded in
 * bytes and time. Where we dial for the peer, nothing is reached that no rule allows.
 */
export { proxyConnections, type ProxyOptions } from './for-peer.ts'
export { proxySocket, type ProxySocketOptions } from './through-peer.ts'
export type { HandshakeOptions } from './handshake.ts'
export type { Lookup } from '../tcp/resolve.ts'
