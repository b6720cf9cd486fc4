/**
 * The one interface that links are read and written by: a link's own, or one made of its source and
 * sink. The link is played by hand.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Uint8ArrayList } from 'uint8arraylist'
import { asDirectLink, type DirectAdapter } from '../../src/session/direct-adapter.ts'
import type { Bytes, DirectReceiver, Link } from '../../src/contracts/types.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const one = (byte: number): Uint8Array => Uint8Array.of(byte)

/** What an adapter tells, in words. */
class Ear implements DirectReceiver {
  readonly told: string[] = []
  onData: (() => void) | undefined
  data(chunk: Uint8Array): void {
    this.told.push(`data ${[...chunk].join()}`)
    this.onData?.()
  }
  end(): void {
    this.told.push('end')
  }
  fail(error: Error): void {
    this.told.push(`fail ${error.message}`)
  }
  drain(): void {
    this.told.push('drain')
  }
}

/** A link of source and sink: each item is asked for, and given, by hand. */
class HandLink {
  /** What is written, as it comes. */
  readonly written: Bytes[] = []
  sinkEnded = false
  sourceReturned = false
  sourceAsked = 0
  #items: IteratorResult<Bytes>[] = []
  #waiting: { resolve(item: IteratorResult<Bytes>): void; reject(error: Error): void } | undefined
  #output!: AsyncIterator<Bytes>
  #rejectSink!: (error: Error) => void

  readonly link: Link = {
    source: {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          this.sourceAsked++
          const item = this.#items.shift()
          if (item !== undefined) return Promise.resolve(item)
          return new Promise<IteratorResult<Bytes>>((resolve, reject) => {
            this.#waiting = { resolve, reject }
          })
        },
        return: () => {
          this.sourceReturned = true
          return Promise.resolve({ done: true as const, value: undefined })
        },
      }),
    },
    sink: (source) => {
      this.#output = source[Symbol.asyncIterator]()
      return new Promise((_resolve, reject) => {
        this.#rejectSink = reject
      })
    },
    close: () => Promise.resolve(),
    abort: () => undefined,
  }

  /** The line takes the next batch: so the one before has left. */
  take(): void {
    void this.#output.next().then(({ done, value }) => {
      if (done === true) this.sinkEnded = true
      else this.written.push(value)
    })
  }

  bring(...chunks: Bytes[]): void {
    for (const value of chunks) this.#give({ done: false, value })
  }

  end(): void {
    this.#give({ done: true, value: undefined })
  }

  failSource(message: string): void {
    this.#waiting?.reject(new Error(message))
  }

  failSink(message: string): void {
    this.#rejectSink(new Error(message))
  }

  #give(item: IteratorResult<Bytes>): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting === undefined) this.#items.push(item)
    else waiting.resolve(item)
  }
}

function started(): { hand: HandLink; adapter: DirectAdapter; ear: Ear } {
  const hand = new HandLink()
  const adapter = asDirectLink(hand.link)
  const ear = new Ear()
  adapter.start(ear)
  return { hand, adapter, ear }
}

describe('an adapter of source and sink that writes', () => {
  it('hands a batch over, and says that it has left when the next one is asked for', async () => {
    const { hand, adapter, ear } = started()
    hand.take()
    await nextTurn()
    const piece = one(1)
    assert.equal(adapter.write([piece]), false)
    await nextTurn()
    assert.equal(hand.written[0], piece, 'one piece goes as it is')
    assert.deepEqual(ear.told, [], 'the line may still hold it')
    hand.take()
    await nextTurn()
    assert.deepEqual(ear.told, ['drain'])
    assert.equal(hand.written.length, 1, 'no batch goes twice')
    assert.equal(adapter.write([one(2)]), false)
    await nextTurn()
    assert.equal(hand.written.length, 2)
  })

  it('hands a batch of several pieces over as one list', async () => {
    const { hand, adapter } = started()
    adapter.write([one(1), one(2), one(3)])
    hand.take()
    await nextTurn()
    const [list] = hand.written
    assert.ok(list instanceof Uint8ArrayList)
    assert.deepEqual([...list.subarray()], [1, 2, 3])
  })

  it('ends behind what was written, whether the line waits for more or not', async () => {
    for (const waits of [true, false]) {
      const { hand, adapter, ear } = started()
      if (waits) hand.take()
      await nextTurn()
      adapter.write([one(1)])
      adapter.end()
      hand.take()
      if (!waits) hand.take()
      await nextTurn()
      assert.equal(hand.written.length, 1)
      assert.equal(hand.sinkEnded, true)
      assert.deepEqual(ear.told, ['drain'])
    }
  })

  it('ends a line that waits for more at once', async () => {
    const { hand, adapter } = started()
    hand.take()
    await nextTurn()
    assert.equal(hand.sinkEnded, false)
    adapter.end()
    await nextTurn()
    assert.equal(hand.sinkEnded, true)
    // as often as its owner likes
    adapter.end()
  })

  it('tells that the line takes no more', async () => {
    const { hand, ear } = started()
    hand.failSink('EPIPE')
    await nextTurn()
    assert.deepEqual(ear.told, ['fail EPIPE'])
  })
})

