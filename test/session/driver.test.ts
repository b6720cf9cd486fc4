/**
 * What joins an engine to a line, with both played by hand: who is asked when, what is written,
 * when time counts, and how it ends.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { TrunkError } from '../../src/contracts/errors.ts'
import { Driver } from '../../src/session/driver.ts'
import type { Engine } from '../../src/core/session/engine.ts'
import type { DirectReceiver, Link } from '../../src/contracts/types.ts'
import { manualClock } from '../helpers/manual-clock.ts'

const MIB = 1024 * 1024
const bytes = (length: number): Uint8Array => new Uint8Array(length)
/** What was said in this tick is asked for in the next. */
const nextTick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))

/** An engine that says what it is told to say, and notes what it is asked. */
class FakeEngine {
  readonly asked: string[] = []
  batches: Uint8Array[][] = []
  at = Infinity
  hasMore = false
  onReceive: (() => void) | undefined
  /** The line holds a batch: nothing can be pulled, as with the real one. */
  #holds = false

  pull(now: number): readonly Uint8Array[] | undefined {
    this.asked.push(`pull ${now}`)
    const batch = this.#holds ? undefined : this.batches.shift()
    this.hasMore = this.batches.length > 0
    if (batch !== undefined) this.#holds = true
    return batch
  }
  batchLeft(): void {
    this.#holds = false
    this.asked.push('left')
  }
  receive(chunk: Uint8Array, now: number): void {
    this.asked.push(`receive ${chunk.byteLength} ${now}`)
    this.onReceive?.()
  }
  kept(): number {
    return 77
  }
  linkEnded(error: TrunkError | undefined, now: number): void {
    this.asked.push(`line ended ${now}${error === undefined ? '' : ` ${error.code} ${error.message}`}`)
  }
  deadline(): number {
    return this.at
  }
  tick(now: number): void {
    this.asked.push(`tick ${now}`)
    this.at = Infinity
  }
}

class Stand {
  readonly clock = manualClock()
  readonly engine = new FakeEngine()
  /** What the line was told. */
  readonly line: string[] = []
  readonly released: Uint8Array[] = []
  readonly driver: Driver
  receiver!: DirectReceiver
  /** False: what is written stays. */
  takes = true
  closing: Promise<void> = Promise.resolve()
  isFinished = false

  constructor(connected = true, releases = true) {
    const link: Link = {
      source: (async function* () {
        // its direct interface is used
      })(),
      sink: () => Promise.resolve(),
      close: () => {
        this.line.push('close')
        return this.closing
      },
      abort: (error) => {
        this.line.push(`abort ${error instanceof TrunkError ? error.code : error.message}`)
      },
      direct: {
        start: (receiver) => {
          this.receiver = receiver
        },
        write: (batch) => {
          this.line.push(`write ${batch.map(({ byteLength }) => byteLength).join('+')}`)
          return this.takes
        },
        end: () => {
          this.line.push('end')
        },
        ...(releases && { release: (view: Uint8Array) => this.released.push(view) }),
      },
    }
    this.driver = new Driver(this.engine as unknown as Engine, link, this.clock, connected)
    void this.driver.finished.then(() => {
      this.isFinished = true
    })
  }

  /** Started, with the first look at the engine over. */
  async start(): Promise<this> {
    this.driver.start()
    await nextTick()
    this.engine.asked.length = 0
    return this
  }

  /** The engine has something to say. */
  async say(...batches: Uint8Array[][]): Promise<void> {
    this.engine.batches.push(...batches)
    this.driver.wake()
    await nextTick()
  }

  asked(): string[] {
    return this.engine.asked.splice(0)
  }
}

const PROTOCOL = new TrunkError('ERR_PROTOCOL_VIOLATION', 'no')
const LINK = new TrunkError('ERR_LINK_FAILED', 'cut')

