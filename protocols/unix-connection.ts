/**
 * The protocol `unix-connection`: the peer connects to a unix socket for us and the pipe carries
 * it. docs/guide/protocols/unix-connection.md.
 *
 * Promises: the pipe is accepted only when the connection is established; an end crosses as an end.
 * The serving side connects to nothing that its allow-list does not name, decided on the very file
 * that is then connected to: no link and no rename leads elsewhere.
 */
export { unixConnect, type UnixConnectOptions, type UnixTarget } from './unix/connection-client.ts'
export { unixConnection, type UnixConnectionOptions } from './unix/connection-server.ts'
export type { UnixPath } from './unix/address.ts'
