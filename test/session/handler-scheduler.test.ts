import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MAX_STARTS, HandlerScheduler } from '../../src/session/handler-scheduler.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('the starts of handlers', () => {
  it('are at once, as far as one portion reaches', () => {
    const started: number[] = []
    const starts = new HandlerScheduler<number>((pipe) => started.push(pipe))
    for (let pipe = 0; pipe < MAX_STARTS; pipe++) starts.add(pipe)
    assert.equal(started.length, MAX_STARTS)
  })

  it('come in portions, a turn for each and in order, where one read brings thousands [R-329]', async () => {
    const started: number[] = []
    const starts = new HandlerScheduler<number>((pipe) => started.push(pipe))
    const count = 3 * MAX_STARTS + 10
    for (let pipe = 0; pipe < count; pipe++) starts.add(pipe)
    assert.equal(started.length, MAX_STARTS, 'started at once')
    let before = 0
    while (started.length < count) {
      assert.ok(started.length - before <= MAX_STARTS, `${started.length - before} in one turn`)
      before = started.length
      await turn()
    }
    assert.deepEqual(
      started,
      Array.from({ length: count }, (_, pipe) => pipe),
    )
  })

  it('let nobody pass those that wait, and begin anew with the next read', async () => {
    const started: number[] = []
    const starts = new HandlerScheduler<number>((pipe) => {
      started.push(pipe)
      // a handler that begins may make more come
      if (pipe === MAX_STARTS) starts.add(10_000)
    })
    for (let pipe = 0; pipe <= MAX_STARTS + 1; pipe++) starts.add(pipe)
    await Promise.resolve()
    starts.add(5000)
    assert.equal(started.length, MAX_STARTS)
    while (started.length < MAX_STARTS + 4) await turn()
    assert.deepEqual(started.slice(MAX_STARTS), [MAX_STARTS, MAX_STARTS + 1, 5000, 10_000])
    for (let pipe = 0; pipe < MAX_STARTS; pipe++) starts.add(pipe)
    assert.equal(started.length, 2 * MAX_STARTS + 4)
  })
})
