/**
 * Processes that are stopped and go on: the peer, ourselves, or both, as when a virtual machine is
 * paused or the whole machine sleeps. All within the same minute.
 *
 * What is promised (docs/reference/wire-format.md, "Time"): time in which a side stood still itself
 * proves nothing to it, however long; a peer that is silent is taken for dead after keepalive and
 * its answer's time, whatever the cause, since nothing tells a paused one from a dead one before it
 * goes on; and limits that are set for it let it be paused longer.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { connect, serve, type ConnectionStatus, type Limits } from '../../src/index.ts'
import { childProgram, type ChildProgram } from '../helpers/child-program.ts'
import { eventually } from '../helpers/eventually.ts'
import { faultProxy, proxyTarget } from '../helpers/fault-proxy.ts'
import { paused } from '../helpers/paused-process.ts'
import { echo, outcome } from '../helpers/protocols.ts'
import { ptyPair } from '../helpers/pty.ts'
import { steadyEcho, type SteadyEcho } from '../helpers/steady-echo.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { Random } from '../sim/random.ts'

noStrayRejections()

const PAUSE_MS = 60_000
/**
 * A pause that the defaults let pass on every line: less than keepalive and its answer's time on a
 * serial one.
 */
const SHORT_PAUSE_MS = 11_000
/** Sooner or later than a bound, on a busy machine. */
const SLACK_MS = 8_000
const SETTLES_MS = 20_000
/** Limits of who knows that its peer may be paused for a minute and more. */
const PATIENT: Partial<Limits> = { keepaliveTimeoutMs: 120_000, writeStallMs: 120_000 }
/**
 * More than a unix socket and a terminal hold, so that the line itself is stuck while nobody reads
 * it.
 */
const ROUND_BYTES = 300_000
const SERIAL_ROUND_BYTES = 30_000

const bytesFor = (address: string): number => (address.startsWith('serial:') ? SERIAL_ROUND_BYTES : ROUND_BYTES)

/** Serves `echo` at each address, prints the real ones, and each end. */
const GUEST = (addresses: readonly string[], limits: Partial<Limits>): string => `
  import { echo } from './test/helpers/protocols.ts'
  for (const at of ${JSON.stringify(addresses)}) {
    const server = await serve(at, { protocols: [echo], limits: ${JSON.stringify(limits)} })
    console.log(server.address)
    void (async () => { for await (const trunk of server) {
      console.log('session ' + at)
      trunk.closed.then(() => console.log('closed ' + at), (error) => console.log('lost ' + at + ' ' + error.code))
    } })()
  }`

/**
 * Is at work over each address, prints each round, and each end; ends by itself when every session
 * has.
 */
const HOST = (addresses: readonly string[], limits: Partial<Limits>): string => `
  import { steadyEcho } from './test/helpers/steady-echo.ts'
  await Promise.all(${JSON.stringify(addresses)}.map(async (at) => {
    const trunk = await connect(at, { limits: ${JSON.stringify(limits)} })
    const work = steadyEcho(trunk, at.startsWith('serial:') ? ${SERIAL_ROUND_BYTES} : ${ROUND_BYTES}, 500)
    let rounds = 0
    const told = setInterval(() => { if (work.rounds() > rounds) { rounds = work.rounds(); console.log('round ' + at) } }, 50)
    const code = await work.ended
    clearInterval(told)
    console.log('ended ' + at + ' ' + code)
  }))`

interface Lines {
  /** Addresses to serve at, and those at which they are reached, in the same order. */
  readonly served: string[]
  readonly reached: string[]
}

/** A tcp, a unix and a serial line. */
async function lines(t: TestContext): Promise<Lines> {
  const pty = await ptyPair()
  t.after(() => pty.close())
  const unix = `unix://${join(temporaryFolder(), 's')}`
  return {
    served: ['tcp://127.0.0.1:0', unix, `serial://${pty.far}`],
    reached: ['', unix, `serial://${pty.near}`],
  }
}

