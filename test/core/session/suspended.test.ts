/**
 * What a process that stood still itself (stopped, or suspended with its machine) makes of the time
 * that is gone: it proves nothing about the peer.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { systemClock } from '../../../src/runtime/clock.ts'
import { overLink, type Clock, type Trunk } from '../../../src/index.ts'
import { memoryPair } from '../../../transports/memory.ts'
import { eventually } from '../../helpers/eventually.ts'
import { held, waitingProtocol } from '../../helpers/held-pipes.ts'
import { dialLoopback, loopbackServer } from '../../helpers/loopback.ts'
import { manualClock, type ManualClock } from '../../helpers/manual-clock.ts'
import { frame, TYPE } from '../../helpers/naive-codec.ts'
import { HIGHEST_EPOCH, RawPeer } from '../../helpers/raw-peer.ts'
import { isCode } from '../../helpers/raw-session.ts'

const HOUR = 3_600_000

/** A clock that is turned by hand, and can be moved on without its timers being told in time. */
function sleepyClock(): { readonly clock: Clock; readonly inner: ManualClock; sleep(ms: number): void } {
  const inner = manualClock()
  let slept = 0
  return {
    inner,
    clock: { now: () => inner.now() + slept, after: (ms, call) => inner.after(ms, call) },
    sleep(ms) {
      slept += ms
    },
  }
}

function line(clock: Clock): { readonly peer: RawPeer; readonly starting: Promise<Trunk> } {
  const [near, far] = memoryPair({ clock })
  const starting = overLink(near, { clock, protocols: [waitingProtocol()] })
  starting.catch(() => undefined) // looked at by the test
  return { peer: new RawPeer(far), starting }
}

describe('a side that stood still itself', { timeout: 60_000 }, () => {
  it('in the hello: gives the peer the whole time again, and no more than that [R-251]', async () => {
    for (const answers of [true, false]) {
      const { clock, inner, sleep } = sleepyClock()
      const { peer, starting } = line(clock)
      inner.advance(5_000)
      sleep(HOUR)
      inner.advance(5_000)
      inner.advance(9_999)
      if (answers) {
        await peer.hello()
        const trunk = await starting
        await peer.sync()
        trunk.abort(new Error('the test is over'))
      } else {
        inner.advance(1)
        await assert.rejects(starting, isCode('ERR_HELLO_TIMEOUT', 'local'))
      }
      await peer.ended
      await eventually(() => inner.pending === 0, 'no timer is left')
    }
  })

  it('in a graceful close: its pipes get the whole time again, and no more than that [R-252]', async () => {
    for (const finishes of [true, false]) {
      const { clock, inner, sleep } = sleepyClock()
      const { peer, starting } = line(clock)
      await peer.hello({ epoch: HIGHEST_EPOCH })
      const trunk = await starting
      await peer.open(1, 'hold')
      await peer.expect('ACCEPT', 1)
      const closing = trunk.close()
      await peer.expect('CLOSING')
      inner.advance(2_000)
      sleep(HOUR)
      inner.advance(3_000)
      assert.equal(trunk.status().state, 'closing')
      inner.advance(4_999)
      assert.equal(trunk.status().state, 'closing')
      if (finishes) {
        await peer.offset(TYPE.END, 1, 0)
        held(trunk, 1).end()
        await peer.expect('DONE', 1)
        await peer.send(frame(TYPE.DONE, 1))
      } else inner.advance(1)
      assert.equal(await peer.expectStatus('BYE'), finishes ? 16 : 33)
      await peer.ended
      await closing
      await eventually(() => inner.pending === 0, 'no timer is left')
    }
  })

  it('with a stop that is unanswered: the peer gets the whole time again, and no more than that [R-320]', async () => {
    const { clock, inner, sleep } = sleepyClock()
    const { peer, starting } = line(clock)
    await peer.hello({ epoch: HIGHEST_EPOCH })
    const trunk = await starting
    await peer.open(1, 'hold')
    await peer.expect('ACCEPT', 1)
    held(trunk, 1).end()
    await peer.expect('STOP', 1)
    const tenSeconds = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        inner.advance(10_000)
        await peer.sync()
      }
    }
    await tenSeconds(5)
    sleep(HOUR)
    await tenSeconds(6)
    assert.equal(peer.count('RESET'), 0, 'the hour is not counted')
    await tenSeconds(1)
    await peer.expect('RESET', 1)
    trunk.abort(new Error('the test is over'))
    await peer.ended
  })

  it('reads what had arrived before it looks at the time (the machine’s clock) [R-253]', async () => {
    const server = await loopbackServer()
    const near = await dialLoopback(server.port)
    await eventually(() => server.sockets.length === 1, 'the connection')
    const far = server.sockets[0]!
    for (let round = 0; round < 10; round++) {
      const order: string[] = []
      const read = once(far, 'data').then(() => order.push('read'))
      const told = new Promise<void>((resolve) => {
        systemClock.after(5, () => {
          order.push('told')
          resolve()
        })
      })
      near.write('an answer')
      // the whole process stands still, as when it is stopped
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30)
      await Promise.all([read, told])
      assert.deepEqual(order, ['read', 'told'])
    }
    near.destroy()
    server.close()
  })

  it('and what had arrived may give the wait up [R-253]', async () => {
    const server = await loopbackServer()
    const near = await dialLoopback(server.port)
    await eventually(() => server.sockets.length === 1, 'the connection')
    const told: number[] = []
    const timer = systemClock.after(5, () => told.push(1))
    const read = once(server.sockets[0]!, 'data', { signal: AbortSignal.timeout(5_000) }).then(() => {
      timer.cancel()
    })
    near.write('an answer')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30)
    await read
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(told, [])
    near.destroy()
    server.close()
  })
})
