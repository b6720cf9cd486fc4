/** Real TCP sockets on loopback. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Uint8ArrayList } from 'uint8arraylist'

/** A server that a test disposes of. */
export interface LoopbackServer {
  readonly host: string
  readonly port: number
  /** Every connection that it has had. */
  readonly sockets: readonly Socket[]
  close(): void
}

/** A half-open TCP server; what `onSocket` does not handle is an ignored error. */
export async function loopbackServer(
  onSocket: (socket: Socket) => void = () => undefined,
  at: { host?: string; port?: number } = {},
): Promise<LoopbackServer> {
  const { host = '127.0.0.1', port = 0 } = at
  const sockets: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    sockets.push(socket)
    onSocket(socket)
  })
  server.listen(port, host)
  await once(server, 'listening')
  return {
    host,
    port: (server.address() as AddressInfo).port,
    sockets,
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** A client's socket, half-open; its errors are ignored but `errored` holds them. */
export async function dialLoopback(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host, allowHalfOpen: true })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

/** True when `port` can be bound now. */
export async function isFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  const server = createServer()
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch {
    // That is the answer.
    return false
  }
  server.close()
  return true
}

/** A port at which nobody listens. */
export async function freePort(): Promise<number> {
  const server = await loopbackServer()
  server.close()
  return server.port
}

/** Everything of `source` as text. */
export async function textOf(source: AsyncIterable<Uint8Array | Uint8ArrayList>): Promise<string> {
  let text = ''
  for await (const chunk of source)
    text += Buffer.from(chunk instanceof Uint8Array ? chunk : chunk.subarray()).toString()
  return text
}