describe('a driver that writes', () => {
  it('looks at the engine when it starts, after what is said in that tick', async () => {
    const stand = new Stand()
    stand.engine.batches.push([bytes(10), bytes(5)])
    stand.driver.start()
    assert.deepEqual(stand.asked(), [])
    await nextTick()
    assert.deepEqual(stand.asked(), ['pull 0', 'left'])
    assert.deepEqual(stand.line, ['write 10+5'])
  })

  it('looks once a tick, however often it is woken, and again when it is woken then', async () => {
    const stand = await new Stand().start()
    stand.clock.advance(3)
    stand.driver.wake()
    stand.driver.wake()
    stand.driver.wake()
    await nextTick()
    assert.deepEqual(stand.asked(), ['pull 3'])
    stand.driver.wake()
    await nextTick()
    assert.deepEqual(stand.asked(), ['pull 3'])
  })

  it('asks for nothing before it was started', async () => {
    const stand = new Stand()
    await stand.say([bytes(1)])
    assert.deepEqual(stand.asked(), [])
    stand.driver.start()
    await nextTick()
    assert.deepEqual(stand.line, ['write 1'])
  })

  it('asks for the next batch as long as there is one, and the line takes them', async () => {
    const stand = await new Stand().start()
    await stand.say([bytes(1)], [bytes(2)], [bytes(3)])
    assert.deepEqual(stand.line, ['write 1', 'write 2', 'write 3'])
    assert.deepEqual(stand.asked(), ['pull 0', 'left', 'pull 0', 'left', 'pull 0', 'left'])
  })

  it('asks for none while the line holds one, and goes on when it has left', async () => {
    const stand = await new Stand().start()
    stand.takes = false
    await stand.say([bytes(1)], [bytes(2)])
    assert.deepEqual(stand.line, ['write 1'])
    assert.deepEqual(stand.asked(), ['pull 0'], 'it has not left')
    stand.takes = true
    stand.receiver.drain()
    assert.deepEqual(stand.asked(), ['left'])
    await nextTick()
    assert.deepEqual(stand.line, ['write 1', 'write 2'])
    assert.deepEqual(stand.asked(), ['pull 0', 'left'])
  })

  it('gives the event loop a turn after a mebibyte, whose bytes it counts over batches and pieces', async () => {
    const stand = await new Stand().start()
    await stand.say([bytes(MIB / 2), bytes(MIB / 4)], [bytes(MIB / 4 - 1)], [bytes(1)], [bytes(7)], [bytes(8)])
    assert.equal(stand.line.length, 3)
    stand.asked()
    stand.driver.wake()
    await nextTick()
    assert.deepEqual(stand.asked(), [], 'it will look anyway')
    await nextTurn()
    assert.deepEqual(stand.line.slice(3), ['write 7', 'write 8'])
    assert.deepEqual(stand.asked(), ['pull 0', 'left', 'pull 0', 'left'])
    // and is woken as before
    await stand.say([bytes(9)])
    assert.deepEqual(stand.line.slice(5), ['write 9'])
  })

  it('gives no turn away where there is no more to say', async () => {
    const stand = await new Stand().start()
    await stand.say([bytes(2 * MIB)])
    stand.asked()
    stand.driver.wake()
    await nextTick()
    assert.deepEqual(stand.asked(), ['pull 0'])
  })

  it('passes on what is no longer looked at, to a line that wants to know', async () => {
    const view = bytes(3)
    const stand = await new Stand().start()
    stand.driver.release(view)
    assert.deepEqual(stand.released, [view])
    const other = await new Stand(true, false).start()
    other.driver.release(view)
    assert.deepEqual(other.released, [])
    // nobody has looked before it was started
    new Stand().driver.release(view)
  })
})

