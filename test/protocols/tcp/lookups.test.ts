/**
 * Host names of many peers, where the system's resolver answers nothing for long: whose turn it is,
 * and what becomes of a peer that gives up.
 */
import assert from 'node:assert/strict'
import dns from 'node:dns/promises'
import { syncBuiltinESMExports } from 'node:module'
import { after, before, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { addressPolicy } from '../../../protocols/tcp/policy.ts'
import { resolveAllowed } from '../../../protocols/tcp/resolve.ts'
import type { Trunk } from '../../../src/index.ts'
import { SharedBudgets, type Account } from '../../../src/runtime/budgets.ts'

const policy = addressPolicy(['any'])

describe('names that peers have looked up', () => {
  const real = dns.lookup
  /** Names that the resolver was asked for and has not answered, in order. */
  const asked: { name: string; answer: () => void }[] = []

  before(() => {
    const blocking = (name: string) =>
      new Promise((resolve) => {
        asked.push({ name, answer: () => resolve([{ address: '127.0.0.1', family: 4 }]) })
      })
    Object.assign(dns, { lookup: blocking })
    syncBuiltinESMExports()
  })
  after(() => {
    Object.assign(dns, { lookup: real })
    syncBuiltinESMExports()
  })

  const ask = (account: Account, name: string, signal = new AbortController().signal): Promise<readonly string[]> =>
    resolveAllowed(name, 80, { policy, lookup: undefined, lookups: account.lookups, signal })
  /** Answers the first one that waits, after which the next has its turn. */
  const answerOne = async (): Promise<void> => {
    asked.shift()?.answer()
    await setImmediate()
  }

  it('are looked up in turn, peer after peer, and no more of them at a time than the budget says [R-558]', async () => {
    const budgets = new SharedBudgets({ lookups: 2 })
    const greedy = budgets.open('192.0.2.1', {} as Trunk)
    const modest = budgets.open('192.0.2.2', {} as Trunk)
    const many = Array.from({ length: 100 }, (_, index) => ask(greedy, `greedy-${index}.example`))
    const own = ask(modest, 'modest.example')
    assert.deepEqual(
      asked.map(({ name }) => name),
      ['greedy-0.example', 'greedy-1.example'],
    )
    assert.deepEqual(budgets.status().lookups.peers, [
      { peer: '192.0.2.1', used: 2, waiting: 98 },
      { peer: '192.0.2.2', used: 0, waiting: 1 },
    ])
    await answerOne()
    await answerOne()
    assert.ok(
      asked.some(({ name }) => name === 'modest.example'),
      `the second peer has its turn before ${asked.map(({ name }) => name).join(', ')}`,
    )
    while (asked.length > 0) await answerOne()
    assert.deepEqual(await own, ['127.0.0.1'])
    assert.equal((await Promise.all(many)).length, 100)
    assert.equal(budgets.status().lookups.used, 0)
  })

  it('leave their place in the line when the peer gives up or its trunk ends, and hold their thread until the resolver answers', async () => {
    const budgets = new SharedBudgets({ lookups: 1 })
    const account = budgets.open('192.0.2.1', {} as Trunk)
    const [first, second] = [new AbortController(), new AbortController()]
    const results = Promise.allSettled([
      ask(account, 'a.example', first.signal),
      ask(account, 'b.example', second.signal),
    ])
    first.abort(new Error('enough'))
    second.abort(new Error('enough'))
    assert.deepEqual(
      (await results).map(({ status }) => status),
      ['rejected', 'rejected'],
    )
    const { used, waiting } = budgets.status().lookups
    assert.deepEqual({ used, waiting }, { used: 1, waiting: 0 }, 'nobody takes back what the resolver does')
    await answerOne()
    assert.equal(asked.length, 0, 'the second name was never looked up')
    assert.equal(budgets.status().lookups.used, 0)
  })
})
