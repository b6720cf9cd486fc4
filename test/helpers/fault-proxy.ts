/**
 * A proxy on loopback that does to a connection what networks do, each way for itself and from a
 * seed: it is late, slow, cuts bytes into slices, cuts the connection after so many bytes, swallows
 * everything, or is slow to close. The words are those of toxiproxy.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { Random } from '../sim/random.ts'
import { cutSocket, FaultyWay, type Cut, type Toxics } from './faulty-way.ts'

export type { Cut, Toxics } from './faulty-way.ts'

/** Where a proxy stands and what it does. */
export interface FaultProxyOptions {
  /** What happens to the bytes of who connects. */
  there?: Toxics
  /** What happens to the bytes of who is connected to. */
  back?: Toxics
  /** Of what is random. @default 1 */
  seed?: number
  /** A unix socket to listen at. @default a free port of 127.0.0.1 */
  at?: string
}

/** A proxy that a test disposes of. */
export interface FaultProxy {
  /** `tcp://127.0.0.1:PORT` or `unix:///PATH`. */
  readonly address: string
  /** Bytes that were handed on, over all connections. */
  carried(): { there: number; back: number }
  /** Connections that it has had, and those that a limit has cut. */
  connections(): number
  cuts(): number
  /**
   * From now on nothing passes, neither bytes nor ends. `read`: what is sent is swallowed, as by a
   * network that forgot us; `stuck`: it is not even read, so that the sender's system fills up.
   */
  blackHole(how?: 'read' | 'stuck'): void
  /** Cuts every connection there is, both sides of it. */
  cut(how: 'end' | 'reset'): void
  close(): void
}

/** Where the proxied server is: the part of `net.connect`'s options that says so. */
export type ProxyTarget = { readonly port: number; readonly host: string } | { readonly path: string }

/** `tcp://HOST:PORT` or `unix:///PATH` as a target. */
export function proxyTarget(address: string): ProxyTarget {
  const url = new URL(address)
  return url.protocol === 'unix:' ? { path: url.pathname } : { host: url.hostname, port: Number(url.port) }
}

/** One connection: both sockets, both ways. */
class Joint {
  readonly sockets: readonly Socket[]
  readonly there: FaultyWay
  readonly back: FaultyWay

  constructor(near: Socket, to: ProxyTarget, { there = {}, back = {} }: FaultProxyOptions, random: Random) {
    const far = connect({ ...to, allowHalfOpen: true, noDelay: true })
    const atLimit = (by: Cut): void => {
      this.cut(by)
    }
    this.sockets = [near, far]
    this.there = new FaultyWay(near, far, there, random, atLimit)
    this.back = new FaultyWay(far, near, back, random, atLimit)
    this.there.start()
    this.back.start()
  }

  get isCut(): boolean {
    return this.there.isCut || this.back.isCut
  }

  silence(how: 'read' | 'stuck'): void {
    this.there.silence(how)
    this.back.silence(how)
  }

  /** Both sockets end or are reset, or nothing passes; what is on its way is lost. */
  cut(by: Cut): void {
    this.silence('read')
    if (by !== 'silence') for (const socket of this.sockets) cutSocket(socket, by)
  }

  close(): void {
    this.there.stop()
    this.back.stop()
    for (const socket of this.sockets) socket.destroy()
  }
}

/** Listens, and joins each connection with one to `to`. */
export async function faultProxy(to: ProxyTarget, options: FaultProxyOptions = {}): Promise<FaultProxy> {
  const random = new Random(options.seed ?? 1)
  const joints: Joint[] = []
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    joints.push(new Joint(near, to, options, random))
  })
  if (options.at === undefined) server.listen(0, '127.0.0.1')
  else server.listen(options.at)
  await once(server, 'listening')
  const bound = server.address() as AddressInfo | string
  const sum = (of: (joint: Joint) => number): number => joints.reduce((all, joint) => all + of(joint), 0)
  return {
    address: typeof bound === 'string' ? `unix://${bound}` : `tcp://127.0.0.1:${bound.port}`,
    carried: () => ({ there: sum((joint) => joint.there.carried), back: sum((joint) => joint.back.carried) }),
    connections: () => joints.length,
    cuts: () => joints.filter((joint) => joint.isCut).length,
    blackHole(how = 'read') {
      for (const joint of joints) joint.silence(how)
    },
    cut(how) {
      for (const joint of joints) joint.cut(how)
    },
    close() {
      server.close()
      for (const joint of joints) joint.close()
    },
  }
}
