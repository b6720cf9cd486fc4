/**
 * A TCP server and a connection to it, for contenders that multiplex any socket. Errors of a
 * connection mean that the round is over.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** A server that hands each connection to `onConnection`. */
export async function listen(onConnection, options = {}) {
  const sockets = new Set()
  const server = createServer({ noDelay: true, ...options }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: server.address().port,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(resolve)
      }),
  }
}

/** A connection that is established. */
export async function dial(port, options = {}) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, ...options })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}
