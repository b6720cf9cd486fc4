/**
 * The protocol `tcp-connection`: the peer dials a TCP connection for us and the pipe carries it.
 * docs/guide/protocols/tcp-connection.md.
 *
 * Promises: the pipe is accepted only when the connection is established; an end crosses as an end
 * and a reset as a reset, both ways. The serving side dials nothing that its allow-list does not
 * name, decided on the address that is dialled.
 */
export { bridge } from './tcp/bridge.ts'
export { tcpConnect, type TcpConnectOptions, type TcpPipe, type TcpTarget } from './tcp-connection/client.ts'
export { tcpConnection, type TcpConnectionOptions } from './tcp-connection/server.ts'
export type { TcpAddresses } from './tcp/tcp-fields.ts'
export type { Lookup } from './tcp/resolve.ts'
