/** The limit: a bare `net.Socket`, write and 'drain' on one side, 'data' on the other. A stream is a connection of its own. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import type { BenchStream, Contender } from '../contender.ts'

export const bare: Contender = {
  name: 'bare socket',
  async serve(handle) {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => handle(socketStream(socket)))
    server.listen(0, '127.0.0.1', 4096)
    await once(server, 'listening')
    return {
      port: (server.address() as AddressInfo).port,
      close: () => new Promise((resolve) => server.close(() => resolve())),
    }
  },
  dial(port) {
    const sockets = new Set<Socket>()
    return Promise.resolve({
      async open() {
        const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
        await once(socket, 'connect')
        return socketStream(socket)
      },
      close() {
        for (const socket of sockets) socket.destroy()
        return Promise.resolve()
      },
    })
  },
}

/** Any socket or Node stream as a stream of the benchmark. */
export function socketStream(socket: Socket): BenchStream {
  return {
    async send(chunk, count) {
      for (let i = 0; i < count; i++) {
        if (!socket.write(chunk)) await once(socket, 'drain')
      }
      socket.end()
    },
    read(onChunk) {
      return new Promise((resolve, reject) => {
        socket.on('data', onChunk)
        socket.on('end', resolve)
        socket.on('error', reject)
      })
    },
    write: (chunk) => socket.write(chunk),
    end: () => socket.end(),
  }
}
