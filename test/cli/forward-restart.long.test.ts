/** `forward` outlives its session: the peer is killed and started again, refuses what it granted, or stays away. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect as connectTo } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { listenHere } from '../../src/cli/forward/listen-here.ts'
import { listenThere, servedByDialling } from '../../src/cli/forward/listen-there.ts'
import { connect, TrunkError } from '../../src/index.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { serving, start } from '../helpers/command-line.ts'
import type { Running, Serving } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { dialLoopback, isFree, loopbackServer } from '../helpers/loopback.ts'
import type { LoopbackServer } from '../helpers/loopback.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { collect, echo, protocol } from '../helpers/protocols.ts'
import { scriptedPeer } from '../helpers/scripted-peer.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

noStrayRejections()

const ALLOWED = ['--connect', '127.0.0.1:*', '--listen', '127.0.0.1:*']
const SEEN_MS = 10_000

let target: LoopbackServer

before(async () => {
  target = await loopbackServer((socket) => socket.pipe(socket))
})
after(() => {
  target.close()
})

const portOf = (line = ''): number => Number(/:(\d+) -> /.exec(line)?.[1])
const linesOf = (running: Running): string[] => running.stderr().split('\n').slice(0, -1)

/** Resolves when the other side has ended or reset it; what is left of it is closed. (`once` of node:events would reject on a reset.) */
const gone = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    const over = (): void => {
      socket.destroy()
      resolve('closed')
    }
    socket.once('end', over).once('close', over)
  })

/** Sends a word; gives what comes back, or `closed`. */
async function echoed(socket: Socket): Promise<string> {
  const answer = new Promise<string>((resolve) => {
    socket.once('data', (bytes: Buffer) => {
      resolve(bytes.toString())
    })
  })
  socket.write('hello')
  return await Promise.race([answer, gone(socket)])
}

/** The same through a connection of its own. */
async function tryEcho(port: number): Promise<string> {
  const socket = await dialLoopback(port)
  const said = await echoed(socket)
  socket.destroy()
  return said
}

/** `forward` with both directions, to a peer of its own. */
async function forwarding(): Promise<{ server: Serving; forward: Running; local: number; remote: number }> {
  const server = await serving(ALLOWED)
  const to = `127.0.0.1:${target.port}`
  const forward = start(['forward', '-L', `0:${to}`, '-R', `0:${to}`], { to: server.address })
  const [first, second] = await forward.lines(2)
  return { server, forward, local: portOf(first), remote: portOf(second) }
}

async function kill({ running }: Serving): Promise<void> {
  running.child.kill('SIGKILL')
  await running.ended
}

async function sees(forward: Running, pattern: RegExp): Promise<void> {
  await eventually(() => pattern.test(forward.stderr()), String(pattern), SEEN_MS)
}

