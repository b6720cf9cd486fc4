/**
 * Ten thousand connections at one listener, and a peer that is killed while it listens: with
 * processes of their own at the other ends.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { connect, serve } from '../../../src/index.ts'
import { tcpListen, tcpListener, type TcpIncoming } from '../../../protocols/tcp-listener.ts'
import { childProgram, firstLine } from '../../helpers/child-program.ts'
import { eventually, steady } from '../../helpers/eventually.ts'
import { dialLoopback, isFree } from '../../helpers/loopback.ts'
import { outcome } from '../../helpers/protocols.ts'
import { countHandles } from '../../helpers/process-handles.ts'

/** A number that this system says in `file`, if it has such a file. */
function systemLimit(file: string, line: RegExp): number {
  try {
    return Number(line.exec(readFileSync(file, 'utf8'))?.[1] ?? Infinity)
  } catch {
    // No /proc on this system: what Node asks for at its start is what there is.
    return Infinity
  }
}

/** As many as the catalogue asks for, or as a process here may have open. */
const CROWD_SIZE = Math.min(10_000, Math.floor(systemLimit('/proc/self/limits', /Max open files\s+(\d+)/) / 2))
/**
 * What may stand in the kernel's queue: beyond it handshakes are dropped and tried again seconds
 * later, which is the kernel's affair and not ours.
 */
const QUEUE = Math.min(2_000, Math.floor(systemLimit('/proc/sys/net/core/somaxconn', /(\d+)/) / 2))

/**
 * Dials `count` times, with as many at a time as the queue holds; each one waits for a byte. Prints
 * a line when all have had theirs.
 */
const CROWD = `
import { connect as dial } from 'node:net'
const [port, count, most] = process.env.CROWD.split(' ').map(Number)
let dialled = 0
let greeted = 0
let failed = 0
function next() {
  if (dialled === count) return
  dialled++
  const socket = dial({ port, host: '127.0.0.1' })
  socket.on('error', () => failed++)
  socket.once('data', () => {
    greeted++
    socket.destroy()
  })
  socket.once('close', () => {
    if (greeted + failed === count) console.log('over ' + greeted + ' ' + failed)
    next()
  })
}
for (let i = 0; i < most; i++) next()
console.log('dialled')
`

/** The code of the error that a socket ends with, or `a clean end`. */
function howItEnds(socket: Socket): Promise<string> {
  socket.resume()
  return new Promise((resolve) => {
    socket.once('end', () => resolve('a clean end'))
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => resolve(code))
  })
}

describe('a tcp-listener and other processes', { timeout: 120_000 }, () => {
  it('serves 256 of ten thousand connections, leaves the rest to the kernel without a storm, and then serves all [R-109]', async () => {
    const count = CROWD_SIZE
    const most = 256
    const server = await serve('tcp://127.0.0.1:0', {
      protocols: [tcpListener({ allow: ['127.0.0.1:*'], maxConnections: most, backlog: 2 * QUEUE })],
    })
    const trunk = await connect(server.address)
    const listening = await tcpListen(trunk, { port: 0 }, { accepts: 16 })
    const waiting: TcpIncoming[] = []
    let taken = 0
    const taking = (async () => {
      for await (const pipe of listening) {
        taken++
        waiting.push(pipe)
      }
    })()
    const before = countHandles().descriptors
    const crowd = childProgram(CROWD, { CROWD: `${listening.address.port} ${count} ${QUEUE}` })
    await eventually(() => crowd.lines.includes('dialled'), 'the crowd has come', 30_000)
    await eventually(() => taken === most, 'as many as allowed are served', 10_000)

    const used = process.cpuUsage()
    await steady(() => taken, 500)
    await trunk.ping()
    const { user, system } = process.cpuUsage(used)
    assert.equal(taken, most)
    assert.ok(countHandles().descriptors - before <= most + 16, 'descriptors for connections that wait')
    assert.ok(user + system < 400_000, `${(user + system) / 1000} ms of work while nothing is to be done`)

    const greeting = Buffer.from('!')
    const serving = (async () => {
      for (let served = 0; served < count; served++) {
        await eventually(() => waiting.length > 0, `connection ${served + 1} of ${count} comes`, 40_000)
        const pipe = waiting.shift()
        void pipe
          ?.write(greeting)
          .then(() => pipe.close())
          .catch(() => undefined) // whoever has had its byte resets the connection
      }
    })()
    await serving
    await eventually(() => crowd.lines.length > 1, 'everyone had an answer', 30_000)
    assert.equal(crowd.lines[1], `over ${count} 0`)
    assert.equal(await crowd.exited, 0, crowd.errors())
    await listening.close()
    await taking
    await trunk.close()
    await server.close()
  })

  it('gives the port back at once when the peer that asked for it is killed, and resets whoever was connected [R-237]', async () => {
    const server = await serve('tcp://127.0.0.1:0', { protocols: [tcpListener({ allow: ['127.0.0.1:*'] })] })
    const peer = childProgram(`
      import { tcpListen } from './protocols/tcp-listener.ts'
      const trunk = await connect(${JSON.stringify(server.address)})
      const listening = await tcpListen(trunk, { port: 0 })
      console.log(listening.address.port)
      for await (const pipe of listening) {
        await pipe.write(Buffer.from('hello'))
        console.log('taken')
      }`)
    const port = Number(await firstLine(peer))
    const taken = await dialLoopback(port)
    await once(taken, 'data')
    await eventually(() => peer.lines.includes('taken'), 'the connection is served')
    const untaken = await dialLoopback(port)
    const resets = [taken, untaken].map(howItEnds)
    peer.kill('SIGKILL')
    await peer.exited
    assert.deepEqual(await Promise.all(resets), ['ECONNRESET', 'ECONNRESET'])
    await eventually(() => server.trunks.size === 0, 'the session is gone', 1_000)
    assert.equal(await isFree(port), true)
    await server.close()
  })

  it('gives the port back when the process that listens is killed, and the asking side is told by a code [R-238]', async () => {
    const host = childProgram(`
      import { tcpListener } from './protocols/tcp-listener.ts'
      const server = await serve('tcp://127.0.0.1:0', { protocols: [tcpListener({ allow: ['127.0.0.1:*'] })] })
      console.log(server.address)`)
    const trunk = await connect(await firstLine(host))
    const listening = await tcpListen(trunk, { port: 0 })
    const iterator = listening[Symbol.asyncIterator]()
    const client = await dialLoopback(listening.address.port)
    const first = (await iterator.next()) as IteratorYieldResult<TcpIncoming>
    const ends = [first.value.source.next(), iterator.next()].map(outcome)
    host.kill('SIGKILL')
    await host.exited
    for (const end of await Promise.all(ends)) assert.match(end, /^ERR_LINK_(LOST|RESET)$/)
    assert.equal(await isFree(listening.address.port), true)
    client.destroy()
  })
})
