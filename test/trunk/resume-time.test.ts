/** Sessions that outlive their links, with time turned by hand: what waits, and for how long. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { connect, serve, type ConnectOptions, type PipeRequest } from '../../src/index.ts'
import { cutLine } from '../helpers/cut-line.ts'
import { eventually } from '../helpers/eventually.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { echo, outcome, protocol } from '../helpers/protocols.ts'

const RESUME_MS = 3_600_000

const mute = protocol('mute', async (request: PipeRequest) => {
  request.accept()
  await new Promise<void>((resolve) => request.signal.addEventListener('abort', () => resolve(), { once: true }))
})

async function stand(options: ConnectOptions = {}) {
  const clock = manualClock()
  const line = cutLine()
  const limits = { resumeMs: RESUME_MS }
  const listen = () => serve(line.transport, { clock, resume: true, limits, protocols: [echo, mute] })
  const at = {
    clock,
    line,
    listen,
    server: await listen(),
    trunk: await connect(line.transport, { clock, resume: true, limits, ...options }),
    /** Time goes by, in steps in which what is said is answered. */
    async pass(ms: number) {
      for (let passed = 0; passed < ms; passed += 2_500) {
        clock.advance(2_500)
        for (let turn = 0; turn < 10; turn++) await nextTurn()
      }
    },
    /** The line is lost, and there is no other. */
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
      const closing = at.server.close()
      await at.pass(10_000)
      await closing
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