function program(t: TestContext, code: string): ChildProgram {
  const running = childProgram(code)
  t.after(() => {
    running.kill('SIGKILL')
  })
  return running
}

/** A guest at all three lines, and how it is reached. */
async function guestAt(
  t: TestContext,
  limits: Partial<Limits>,
): Promise<{ readonly guest: ChildProgram; readonly addresses: readonly string[] }> {
  const { served, reached } = await lines(t)
  const guest = program(t, GUEST(served, limits))
  await eventually(() => guest.lines.length >= served.length, `the guest serves: ${guest.errors()}`, SETTLES_MS)
  reached[0] = guest.lines[0] ?? ''
  return { guest, addresses: reached }
}

const count = (lines: readonly string[], line: string): number => lines.filter((one) => one === line).length

/** Resolves when each of `works` has got on. */
async function goOn(works: readonly SteadyEcho[], what: string): Promise<void> {
  const before = works.map((work) => work.rounds())
  await eventually(() => works.every((work, i) => work.rounds() > (before[i] ?? 0) + 1), what, SETTLES_MS)
}

const noLosses = (guest: ChildProgram): void => {
  assert.deepEqual(
    guest.lines.filter((line) => line.startsWith('lost')),
    [],
  )
  assert.equal(guest.errors(), '')
}

