/**
 * Real sockets on a bad network: late, slow, in slices, swallowed, stuck, reset, slow to close.
 * What ends well is whole, and what is dead is found in time.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { connect, serve, type Limits, type Server, type Trunk } from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import { faultProxy, proxyTarget, type FaultProxy, type FaultProxyOptions } from '../helpers/fault-proxy.ts'
import { expectNoLeaks } from '../helpers/no-leaks.ts'
import { checkPattern, collect, count, echo, outcome, pattern, produce, protocol } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { RecordedPeer } from './recorded.ts'

noStrayRejections()

const WHOLE = { code: undefined, steps: 5 }
const TCP = 'tcp://127.0.0.1:0'
/** Finds a dead line in 0.7 s; the busy machine may need as long again, and more. */
const SHORT: Partial<Limits> = { keepaliveMs: 300, keepaliveTimeoutMs: 400, writeStallMs: 500 }
const BOUND_MS = 700
const SLACK_MS = 3_000
/** A side that said goodbye waits this long for the other's end of the line. */
const LINGER_MS = 1_000

/** Accepts and does nothing. */
const stall = protocol('stall', async ({ accept, signal }) => {
  accept()
  await new Promise((resolve) => {
    signal.addEventListener('abort', resolve)
  })
})

interface Stage {
  readonly server: Server
  readonly proxy: FaultProxy
  readonly trunk: Trunk
  /** The serving side's codes of the ends of its sessions. */
  readonly codes: string[]
  close(): Promise<void>
}

/** A session over a proxy. */
async function stage(t: TestContext, options: FaultProxyOptions = {}, limits: Partial<Limits> = {}): Promise<Stage> {
  const codes: string[] = []
  const server = await serve(TCP, { protocols: [count, echo, produce, stall], limits })
  const proxy = await faultProxy(proxyTarget(server.address), options)
  const close = async (): Promise<void> => {
    proxy.close()
    await server.close()
  }
  t.after(close)
  const watch = async (): Promise<void> => {
    for await (const trunk of server) void outcome(trunk.closed).then((code) => codes.push(code))
  }
  void watch()
  return { server, proxy, codes, close, trunk: await connect(proxy.address, { limits }) }
}

/** What takes at least and at most so long. */
async function took<T>(run: () => Promise<T>, atLeastMs: number, atMostMs: number): Promise<T> {
  const begun = performance.now()
  const value = await run()
  const ms = performance.now() - begun
  assert.ok(ms >= atLeastMs && ms <= atMostMs, `${ms.toFixed(0)} ms, not ${atLeastMs} to ${atMostMs}`)
  return value
}