describe('a driver that reads', () => {
  it('hands on what comes, with the time, and what is kept of it', async () => {
    const stand = await new Stand().start()
    stand.clock.advance(9)
    stand.receiver.data(bytes(4))
    assert.deepEqual(stand.asked(), ['receive 4 9'])
    assert.equal(stand.receiver.kept?.(), 77)
  })

  it('minds whether an end is one until its engine has ended [R-546]', async () => {
    const { receiver, driver } = await new Stand().start()
    const before = receiver.isOver?.()
    driver.engineEnded(undefined)
    assert.deepEqual([before, receiver.isOver?.()], [false, true])
  })

  it('tells the end of the line once, and when it was', async () => {
    const stand = await new Stand().start()
    stand.clock.advance(5)
    stand.receiver.end()
    stand.receiver.end()
    stand.receiver.fail(new Error('EIO'))
    assert.deepEqual(stand.asked(), ['line ended 5'])
  })

  it('tells its failure by its code, or as a failure of the line', async () => {
    const stand = await new Stand().start()
    stand.receiver.fail(new Error('EIO'))
    const [said] = stand.asked()
    assert.match(said!, /^line ended 0 ERR_LINK_FAILED the line failed/)
    const other = await new Stand().start()
    other.receiver.fail(new TrunkError('ERR_LINK_LOST', 'gone'))
    assert.deepEqual(other.asked(), ['line ended 0 ERR_LINK_LOST gone'])
  })
})

describe('a driver and time', () => {
  it('calls the engine when it is time, once', async () => {
    const stand = new Stand()
    stand.engine.at = 500
    await stand.start()
    stand.clock.advance(499)
    assert.deepEqual(stand.asked(), [])
    stand.clock.advance(1)
    assert.deepEqual(stand.asked(), ['tick 500'])
    assert.equal(stand.clock.pending, 0, 'nothing is waited for')
    stand.clock.advance(10_000)
    assert.deepEqual(stand.asked(), [])
  })

  it('starts a timer when it starts, not only when it has looked', () => {
    const stand = new Stand()
    stand.engine.at = 500
    stand.driver.start()
    assert.equal(stand.clock.pending, 1)
  })

  it('counts from now, whatever the clock says', async () => {
    const stand = new Stand()
    stand.clock.advance(70_000)
    stand.engine.at = 70_500
    await stand.start()
    stand.clock.advance(500)
    assert.deepEqual(stand.asked(), ['tick 70500'])
  })

  it('has one timer: for what is earlier it is started again, for what is later it only looks again', async () => {
    const stand = new Stand()
    stand.engine.at = 500
    await stand.start()
    stand.engine.at = 300
    stand.receiver.data(bytes(1))
    assert.equal(stand.clock.pending, 1)
    stand.asked()
    stand.clock.advance(299)
    stand.engine.at = 1000
    stand.receiver.data(bytes(1))
    assert.equal(stand.clock.pending, 1)
    stand.asked()
    stand.clock.advance(1)
    assert.deepEqual(stand.asked(), [], 'it is not time yet')
    assert.equal(stand.clock.pending, 1)
    stand.clock.advance(699)
    assert.deepEqual(stand.asked(), [])
    stand.clock.advance(1)
    assert.deepEqual(stand.asked(), ['tick 1000'])
  })

  it('calls the engine earlier where bytes that came made it so', async () => {
    const stand = new Stand()
    stand.engine.at = 500
    await stand.start()
    stand.engine.at = 300
    stand.receiver.data(bytes(1))
    stand.asked()
    stand.clock.advance(300)
    assert.deepEqual(stand.asked(), ['tick 300'])
  })

  it('starts the next timer when one has fired', async () => {
    const stand = new Stand()
    stand.engine.at = 10
    await stand.start()
    stand.engine.tick = (now) => {
      stand.engine.asked.push(`tick ${now}`)
      stand.engine.at = now + 10
    }
    stand.clock.advance(35)
    assert.deepEqual(stand.asked(), ['tick 10', 'tick 20', 'tick 30'])
  })

  it('looks at the time after bytes came and after it has written, and leaves it to the latter where both are due', async () => {
    const stand = await new Stand().start()
    stand.engine.at = 100
    stand.driver.wake()
    stand.receiver.data(bytes(1))
    assert.equal(stand.clock.pending, 0)
    await nextTick()
    assert.equal(stand.clock.pending, 1)
  })

  it('starts none where the engine ends meanwhile: by bytes, or by the timer itself', async () => {
    const stand = await new Stand().start()
    stand.engine.at = 100
    stand.engine.onReceive = () => {
      stand.driver.engineEnded(LINK)
    }
    stand.receiver.data(bytes(1))
    assert.equal(stand.clock.pending, 0)

    const other = new Stand()
    other.engine.at = 100
    await other.start()
    other.engine.tick = () => {
      other.driver.engineEnded(LINK)
      other.engine.at = 200
    }
    other.clock.advance(100)
    assert.equal(other.clock.pending, 0)
    await nextTick()
    assert.equal(other.clock.pending, 0)
  })
})

