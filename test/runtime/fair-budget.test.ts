/** What many trunks share: who gets how much of it, who waits, and that all of it comes back. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { TrunkError } from '../../src/contracts/errors.ts'
import { FairBudget, type Share } from '../../src/runtime/fair-budget.ts'
import { manualClock, type ManualClock } from '../helpers/manual-clock.ts'
import { outcome } from '../helpers/protocols.ts'
import { Random } from '../sim/random.ts'

const refusal = () => new TrunkError('ERR_HANDLE_LIMIT', 'nothing left')
const ended = new TrunkError('ERR_SESSION_CLOSED', 'the trunk was closed')

function budgetOf(max: number, clock: ManualClock = manualClock()): FairBudget {
  return new FairBudget({ max, clock, waitMs: 1000, refusal })
}

/** Takes one at a time until there is no more. */
function takeAll(share: Share): number {
  let taken = 0
  while (share.take(1)) taken++
  return taken
}

/** Lets what was granted be heard of. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

describe('[R-510] a fair budget', () => {
  it('gives a lone greedy peer two thirds, and each that comes next finds room', () => {
    const budget = budgetOf(900)
    assert.equal(takeAll(budget.open('')), 600)
    for (let others = 1; others <= 4; others++) assert.ok(takeAll(budget.open('')) > 0, `${others} others`)
    assert.ok(budget.used <= 900)
  })

  it('keeps a reserve for those that have nothing, however many greedy ones came first', () => {
    const clock = manualClock()
    const budget = new FairBudget({ max: 900, reserve: 100, minimum: 2, clock, waitMs: 1000, refusal })
    for (let greedy = 0; greedy < 20; greedy++) takeAll(budget.open(''))
    assert.ok(budget.used >= 800, String(budget.used))
    for (let next = 0; next < 20; next++) assert.ok(budget.open('').take(2), `the ${next}th`)
    assert.ok(budget.used <= 900)
  })

  it('gives two greedy peers the same once the first has let go of what it had too much', () => {
    const budget = budgetOf(1000)
    const [first, second] = [budget.open(''), budget.open('')]
    takeAll(first)
    for (let turn = 0; turn < 1000; turn++) {
      first.give(1)
      second.take(1)
      first.take(1)
    }
    assert.ok(Math.abs(first.held - second.held) <= 2, `${first.held} and ${second.held}`)
    assert.ok(first.held >= 398, String(first.held))
  })

  it('[R-515] counts ten trunks of one address as one peer: a trunk of another has three quarters of what they have', () => {
    const budget = budgetOf(1000)
    const many = Array.from({ length: 10 }, () => budget.open('10.0.0.1'))
    const one = budget.open('10.0.0.2')
    for (let turn = 0; turn < 3000; turn++) {
      for (const share of many) share.take(1)
      one.take(1)
      for (const share of many) if (turn % 10 === 0) share.give(1)
    }
    const together = many.reduce((sum, { held }) => sum + held, 0)
    assert.ok(one.held >= together * 0.7, `${one.held} beside ${together}`)
  })

  it('leaves room in a group: a lone trunk has eight ninths of what its address may have, and the next of its address finds some', () => {
    const budget = budgetOf(900)
    const first = takeAll(budget.open('10.0.0.1'))
    assert.ok(first >= 530 && first <= 536, String(first))
    assert.ok(takeAll(budget.open('10.0.0.1')) >= 50)
    assert.ok(takeAll(budget.open('10.0.0.2')) >= 100)
  })

  it('serves those that wait in turn: group after group, trunk after trunk, in order', async () => {
    const budget = budgetOf(3)
    const [a1, a2, b] = [budget.open('10.0.0.1'), budget.open('10.0.0.1'), budget.open('10.0.0.2')]
    // all that there is is somebody else's, and comes back one by one
    const holder = budget.open('')
    assert.equal(takeAll(holder), 2)
    const last = budget.open('')
    assert.ok(last.take(1))
    const served: string[] = []
    const shares = { a1, a2, b }
    for (const name of ['a1', 'a1', 'a1', 'a2', 'a2', 'b', 'b', 'b'] as const) {
      const share = shares[name]
      void share.wait(1).then(() => {
        served.push(name)
        setImmediate(() => share.give(1))
      })
    }
    await settle()
    assert.deepEqual(served, [])
    holder.give(1)
    for (let turn = 0; turn < 20; turn++) await settle()
    assert.deepEqual(served, ['a1', 'b', 'a2', 'b', 'a1', 'b', 'a2', 'a1'])
    holder.give(1)
    last.give(1)
    assert.equal(budget.used, 0)
  })

  it('ends each wait: by a signal, by its time, by the end of its trunk', async () => {
    const clock = manualClock()
    const budget = budgetOf(3, clock)
    const [holder, asker] = [budget.open(''), budget.open('')]
    takeAll(holder)
    assert.ok(asker.take(1))
    const aborted = new AbortController()
    const bySignal = outcome(asker.wait(1, aborted.signal))
    const byTime = outcome(asker.wait(1))
    aborted.abort(new TrunkError('ERR_ABORTED', 'enough'))
    assert.equal(await bySignal, 'ERR_ABORTED')
    clock.advance(1000)
    assert.equal(await byTime, 'ERR_HANDLE_LIMIT')
    assert.equal(budget.refused, 1)
    const byEnd = outcome(asker.wait(1))
    asker.end(ended)
    assert.equal(await byEnd, 'ERR_SESSION_CLOSED')
    assert.equal(await outcome(asker.wait(1)), 'ERR_SESSION_CLOSED')
    assert.equal(asker.take(1), false)
    assert.equal(clock.pending, 0)
    asker.give(1)
    holder.give(2)
    assert.equal(budget.used, 0)
  })

  it('gives to those behind one that has left', async () => {
    const budget = budgetOf(9)
    const [holder, asker] = [budget.open(''), budget.open('')]
    takeAll(holder)
    const aborted = new AbortController()
    const large = outcome(asker.wait(7, aborted.signal))
    const small = asker.wait(1)
    aborted.abort(new TrunkError('ERR_ABORTED', 'enough'))
    assert.equal(await large, 'ERR_ABORTED')
    await small
    assert.equal(asker.held, 1)
  })

  it('says who has how much, and forgets who has gone', () => {
    const budget = budgetOf(100)
    const [a, b] = [budget.open('10.0.0.1'), budget.open('10.0.0.2')]
    a.take(3)
    b.take(5)
    void outcome(b.wait(93))
    assert.deepEqual(budget.groups(), [
      { peer: '10.0.0.2', used: 5, waiting: 1 },
      { peer: '10.0.0.1', used: 3, waiting: 0 },
    ])
    for (const share of [a, b]) share.end(ended)
    a.give(3)
    b.give(5)
    assert.deepEqual(budget.groups(), [])
    assert.equal(budget.used, 0)
  })

  it('[R-701] says how much the next trunk of a peer finds room for, whoever has what', () => {
    const step = fc.record({ trunk: fc.nat(7), amount: fc.integer({ min: 1, max: 30 }) })
    fc.assert(
      fc.property(
        fc.integer({ min: 8, max: 200 }),
        fc.boolean(),
        fc.array(step, { maxLength: 60 }),
        (max, kept, steps) => {
          const clock = manualClock()
          const refusal = (): TrunkError => ended
          const least = kept ? { reserve: max >> 3, minimum: 4 } : {}
          const budget = new FairBudget({ max, clock, waitMs: 1000, refusal, ...least })
          const shares = Array.from({ length: 8 }, (_, at) => budget.open(at < 2 ? '' : `10.0.0.${at >> 1}`))
          for (const { trunk, amount } of steps) shares[trunk]?.take(amount)
          for (const peer of ['', '10.0.0.1', '10.0.0.3', '10.0.0.7']) {
            const room = Math.max(0, Math.floor(budget.room(peer)))
            const next = budget.open(peer)
            assert.ok(!next.take(room + 1), `${room} and one more for ${peer}`)
            assert.ok(room === 0 || next.take(room), `${room} for ${peer}`)
            next.give(next.held)
            next.end(ended)
          }
        },
      ),
    )
  })

  it('never gives more than there is, and keeps nobody waiting for whom there is room, whatever is asked', async () => {
    const step = fc.record({
      trunk: fc.nat(7),
      amount: fc.integer({ min: 1, max: 12 }),
      what: fc.constantFrom('take', 'wait', 'give', 'abort'),
    })
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 40 }), fc.array(step, { maxLength: 80 }), async (max, steps) => {
        const budget = budgetOf(max)
        const shares = Array.from({ length: 8 }, (_, at) => budget.open(at < 2 ? '' : `10.0.0.${at >> 1}`))
        const signals = shares.map(() => new AbortController())
        for (const { trunk, amount, what } of steps) {
          const share = shares[trunk]
          if (share === undefined) continue
          if (what === 'take') share.take(amount)
          else if (what === 'wait') void outcome(share.wait(amount, signals[trunk]?.signal))
          else if (what === 'give') share.give(Math.min(amount, share.held))
          else {
            signals[trunk]?.abort(new TrunkError('ERR_ABORTED', 'enough'))
            signals[trunk] = new AbortController()
          }
          assert.ok(budget.used <= max && budget.used >= 0)
          assert.equal(
            shares.reduce((sum, { held }) => sum + held, 0),
            budget.used,
          )
          for (const { asking } of shares) {
            const [first] = asking
            const waits = shares.find((one) => one.asking === asking)
            assert.ok(first === undefined || waits === undefined || !budget.fits(waits, first.amount))
          }
        }
        for (const share of shares) share.end(ended)
        for (const share of shares) share.give(share.held)
        assert.equal(budget.used, 0)
        assert.deepEqual(budget.groups(), [])
        await settle()
      }),
      { numRuns: 300 },
    )
  })
})

describe('[R-511] what dead trunks had', () => {
  it('is all back after 50,000 acquisitions and deaths in any order', async () => {
    const seed = Number(process.env.TRUNKLINE_SEED ?? Date.now() % 2 ** 31)
    const random = new Random(seed)
    const clock = manualClock()
    const budget = budgetOf(5000, clock)
    let live: { share: Share; gone: AbortController; held: number[] }[] = []
    /** Given back some time after the trunk's death, as what is in the thread pool is. */
    const late: (() => void)[] = []
    let acquired = 0
    while (acquired < 50_000) {
      if (live.length < 40 && random.chance(0.3)) {
        const peer = random.pick(['', '10.0.0.1', '10.0.0.2', '2001:db8:1:2'])
        live.push({ share: budget.open(peer), gone: new AbortController(), held: [] })
      }
      const one = live[random.integer(0, live.length - 1)]
      if (one === undefined) continue
      const { share, gone, held } = one
      const amount = random.scale(1, 500)
      if (random.chance(0.5)) {
        acquired++
        if (share.take(amount)) held.push(amount)
      } else if (random.chance(0.4)) {
        acquired++
        void share.wait(amount, gone.signal).then(
          () => (live.includes(one) ? held.push(amount) : late.push(() => share.give(amount))),
          () => undefined,
        )
      } else if (random.chance(0.8)) share.give(held.pop() ?? 0)
      else {
        live = live.filter((other) => other !== one)
        share.end(ended)
        gone.abort(ended)
        for (const amount of held)
          if (random.chance(0.5)) share.give(amount)
          else late.push(() => share.give(amount))
      }
      if (random.chance(0.05)) await settle()
      if (random.chance(0.05)) for (const give of late.splice(0)) give()
      assert.ok(budget.used <= budget.max, `seed ${seed}`)
    }
    for (const { share, gone } of live) {
      share.end(ended)
      gone.abort(ended)
    }
    await settle()
    for (const give of late.splice(0)) give()
    for (const { share, held } of live) for (const amount of held) share.give(amount)
    assert.equal(budget.used, 0, `seed ${seed}`)
    assert.deepEqual(budget.groups(), [], `seed ${seed}`)
    assert.equal(clock.pending, 0, `seed ${seed}`)
  })
})
