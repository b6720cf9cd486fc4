/** By what rule a trunk's operations take their parts of what all trunks share. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { accountOf, inPool, machine, SharedBudgets, type Account } from '../../src/runtime/budgets.ts'
import type { Trunk } from '../../src/index.ts'
import { outcome } from '../helpers/protocols.ts'

const nobody = new AbortController()
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Does `count` jobs one after the other, each a turn of the event loop long. */
async function work(account: Account, count: number, done: () => void, signal = nobody.signal): Promise<void> {
  for (let at = 0; at < count && !signal.aborted; at++) {
    await inPool(account.jobs, { signal }, turn)
    done()
  }
}

describe('[R-513] jobs of the thread pool', () => {
  for (const poolJobs of [1, 2, 4]) {
    it(`are done in turn, peer after peer, with room for ${poolJobs}`, async () => {
      const budgets = new SharedBudgets({ poolJobs })
      const greedy = budgets.open('10.0.0.1', {} as Trunk)
      const modest = budgets.open('10.0.0.2', {} as Trunk)
      const enough = new AbortController()
      let ofGreedy = 0
      const crowd = Array.from({ length: 40 }, () => outcome(work(greedy, 1e6, () => ofGreedy++, enough.signal)))
      while (ofGreedy < 100) await turn()
      const before = ofGreedy
      let ofModest = 0
      await work(modest, 50, () => ofModest++)
      // first come, first served would have done 40 for each
      const beside = ofGreedy - before
      assert.ok(beside <= 50 * 4, `${beside} beside ${ofModest}`)
      enough.abort(new Error('enough'))
      await Promise.all(crowd)
      assert.equal(budgets.status().poolJobs.used, 0)
    })
  }

  it('that hang leave a thread to the next peer', async () => {
    const budgets = new SharedBudgets({ poolJobs: 4 })
    const hung = budgets.open('', {} as Trunk)
    let letFinish = (): void => undefined
    const hanging = new Promise<void>((resolve) => (letFinish = resolve))
    const jobs = Array.from({ length: 10 }, () => inPool(hung.jobs, nobody, () => hanging))
    await turn()
    assert.equal(budgets.status().poolJobs.used, 3)
    await work(budgets.open('', {} as Trunk), 3, () => undefined)
    letFinish()
    await Promise.all(jobs)
    assert.equal(budgets.status().poolJobs.used, 0)
  })
})

describe('the account of a trunk', () => {
  it('is of the process where nobody has opened one, and ends with the trunk', async () => {
    let close = (): void => undefined
    const trunk = { closed: new Promise<void>((resolve) => (close = resolve)) } as unknown as Trunk
    const account = accountOf(trunk)
    assert.equal(accountOf(trunk), account)
    assert.ok(account.descriptors.take(1))
    account.descriptors.give(1)
    close()
    await turn()
    assert.equal(account.descriptors.take(1), false)
  })
})

describe('the machine', () => {
  it('says what it has', () => {
    const { memoryBytes, threads, files } = machine()
    assert.ok(memoryBytes > 2 ** 26 && Number.isSafeInteger(memoryBytes), String(memoryBytes))
    assert.ok(threads >= 1)
    assert.ok(files >= 256)
  })
})
