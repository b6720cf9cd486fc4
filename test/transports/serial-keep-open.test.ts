/**
 * Opening and opening again, with lines whose every attempt is scripted and a clock that is turned
 * by hand.
 */
import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { TrunkError, type KnownCode } from '../../src/contracts/errors.ts'
import { listenByOpening, openInTime, type Line } from '../../transports/serial/keep-open.ts'
import type { ClosingLink } from '../../transports/internal/socket-link.ts'
import { memoryPair } from '../../transports/memory.ts'
import { firstOf, transportOptions } from '../conformance/transport-suite.ts'
import { eventually } from '../helpers/eventually.ts'
import { manualClock } from '../helpers/manual-clock.ts'

interface Scripted extends Line {
  /** Attempts so far, and how many were under way at most. */
  readonly seen: { attempts: number; atOnce: number; most: number }
  /** The links that were given. */
  readonly links: (ClosingLink & { aborted?: Error })[]
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn()
}

/** A line whose attempts fail with these codes, one after the other, and then work. */
function scripted(...codes: KnownCode[]): Scripted {
  const seen = { attempts: 0, atOnce: 0, most: 0 }
  const links: Scripted['links'] = []
  return {
    address: 'serial:///dev/scripted',
    retryableCodes: new Set(['ERR_NOT_FOUND']),
    seen,
    links,
    async open() {
      const code = codes[seen.attempts++]
      seen.most = Math.max(seen.most, ++seen.atOnce)
      await turns(3)
      seen.atOnce--
      if (code !== undefined) throw new TrunkError(code, `attempt ${seen.attempts}`, { scope: 'link' })
      const link = lineLink()
      links.push(link)
      return link
    },
  }
}

function lineLink(): ClosingLink & { aborted?: Error } {
  const [link] = memoryPair()
  let finish: () => void = () => undefined
  const over = new Promise<void>((resolve) => {
    finish = resolve
  })
  return Object.assign(Object.create(link) as ClosingLink, {
    over,
    abort(this: { aborted?: Error }, reason: Error) {
      this.aborted = reason
      link.abort(reason)
      finish()
    },
  })
}

/** Turns the clock whenever something waits, until `promise` settles. */
async function turning<T>(clock: ReturnType<typeof manualClock>, promise: Promise<T>): Promise<T> {
  const state = { settled: false }
  const done = (): void => {
    state.settled = true
  }
  promise.then(done, done)
  void (async () => {
    for (;;) {
      await nextTurn()
      if (state.settled) return
      if (clock.pending > 0) clock.advance(10)
    }
  })()
  return await promise
}

