/**
 * `forward` outlives its session: the peer is killed and started again, refuses what it granted, or
 * stays away.
 */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { serving, start } from '../helpers/command-line.ts'
import type { Running, Serving } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { dialLoopback, isFree, loopbackServer } from '../helpers/loopback.ts'
import type { LoopbackServer } from '../helpers/loopback.ts'
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

/**
 * Resolves when the other side has ended or reset it; what is left of it is closed. (`once` of
 * node:events would reject on a reset.)
 */
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
