import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { onFirstUse } from '../../src/runtime/first-use.ts'

describe('what is made on first use', () => {
  it('is made when it is asked for, and once', () => {
    let times = 0
    const made = onFirstUse(() => ({ times: (times += 1) }))
    assert.equal(times, 0)
    assert.equal(made(), made())
    assert.equal(times, 1)
  })
})
