/**
 * Raw peers over real sockets, by node:net: they dial, or they listen and are dialled. Nothing that
 * speaks here shares code with what is attacked.
 */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { resetSocket } from '../../protocols/tcp/reset-socket.ts'
import type { Bytes, Link } from '../../src/contracts/types.ts'
import { dialLoopback, loopbackServer, type LoopbackServer } from './loopback.ts'
import { RawPeer } from './raw-peer.ts'

/** A socket as a line. */
export function rawLink(socket: Socket): Link {
  socket.on('error', () => undefined)
  return {
    source: socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Bytes>,
    async sink(source) {
      for await (const chunk of source) {
        const bytes = chunk instanceof Uint8Array ? chunk : chunk.subarray()
        if (!socket.write(bytes)) await Promise.race([once(socket, 'drain'), closed(socket)])
        if (socket.destroyed) return
      }
      socket.end()
    },
    close: () => Promise.resolve(socket.destroy()).then(() => undefined),
    abort: () => resetSocket(socket),
  }
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) resolve()
    else socket.once('close', () => resolve())
  })
}

/** Dials `tcp://HOST:PORT`. */
export async function dialRaw(address: string): Promise<RawPeer> {
  return new RawPeer(rawLink(await dialLoopback(Number(new URL(address).port))))
}

/** Listens, and gives a raw peer for each connection, in order. */
export async function listenRaw(): Promise<{ address: string; next(): Promise<RawPeer>; close(): void }> {
  const arrived: RawPeer[] = []
  const waiting: ((peer: RawPeer) => void)[] = []
  const server: LoopbackServer = await loopbackServer((socket) => {
    const peer = new RawPeer(rawLink(socket))
    const take = waiting.shift()
    if (take === undefined) arrived.push(peer)
    else take(peer)
  })
  return {
    address: `tcp://${server.host}:${server.port}`,
    next: () => {
      const peer = arrived.shift()
      return peer === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(peer)
    },
    close: () => {
      server.close()
    },
  }
}