describe('forward, when the peer is killed and started again', () => {
  it('resets what stood, keeps a new connection waiting, and goes on at the same ports, -L and -R', async () => {
    const { server, forward, local, remote } = await forwarding()
    const stood = await Promise.all([dialLoopback(local), dialLoopback(remote)])
    for (const socket of stood) assert.equal(await echoed(socket), 'hello')
    const cut = stood.map(gone)
    await kill(server)
    await Promise.all(cut)
    await sees(forward, /\n/)
    const inTheGap = tryEcho(local)
    const again = await serving(ALLOWED, server.address)
    assert.equal(await inTheGap, 'hello')
    await sees(forward, /\n.*\n/)
    assert.equal(await tryEcho(local), 'hello')
    let answer = ''
    const ask = (): void => {
      void tryEcho(remote).then(
        (said) => (answer = said),
        () => undefined, // nobody listens there yet
      )
    }
    await eventually(
      () => {
        if (answer !== 'hello') ask()
        return answer === 'hello'
      },
      'the port at the peer is listened to again',
      SEEN_MS,
    )
    const [lost = '', back = '', ...more] = linesOf(forward)
    assert.match(lost, /^trunkline: ERR_LINK_(LOST|RESET): .+; connecting again$/)
    assert.match(back, /^trunkline: connected again after [\d.]+ (ms|s)$/)
    assert.deepEqual(more, [])
    assert.equal(forward.stdout().split('\n').length, 3, 'each forward is announced once')
    forward.child.kill('SIGTERM')
    const { status } = await forward.ended
    assert.equal(status, 0)
    await eventually(() => linesOf(again.running).every((line) => !line.includes('ERR_')), 'no complaint')
    await again.stop()
  })

  it('ends with 0 at SIGTERM while the peer is away, at once', async () => {
    const { server, forward, local } = await forwarding()
    await kill(server)
    await sees(forward, /connecting again\n/)
    forward.child.kill('SIGTERM')
    const { status, stderr } = await forward.ended
    assert.deepEqual([status, stderr.split('\n').length], [0, 2])
    assert.ok(await isFree(local))
  })

  it('ends with 4 when the peer no longer lets it listen', async () => {
    const { server, forward } = await forwarding()
    await kill(server)
    await sees(forward, /connecting again\n/)
    const again = await serving(['--connect', '127.0.0.1:*'], server.address)
    const { status, stderr } = await forward.ended
    assert.match(stderr, /\ntrunkline: ERR_PROTOCOL_UNKNOWN: [^\n]+\n$/)
    assert.equal(status, 4)
    await again.stop()
  })

  it('ends with 4 when the peer asks for a token by now', async () => {
    const { server, forward } = await forwarding()
    await kill(server)
    await sees(forward, /connecting again\n/)
    const file = join(temporaryFolder(), 'token')
    await writeFile(file, 'a secret of more than sixteen bytes')
    const again = await serving([...ALLOWED, '--token-file', file], server.address)
    const { status, stderr } = await forward.ended
    assert.match(stderr, /\ntrunkline: ERR_AUTH_REQUIRED: [^\n]+\n$/)
    assert.equal(status, 4)
    await again.stop()
  })
})

describe('forward, at its start', () => {
  it('ends with 3 at once when nobody is there', async () => {
    const { port, close } = await loopbackServer()
    close()
    const { status, stderr } = await start(['forward', '-L', '0:127.0.0.1:1'], { to: `tcp://127.0.0.1:${port}` }).ended
    assert.match(stderr, /^trunkline: ERR_CONNECT_REFUSED: [^\n]+\n$/)
    assert.equal(status, 3)
  })

  it('waits for the peer with --wait', async () => {
    const { port, close } = await loopbackServer()
    close()
    const to = `tcp://127.0.0.1:${port}`
    const forward = start(['forward', '--wait', '-L', `0:127.0.0.1:${target.port}`], { to })
    await sees(forward, /^trunkline: ERR_CONNECT_REFUSED: .+; waiting for the peer\n/)
    const server = await serving(ALLOWED, to)
    const [line] = await forward.lines(1)
    assert.equal(await tryEcho(portOf(line)), 'hello')
    forward.child.kill('SIGTERM')
    assert.equal((await forward.ended).status, 0)
    assert.equal(linesOf(forward).length, 1)
    await server.stop()
  })
})

