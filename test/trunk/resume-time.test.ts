/** Sessions that outlive their links, with time turned by hand: what waits, and for how long. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  connect,
  serve,
  type ConnectOptions,
  type PipeRequest,
  type ReconnectingTrunk,
  type Server,
  type Trunk,
} from '../../src/index.ts'
import { cutLine, type CutLine } from '../helpers/cut-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { manualClock, type ManualClock } from '../helpers/manual-clock.ts'
import { echo, outcome, protocol } from '../helpers/protocols.ts'

const RESUME_MS = 3_600_000

const mute = protocol('mute', async (request: PipeRequest) => {
  request.accept()
  await new Promise<void>((resolve) => request.signal.addEventListener('abort', () => resolve(), { once: true }))
})

interface Stand extends AsyncDisposable {
  /** Servers that are no more. */
  readonly closing: Promise<void>[]
  readonly clock: ManualClock
  readonly line: CutLine
  listen(): Promise<Server>
  server: Server
  readonly trunk: Trunk
  /** Time goes by, in steps in which what is said is answered. */
  pass(ms: number): Promise<void>
  /** The line is lost, and there is no other. */
  lose(): Promise<void>
  regain(): Promise<void>
}

async function stand(options: ConnectOptions = {}): Promise<Stand> {
  const clock = manualClock()
  const line = cutLine()
  const limits = { resumeMs: RESUME_MS }
  const listen = () => serve(line.transport, { clock, resume: true, limits, protocols: [echo, mute] })
  const at: Stand = {
    closing: [],
    clock,
    line,
    listen,
    server: await listen(),
    trunk: await connect(line.transport, { clock, resume: true, limits, ...options }),
    async pass(ms: number) {
      for (let passed = 0; passed < ms; passed += 2_500) {
        clock.advance(2_500)
        for (let turn = 0; turn < 10; turn++) await nextTurn()
      }
    },
    async lose() {
      line.meets = 'refusal'
      line.cut()
      await eventually(() => at.trunk.status().state === 'waiting', 'the loss')
    },
    async regain() {
      line.meets = 'answer'
      await at.pass(10_000)
      await eventually(() => at.trunk.status().state === 'open', 'the next link')
    },
    async [Symbol.asyncDispose]() {
      at.trunk.abort(new Error('the test is over'))
      at.closing.push(at.server.close())
      await at.pass(10_000)
      await Promise.all(at.closing)
    },
  }
  await eventually(() => at.server.trunks.size === 1, 'the session at the server')
  return at
}

describe('time of a session with resume', () => {
  it('[R-844] gives no pipe up for want of progress while there is no link', async () => {
    await using at = await stand()
    const pipe = await at.trunk.open('mute', undefined, { progressTimeoutMs: 60_000 })
    const answer = outcome(at.trunk.open('mute', undefined, { answerTimeoutMs: 60_000 }))
    const read = outcome(pipe.source.next())
    await at.lose()
    const opened = outcome(at.trunk.open('mute', undefined, { answerTimeoutMs: 60_000 }))
    await at.pass(300_000)
    assert.deepEqual(
      at.trunk.status().pipes.map(({ waitsFor }) => waitsFor),
      ['link', 'link', 'link'],
    )
    await at.regain()
    assert.equal(await answer, 'resolved')
    assert.equal(await opened, 'resolved')
    // with the link the time runs again
    await at.pass(80_000)
    assert.equal(await read, 'ERR_PIPE_STALLED')
  })

  it('[R-845] gives a pipe that is disposed its time for a close when there is a link again', async () => {
    await using at = await stand()
    const echoed = await at.trunk.open('echo')
    await echoed.write(Uint8Array.of(1))
    const hung = await at.trunk.open('mute')
    await hung.write(Uint8Array.of(1))
    await at.lose()
    const closing = [echoed, hung].map((pipe) => outcome(Promise.resolve(pipe[Symbol.asyncDispose]())))
    await at.pass(60_000)
    await at.regain()
    assert.equal(await closing[0], 'resolved')
    await at.pass(10_000)
    assert.equal(await closing[1], 'ERR_CLOSE_TIMEOUT')
  })
})

/**
 * As a process that is killed and started again: no session of the first is known to the second.
 */
async function restart(at: Stand): Promise<void> {
  const [served] = [...at.server.trunks] as unknown as { cut(error: Error): void }[]
  served?.cut(new Error('killed'))
  const { server } = at
  at.server = await at.listen()
  at.closing.push(server.close())
}

