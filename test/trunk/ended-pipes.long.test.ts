/**
 * What a session keeps of pipes that are over: nothing. 50,000 pipes in each way of reading, and in
 * each protocol, over a real socket, whose memory is read into again; then the heap is what it was
 * after half of them.
 */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { bench, benchClient } from '../../protocols/bench.ts'
import { filesystem, filesystemClient } from '../../protocols/filesystem.ts'
import { tcpConnect, tcpConnection } from '../../protocols/tcp-connection.ts'
import { tcpListen, tcpListener } from '../../protocols/tcp-listener.ts'
import { connect, defineProtocol, serve, type Pipe, type Server, type Trunk } from '../../src/index.ts'
import { dialLoopback } from '../helpers/loopback.ts'
import { memoryHeld } from '../helpers/memory-held.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

/** Of each kind; `PIPES=2000` for a look. */
const PIPES = Number(process.env['PIPES'] ?? 50_000)
/** At a time. */
const ABREAST = 32
/**
 * What the heap may differ by after the second half; the first makes what is made once. 380 B for
 * each pipe of it would be 9.5 MB.
 */
const MAX_GROWTH_BYTES = Math.max(400_000, PIPES * 20)
/** Above what is copied together: such a piece is a view of what the line was read into. */
const PIECE_BYTES = 4096

/** A reset is a word that is paced, and here all pipes of a kind are broken off. */
const RESETS = { resetBurst: 1_000_000, resetsPerSecond: 1_000_000 }

const folder = temporaryFolder()
const piece = new Uint8Array(PIECE_BYTES)

const give = defineProtocol({
  name: 'give',
  parse: () => undefined,
  handle: async ({ accept }) => {
    const pipe = accept()
    await pipe.write(piece)
    // a reader that stops is no failure here
    await pipe.close().catch(() => undefined)
  },
})

/** What a reader does with its pipe. */
const READERS: Readonly<Record<string, (pipe: Pipe) => Promise<void>>> = {
  source: async (pipe) => {
    for await (const bytes of pipe.source) assert.equal(bytes.byteLength, PIECE_BYTES)
    await pipe.close()
  },
  borrowed: async (pipe) => {
    for await (const bytes of pipe.borrowed) assert.equal(bytes.byteLength, PIECE_BYTES)
    await pipe.close()
  },
  'borrowed, and leaving': async (pipe) => {
    for await (const bytes of pipe.borrowed) if (bytes.byteLength > 0) break
    await pipe.close()
  },
  'no reader': (pipe) => pipe.close(),
  stopReading: async (pipe) => {
    pipe.stopReading()
    await pipe.close()
  },
  'abort with bytes unread': async (pipe) => {
    while (pipe.readableLength === 0) await new Promise((resolve) => setImmediate(resolve))
    pipe.abort(new Error('enough'))
  },
}

describe('50,000 pipes that are over', { timeout: 1_800_000 }, () => {
  let server: Server
  let trunk: Trunk
  let there: Trunk
  let port: number
  const echo = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    socket.end(piece)
    socket.resume()
  })

  before(async () => {
    mkdirSync(join(folder, 'served'))
    writeFileSync(join(folder, 'served', 'file'), new Uint8Array(100_000))
    echo.listen(0, '127.0.0.1')
    await once(echo, 'listening')
    port = (echo.address() as { port: number }).port
    server = await serve(`unix://${join(folder, 'line.sock')}`, {
      protocols: [
        give,
        filesystem({ root: join(folder, 'served') }),
        tcpConnection({ allow: [`127.0.0.1:${port}`] }),
        tcpListener({ allow: ['127.0.0.1:*'] }),
        bench(),
      ],
      limits: RESETS,
    })
    trunk = await connect(server.address, { limits: RESETS })
    const [first] = server.trunks
    assert.ok(first !== undefined)
    there = first
  })

  after(async () => {
    await trunk.close()
    await server.close()
    echo.close()
  })

  /** Uses so many pipes, some at a time. */
  async function many(count: number, use: () => Promise<void>): Promise<void> {
    let left = count
    await Promise.all(
      Array.from({ length: ABREAST }, async () => {
        while (left-- > 0) await use()
      }),
    )
  }

  async function leavesNothing(use: () => Promise<void>): Promise<void> {
    await many(PIPES / 2, use)
    const held = await memoryHeld()
    await many(PIPES / 2, use)
    const grown = (await memoryHeld()) - held
    assert.ok(grown < MAX_GROWTH_BYTES, `${grown} bytes more are held after ${PIPES} pipes`)
    for (const end of [trunk, there]) assert.ok(end.status().pipes.length <= 16, 'pipes are left')
  }

  for (const [name, read] of Object.entries(READERS)) {
    it(`leave nothing behind: ${name} [R-366]`, () => leavesNothing(async () => read(await trunk.open('give'))))
  }

  it('leave nothing behind: opened with a signal that outlives them [R-366]', async () => {
    const { signal } = new AbortController()
    await leavesNothing(async () => {
      const pipe = await trunk.open('give', undefined, { signal, body: new Uint8Array(0) })
      for await (const bytes of pipe.borrowed) assert.ok(bytes.byteLength > 0)
      await pipe.close()
    })
  })

  it('leave nothing behind: refused [R-366]', () =>
    leavesNothing(() => assert.rejects(trunk.open('nobody-has-this'), { code: 'ERR_PROTOCOL_UNKNOWN' })))

  it('leave nothing behind: filesystem [R-366]', async () => {
    const files = filesystemClient(trunk)
    const kinds = [
      async () => {
        for await (const bytes of files.read('/file', { length: 10_000, borrowed: true }))
          assert.ok(bytes.byteLength > 0)
      },
      async () => {
        await files.write('/written', new Uint8Array(10_000), { durable: false })
      },
      async () => {
        await files.stat('/file')
      },
      async () => {
        for await (const entry of files.list('/')) assert.ok(entry.name.length > 0)
      },
    ]
    let turn = 0
    await leavesNothing(async () => kinds[turn++ % kinds.length]?.())
  })

  it('leave nothing behind: tcp-connection [R-366]', () =>
    leavesNothing(async () => READERS['borrowed']?.(await tcpConnect(trunk, { host: '127.0.0.1', port }))))

  it('leave nothing behind: tcp-listener [R-366]', async () => {
    const listening = await tcpListen(trunk, { port: 0 }, { accepts: 8 })
    const taken = listening[Symbol.asyncIterator]()
    await leavesNothing(async () => {
      const [socket, next] = await Promise.all([dialLoopback(listening.address.port), taken.next()])
      assert.ok(next.done !== true)
      socket.on('error', () => undefined)
      socket.end(piece)
      socket.resume()
      await READERS['borrowed']?.(next.value)
    })
    await listening.close()
  })

  it('leave nothing behind: bench [R-366]', async () => {
    const client = benchClient(trunk)
    await leavesNothing(async () => {
      await client.measure({ direction: 'read', bytes: 5000 })
    })
  })
})
