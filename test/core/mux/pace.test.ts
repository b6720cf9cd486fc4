/**
 * The pace against a line of a given rate and length, under a clock of its own: what is under way
 * never makes a message wait long, and the line stays full.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Pace } from '../../../src/core/mux/pace.ts'

const MAX_BYTES = 1024 * 1024

interface Run {
  readonly worstDelayMs: number
  readonly share: number
  readonly limit: number
}

/**
 * A sender with endless data over a line that carries `bytesPerMs` and whose answer takes
 * `roundTripMs`.
 */
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
      pace.parsed(parsed, sent, roundTripMs, now, 0)
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
    if (sent > before) pace.sent(sent, parsed, now, 0)
  }
  return { worstDelayMs, share: carried / (bytesPerMs * (durationMs - settleMs)), limit: pace.limit }
}

describe('Pace on a connectionless link', () => {
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
      pace.sent(i * 100, (i - 1) * 100, i * 20, 0)
      pace.parsed(i * 100, i * 100, 1, i * 20 + 5, 0)
    }
    assert.ok(pace.limit <= 4096, `${pace.limit} bytes may be under way`)
  })

  it('remembers a bounded number of batches', () => {
    const pace = new Pace(MAX_BYTES)
    for (let offset = 1; offset < 100_000; offset++) pace.sent(offset, 0, offset, 0)
    pace.parsed(100_000, 100_000, 0, 100_000, 0)
    assert.ok(pace.limit >= 1024)
  })
})

/**
 * What may be under way after `bytes` were sent at once and parsed after `ms`, where 4,096 might be
 * before.
 */
function limitAfter(bytes: number, ms: number, emptyMs = 0): number {
  const pace = new Pace(MAX_BYTES)
  pace.sent(bytes, 0, 1000, 0)
  pace.parsed(bytes, bytes, emptyMs, 1000 + ms, 0)
  return pace.limit
}

/**
 * A sender beside others: an answer takes its own bytes' time and what the others make it take,
 * `othersMs` at each instant. Gives bytes a millisecond of each second.
 */
function beside(bytesPerMs: number, othersMs: (now: number) => number, seconds: number): number[] {
  const pace = new Pace(MAX_BYTES)
  const onLine: { end: number; parsedAt: number }[] = []
  const rates: number[] = []
  let sent = 0
  let parsed = 0
  let freeAt = 0
  let before = 0
  for (let now = 0; now < seconds * 1000; now += 0.5) {
    while (onLine[0] !== undefined && onLine[0].parsedAt <= now) {
      parsed = onLine.shift()!.end
      pace.parsed(parsed, sent, 1, now, 0)
    }
    const at = sent
    for (;;) {
      const frame = Math.min(pace.limit - (sent - parsed), pace.split(16 * 1024))
      if (frame < 256) break
      freeAt = Math.max(now, freeAt) + frame / bytesPerMs
      sent += frame
      onLine.push({ end: sent, parsedAt: Math.max(onLine.at(-1)?.parsedAt ?? 0, freeAt + othersMs(now)) })
    }
    if (sent > at) pace.sent(sent, parsed, now, 0)
    if (now % 1000 === 999.5) {
      rates.push((parsed - before) / 1000)
      before = parsed
    }
  }
  return rates
}