describe('a forward between two sessions, with time turned by hand', () => {
  const lost = async (protocols = [echo]) => {
    const clock = manualClock()
    const peer = scriptedPeer({ protocols })
    const trunk = await connect(peer.transport, { reconnect: true, clock })
    const { context, stderr } = capturedContext()
    return {
      clock,
      peer,
      trunk,
      stderr,
      context: { ...context, clock },
      async lose() {
        await eventually(() => peer.trunks.length === trunk.connection.sessions, 'the other end')
        peer.cut()
        await eventually(() => trunk.connection.state === 'waiting', 'the loss')
      },
    }
  }
  const spec = { bind: undefined, port: 0, host: '127.0.0.1', hostPort: 1 }

  it('resets a connection that has waited 10 s for a session, and says so', async () => {
    const { clock, context, peer, trunk, stderr, lose } = await lost()
    const forward = await listenHere(context, trunk, spec)
    await lose()
    peer.meets = 'hang'
    clock.advance(200)
    const client = connectTo({ port: portOf(forward.description), host: '127.0.0.1' })
    const reset = once(client, 'error') as Promise<[NodeJS.ErrnoException]>
    await once(client, 'connect')
    await eventually(() => clock.pending === 2, 'its time and the time of the dial run')
    clock.advance(9_999)
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(client.destroyed, false)
    clock.advance(1)
    assert.equal((await reset)[0].code, 'ECONNRESET')
    assert.equal(
      stderr(),
      `trunkline: ERR_CONNECT_TIMEOUT: ${forward.description}: no session with the peer for 10 s\n`,
    )
    forward.close()
    await trunk.close()
    assert.equal(clock.pending, 0)
  })

  it('R-351: asks a peer that has its connections again, for 10 s', async () => {
    let full = 2
    let asked = 0
    const connection = protocol('tcp-connection', async ({ accept }) => {
      asked++
      if (full-- > 0) throw new TrunkError('ERR_CONNECTION_LIMIT', 'enough')
      const pipe = accept({ localAddress: '', localPort: 0, remoteAddress: '', remotePort: 0 })
      await pipe.sink(pipe.source)
    })
    const { clock, context, trunk, stderr } = await lost([connection])
    const forward = await listenHere(context, trunk, spec)
    const port = portOf(forward.description)
    const client = connectTo({ port, host: '127.0.0.1' })
    client.write('patience')
    const answer = once(client, 'data') as Promise<[Buffer]>
    await eventually(() => {
      clock.advance(20)
      return asked === 3
    }, 'it asks until there is room')
    assert.equal((await answer)[0].toString(), 'patience')
    client.destroy()
    assert.equal(stderr(), '')
    full = Infinity
    const late = connectTo({ port, host: '127.0.0.1' })
    const reset = once(late, 'error') as Promise<[NodeJS.ErrnoException]>
    await eventually(() => {
      clock.advance(100)
      return stderr() !== ''
    }, 'it gives up')
    assert.equal((await reset)[0].code, 'ECONNRESET')
    assert.equal(stderr(), `trunkline: ERR_CONNECTION_LIMIT: ${forward.description}: enough\n`)
    forward.close()
    await trunk.close()
    assert.equal(clock.pending, 0)
  })

  it('asks a peer that cannot listen just now again, and says why once', async () => {
    const answers = ['granted', 'ERR_ADDRESS_IN_USE', 'ERR_ADDRESS_IN_USE', 'granted']
    const asked: unknown[] = []
    const listener = protocol('tcp-listener', async ({ params, accept, signal }) => {
      const { op, port } = params as { op: string; port: number }
      if (op === 'listen') {
        asked.push(port)
        const answer = answers[asked.length - 1]!
        if (answer !== 'granted') throw new TrunkError(answer, 'somebody else listens there')
        const pipe = accept({ op: 'listen', listener: 1, host: '127.0.0.1', port: 4_000 })
        // until it is closed there, as the real one does: what came of it is not this side's
        await collect(pipe.source).catch(() => undefined)
        return
      }
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    })
    const { clock, context, trunk, stderr, lose } = await lost([listener])
    const forward = await listenThere(context, trunk, spec, servedByDialling(context, spec))
    forward.ended.catch(() => undefined)
    await lose()
    await eventually(() => {
      clock.advance(100)
      return asked.length === 4
    }, 'it is asked until it listens')
    assert.deepEqual(asked, [0, 4_000, 4_000, 4_000], 'the port stays what it was')
    assert.equal(
      stderr(),
      'trunkline: ERR_ADDRESS_IN_USE: peer 127.0.0.1:4000 -> 127.0.0.1:1: somebody else listens there\n',
    )
    forward.close()
    await trunk.close()
    await forward.ended
    assert.equal(clock.pending, 0)
  })

  it('ends when the peer ends its listening although the session stands', async () => {
    const over: (() => void)[] = []
    const listener = protocol('tcp-listener', async ({ params, accept, signal }) => {
      if ((params as { op: string }).op === 'listen') {
        accept({ op: 'listen', listener: 1, host: '127.0.0.1', port: 4_000 })
        await new Promise<void>((_, reject) => over.push(() => reject(new TrunkError('ERR_QUOTA', 'enough'))))
      }
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    })
    const { context, trunk } = await lost([listener])
    const forward = await listenThere(context, trunk, spec, servedByDialling(context, spec))
    over[0]!()
    await assert.rejects(forward.ended, { code: 'ERR_QUOTA' })
    await trunk.close()
  })
})
