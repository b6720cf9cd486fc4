/**
 * The ids that a session's pipes use up: there are so many of each kind, and none is used twice.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MAX_PIPE_ID } from '../../../src/core/frame/constants.ts'
import { MuxSeat } from '../../helpers/mux-seat.ts'

describe('pipe ids', () => {
  for (const [takesOddIds, last] of [
    [true, MAX_PIPE_ID % 2 === 1 ? MAX_PIPE_ID : MAX_PIPE_ID - 1],
    [false, MAX_PIPE_ID % 2 === 0 ? MAX_PIPE_ID : MAX_PIPE_ID - 1],
  ] as const) {
    it(`end with a code of their own, ${takesOddIds ? 'odd' : 'even'} ones, and live pipes go on [R-045]`, () => {
      const seat = new MuxSeat({ takesOddIds, firstId: last - 2 })
      const live = seat.opened()
      assert.equal(live.id, last - 2)
      assert.equal(seat.open().id, last)
      assert.throws(() => seat.open(), { code: 'ERR_PIPE_IDS_EXHAUSTED' })
      assert.equal(seat.mux.pipes.size, 2)
      seat.mux.write(live, Uint8Array.of(1))
      assert.deepEqual(seat.said(), [`OPEN ${last} 1`, `DATA ${last - 2} 1`])
    })
  }
})