describe('opening in time', () => {
  it('gives what the first attempt that works gives, one attempt at a time [R-061]', async () => {
    const clock = manualClock()
    const line = scripted('ERR_NOT_FOUND', 'ERR_NOT_FOUND', 'ERR_NOT_FOUND')
    const link = await turning(clock, openInTime(line, { ...transportOptions(), clock }))
    assert.equal(link, line.links[0])
    assert.deepEqual(line.seen, { attempts: 4, atOnce: 0, most: 1 })
    assert.equal(clock.pending, 0)
  })

  it('rejects at once with what no waiting helps against', async () => {
    for (const code of ['ERR_ACCESS', 'ERR_BUSY', 'ERR_UNSUPPORTED', 'ERR_TRANSPORT_UNAVAILABLE'] as const) {
      const line = scripted(code)
      const clock = manualClock()
      await assert.rejects(openInTime(line, { ...transportOptions(), clock }), { code })
      assert.deepEqual([line.seen.attempts, clock.now()], [1, 0])
    }
  })

  it('waits for a device that has just come to get its owner and mode', async () => {
    const clock = manualClock()
    const line = scripted('ERR_NOT_FOUND', 'ERR_ACCESS', 'ERR_ACCESS')
    await turning(clock, openInTime(line, { ...transportOptions(), clock }))
    assert.equal(line.seen.attempts, 4)
    const denied = scripted('ERR_NOT_FOUND', ...Array.from({ length: 50 }, () => 'ERR_ACCESS' as const))
    const outcome = turning(clock, openInTime(denied, { ...transportOptions(), clock }))
    await assert.rejects(outcome, { code: 'ERR_ACCESS', scope: 'link' })
  })

  it('says what hindered it, and not that the last attempt was cut off by the deadline', async () => {
    const clock = manualClock()
    const retryableCodes = new Set(['ERR_CONNECT_REFUSED', 'ERR_CONNECT_TIMEOUT'])
    const line = { ...scripted('ERR_CONNECT_REFUSED', 'ERR_CONNECT_TIMEOUT'), retryableCodes }
    await assert.rejects(turning(clock, openInTime(line, { ...transportOptions(), clock })), {
      code: 'ERR_CONNECT_REFUSED',
      message: /attempt 1 .*10000 ms/,
    })
    const silent = { ...scripted('ERR_CONNECT_TIMEOUT'), retryableCodes }
    await assert.rejects(openInTime(silent, { ...transportOptions(), clock }), { code: 'ERR_CONNECT_TIMEOUT' })
    assert.deepEqual([silent.seen.attempts, clock.pending], [1, 0])
  })

  it('closes a link that comes after the signal has aborted [R-047]', async () => {
    const line = scripted()
    const controller = new AbortController()
    const opening = openInTime(line, transportOptions(controller.signal))
    const reason = new Error('changed my mind')
    controller.abort(reason)
    await assert.rejects(opening, (error) => error === reason)
    await turns(5)
    assert.equal(line.links[0]?.aborted, reason)
  })
})

describe('listening by opening', () => {
  it('rejects where the first attempt meets what no waiting helps against', async () => {
    for (const code of ['ERR_ACCESS', 'ERR_UNSUPPORTED'] as const) {
      await assert.rejects(listenByOpening(scripted(code), transportOptions()), { code })
    }
  })

  it('waits for what is missing or busy, and later for whatever hinders it [R-121]', async () => {
    for (const first of ['ERR_NOT_FOUND', 'ERR_BUSY'] as const) {
      const clock = manualClock()
      const line = scripted(first, 'ERR_ACCESS', 'ERR_IO', 'ERR_BUSY')
      const listener = await listenByOpening(line, { ...transportOptions(), clock })
      assert.equal(await turning(clock, firstOf(listener)), line.links[0])
      assert.equal(line.seen.most, 1)
      await listener.close()
      assert.equal(clock.pending, 0)
    }
  })

  it('tells why it waits once for each reason, and again after an opening [R-550]', async () => {
    const clock = manualClock()
    const line = scripted('ERR_BUSY', 'ERR_BUSY', 'ERR_NOT_FOUND', 'ERR_NOT_FOUND', 'ERR_BUSY')
    const told: string[] = []
    const onWaiting = (error: TrunkError): void => {
      told.push(error.code)
    }
    const listener = await listenByOpening(line, { ...transportOptions(), clock, onWaiting })
    assert.deepEqual(told, ['ERR_BUSY'])
    const link = await turning(clock, firstOf(listener))
    assert.deepEqual(told, ['ERR_BUSY', 'ERR_NOT_FOUND', 'ERR_BUSY'])
    await listener.close()
    link.abort(new Error('the test is over'))
    assert.equal(told.length, 3)
  })

  it('aborts a link that comes after it was closed', async () => {
    const clock = manualClock()
    const line = scripted('ERR_NOT_FOUND')
    const listener = await listenByOpening(line, { ...transportOptions(), clock })
    await eventually(() => clock.pending === 1, 'it waits')
    clock.advance(200)
    await eventually(() => line.seen.attempts === 2, 'it tries again')
    await listener.close()
    await turns(5)
    assert.equal(line.links.length, 1)
    assert.ok(line.links[0]?.aborted !== undefined)
  })
})
