import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError } from '../../src/contracts/errors.ts'
import { Semaphore } from '../../src/runtime/semaphore.ts'
import { fails } from '../protocols/filesystem/served.ts'

describe('Semaphore', () => {
  it('gives turns in order, at most its number at a time', async () => {
    const turns = new Semaphore(2)
    const order: number[] = []
    const leaves: (() => void)[] = []
    const takers = [0, 1, 2, 3].map(async (index) => {
      leaves[index] = await turns.take()
      order.push(index)
    })
    await Promise.all(takers.slice(0, 2))
    assert.deepEqual(order, [0, 1])
    leaves[1]!()
    leaves[1]!()
    await takers[2]
    assert.deepEqual(order, [0, 1, 2])
    leaves[0]!()
    await takers[3]
    assert.deepEqual(order, [0, 1, 2, 3])
  })

  it('is left by callers that abort while waiting, without a trace [R-047]', async () => {
    const turns = new Semaphore(1)
    const leave = await turns.take()
    const controller = new AbortController()
    const waiting = turns.take(controller.signal)
    const behind = turns.take()
    controller.abort(new TrunkError('ERR_ABORTED', 'enough'))
    await fails(waiting, 'ERR_ABORTED')
    await fails(turns.take(controller.signal), 'ERR_ABORTED')
    leave()
    ;(await behind)()
    ;(await turns.take())()
  })
})
