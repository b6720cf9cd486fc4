/**
 * The protocol `unix-listener`: the peer listens at a unix socket for us, and each connection comes
 * as a pipe. docs/guide/protocols/unix-listener.md.
 *
 * Promises: the socket has its mode before anyone can connect; a name that is taken is never
 * replaced, one that nobody answers any more is; the name is removed at the end where it still is
 * ours. A connection is accepted from the kernel only when the asking side has room for it.
 */
export { unixListen, type UnixBind, type UnixListening, type UnixListenOptions } from './unix/listener-client.ts'
export { unixListener, type UnixListenerOptions } from './unix/listener-server.ts'
export type { UnixPath } from './unix/address.ts'
