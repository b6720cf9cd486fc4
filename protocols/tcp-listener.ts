/**
 * The protocol `tcp-listener`: the peer listens for TCP connections for us, and each comes as a
 * pipe. docs/guide/protocols/tcp-listener.md.
 *
 * Promises: a connection is accepted from the kernel only when the asking side has room for it, and
 * the port is free within a second of the listening's end, however it ends. The serving side binds
 * nothing that its allow-list does not name.
 */
export {
  tcpListen,
  type TcpIncoming,
  type TcpListening,
  type TcpListenOptions,
  type TcpBind,
} from './tcp-listener/client.ts'
export { tcpListener, type TcpListenerOptions } from './tcp-listener/server.ts'
export type { TcpAddresses } from './tcp/tcp-fields.ts'
export type { Lookup } from './tcp/resolve.ts'
