/**
 * The answer of a server that stops reading an upload, closes, and so resets the connection (an
 * HTTP server's 413): what it sent before that comes to the client first, then the reset. Real
 * sockets and a real HTTP server, both ends of the forward over both kinds of connection; until the
 * server has closed the client reads nothing, so that the answer waits wherever it can: in the
 * kernel, the sender's outbox, the receiver's inbox, the local socket.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, describe, it } from 'node:test'
import { Uint8ArrayList } from 'uint8arraylist'
import { join } from '../../../protocols/tcp/bridge.ts'
import type { Connection } from '../../../protocols/tcp/connection.ts'
import { connectionSet } from '../../../protocols/tcp/connection-set.ts'
import { unacknowledgedOf } from '../../../protocols/tcp/hidden-reset.ts'
import { netConnection } from '../../../protocols/tcp/net-connection.ts'
import { Slots } from '../../../protocols/tcp/slots.ts'
import { tcpConnect } from '../../../protocols/tcp-connection.ts'
import { nativeSource } from '../../../protocols/tcp-listener/acceptor-native.ts'
import { netSource } from '../../../protocols/tcp-listener/acceptor-net.ts'
import { Acceptor } from '../../../protocols/tcp-listener/acceptor.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import type { Pipe } from '../../../src/index.ts'
import { loadNative } from '../../../src/native/load.ts'
import { eventually } from '../../helpers/eventually.ts'
import { dialLoopback } from '../../helpers/loopback.ts'
import { KINDS, trunkTo } from '../../helpers/tcp-kinds.ts'

const KIB = 1024
const open: { close(): void }[] = []

after(() => {
  for (const each of open) each.close()
})

/**
 * Answers the first bytes of each upload with 413 and `bytes` bytes, and closes with the rest
 * unread.
 */
async function refusingServer(bytes: number): Promise<{ port: number; closed: () => boolean }> {
  let closed = false
  const server: Server = createServer((request, response) => {
    const { socket } = request
    request.once('data', () => {
      request.pause()
      response.writeHead(413, { 'content-length': bytes })
      response.end(Buffer.alloc(bytes, 'too large '), () => {
        // what the other side's kernel has not got when it closes nobody will ever get
        const arrived = (): boolean => socket.writableLength === 0 && (unacknowledgedOf(socket) ?? 0) === 0
        void eventually(arrived, 'the other kernel has the answer').then(() => {
          socket.destroy()
          closed = true
        })
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push({
    close() {
      server.closeAllConnections()
      server.close()
    },
  })
  return { port: (server.address() as AddressInfo).port, closed: () => closed }
}

/** A port here whose connection goes into `pipe`, as `forward -L` does it. */
async function forwarded(pipe: Pipe | Promise<Pipe>, kind: 'native' | 'net'): Promise<number> {
  const set = connectionSet()
  const source = kind === 'native' && set !== undefined ? nativeSource(set) : netSource
  const at = { address: '127.0.0.1', port: 0 }
  const acceptor = await Acceptor.listen(at, { open: source, backlog: 8, slots: new Slots(8), clock: systemClock })
  open.push(acceptor)
  void (async () => {
    const connection = await acceptor.next()
    await join(await pipe, connection).over.catch(() => undefined)
  })()
  return acceptor.local.port
}

interface Upload {
  readonly connection: Connection
  readonly over: Promise<string>
  text(): string
}

/**
 * Uploads for ever, and reads nothing before `connection.resume`. A connection as the bridge has
 * them, since a socket of Node's loses what it has not read.
 */
async function upload(port: number, first: Uint8Array): Promise<Upload> {
  const connection = netConnection(await dialLoopback(port))
  const chunks: Uint8Array[] = []
  const events: string[] = []
  const block = new Uint8ArrayList(Buffer.alloc(64 * KIB, 'u'))
  let writing = true
  const pump = (): void => {
    // a turn of the event loop for each: what failed is told between two of them
    if (writing && connection.write(block)) setImmediate(pump)
  }
  const over = new Promise<string>((resolve) => {
    connection.start({
      data: (chunk) => void chunks.push(chunk),
      end: () => void events.push('end'),
      drained: pump,
      broken: () => (writing = false),
      failed: () => {
        writing = false
        events.push('reset')
      },
      closed: () => {
        writing = false
        resolve(events.join(' '))
      },
    })
  })
  connection.pause()
  connection.write(new Uint8ArrayList(first))
  pump()
  return { connection, over, text: () => Buffer.concat(chunks).toString() }
}

const HEAD = Buffer.from(`POST / HTTP/1.1\r\nHost: here\r\nContent-Length: ${2 ** 40}\r\n\r\n`)

/** The answer is whole. */
function isWhole(text: string, bytes: number): void {
  const [head = '', body = ''] = text.split('\r\n\r\n')
  assert.match(head, /^HTTP\/1\.1 413 /)
  assert.equal(body.length, bytes)
}

/**
 * Large answers need a server that closes when the other kernel has them, which the addon alone can
 * tell.
 */
const blind = loadNative() === undefined && 'without the addon the server of this test closes too early'

for (const near of KINDS)
  for (const far of KINDS) {
    const skip = near.skip !== false ? near.skip : far.skip
    describe(`an upload through a forward, ${near.kind} here and ${far.kind} there`, { skip }, () => {
      for (const bytes of [40, 300 * KIB])
        it(
          `is answered with the ${bytes} bytes that were sent before the reset, and then reset [R-377]`,
          { skip: bytes > KIB && blind },
          async () => {
            const trunk = await trunkTo({ allow: ['127.0.0.1:*'] }, far.attempts, open)
            const server = await refusingServer(bytes)
            const pipe = tcpConnect(trunk, { host: '127.0.0.1', port: server.port })
            const client = await upload(await forwarded(pipe, near.kind), HEAD)
            await eventually(server.closed, 'the server has closed')
            client.connection.resume()
            assert.match(await client.over, /^(?:end )?reset$/)
            isWhole(client.text(), bytes)
            await eventually(() => trunk.status().pipes.length === 0, 'the pipe is gone')
          },
        )

      it(
        'is answered so when the answer waits in the kernel, the outbox and the inbox for somebody who reads [R-377]',
        { skip: blind },
        async () => {
          const trunk = await trunkTo({ allow: ['127.0.0.1:*'] }, far.attempts, open)
          const bytes = 240 * KIB
          const server = await refusingServer(bytes)
          const pipe = await tcpConnect(trunk, { host: '127.0.0.1', port: server.port })
          void pipe.write(HEAD)
          const uploading = (async () => {
            for (;;) await pipe.write(Buffer.alloc(64 * KIB))
          })()
          uploading.catch(() => undefined)
          await eventually(server.closed, 'the server has closed')
          await assert.rejects(uploading, 'the other end takes nothing more')
          // a window in the inbox and two reads in the outbox: the rest is in the kernel
          assert.equal(pipe.readableLength, 64 * KIB)
          const client = await upload(await forwarded(pipe, near.kind), Buffer.alloc(0))
          await eventually(() => trunk.status().pipes.length === 0, 'the pipe is gone')
          client.connection.resume()
          assert.match(await client.over, /^(?:end )?reset$/)
          isWhole(client.text(), bytes)
        },
      )
    })
  }
