/** The pace against a line of a given rate and length, under a clock of its own: what is under way never makes a message wait long, and the line stays full. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Pace } from '../../src/mux/pace.ts'

const MAX_BYTES = 1024 * 1024

interface Run {
  readonly worstDelayMs: number
  readonly share: number
  readonly limit: number
}

/** A sender with endless data over a line that carries `bytesPerMs` and whose answer takes `roundTripMs`. */
function run(bytesPerMs: number, roundTripMs: number, durationMs: number): Run {
  const pace = new Pace(MAX_BYTES)
  const onLine: { end: number; parsedAt: number }[] = []
  let sent = 0
  let parsed = 0
  let freeAt = 0
  let worstDelayMs = 0
  let carried = 0
  const settleMs = durationMs / 2
  for (let now = 0; now < durationMs; now += 0.5) {
    while (onLine[0] !== undefined && onLine[0].parsedAt <= now) {
      parsed = onLine.shift()!.end
      pace.parsed(parsed, sent, roundTripMs, now)
    }
    const before = sent
    for (;;) {
      const room = pace.limit - (sent - parsed)
      const frame = Math.min(room, pace.split(16 * 1024))
      if (frame < 256) break
      const startAt = Math.max(now, freeAt)
      freeAt = startAt + frame / bytesPerMs
      sent += frame
      onLine.push({ end: sent, parsedAt: freeAt + roundTripMs })
      if (now > settleMs) {
        worstDelayMs = Math.max(worstDelayMs, freeAt - now)
        carried += frame
      }
    }
    if (sent > before) pace.sent(sent, parsed, now)
  }
  return { worstDelayMs, share: carried / (bytesPerMs * (durationMs - settleMs)), limit: pace.limit }
}

describe('the pace of a line that does not tell', () => {
  for (const [what, bytesPerMs, roundTripMs] of [
    ['9,600 baud', 0.96, 5],
    ['115,200 baud', 11.52, 3],
    ['an emulated UART', 300, 17],
    ['a virtio port', 50_000, 1],
    ['a serial port far away', 11.52, 200],
  ] as const) {
    it(`keeps ${what} full, and a message from waiting long`, () => {
      const { worstDelayMs, share } = run(bytesPerMs, roundTripMs, 60_000)
      // where the answer takes longer than what may wait, the line runs empty now and then
      assert.ok(share > (roundTripMs > 100 ? 0.75 : 0.9), `only ${(share * 100).toFixed(0)} % of the line is used`)
      // at 9,600 baud two frames of the smallest size worth sending are more than the target
      const bound = Math.max(150, 1100 / bytesPerMs)
      assert.ok(worstDelayMs <= bound, `${worstDelayMs.toFixed(0)} ms of bulk are in front of a message`)
    })
  }

  it('begins with little, and never goes beyond what the peer allows', () => {
    assert.ok(new Pace(MAX_BYTES).limit <= 4096)
    assert.equal(new Pace(2000).limit, 2000)
    assert.ok(run(1_000_000, 0.1, 5000).limit <= MAX_BYTES)
  })

  it('does not take a line for a fast one because little was sent', () => {
    const pace = new Pace(MAX_BYTES)
    for (let i = 1; i <= 1000; i++) {
      pace.sent(i * 100, (i - 1) * 100, i * 20)
      pace.parsed(i * 100, i * 100, 1, i * 20 + 5)
    }
    assert.ok(pace.limit <= 4096, `${pace.limit} bytes may be under way`)
  })

  it('remembers a bounded number of batches', () => {
    const pace = new Pace(MAX_BYTES)
    for (let offset = 1; offset < 100_000; offset++) pace.sent(offset, 0, offset)
    pace.parsed(100_000, 100_000, 0, 100_000)
    assert.ok(pace.limit >= 1024)
  })
})