describe('processes that are stopped and go on', { concurrency: true, timeout: 180_000 }, () => {
  it('the peer, for a minute, with limits that allow it: every session goes on where it was, over tcp, unix and a serial line [R-255]', async (t) => {
    const { guest, addresses } = await guestAt(t, PATIENT)
    const trunks = await Promise.all(addresses.map((address) => connect(address, { limits: PATIENT })))
    const works = trunks.map((trunk, i) => steadyEcho(trunk, bytesFor(addresses[i] ?? '')))
    await goOn(works, 'work before')
    await paused([guest], PAUSE_MS)
    await goOn(works, 'work after')
    for (const work of works) work.stop()
    for (const work of works) assert.equal(await work.ended, undefined)
    await Promise.all(trunks.map((trunk) => trunk.close()))
    for (const trunk of trunks) await trunk.closed
    noLosses(guest)
  })

  it('we ourselves, for a minute, at the default limits, with a peer whose limits allow it [R-256]', async (t) => {
    const { served, reached } = await lines(t)
    const ends: string[] = []
    const servers = await Promise.all(served.map((at) => serve(at, { protocols: [echo], limits: PATIENT })))
    t.after(() => Promise.all(servers.map((server) => server.close())))
    for (const server of servers) {
      void (async () => {
        for await (const trunk of server) void outcome(trunk.closed).then((code) => ends.push(code))
      })()
    }
    reached[0] = servers[0]?.address ?? ''
    const host = program(t, HOST(reached, {}))
    const rounds = (): number[] => reached.map((address) => count(host.lines, `round ${address}`))
    await eventually(() => rounds().every((n) => n > 1), 'work before', SETTLES_MS)
    await paused([host], PAUSE_MS)
    const before = rounds()
    await eventually(() => rounds().every((n, i) => n > (before[i] ?? 0) + 2), 'work after', SETTLES_MS)
    assert.deepEqual([ends, host.lines.filter((line) => line.startsWith('ended')), host.errors()], [[], [], ''])
  })

  it('both at once, for a minute, at the default limits: the machine slept, and nothing happened [R-257]', async (t) => {
    const { guest, addresses } = await guestAt(t, {})
    const host = program(t, HOST(addresses, {}))
    const rounds = (): number[] => addresses.map((address) => count(host.lines, `round ${address}`))
    await eventually(() => rounds().every((n) => n > 1), 'work before', SETTLES_MS)
    await paused([guest, host], PAUSE_MS)
    const before = rounds()
    await eventually(() => rounds().every((n, i) => n > (before[i] ?? 0) + 2), 'work after', SETTLES_MS)
    assert.deepEqual([host.lines.filter((line) => line.startsWith('ended')), host.errors()], [[], ''])
    noLosses(guest)
  })

  it('the peer, for less than keepalive’s bound, at the default limits [R-258]', async (t) => {
    const { guest, addresses } = await guestAt(t, {})
    const trunks = await Promise.all(addresses.map((address) => connect(address)))
    await paused([guest], SHORT_PAUSE_MS)
    for (const trunk of trunks) await trunk.ping()
    await Promise.all(trunks.map((trunk) => trunk.close()))
    for (const trunk of trunks) await trunk.closed
    noLosses(guest)
  })

  it('the peer, for a minute, at the default limits: found in time, one loss, and one new session when it goes on [R-259]', async (t) => {
    const { guest, addresses } = await guestAt(t, {})
    const statuses: (ConnectionStatus & { at: number })[] = []
    const trunk = await connect(addresses[0] ?? '', {
      reconnect: true,
      onConnection: (status) => statuses.push({ ...status, at: performance.now() }),
    })
    t.after(() => {
      trunk.abort(new Error('the test is over'))
    })
    const pipe = await trunk.open('echo')
    const reading = outcome(pipe.source.next())
    const stoppedAt = performance.now()
    await paused([guest], PAUSE_MS, async () => {
      assert.equal(await reading, 'ERR_KEEPALIVE_TIMEOUT')
      const found = performance.now() - stoppedAt
      // keepalive's 15 s, and 10 s for the answer
      assert.ok(found > 24_000 && found < 25_000 + SLACK_MS, `found after ${found.toFixed(0)} ms`)
    })
    const wentOnAt = performance.now()
    // waits while there is no session
    await outcome(trunk.ping()).then((code) => {
      assert.equal(code, 'resolved')
    })
    assert.ok(performance.now() - wentOnAt < 5_000 + SLACK_MS, 'the next attempt is at most 5 s away')
    const work = steadyEcho(trunk, ROUND_BYTES)
    await goOn([work], 'work after')
    work.stop()
    assert.equal(await work.ended, undefined)
    const losses = statuses.filter(({ state, attempt }) => state === 'waiting' && attempt === 0)
    assert.deepEqual([losses.length, trunk.connection.sessions], [1, 2])
    assert.equal(losses[0]?.error?.code, 'ERR_KEEPALIVE_TIMEOUT')
    await trunk.close()
  })

  it('we ourselves, again and again, each time beyond the peer’s time to answer: its answer had come, so it is not dead [R-260]', async (t) => {
    const seed = Number(process.env.PAUSE_SEED ?? Math.floor(Math.random() * 1e6))
    t.diagnostic(`seed ${seed}: PAUSE_SEED=${seed} node test/run.mjs test/trunk/paused`)
    const random = new Random(seed)
    const server = await serve('tcp://127.0.0.1:0', { protocols: [echo] })
    t.after(() => server.close())
    // an answer takes 0.8 s: so a stop is likely to come between the question and the answer
    const proxy = await faultProxy(proxyTarget(server.address), { there: { latencyMs: 400 }, back: { latencyMs: 400 } })
    t.after(() => {
      proxy.close()
    })
    const host = program(
      t,
      `const trunk = await connect(${JSON.stringify(proxy.address)}, { limits: { keepaliveMs: 300, keepaliveTimeoutMs: 2_000 } })
       console.log('session')
       trunk.closed.catch((error) => console.log(error.code))`,
    )
    await eventually(() => host.lines.length > 0, 'a session', SETTLES_MS)
    for (let round = 0; round < 12; round++) {
      await paused([], random.integer(0, 1_200))
      await paused([host], random.integer(2_000, 2_800))
    }
    await paused([], 3_000)
    assert.deepEqual([host.lines, host.errors()], [['session'], ''])
  })
})
