import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ObservableValue } from '../../src/runtime/observable-value.ts'
import { memoryHeld } from '../helpers/memory-held.ts'

describe('a watched value', () => {
  it('gives each watcher the present value first, then what is new to it', async () => {
    const value = new ObservableValue(1)
    const one = value.watch()[Symbol.asyncIterator]()
    assert.deepEqual(await one.next(), { done: false, value: 1 })
    const next = one.next()
    value.set(2)
    value.set(3)
    assert.deepEqual(await next, { done: false, value: 2 })
    assert.deepEqual(await one.next(), { done: false, value: 3 })
    const other = value.watch()[Symbol.asyncIterator]()
    assert.deepEqual(await other.next(), { done: false, value: 3 })
    assert.equal(value.value, 3)
  })

  it('gives values in the order in which they were asked for, and the last one before the end', async () => {
    const value = new ObservableValue('a')
    const watcher = value.watch()[Symbol.asyncIterator]()
    const asked = [watcher.next(), watcher.next(), watcher.next(), watcher.next()]
    value.set('b')
    value.end('c')
    assert.deepEqual(
      (await Promise.all(asked)).map(({ value: given }) => given as string | undefined),
      ['a', 'b', 'c', undefined],
    )
  })

  it('holds nothing of watchers that were forgotten', async () => {
    const value = new ObservableValue(0)
    const before = await memoryHeld()
    for (let i = 0; i < 100_000; i++) {
      const watcher = value.watch()[Symbol.asyncIterator]()
      await watcher.next()
      if (i % 2 === 0) void watcher.next().then(() => undefined)
      if (i % 1000 === 999) value.set(i)
    }
    value.set(-1)
    const grown = (await memoryHeld()) - before
    assert.ok(grown < 1_000_000, `${grown} bytes`)
  })
})
