/**
 * How a command ends at SIGTERM while something is under way: it drains for at most five seconds
 * and exits 0, whatever its peer does meanwhile.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { serving, start, type Outcome, type Running } from '../helpers/command-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { faultProxy, proxyTarget } from '../helpers/fault-proxy.ts'
import { dialLoopback, loopbackServer } from '../helpers/loopback.ts'
import { pattern } from '../helpers/protocols.ts'
import { ptyPair } from '../helpers/pty.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

/** `closeTimeoutMs`, and the second that a goodbye waits for the other's end. */
const DRAIN_MS = 5_000
const LINGER_MS = 1_000
/** For a busy machine. */
const SLACK_MS = 4_000

/** SIGTERM, and the end, in its time. */
async function terminated(running: Running, [atLeastMs, atMostMs]: [number, number]): Promise<Outcome> {
  const begun = performance.now()
  running.child.kill('SIGTERM')
  const outcome = await running.ended
  const took = performance.now() - begun
  assert.ok(took >= atLeastMs && took <= atMostMs, `${took.toFixed(0)} ms, not ${atLeastMs} to ${atMostMs}`)
  return outcome
}

function silently({ status, signal, stderr }: Outcome): void {
  assert.deepEqual([status, signal, stderr], [0, null, ''])
}

function killed(t: TestContext, running: Running): Running {
  t.after(() => {
    running.child.kill('SIGCONT')
    running.child.kill('SIGKILL')
  })
  return running
}

/** A server, a forward through it and a connection that is established, for each kind of line. */
async function forwarding(
  t: TestContext,
  kind: 'tcp' | 'unix' | 'serial',
): Promise<{ server: Running; forward: Running }> {
  const target = await loopbackServer()
  t.after(() => {
    target.close()
  })
  let [at, to] = ['tcp://127.0.0.1:0', '']
  if (kind === 'unix') at = to = `unix://${join(temporaryFolder(), 's')}`
  if (kind === 'serial') {
    const pair = await ptyPair()
    t.after(() => pair.close())
    at = `serial://${pair.far}`
    to = `serial://${pair.near}`
  }
  const server = await serving(['--connect', `127.0.0.1:${target.port}`], at)
  const forward = start(['forward', '-L', `0:127.0.0.1:${target.port}`], { to: to === '' ? server.address : to })
  killed(t, server.running)
  killed(t, forward)
  const [line = ''] = await forward.lines(1)
  const client = await dialLoopback(Number(/:(\d+) /.exec(line)?.[1]))
  t.after(() => client.destroy())
  await eventually(() => target.sockets.length === 1, 'the forwarded connection', 20_000)
  return { server: server.running, forward }
}

describe('SIGTERM', { concurrency: 2, timeout: 120_000 }, () => {
  for (const kind of ['tcp', 'unix', 'serial'] as const) {
    it(`a server drains five seconds, no longer, and exits 0 (${kind}) [R-254]`, async (t) => {
      const { server } = await forwarding(t, kind)
      const { status, signal } = await terminated(server, [DRAIN_MS - 500, DRAIN_MS + LINGER_MS + SLACK_MS])
      assert.deepEqual([status, signal], [0, null])
    })
  }

  it('what finishes while a server drains is whole, and then it does not wait any longer [R-254]', async (t) => {
    const folder = temporaryFolder()
    const bytes = 300_000
    writeFileSync(join(folder, 'file'), pattern(bytes))
    const server = await serving(['--fs', folder])
    killed(t, server.running)
    const proxy = await faultProxy(proxyTarget(server.address), { back: { bytesPerSecond: 150_000 } })
    t.after(() => {
      proxy.close()
    })
    const cat = killed(t, start(['cat', ':file'], { to: proxy.address }))
    await eventually(() => proxy.carried().back > 20_000, 'the file is on its way', 20_000)
    silently(await terminated(server.running, [0, DRAIN_MS]))
    const { status, output, stderr } = await cat.ended
    assert.deepEqual([status, stderr], [0, ''])
    assert.ok(output.equals(pattern(bytes)), `${output.byteLength} bytes`)
  })

  for (const how of ['read', 'stuck'] as const) {
    it(`a server whose peer is in a black hole (${how}) is not kept longer by it [R-254]`, async (t) => {
      const server = await serving(['--bench'])
      killed(t, server.running)
      const proxy = await faultProxy(proxyTarget(server.address))
      t.after(() => {
        proxy.close()
      })
      const ping = killed(t, start(['ping', '-c', '1000', '-i', '0.1'], { to: proxy.address }))
      await ping.lines(2)
      proxy.blackHole(how)
      silently(await terminated(server.running, [0, DRAIN_MS + LINGER_MS + SLACK_MS]))
    })
  }

  it('a forward whose peer is stopped is not kept longer by it [R-254]', async (t) => {
    const { server, forward } = await forwarding(t, 'tcp')
    server.child.kill('SIGSTOP')
    const { status, signal } = await terminated(forward, [0, DRAIN_MS + LINGER_MS + SLACK_MS])
    assert.deepEqual([status, signal], [0, null])
    server.child.kill('SIGCONT')
    silently(await terminated(server, [0, DRAIN_MS + LINGER_MS + SLACK_MS]))
  })
})