describe('Pace beside the traffic of others', () => {
  for (const othersMs of [150, 300, 600]) {
    it(`does not starve behind ${othersMs} ms of theirs, whatever it sends [R-368]`, () => {
      const rates = beside(50_000, () => othersMs, 60)
      const late = rates.slice(30)
      const mean = late.reduce((sum, rate) => sum + rate, 0) / late.length
      // nearly half of what the peer lets be under way, each round trip
      assert.ok(mean > (MAX_BYTES * 0.4) / othersMs, `${mean.toFixed(1)} KB/s`)
    })
  }

  it('does not starve where their time differs from turn to turn [R-368]', () => {
    const rates = beside(50_000, (now) => 100 + 250 * Math.abs(Math.sin(now / 170)), 60)
    const late = rates.slice(30)
    const mean = late.reduce((sum, rate) => sum + rate, 0) / late.length
    assert.ok(mean > 20, `${mean.toFixed(1)} KB/s`)
    // a time that is long by chance is taken for one's own doing, for a few round trips
    assert.ok(Math.min(...late) > 15, `${Math.min(...late).toFixed(1)} KB/s in the worst second`)
  })

  it('comes back when a busy time is over, and starves in none that follows [R-368]', () => {
    const rates = beside(50_000, (now) => (Math.floor(now / 20_000) % 2 === 0 ? 1 : 250), 80)
    for (const [from, least] of [
      [10, 5000],
      [35, 500],
      [50, 5000],
      [75, 500],
    ] as const) {
      assert.ok(rates[from]! > least, `${rates[from]!.toFixed(1)} KB/s in second ${from}`)
    }
  })

  for (const bytesPerMs of [11.52, 300]) {
    it(`keeps a message from waiting long beside bulk both ways at ${bytesPerMs} KB/s [R-369]`, () => {
      // whose answers wait behind the other's bulk: neither may take that for a reason to have more
      // under way
      const ends = [0, 1].map(() => ({
        pace: new Pace(MAX_BYTES),
        onLine: [] as { end: number; parsedAt: number }[],
        sent: 0,
        parsed: 0,
        freeAt: 0,
      }))
      let worst = 0
      let carried = 0
      for (let now = 0; now < 120_000; now += 0.5) {
        for (const [index, end] of ends.entries()) {
          const far = ends[1 - index]!
          while (end.onLine[0] !== undefined && end.onLine[0].parsedAt <= now) {
            end.parsed = end.onLine.shift()!.end
            end.pace.parsed(end.parsed, end.sent, 3, now, far.parsed)
          }
          const at = end.sent
          for (;;) {
            const frame = Math.min(end.pace.limit - (end.sent - end.parsed), end.pace.split(16 * 1024))
            if (frame < 256) break
            end.freeAt = Math.max(now, end.freeAt) + frame / bytesPerMs
            end.sent += frame
            const answerAt = end.freeAt + 3 + Math.max(0, far.freeAt - now)
            end.onLine.push({ end: end.sent, parsedAt: Math.max(end.onLine.at(-1)?.parsedAt ?? 0, answerAt) })
            if (now > 60_000) {
              worst = Math.max(worst, end.freeAt - now)
              carried += frame
            }
          }
          if (end.sent > at) end.pace.sent(end.sent, end.parsed, now, far.parsed)
        }
      }
      assert.ok(worst < 200, `${worst.toFixed(0)} ms of bulk are in front of a message`)
      assert.ok(carried > bytesPerMs * 60_000, 'both together fill half of both ways')
    })
  }
})

