/** `forward`: real sockets on both sides, through two real processes. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { serving, start, trunkline } from '../helpers/command-line.ts'
import type { Running, Serving } from '../helpers/command-line.ts'
import { eventually, steady } from '../helpers/eventually.ts'
import { dialLoopback, freePort, isFree, loopbackServer } from '../helpers/loopback.ts'
import type { LoopbackServer } from '../helpers/loopback.ts'

let target: LoopbackServer
let server: Serving
let forward: Running
/** Port of `-L` to the target, of `-L` to where nobody listens, and of `-R` to the target. */
let ports: number[]
/**
 * Nobody listens there; a free one that was looked for could be given to one of the listeners, and
 * the forward would lead to itself.
 */
const closedPort = 1

/**
 * What comes until the other side ends. (Iterating a socket would close its writing side at the
 * end, too.)
 */
async function received(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(socket, 'end')
  return text
}

before(async () => {
  // Answers when the request has ended, as `nc -N` and HTTP/1.0 do.
  target = await loopbackServer((socket) => {
    void received(socket).then((request) => socket.end(`answer to ${request.length}`))
  })
  server = await serving(['--connect', '127.0.0.1:*', '--listen', '127.0.0.1:*'])
  const to = `127.0.0.1:${target.port}`
  const specs = ['-L', `0:${to}`, '-L', `0:127.0.0.1:${closedPort}`, '-R', `127.0.0.1:0:${to}`]
  forward = start(['forward', ...specs], { to: server.address })
  ports = (await forward.lines(3)).map((line) => Number(/:(\d+) -> /.exec(line)?.[1]))
})
after(async () => {
  forward.child.kill('SIGKILL')
  await server.stop()
  target.close()
})

describe('forward', () => {
  it('prints a line for each forward, with its real ports', async () => {
    const to = `127.0.0.1:${target.port}`
    assert.deepEqual(await forward.lines(3), [
      `forwarding 127.0.0.1:${ports[0]} -> ${to}`,
      `forwarding 127.0.0.1:${ports[1]} -> 127.0.0.1:${closedPort}`,
      `forwarding peer 127.0.0.1:${ports[2]} -> ${to}`,
    ])
  })

  for (const [option, which] of [
    ['-L', 0],
    ['-R', 2],
  ] as const) {
    it(`${option}: a request, then the end of writing, then the answer [R-106]`, async () => {
      const request = 'x'.repeat(1_000_000)
      const client = await dialLoopback(ports[which]!)
      client.end(request)
      assert.equal(await received(client), `answer to ${request.length}`)
    })

    it(`${option}: the target's end first, then the client goes on [R-106]`, async () => {
      const heard: string[] = []
      const early = await loopbackServer((socket) => {
        socket.end('hello')
        void received(socket).then((text) => heard.push(text))
      })
      const own = start(['forward', option, `0:127.0.0.1:${early.port}`], { to: server.address })
      const [line = ''] = await own.lines(1)
      const client = await dialLoopback(Number(/:(\d+) -> /.exec(line)?.[1]))
      assert.equal(await received(client), 'hello')
      client.end('still here')
      await eventually(() => heard.length > 0, 'the rest of what the client says')
      assert.deepEqual(heard, ['still here'])
      own.child.kill('SIGTERM')
      assert.equal((await own.ended).status, 0)
      early.close()
    })
  }

  it('resets the client when the peer cannot connect, says so, and goes on', async () => {
    const client = connect({ port: ports[1]!, host: '127.0.0.1' })
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException]
    assert.equal(error.code, 'ECONNRESET')
    await eventually(() => forward.stderr().includes('\n'), 'the line')
    assert.match(
      forward.stderr(),
      new RegExp(
        `^trunkline: ERR_CONNECT_REFUSED: 127\\.0\\.0\\.1:${ports[1]} -> 127\\.0\\.0\\.1:${closedPort}: [^\\n]+\\n$`,
      ),
    )
    const other = await dialLoopback(ports[0]!)
    other.end('x')
    assert.equal(await received(other), 'answer to 1')
  })

  it('leaves what comes beyond 256 connections to the kernel, whole, and serves it when one has ended [R-349]', async () => {
    const echo = await loopbackServer((socket) => socket.pipe(socket))
    const own = start(['forward', '-L', `0:127.0.0.1:${echo.port}`], { to: server.address })
    const [line = ''] = await own.lines(1)
    const port = Number(/:(\d+) -> /.exec(line)?.[1])
    const answers: string[] = []
    const clients: Socket[] = []
    for (let index = 0; index < 257; index++) {
      const client = await dialLoopback(port)
      client.on('data', (chunk: Buffer) => (answers[index] = chunk.toString()))
      client.write(String(index))
      clients.push(client)
    }
    await eventually(() => answers.filter(Boolean).length === 256, 'the others are served')
    assert.equal(await steady(() => answers.filter(Boolean).length), 256)
    const waiting = clients.findIndex((_, index) => answers[index] === undefined)
    assert.equal(clients[waiting]?.destroyed, false)
    clients[waiting === 0 ? 1 : 0]?.destroy()
    await eventually(() => answers[waiting] === String(waiting), 'the one that waited is served')
    for (const client of clients) client.destroy()
    own.child.kill('SIGTERM')
    assert.equal((await own.ended).status, 0)
    assert.equal(own.stderr(), '')
    echo.close()
  })

  it('exits 1 when a port is in use, on either side, and frees the others', async () => {
    const free = await freePort()
    const taken = `${target.port}:127.0.0.1:1`
    const here = await trunkline(['forward', '-L', `${free}:127.0.0.1:1`, '-L', taken], { to: server.address })
    assert.match(here.stderr, /^trunkline: ERR_ADDRESS_IN_USE: [^\n]+\n$/)
    assert.deepEqual([here.status, here.stdout], [1, ''])
    assert.ok(await isFree(free))
    const there = await trunkline(['forward', '-R', taken], { to: server.address })
    assert.match(there.stderr, /^trunkline: ERR_ADDRESS_IN_USE: [^\n]+\n$/)
    assert.equal(there.status, 1)
  })

  it('exits 4 when the peer may not listen there', async () => {
    const { status, stderr } = await trunkline(['forward', '-R', '127.0.0.2:0:127.0.0.1:1'], { to: server.address })
    assert.match(stderr, /^trunkline: ERR_DENIED: [^\n]+\n$/)
    assert.equal(status, 4)
  })

  it('ends at SIGTERM with exit 0, and its ports are free on both sides [R-129]', async () => {
    const own = start(['forward', '-L', '0:127.0.0.1:1', '-R', '0:127.0.0.1:1'], { to: server.address })
    const lines = await own.lines(2)
    own.child.kill('SIGTERM')
    const { status, stderr } = await own.ended
    assert.deepEqual([status, stderr], [0, ''])
    for (const line of lines) {
      const port = Number(/:(\d+) -> /.exec(line)?.[1])
      let free = false
      await eventually(
        () => {
          void isFree(port).then((is) => (free = is))
          return free
        },
        `port ${port} to be free`,
        1_000,
      )
    }
  })
})