describe('a session on a bad network', { timeout: 100_000 }, () => {
  const BAD: Record<string, FaultProxyOptions> = {
    'in slices of one byte': { there: { sliceBytes: 1 }, back: { sliceBytes: 1 } },
    'late, each way another': { there: { latencyMs: 15, jitterMs: 15 }, back: { latencyMs: 2, jitterMs: 30 } },
    'slow both ways': { there: { bytesPerSecond: 8_000 }, back: { bytesPerSecond: 5_000 } },
    'everything at once': {
      there: { sliceBytes: 3, latencyMs: 5, jitterMs: 10, slowCloseMs: 50 },
      back: { sliceBytes: 2, bytesPerSecond: 9_000, jitterMs: 20, slowCloseMs: 80 },
    },
  }
  for (const [what, options] of Object.entries(BAD)) {
    for (const kind of ['tcp', 'unix'] as const) {
      it(`(${what}, ${kind}) does everything, whole [R-244]`, async (t) => {
        const folder = temporaryFolder()
        await expectNoLeaks(async () => {
          const peer = await RecordedPeer.start(t, kind === 'tcp' ? TCP : `unix://${join(folder, 'served')}`)
          const at = kind === 'tcp' ? {} : { at: join(folder, 'proxy') }
          const proxy = await faultProxy(proxyTarget(peer.address), { ...options, ...at })
          assert.deepEqual(await peer.run(proxy.address, 'one'), WHOLE)
          await peer.assertSound(['one'])
          proxy.close()
          await peer.close()
        })
      })
    }
  }

  it('that is late: a round trip says so, and bulk is not slowed to one window a round trip [R-245]', async (t) => {
    await expectNoLeaks(async () => {
      const { trunk, close } = await stage(t, { there: { latencyMs: 40 }, back: { latencyMs: 40 } })
      const ms = await trunk.ping()
      // each of the two timers may fire early by what is left of a millisecond
      assert.ok(ms >= 77, `a round trip of ${ms} ms over 80 ms`)
      // 4 MiB in windows of 64 KiB would be 64 round trips, 5 s; a window that grows needs a few
      const pipe = await trunk.open('produce', 4 * 1024 * 1024)
      assert.equal(await took(() => checkPattern(pipe.source), 80, 3_500), 4 * 1024 * 1024)
      await trunk.close()
      await close()
    })
  })

  it('that is slow: bulk one way takes its time and is whole, and keepalive lets it [R-246]', async (t) => {
    await expectNoLeaks(async () => {
      // what is under way takes far longer than keepalive and its answer: only what the peer says
      // of what it parsed is a sign of life
      const limits = { keepaliveMs: 1_500, keepaliveTimeoutMs: 1_000 }
      const { trunk, close } = await stage(t, { there: { bytesPerSecond: 60_000 } }, limits)
      const bytes = 400_000
      const pipe = await trunk.open('count')
      const [read] = await took(
        () => Promise.all([collect(pipe.source), pipe.sink([pattern(bytes)])]),
        (bytes / 60_000) * 1000 * 0.8,
        30_000,
      )
      assert.equal(read.toString(), String(bytes))
      await trunk.close()
      await close()
    })
  })

  for (const how of ['read', 'stuck'] as const) {
    it(`a black hole (${how === 'read' ? 'swallows' : 'takes nothing'}) is found within keepalive's bound on both sides, and all that waits has a code [R-247]`, async (t) => {
      await expectNoLeaks(async () => {
        const { trunk, proxy, server, codes, close } = await stage(t, {}, SHORT)
        const pipe = await trunk.open('stall')
        proxy.blackHole(how)
        const pending = [
          pipe.write(pattern(4 * 1024 * 1024)),
          collect(pipe.source),
          pipe.close(),
          trunk.ping(),
          trunk.open('echo'),
          trunk.closed,
        ].map(outcome)
        const found = await took(() => Promise.all(pending), 0, BOUND_MS + SLACK_MS)
        const allowed = how === 'read' ? /^ERR_KEEPALIVE_TIMEOUT$/ : /^ERR_(KEEPALIVE_TIMEOUT|WRITE_STALLED)$/
        for (const code of found) assert.match(code, allowed)
        assert.equal(new Set(found).size, 1, found.join())
        await eventually(() => server.trunks.size === 0 && codes.length === 1, 'the other side found it, too', SLACK_MS)
        assert.match(codes[0] ?? '', /^ERR_(KEEPALIVE_TIMEOUT|WRITE_STALLED)$/)
        await close()
      })
    })
  }

  it('a line that is slow to close keeps nobody longer than the goodbye’s second [R-248]', async (t) => {
    await expectNoLeaks(async () => {
      const { trunk, codes, close } = await stage(t, { there: { slowCloseMs: 20_000 }, back: { slowCloseMs: 20_000 } })
      await took(() => trunk.close(), 0, LINGER_MS + SLACK_MS)
      await trunk.closed
      await eventually(() => codes.length === 1, 'the other side has ended')
      // the goodbye arrived, whatever became of the line after it
      assert.deepEqual(codes, ['resolved'])
      await close()
    })
  })

  for (const how of ['end', 'reset'] as const) {
    it(`a network that cuts by ${how} in bulk: both sides know at once, and no reader was told of an end [R-249]`, async (t) => {
      await expectNoLeaks(async () => {
        const { trunk, proxy, codes, server, close } = await stage(t)
        const pipe = await trunk.open('produce', 2 ** 30)
        let bytes = 0
        const reading = (async () => {
          for await (const chunk of pipe.source) bytes += chunk.byteLength
        })()
        const pending = [reading, trunk.open('stall').then((stalled) => stalled.close()), trunk.closed].map(outcome)
        await eventually(() => bytes > 1_000_000, 'bulk runs', 10_000)
        proxy.cut(how)
        for (const code of await Promise.all(pending))
          assert.match(code, /^ERR_(LINK_LOST|LINK_RESET|FRAME_TRUNCATED)$/)
        await eventually(() => codes.length === 1 && server.trunks.size === 0, 'the other side knows')
        assert.match(codes[0] ?? '', /^ERR_(LINK_LOST|LINK_RESET|FRAME_TRUNCATED)$/)
        await close()
      })
    })
  }

  it('with reconnect, each cut is followed by a session that works, and a closed network by one when it is back [R-250]', async (t) => {
    await expectNoLeaks(async () => {
      const server = await serve(TCP, { protocols: [echo] })
      const proxy = await faultProxy(proxyTarget(server.address), { back: { jitterMs: 5 } })
      t.after(() => {
        proxy.close()
      })
      const trunk = await connect(proxy.address, { reconnect: true, limits: { ...SHORT, reconnectMinMs: 5 } })
      for (const fault of ['reset', 'end', 'silence'] as const) {
        const pipe = await trunk.open('echo')
        if (fault === 'silence') proxy.blackHole()
        else proxy.cut(fault)
        assert.match(
          await outcome(collect(pipe.source)),
          /^ERR_(LINK_LOST|LINK_RESET|FRAME_TRUNCATED|KEEPALIVE_TIMEOUT)$/,
        )
        const next = await trunk.open('echo', undefined, { body: pattern(5_000) })
        assert.equal(await checkPattern(next.source), 5_000)
      }
      assert.equal(trunk.connection.sessions, 4)
      await trunk.close()
      proxy.close()
      await server.close()
    })
  })
})