describe('a driver whose engine has ended', () => {
  it('on a line that is over closes it at once', async () => {
    const stand = await new Stand().start()
    stand.engine.at = 100
    stand.receiver.data(bytes(1))
    stand.receiver.end()
    stand.driver.engineEnded(undefined)
    assert.deepEqual(stand.line, ['end', 'close'])
    assert.equal(stand.clock.pending, 0)
    await stand.driver.finished
  })

  it('with an error aborts it, after a failure of the line without a word', async () => {
    for (const over of [true, false]) {
      const stand = await new Stand().start()
      if (over) stand.receiver.end()
      stand.driver.engineEnded(over ? PROTOCOL : LINK)
      assert.deepEqual(stand.line, ['end', over ? 'abort ERR_PROTOCOL_VIOLATION' : 'abort ERR_LINK_FAILED'])
      assert.equal(stand.clock.pending, 0)
      await stand.driver.finished
    }
  })

  it('says what is left, ends its side, and closes the line when the peer has ended its own', async () => {
    const stand = await new Stand().start()
    stand.engine.batches.push([bytes(12)])
    stand.driver.engineEnded(undefined)
    assert.deepEqual(stand.line, [])
    await nextTick()
    assert.deepEqual(stand.line, ['write 12', 'end'])
    await nextTurn()
    assert.equal(stand.isFinished, false)
    stand.receiver.end()
    assert.deepEqual(stand.line, ['write 12', 'end', 'close'])
    assert.equal(stand.clock.pending, 0)
    await stand.driver.finished
  })

  it('waits a second for the peer’s end, then cuts, with its own error where it has one', async () => {
    for (const [error, code] of [
      [undefined, 'ERR_LINK_LOST'],
      [PROTOCOL, 'ERR_PROTOCOL_VIOLATION'],
    ] as const) {
      const stand = await new Stand().start()
      stand.driver.engineEnded(error)
      await nextTick()
      stand.clock.advance(999)
      assert.deepEqual(stand.line, ['end'])
      stand.clock.advance(1)
      assert.deepEqual(stand.line, ['end', `abort ${code}`])
      await stand.driver.finished
    }
  })

  it('ends its side only when the line has the goodbye', async () => {
    const stand = await new Stand().start()
    stand.takes = false
    await stand.say([bytes(1)])
    stand.engine.batches.push([bytes(2)])
    stand.driver.engineEnded(undefined)
    await nextTick()
    assert.deepEqual(stand.line, ['write 1'])
    stand.receiver.drain()
    await nextTick()
    assert.deepEqual(stand.line, ['write 1', 'write 2'])
    stand.takes = true
    stand.receiver.drain()
    await nextTick()
    assert.deepEqual(stand.line, ['write 1', 'write 2', 'end'])
    stand.driver.wake()
    await nextTick()
    assert.deepEqual(stand.line, ['write 1', 'write 2', 'end'], 'once')
  })

  it('ends its side only when all is said, where that takes more than a turn', async () => {
    const stand = await new Stand().start()
    stand.engine.batches.push([bytes(MIB)], [bytes(2)])
    stand.driver.engineEnded(undefined)
    await nextTick()
    assert.deepEqual(stand.line, [`write ${MIB}`])
    await nextTurn()
    assert.deepEqual(stand.line, [`write ${MIB}`, 'write 2', 'end'])
  })

  it('leaves a connectionless link when the goodbye has left: nobody would tell it more', async () => {
    const stand = await new Stand(false).start()
    stand.takes = false
    stand.engine.batches.push([bytes(2)])
    stand.driver.engineEnded(undefined)
    await nextTick()
    assert.deepEqual(stand.line, ['write 2'])
    stand.receiver.drain()
    await nextTick()
    assert.deepEqual(stand.line, ['write 2', 'end', 'close'])
    assert.equal(stand.clock.pending, 0)
    await stand.driver.finished

    const other = await new Stand(false).start()
    other.driver.engineEnded(PROTOCOL)
    await nextTick()
    assert.deepEqual(other.line, ['end', 'abort ERR_PROTOCOL_VIOLATION'])
  })

  it('drops what still comes, and takes a failure of the line for its reason', async () => {
    const stand = await new Stand().start()
    stand.driver.engineEnded(undefined)
    stand.receiver.data(bytes(1))
    await nextTick()
    assert.deepEqual(stand.asked(), ['pull 0'])
    stand.receiver.fail(new Error('EIO'))
    assert.deepEqual(stand.line, ['end', 'abort ERR_LINK_FAILED'])
    assert.deepEqual(stand.asked(), [])
    await stand.driver.finished
  })

  it('has ended once, and asks and writes nothing after the line was closed', async () => {
    const stand = await new Stand().start()
    stand.takes = false
    await stand.say([bytes(1)])
    stand.receiver.end()
    stand.driver.engineEnded(undefined)
    stand.driver.engineEnded(PROTOCOL)
    stand.asked()
    stand.receiver.drain()
    stand.driver.wake()
    await nextTick()
    assert.deepEqual(stand.asked(), ['left'], 'who waits for the batch is told, once, and nothing is asked for')
    assert.deepEqual(stand.line, ['write 1', 'end', 'close'])
    stand.clock.advance(10_000)
    assert.deepEqual(stand.line, ['write 1', 'end', 'close'])
  })

  it('lets go of the batch that the line held when it is closed or aborted, and not before [R-360]', async () => {
    for (const [error, end] of [
      [undefined, 'close'],
      [PROTOCOL, 'abort ERR_PROTOCOL_VIOLATION'],
    ] as const) {
      const stand = await new Stand().start()
      let close!: () => void
      stand.closing = new Promise((resolve) => {
        close = resolve
      })
      stand.takes = false
      await stand.say([bytes(1)])
      stand.receiver.end()
      stand.asked()
      stand.driver.engineEnded(error)
      assert.equal(stand.line.at(-1), end)
      if (error === undefined) {
        await nextTick()
        assert.deepEqual(stand.asked(), [], 'the line may still look at it')
        close()
      }
      await stand.driver.finished
      assert.deepEqual(stand.asked(), ['left'])
      stand.receiver.drain()
      await nextTick()
      assert.deepEqual(stand.asked(), [])
    }
    const held = await new Stand().start()
    held.takes = false
    await held.say([bytes(1)])
    held.receiver.drain()
    await nextTick()
    held.asked()
    held.receiver.end()
    held.driver.engineEnded(undefined)
    await held.driver.finished
    assert.deepEqual(held.asked(), ['line ended 0'], 'a batch leaves once')
  })

  it('has the reason that came first, whatever comes while it says goodbye', async () => {
    const stand = await new Stand(false).start()
    stand.driver.engineEnded(undefined)
    stand.driver.engineEnded(PROTOCOL)
    assert.equal(stand.clock.pending, 1)
    await nextTick()
    assert.deepEqual(stand.line, ['end', 'close'])
    stand.receiver.end()
    assert.deepEqual(stand.line, ['end', 'close'], 'closed once')
  })

  it('is finished when the line is closed, also where that fails', async () => {
    const stand = await new Stand().start()
    let close!: () => void
    stand.closing = new Promise((resolve) => {
      close = resolve
    })
    stand.receiver.end()
    stand.driver.engineEnded(undefined)
    await nextTurn()
    assert.equal(stand.isFinished, false)
    close()
    await stand.driver.finished

    const other = await new Stand().start()
    other.closing = Promise.reject(new Error('EIO'))
    other.receiver.end()
    other.driver.engineEnded(undefined)
    await other.driver.finished
  })
})