describe('Pace, step by step', () => {
  it('allows whole bytes alone, whatever the times and rates are [R-374]', () => {
    // a clock of real time has fractions, and a frame of a fraction of a byte would never be filled
    let dice = 1
    const roll = (): number => (dice = (dice * 48271) % 2147483647) / 2147483647
    for (let line = 0; line < 200; line++) {
      const pace = new Pace(MAX_BYTES)
      let [sent, now] = [0, 0]
      for (let i = 0; i < 100; i++) {
        sent += pace.limit
        pace.sent(sent, sent - pace.limit, now, 0)
        now += 1 + roll() * (i % 3 === 0 ? 2000 : 30)
        pace.parsed(sent, sent, roll() * 10, now, 0)
        assert.ok(Number.isInteger(pace.limit), `a limit of ${pace.limit} bytes`)
        assert.ok(Number.isInteger(pace.split(16 * 1024)), `frames of ${pace.split(16 * 1024)} bytes`)
      }
    }
  })

  it('sends frames of a third of what may be under way, of 512 bytes at least, and never beyond a split', () => {
    const pace = new Pace(MAX_BYTES)
    assert.equal(pace.limit, 4096)
    assert.deepEqual(
      [16_384, 1365, 1364, 100].map((splitBytes) => pace.split(splitBytes)),
      [1365, 1365, 1364, 100],
    )
    const small = new Pace(1200)
    assert.equal(small.limit, 1200)
    assert.equal(small.split(16_384), 512)
  })

  it('goes half of the way to what would take 75 ms, to twice as much at most', () => {
    assert.equal(limitAfter(4096, 75), 4096)
    assert.equal(limitAfter(4096, 60), 4608)
    assert.equal(limitAfter(4096, 26), 7955)
    assert.equal(limitAfter(4096, 25), 8192)
    assert.equal(limitAfter(4096, 10), 8192)
    assert.equal(limitAfter(4096, 0), 8192)
    assert.equal(limitAfter(4096, 100), 3584)
    assert.equal(limitAfter(4096, 150), 3072)
    assert.equal(limitAfter(4096, 1_000_000), 2048)
  })

  it('adds to the 75 ms what an empty line takes', () => {
    assert.equal(limitAfter(4096, 175, 100), 4096)
    assert.equal(limitAfter(4096, 140, 100), 4608)
    assert.equal(limitAfter(4096, 200, 100), 3840)
  })

  it('learns that a line is fast only where half of what may be was under way, and that it is slow from anything', () => {
    assert.equal(limitAfter(2048, 10), 8192)
    assert.equal(limitAfter(2047, 10), 4096)
    assert.equal(limitAfter(1, 150), 3072)
    const pace = new Pace(MAX_BYTES)
    // what was parsed is not under way any more
    pace.sent(10_000, 7953, 0, 0)
    pace.parsed(10_000, 10_000, 0, 10, 0)
    assert.equal(pace.limit, 4096)
    pace.sent(20_000, 17_952, 20, 0)
    pace.parsed(20_000, 20_000, 0, 30, 0)
    assert.equal(pace.limit, 8192)
  })

  it('never falls below 1,024 bytes, nor climbs above what the peer allows', () => {
    const slow = new Pace(MAX_BYTES)
    const fast = new Pace(10_000)
    for (let step = 1; step <= 5; step++) {
      for (const [pace, ms] of [
        [slow, 500_000],
        [fast, 1],
      ] as const) {
        const at = step * 1_000_000
        pace.sent(step * 100_000, 0, at, 0)
        pace.parsed(step * 100_000, step * 100_000, 0, at + ms, 0)
      }
    }
    assert.deepEqual([slow.limit, fast.limit], [1024, 10_000])
  })

  it('goes by the last batch that was parsed whole', () => {
    const pace = new Pace(MAX_BYTES)
    pace.sent(3000, 0, 0, 0)
    pace.sent(4000, 0, 50, 0)
    pace.sent(5000, 0, 90, 0)
    pace.parsed(2999, 5000, 0, 100, 0)
    assert.equal(pace.limit, 4096, 'nothing was parsed whole')
    pace.parsed(4999, 4999, 0, 110, 0)
    // 60 ms, not 110 nor 20
    assert.equal(pace.limit, 4608)
  })

  it('concludes nothing more before what was sent after its last conclusion has been parsed', () => {
    const pace = new Pace(MAX_BYTES)
    pace.sent(4096, 0, 0, 0)
    pace.sent(8191, 4096, 1, 0)
    pace.sent(8192, 0, 2, 0)
    pace.parsed(4096, 8192, 0, 10, 0)
    assert.equal(pace.limit, 8192)
    pace.parsed(8191, 8192, 0, 11, 0)
    assert.equal(pace.limit, 8192)
    pace.parsed(8192, 9000, 0, 12, 0)
    assert.equal(pace.limit, 16_384)
  })

  it('concludes from just as long as it should take that all is well: the next word has to wait as well', () => {
    const pace = new Pace(MAX_BYTES)
    pace.sent(100, 0, 0, 0)
    pace.sent(4096, 0, 70, 0)
    pace.parsed(100, 4097, 0, 75, 0)
    pace.parsed(4096, 4097, 0, 80, 0)
    assert.equal(pace.limit, 4096)
  })

  it('does not take a line for a fast one because two words came at once [R-520]', () => {
    const pace = new Pace(MAX_BYTES)
    let sent = 0
    let now = 0
    const round = (bytesPerMs: number): void => {
      const under = pace.limit
      const parsed = sent
      pace.sent((sent += Math.floor(under / 2)), parsed, now, 0)
      pace.sent((sent += Math.ceil(under / 2)), parsed, now, 0)
      now += under / bytesPerMs
      pace.parsed(sent - Math.ceil(under / 2), sent, 1, now, 0)
      pace.parsed(sent, sent, 1, now, 0)
    }
    for (let i = 0; i < 30; i++) round(1000)
    assert.ok(pace.limit > 60_000, `${pace.limit} bytes on a line of 1,000 bytes a millisecond`)
    // the line has become slow, as a guest's port does where its host is busy
    for (let i = 0; i < 60; i++) round(50)
    assert.ok(pace.limit < 8000, `${pace.limit} bytes on a line of 50`)
  })

  it('remembers 64 batches, and takes no time from one that it does not', () => {
    const pace = new Pace(MAX_BYTES)
    for (let batch = 1; batch <= 65; batch++) pace.sent(batch * 100_000, 0, batch * 1000, 0)
    pace.parsed(6_300_000, 6_300_000, 0, 63_010, 0)
    assert.equal(pace.limit, 8192)
    pace.parsed(6_400_000, 6_400_000, 0, 64_010, 0)
    assert.equal(pace.limit, 16_384)
    pace.parsed(6_500_000, 6_500_000, 0, 65_010, 0)
    assert.equal(pace.limit, 16_384)
  })
})
