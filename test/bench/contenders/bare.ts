/**
 * The limit: a bare `net.Socket`, write and 'drain' on one side, 'data' on the other. A stream is a
 * connection of its own. Once without Nagle's algorithm, as trunkline's own socket, and once as
 * `net.connect` makes it.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import type { BenchStream, Contender } from '../contender.ts'

export const bare: Contender = bareSocket('bare socket', true)
export const bareWithNagle: Contender = bareSocket('bare, Nagle', false)

function bareSocket(name: string, noDelay: boolean): Contender {
  return {
    name,
    async serve(handle) {
      const sockets = new Set<Socket>()
      const server = createServer({ allowHalfOpen: true, noDelay }, (socket) => {
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
        socket.on('error', () => undefined) // the connection was cut: the round is over
        void handle(socketStream(socket))
      })
      server.listen(0, '127.0.0.1', 4096)
      await once(server, 'listening')
      return {
        port: (server.address() as AddressInfo).port,
        close: () =>
          new Promise((resolve) => {
            for (const socket of sockets) socket.destroy()
            server.close(() => resolve())
          }),
      }
    },
    dial(port) {
      const sockets = new Set<Socket>()
      return Promise.resolve({
        async open() {
          const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay })
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
}

/**
 * Any socket or Node stream as a stream of the benchmark. A class, so that it adds next to nothing
 * to the memory of what it wraps.
 */
class SocketStream implements BenchStream {
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
  }

  async send(chunk: Uint8Array, more: () => boolean): Promise<void> {
    const socket = this.#socket
    while (more()) {
      if (!socket.write(chunk)) await once(socket, 'drain')
    }
    socket.end()
  }

  read(onChunk: (bytes: Uint8Array) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.on('data', onChunk)
      this.#socket.on('end', resolve)
      this.#socket.on('error', reject)
    })
  }

  write(chunk: Uint8Array): unknown {
    return this.#socket.write(chunk)
  }

  end(): unknown {
    return this.#socket.end()
  }
}

export function socketStream(socket: Socket): BenchStream {
  return new SocketStream(socket)
}