describe('the connecting side of a session with resume', () => {
  for (const end of ['close', 'abort'] as const) {
    it(`[R-848] leaves nothing of a fresh session that nobody has taken: ${end}`, async () => {
      await using at = await stand({ reconnect: true })
      const trunk = at.trunk as ReconnectingTrunk
      await at.pass(2_500)
      await restart(at)
      at.line.cut()
      // the pipes' session is over, and the next one stands already
      await eventually(() => at.server.trunks.size === 1, 'the fresh session')
      await eventually(() => trunk.connection.error?.code === 'ERR_RESUME_UNKNOWN', 'the end of the first')
      assert.equal(trunk.connection.sessions, 1)
      if (end === 'abort') trunk.abort(new Error('enough'))
      else void trunk.close()
      await eventually(() => at.server.trunks.size === 0, 'the end of the fresh session')
      await trunk.closed.catch(() => undefined)
    })

    it(`[R-848] leaves nothing of one whose hello is under way: ${end}`, async () => {
      await using at = await stand({ reconnect: true })
      await at.pass(2_500)
      await restart(at)
      let over = false
      at.line.onLine = () => {
        if (over) return
        over = true
        if (end === 'abort') at.trunk.abort(new Error('enough'))
        else void at.trunk.close()
      }
      at.line.cut()
      await eventually(() => over, 'the next dial')
      await at.trunk.closed.catch(() => undefined)
      for (let turn = 0; turn < 100; turn++) await nextTurn()
      assert.equal(at.server.trunks.size, 0)
    })
  }

  it('[R-849] waits before it dials a line that is cut right after each hello, longer each time', async () => {
    let cut: (() => void) | undefined
    await using at = await stand({
      onConnection: ({ state }) => {
        if (state === 'open') cut?.()
      },
    })
    const turns = async () => {
      for (let turn = 0; turn < 200; turn++) await nextTurn()
    }
    await at.pass(2_500)
    cut = () => at.line.cut()
    const before = at.line.attempts
    at.line.cut()
    await turns()
    // the line had worked before: its first dial is made at once
    assert.equal(at.line.attempts - before, 1)
    for (let wait = 0; wait < 3; wait++) {
      at.clock.advance(140)
      await turns()
    }
    const short = at.line.attempts - before
    assert.ok(short === 2 || short === 3, `${short} dials in 420 ms`)
    for (let wait = 0; wait < 20; wait++) {
      at.clock.advance(140)
      await turns()
    }
    const long = at.line.attempts - before
    assert.ok(long > short && long <= 6, `${long} dials in 3.2 s`)
    cut = undefined
    await at.regain()
  })

  it('[R-850] tells each step to who watches a trunk that reconnects, with the sessions that it had', async () => {
    const told: string[] = []
    await using at = await stand({
      reconnect: true,
      onConnection: ({ state, sessions }) => told.push(`${state} ${sessions}`),
    })
    const trunk = at.trunk as ReconnectingTrunk
    const watched: string[] = []
    void (async () => {
      for await (const { state, sessions } of trunk.watch()) watched.push(`${state} ${sessions}`)
    })()
    await at.pass(2_500)
    await at.lose()
    await eventually(() => trunk.connection.state === 'waiting', 'the wait')
    assert.equal(trunk.connection.error?.code, 'ERR_CONNECT_REFUSED')
    await at.regain()
    await eventually(() => watched.at(-1) === 'open 1', 'the session again')
    assert.deepEqual(new Set(watched), new Set(['open 1', 'resuming 1', 'waiting 1']))
    await restart(at)
    at.line.cut()
    await eventually(() => trunk.connection.state === 'waiting', 'the loss of the session')
    await at.pass(5_000)
    await eventually(() => trunk.connection.sessions === 2, 'the second session')
    assert.deepEqual(
      told.filter((step) => step.endsWith('2')),
      ['open 2'],
    )
  })

  it('says how often it was resumed and what it retains, and retains nothing after its end', async () => {
    await using at = await stand()
    const pipe = await at.trunk.open('mute')
    await at.lose()
    await at.regain()
    await at.pass(2_500)
    assert.deepEqual({ ...at.trunk.status().resume, resentBytes: 0 }, { resumed: 1, retainedBytes: 0, resentBytes: 0 })
    // the peer says what it has parsed after 100 ms, and no time passes; of the first bytes it may
    // say it at once, so there are more
    await eventually(() => {
      pipe.write(new Uint8Array(1_000)).catch(() => undefined)
      return (at.trunk.status().resume?.retainedBytes ?? 0) > 1_000
    }, 'bytes under way')
    at.trunk.abort(new Error('enough'))
    await at.trunk.closed.catch(() => undefined)
    assert.equal(at.trunk.status().resume?.retainedBytes, 0)
  })

  it('keeps one listener of a session, however often its link is lost', async () => {
    await using at = await stand()
    const { closed } = at.trunk
    let listeners = 0
    void Object.assign(closed, {
      then(...args: Parameters<typeof closed.then>) {
        listeners++
        return Promise.prototype.then.apply(closed, args)
      },
    })
    for (let loss = 0; loss < 10; loss++) {
      await at.lose()
      await at.regain()
    }
    assert.equal(listeners, 1)
  })
})

describe('the serving side of sessions with resume', () => {
  it('[R-852] keeps at most maxKeptSessions without a link, and gives up the oldest', async () => {
    const clock = manualClock()
    const line = cutLine()
    const server = await serve(line.transport, { clock, resume: true, limits: { maxKeptSessions: 2 } })
    const trunks: Trunk[] = []
    const served: Promise<string>[] = []
    for (let session = 0; session < 4; session++) {
      trunks.push(await connect(line.transport, { clock, resume: true }))
      await eventually(() => server.trunks.size === session + 1, 'the session at the server')
      served.push(outcome([...server.trunks][session]?.closed ?? Promise.resolve()))
    }
    line.meets = 'refusal'
    line.cut()
    await eventually(() => server.trunks.size === 2, 'the sessions that are kept')
    assert.deepEqual(await Promise.all(served.slice(0, 2)), ['ERR_RESUME_LIMIT', 'ERR_RESUME_LIMIT'])
    for (let turn = 0; turn < 100; turn++) await nextTurn()
    assert.equal(server.trunks.size, 2)
    for (const trunk of trunks) trunk.abort(new Error('the test is over'))
    await server.close()
  })
})
