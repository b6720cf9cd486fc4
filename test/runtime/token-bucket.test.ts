/** The bucket that bounds resets and sessions by rate: time is told, so its figures are exact. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TokenBucket } from '../../src/runtime/token-bucket.ts'

const BURST = 5
const PER_SECOND = 4
const STARTED_AT = 1000

function spent(): TokenBucket {
  const bucket = new TokenBucket(BURST, PER_SECOND, STARTED_AT)
  for (let i = 0; i < BURST; i++) assert.ok(bucket.take(STARTED_AT), `token ${i + 1} of the burst`)
  return bucket
}

describe('a token bucket', () => {
  it('gives its burst at once and not one more [R-307]', () => {
    assert.ok(!spent().take(STARTED_AT))
  })

  it('says to the millisecond when the next token is there [R-307]', () => {
    const bucket = spent()
    assert.ok(!bucket.take(STARTED_AT + 100))
    const at = bucket.nextAt()
    assert.equal(at, STARTED_AT + 1000 / PER_SECOND)
    assert.ok(!bucket.take(at - 1))
    assert.ok(bucket.take(at))
    assert.ok(!bucket.take(at))
  })

  it('keeps no more than its burst however long nobody takes any [R-307]', () => {
    const bucket = spent()
    const later = STARTED_AT + 3_600_000
    for (let i = 0; i < BURST; i++) assert.ok(bucket.take(later))
    assert.ok(!bucket.take(later))
  })

  it('loses and gives nothing for a clock that goes back [R-307]', () => {
    const bucket = spent()
    assert.ok(!bucket.take(STARTED_AT - 10_000))
    assert.ok(!bucket.take(STARTED_AT - 10_000 + 1000 / PER_SECOND - 1))
    assert.ok(bucket.take(STARTED_AT - 10_000 + 1000 / PER_SECOND))
  })
})
