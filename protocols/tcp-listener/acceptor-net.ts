/**
 * Connections from Node's own server, where there is no native addon. Weaker: Node always accepts,
 * so up to `backlog` connections wait here, unread, and further ones are reset. Memory stays
 * bounded and no byte is lost, but the other end sees its connection accepted before anybody asked
 * for it.
 */
import { createServer, isIPv6, type AddressInfo, type ListenOptions, type Server } from 'node:net'
import type { Connection, Endpoint } from '../tcp/connection.ts'
import { netConnection } from '../tcp/net-connection.ts'
import type { ConnectionSource, OpenSource } from './acceptor.ts'

/** A source over `net.createServer`. */
export const netSource: OpenSource = ({ address, port }, backlog, onReady) =>
  listenByNet({ host: address, port, backlog, ipv6Only: isIPv6(address), exclusive: true }, backlog, onReady)

/** A source over `net.createServer` that listens by `options`. Rejects with the system's error. */
export function listenByNet(options: ListenOptions, backlog: number, onReady: () => void): Promise<ConnectionSource> {
  return new Promise((resolve, reject) => {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true })
    server.once('error', reject)
    server.listen(options, () => {
      server.off('error', reject)
      resolve(new NetSource(server, backlog, onReady))
    })
  })
}

class NetSource implements ConnectionSource {
  readonly local: Endpoint
  readonly #server: Server
  readonly #queue: Connection[] = []

  constructor(server: Server, maxQueued: number, onReady: () => void) {
    this.#server = server
    // a path is told as text: whoever asked for it knows it
    const bound = server.address() as AddressInfo | string
    this.local = typeof bound === 'string' ? { address: '', port: 0 } : { address: bound.address, port: bound.port }
    server.on('connection', (socket) => {
      const connection = netConnection(socket)
      if (this.#queue.length >= maxQueued) {
        connection.reset()
        return
      }
      this.#enqueue(connection)
      onReady()
    })
    server.on('error', ignore)
  }

  take(): Connection | undefined {
    return this.#queue.shift()
  }

  arm(): void {
    // Node tells of each connection in any case.
  }

  disarm(): void {
    // Likewise: there is no way to make it stop.
  }

  close(): void {
    // The listening descriptor is closed before this returns; the callback would wait for
    // connections that go on.
    this.#server.close()
    for (const connection of this.#queue.splice(0)) connection.reset()
  }

  #enqueue(connection: Connection): void {
    connection.onGone(() => {
      const index = this.#queue.indexOf(connection)
      if (index >= 0) this.#queue.splice(index, 1)
    })
    this.#queue.push(connection)
  }
}

function ignore(): void {
  // Node could not accept one (EMFILE): that connection is gone, and the server goes on.
}