describe('an adapter of source and sink that reads', () => {
  it('tells chunks and the pieces of lists, in order, and the end', async () => {
    const { hand, ear } = started()
    hand.bring(one(1), new Uint8ArrayList(one(2), one(3)), one(4))
    hand.end()
    await nextTurn()
    assert.deepEqual(ear.told, ['data 1', 'data 2', 'data 3', 'data 4', 'end'])
  })

  it('tells that the line fails', async () => {
    const { hand, ear } = started()
    hand.bring(one(1))
    await nextTurn()
    hand.failSource('EIO')
    await nextTurn()
    assert.deepEqual(ear.told, ['data 1', 'fail EIO'])
  })
})

describe('an adapter of source and sink that is stopped', () => {
  it('lets go of a source that hangs, ends the sink, and tells nothing more', async () => {
    const { hand, adapter, ear } = started()
    hand.take()
    await nextTurn()
    adapter.stop()
    await nextTurn()
    assert.equal(hand.sourceReturned, true)
    assert.equal(hand.sinkEnded, true)
    hand.bring(one(1))
    hand.failSink('late')
    await nextTurn()
    assert.deepEqual(ear.told, [])
  })

  it('by whoever hears a chunk reads no further, and not the rest of a list', async () => {
    const { hand, adapter, ear } = started()
    ear.onData = () => {
      adapter.stop()
    }
    hand.bring(new Uint8ArrayList(one(1), one(2)), one(3))
    await nextTurn()
    assert.deepEqual(ear.told, ['data 1'])
    assert.equal(hand.sourceAsked, 1)
    assert.equal(hand.sourceReturned, true, 'it was not told that nobody reads it')
  })

  it('tells neither the end nor a failure that comes later, nor that a batch has left', async () => {
    const { hand, adapter, ear } = started()
    adapter.write([one(1)])
    hand.take()
    await nextTurn()
    adapter.stop()
    hand.failSource('EIO')
    hand.take()
    await nextTurn()
    assert.deepEqual(ear.told, [])
    assert.equal(hand.sinkEnded, true)
  })
})

describe('the adapter of a link that is direct', () => {
  function adapterOf(release?: (view: Uint8Array) => void): { adapter: DirectAdapter; calls: unknown[][] } {
    const calls: unknown[][] = []
    const link: Link = {
      ...new HandLink().link,
      direct: {
        start: (receiver) => calls.push(['start', receiver]),
        write: (batch) => {
          calls.push(['write', batch])
          return batch.length > 1
        },
        end: () => calls.push(['end']),
        ...(release && { release }),
      },
    }
    return { adapter: asDirectLink(link), calls }
  }

  it('is that, call by call', () => {
    const released: Uint8Array[] = []
    const { adapter, calls } = adapterOf((view) => released.push(view))
    const ear = new Ear()
    adapter.start(ear)
    assert.equal(adapter.write([one(1)]), false)
    assert.equal(adapter.write([one(1), one(2)]), true)
    adapter.end()
    adapter.stop()
    const view = one(7)
    adapter.release?.(view)
    assert.deepEqual(
      calls.map(([what]) => what),
      ['start', 'write', 'write', 'end'],
    )
    assert.equal(calls[0]?.[1], ear)
    assert.equal(released[0], view)
  })

  it('takes nothing back where the link does not', () => {
    assert.equal(adapterOf().adapter.release, undefined)
  })
})
