/**
 * What a pipe's numbers say by themselves: what can be read, whether all came, whether anything may
 * be sent.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ByteQueue } from '../../../src/core/mux/byte-queue.ts'
import { Pending, PipeState } from '../../../src/core/mux/pipe-state.ts'
import { pattern } from '../../helpers/protocols.ts'

const WINDOW = 100

function opened(outbound: boolean): PipeState {
  const pipe = new PipeState(1, outbound, WINDOW, 7)
  pipe.phase = 'open'
  pipe.openSent = true
  return pipe
}

/** An open pipe with `bytes` to send. */
function writing(bytes: number): PipeState {
  const pipe = opened(true)
  pipe.sendQueue = new ByteQueue()
  if (bytes > 0) pipe.sendQueue.append(pattern(bytes))
  return pipe
}

describe('PipeState', () => {
  it('PipeState begins with nothing sent, received or owed, and with the initial window', () => {
    for (const outbound of [true, false]) {
      assert.deepEqual(Object.fromEntries(Object.entries(new PipeState(5, outbound, WINDOW, 7))), {
        id: 5,
        outbound,
        openedAt: 7,
        phase: 'opening',
        listener: undefined,
        pending: 0,
        listed: false,
        payload: undefined,
        stopPayload: undefined,
        creditLimit: WINDOW,
        sent: 0,
        written: 0,
        sendQueue: undefined,
        scheduled: false,
        openSent: !outbound,
        waiting: false,
        endQueued: false,
        endSent: false,
        stopError: undefined,
        unsentDropped: false,
        batch: 0,
        cutError: undefined,
        cutDue: false,
        received: 0,
        consumed: 0,
        granted: WINDOW,
        window: WINDOW,
        windowSince: 7,
        windowConsumed: 0,
        finalOffset: -1,
        receiveQueue: undefined,
        touched: false,
        readStopped: false,
        discarded: false,
        readsBeforeReset: false,
        lingers: false,
        lentWindow: 0,
        handlerEnded: false,
        doneReceived: false,
        doneSent: false,
        orphanedAt: -1,
      })
    }
  })

  it('PipeState is readable as far as whole frames came, unless the reader has stopped', () => {
    const pipe = opened(true)
    pipe.received = 10
    pipe.consumed = 4
    assert.equal(pipe.readable, 6)
    pipe.readStopped = true
    assert.equal(pipe.readable, 0)
  })

  it('PipeState has received all when the end is known, and was reached or given up', () => {
    const pipe = opened(true)
    assert.equal(pipe.receivedAll, false)
    pipe.readStopped = true
    assert.equal(pipe.receivedAll, false)
    pipe.finalOffset = 0
    assert.equal(pipe.receivedAll, true)
    pipe.finalOffset = 10
    assert.equal(pipe.receivedAll, true)
    pipe.readStopped = false
    assert.equal(pipe.receivedAll, false)
    pipe.consumed = 10
    assert.equal(pipe.receivedAll, true)
  })

  it('PipeState is sendable as far as its credit goes', () => {
    const pipe = writing(1)
    assert.equal(pipe.queued, 1)
    pipe.sent = WINDOW - 1
    assert.equal(pipe.sendable, true)
    pipe.sent = WINDOW
    assert.equal(pipe.sendable, false)
    pipe.endQueued = true
    assert.equal(pipe.sendable, false, 'the end waits for the data')
  })

  it('PipeState is sendable for its end after the last byte, whatever the credit, and once', () => {
    for (const pipe of [writing(0), opened(true)]) {
      assert.equal(pipe.queued, 0)
      assert.equal(pipe.sendable, false)
      pipe.sent = WINDOW
      pipe.endQueued = true
      assert.equal(pipe.sendable, true)
      pipe.endSent = true
      assert.equal(pipe.sendable, false)
    }
  })

  it('PipeState is not sendable before its OPEN, before its answer, nor when it is over', () => {
    for (const phase of ['opening', 'open', 'reset', 'closed'] as const) {
      for (const outbound of [true, false]) {
        for (const openSent of [true, false]) {
          const pipe = new PipeState(1, outbound, WINDOW, 0)
          pipe.sendQueue = new ByteQueue()
          pipe.sendQueue.append(pattern(1))
          pipe.endQueued = true
          pipe.phase = phase
          pipe.openSent = openSent
          const may = openSent && (phase === 'open' || (phase === 'opening' && outbound))
          assert.equal(pipe.sendable, may, `${phase}, ${outbound ? 'ours' : 'theirs'}, ${openSent ? '' : 'not '}opened`)
        }
      }
    }
  })

  it('PipeState forgets its data, and the frames about them', () => {
    const pipe = writing(3)
    pipe.receiveQueue = new ByteQueue()
    pipe.pending = Pending.CREDIT | Pending.DONE
    pipe.clearData()
    assert.deepEqual([pipe.sendQueue, pipe.receiveQueue, pipe.pending, pipe.queued], [undefined, undefined, 0, 0])
  })

  it('Pending has a bit for each kind of control frame', () => {
    const bits = Object.values(Pending)
    assert.equal(
      bits.reduce((sum, bit) => sum | bit, 0),
      bits.reduce((sum, bit) => sum + bit, 0),
    )
    assert.ok(bits.every((bit) => bit > 0 && (bit & (bit - 1)) === 0))
  })
})
