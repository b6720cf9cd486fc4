import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { pause, systemClock } from '../../src/runtime/clock.ts'
import { defineProtocol } from '../../src/index.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { trunkPair } from '../helpers/trunk-pair.ts'

const DAY_MS = 86_400_000

/** Moves the wall clock for as long as `run` takes. */
async function withWallClockMoved(byMs: number, run: () => Promise<void>): Promise<void> {
  const { now } = Date
  Date.now = () => now() + byMs
  try {
    await run()
  } finally {
    Date.now = now
  }
}

describe('the machine’s clock', () => {
  for (const byMs of [DAY_MS, -DAY_MS]) {
    it(`does not move with the wall clock, set ${byMs > 0 ? 'forward' : 'back'} by a day [R-134]`, async () => {
      const echo = defineProtocol({
        name: 'echo',
        parse: () => undefined,
        async handle({ accept }) {
          const pipe = accept()
          await pipe.sink(pipe.source)
        },
      })
      // a session that would not outlive half a minute of silence
      const [near, far] = await trunkPair(
        { limits: { keepaliveMs: 20_000, keepaliveTimeoutMs: 5_000 } },
        { protocols: [echo] },
      )
      const pipe = await near.open('echo')
      await withWallClockMoved(byMs, async () => {
        const before = systemClock.now()
        const elapsed = systemClock.now() - before
        assert.ok(elapsed >= 0 && elapsed < 10_000, `${elapsed} ms`)
        await pipe.write(Buffer.from('still here'))
        const answer = await pipe.source.next()
        assert.equal(Buffer.from((answer.value as { subarray(): Uint8Array }).subarray()).toString(), 'still here')
        assert.ok((await near.ping()) < 10_000)
        assert.ok(near.status().ageMs < 60_000)
      })
      assert.equal(near.status().state, 'open')
      await pipe.close()
      await Promise.all([near.close(), far.closed])
    })
  }
})

describe('a pause', () => {
  it('lasts as long as the clock says, and leaves nothing', async () => {
    const clock = manualClock()
    const { signal } = new AbortController()
    let over = false
    const pausing = pause(clock, 100, signal).then(() => (over = true))
    clock.advance(99)
    await Promise.resolve()
    assert.equal(over, false)
    clock.advance(1)
    await pausing
    assert.deepEqual([clock.pending, getEventListeners(signal, 'abort').length], [0, 0])
  })

  it('ends at once when the signal aborts, with its reason, and leaves nothing', async () => {
    const clock = manualClock()
    const controller = new AbortController()
    const { signal } = controller
    const reason = new Error('changed my mind')
    const pausing = pause(clock, 100, signal)
    controller.abort(reason)
    await assert.rejects(pausing, (error) => error === reason)
    await assert.rejects(pause(clock, 100, signal), (error) => error === reason)
    assert.deepEqual([clock.pending, getEventListeners(signal, 'abort').length], [0, 0])
  })
})
