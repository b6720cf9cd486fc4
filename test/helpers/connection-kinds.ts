/**
 * The kinds of connections that pipes carry, each with a pipe that carries one, for tests that hold
 * for all.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mkdtempSync, rmSync } from 'node:fs'
import { tcpConnect } from '../../protocols/tcp-connection.ts'
import { connectionsOver } from '../../protocols/tcp-connection/server.ts'
import { connectionSet } from '../../protocols/tcp/connection-set.ts'
import { unixConnect } from '../../protocols/unix-connection.ts'
import { unixConnectionsOver } from '../../protocols/unix/connection-server.ts'
import { nativeDial, netDial, type UnixDial } from '../../protocols/unix/dial.ts'
import type { Pipe, Protocol, Trunk } from '../../src/index.ts'
import { eventually } from './eventually.ts'
import { loopbackServer } from './loopback.ts'
import { KINDS } from './tcp-kinds.ts'
import { trunkPair } from './trunk-pair.ts'

/** A pipe, and the other end of the connection that it carries. */
export interface Ends {
  readonly near: Trunk
  readonly far: Trunk
  readonly pipe: Pipe
  /** The target's end of the connection. */
  readonly socket: Socket
  /** What the far side's handlers failed with. */
  readonly failures: string[]
  close(): void
}

/** A kind of connections. */
export interface ConnectionKind {
  readonly kind: string
  /** Why it is not there. */
  readonly skip: string | false
  /**
   * Whether the other side of a connection that is cut sees that, and not an end: a unix socket has
   * no reset.
   */
  readonly resets: boolean
  ends(): Promise<Ends>
}

interface Served {
  readonly sockets: readonly Socket[]
  readonly protocol: Protocol
  readonly open: (near: Trunk) => Promise<Pipe>
  close(): void
}

async function endsOf(served: Served): Promise<Ends> {
  const failures: string[] = []
  const [near, far] = await trunkPair(
    {},
    { protocols: [served.protocol], onPipeError: (refusal) => failures.push(refusal.code) },
  )
  const pipe = await served.open(near)
  await eventually(() => served.sockets.length === 1, 'the server has the connection')
  const [socket] = served.sockets
  assert.ok(socket)
  return {
    near,
    far,
    pipe,
    socket,
    failures,
    close() {
      served.close()
      near.abort(new Error('the test is over'))
    },
  }
}

/** A half-open server at a unix socket. */
export async function socketServer(
  path: string,
  onSocket: (socket: Socket) => void = () => undefined,
): Promise<{ readonly sockets: readonly Socket[]; close(): void }> {
  const sockets: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    sockets.push(socket)
    onSocket(socket)
  })
  server.listen(path)
  await once(server, 'listening')
  return {
    sockets,
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/**
 * What comes until the other side ends. Not by iterating: that would destroy the socket when it
 * ends.
 */
export async function heard(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(socket, 'end')
  return text
}

/** Node 20 fills an abstract name up with zero bytes. */
export const FILLS_ABSTRACT: boolean = Number(process.versions.node.split('.')[0]) < 22

/** The abstract name that Node's `\0name` is. */
export function abstractOfNode(name: string): string {
  return FILLS_ABSTRACT ? `@${name.padEnd(107, '\0')}` : `@${name}`
}

const set = connectionSet()
const NO_ADDON = set === undefined && 'the native addon is not built'

/** The two ways to connect to unix sockets. */
export const UNIX_DIALS: readonly { kind: 'native' | 'net'; dial: UnixDial; skip: string | false }[] = [
  { kind: 'native', dial: set === undefined ? netDial : nativeDial(set), skip: NO_ADDON },
  { kind: 'net', dial: netDial, skip: false },
]

/** TCP and unix sockets, each by the native addon and by Node. */
export const CONNECTION_KINDS: readonly ConnectionKind[] = [
  ...KINDS.map(({ kind, attempts, skip }) => ({
    kind: `TCP, ${kind}`,
    skip,
    resets: true,
    async ends() {
      const server = await loopbackServer()
      return await endsOf({
        sockets: server.sockets,
        protocol: connectionsOver({ allow: ['127.0.0.1:*'] }, attempts),
        open: (near) => tcpConnect(near, { host: '127.0.0.1', port: server.port }),
        close: () => server.close(),
      })
    },
  })),
  ...UNIX_DIALS.map(({ kind, dial, skip }) => ({
    kind: `unix, ${kind}`,
    skip,
    resets: false,
    async ends() {
      const folder = mkdtempSync(join(tmpdir(), 'tl-'))
      const path = join(folder, 's')
      const server = await socketServer(path)
      return await endsOf({
        sockets: server.sockets,
        protocol: unixConnectionsOver({ allow: [path] }, dial),
        open: (near) => unixConnect(near, { path }),
        close() {
          server.close()
          rmSync(folder, { recursive: true, force: true })
        },
      })
    },
  })),
]
