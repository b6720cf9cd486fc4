/**
 * The ring against an array: whatever goes in and out, in whatever order, and around its end while
 * it grows.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Fifo } from '../../../src/core/mux/fifo.ts'
import { seeded } from '../../helpers/link-traffic.ts'

/** Takes out what is there. */
function drain<T>(ring: Fifo<T>): T[] {
  const items: T[] = []
  for (let left = ring.length; left > 0; left--) {
    const item = ring.shift()
    assert.ok(item !== undefined)
    items.push(item)
  }
  return items
}

describe('Fifo', () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    it(`does what an array does (seed ${seed})`, () => {
      const next = seeded(seed)
      const ring = new Fifo<number>()
      let model: number[] = []
      let number = 0
      for (let step = 0; step < 4000; step++) {
        // long climbs and long falls, so that it grows with its head anywhere, and is emptied now
        // and then
        const climbs = Math.floor(step / (20 + seed * 15)) % 2 === 0
        const dice = next() % 1000
        if (dice === 0) {
          ring.clear()
          model = []
        } else if (dice < 5) {
          ring.keep((item) => item % 3 !== 0)
          model = model.filter((item) => item % 3 !== 0)
        } else if (dice < (climbs ? 700 : 300)) {
          ring.push(number)
          model.push(number++)
        } else {
          assert.equal(ring.shift(), model.shift())
        }
        assert.equal(ring.length, model.length)
      }
      assert.deepEqual(drain(ring), model)
      assert.equal(ring.shift(), undefined)
      assert.equal(ring.length, 0)
    })
  }

  for (const head of [0, 1, 5, 7]) {
    it(`keeps the order when it grows with its oldest at place ${head}`, () => {
      const ring = new Fifo<string>()
      for (let i = 0; i < 8; i++) ring.push(`old ${i}`)
      for (let i = 0; i < head; i++) assert.equal(ring.shift(), `old ${i}`)
      for (let i = 0; i < 40; i++) ring.push(`new ${i}`)
      const expected = [
        ...Array.from({ length: 8 - head }, (_, i) => `old ${i + head}`),
        ...Array.from({ length: 40 }, (_, i) => `new ${i}`),
      ]
      assert.deepEqual(drain(ring), expected)
    })
  }

  it('Fifo gives undefined when it is empty, and stays usable', () => {
    const ring = new Fifo<object>()
    assert.equal(ring.shift(), undefined)
    assert.equal(ring.length, 0)
    const [one, other] = [{}, {}]
    ring.push(one)
    ring.push(other)
    ring.clear()
    assert.equal(ring.length, 0)
    assert.equal(ring.shift(), undefined)
    ring.push(other)
    assert.equal(ring.shift(), other)
    assert.equal(ring.shift(), undefined)
  })

  it('Fifo is emptied by a caller that counts its items first, while more come in', () => {
    const ring = new Fifo<number>()
    for (let i = 0; i < 6; i++) ring.push(i)
    const seen: (number | undefined)[] = []
    for (let left = ring.length; left > 0; left--) {
      seen.push(ring.shift())
      ring.push(100 + left)
      ring.push(200 + left)
    }
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 5])
    assert.deepEqual(drain(ring), [106, 206, 105, 205, 104, 204, 103, 203, 102, 202, 101, 201])
  })
})
