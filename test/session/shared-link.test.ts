/**
 * One raw line for many links, one after the other: who gets what comes, who may write, and when.
 * The raw line is played by hand.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { TrunkError } from '../../src/index.ts'
import { SharedLink } from '../../src/session/shared-link.ts'
import type { DirectReceiver, Link } from '../../src/contracts/types.ts'
import { memoryPair } from '../../transports/memory.ts'
import { eventually, keptAlive } from '../helpers/eventually.ts'
import { plain } from '../helpers/lines.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { isCode } from '../helpers/raw-session.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))
const text = (chunks: readonly Uint8Array[]): string => Buffer.concat(chunks).toString()

/** A raw line whose other end is the test. */
class RawLine {
  readonly written: Uint8Array[] = []
  receiver!: DirectReceiver
  /** False: what is written stays. */
  takes = true
  closes = 0
  failsToClose = false

  readonly link: Link = {
    peer: '/dev/ttyX',
    source: (async function* () {
      // its direct interface is used
    })(),
    sink: () => Promise.resolve(),
    close: () => {
      this.closes++
      return this.failsToClose ? Promise.reject(new Error('EIO')) : Promise.resolve()
    },
    abort: () => {
      this.closes++
    },
    direct: {
      start: (receiver) => {
        this.receiver = receiver
      },
      write: (batch) => {
        this.written.push(...batch.map((piece) => Uint8Array.from(piece)))
        return this.takes
      },
      end: () => {
        assert.fail('nobody ends such a line')
      },
    },
  }
}

/** A link that somebody has, with what it was told. */
class Holder {
  readonly told: string[] = []
  readonly link: Link

  constructor(line: SharedLink) {
    this.link = line.take()
    this.link.direct?.start({
      data: (chunk) => this.told.push(text([chunk])),
      end: () => this.told.push('end'),
      fail: (error) => this.told.push(`fail ${(error as { code?: string }).code}`),
      drain: () => this.told.push('drain'),
    })
  }

  write(what: string): boolean {
    return this.link.direct!.write([bytes(what)])
  }
}

const lineOf = (raw: RawLine): SharedLink => new SharedLink(raw.link)

describe('a shared line', () => {
  it('carries bytes both ways for whoever has it, and says who is at the other end', () => {
    const raw = new RawLine()
    const holder = new Holder(lineOf(raw))
    raw.receiver.data(bytes('in'))
    assert.equal(holder.write('out'), true)
    assert.deepEqual(holder.told, ['in'])
    assert.equal(text(raw.written), 'out')
    assert.equal(holder.link.peer, '/dev/ttyX')
  })

  it('is had by one at a time', () => {
    const line = lineOf(new RawLine())
    const holder = new Holder(line)
    assert.throws(() => line.take(), isCode('ERR_BAD_ARGUMENT'))
    holder.link.abort(new Error('over'))
    new Holder(line)
  })

  for (const how of ['close', 'abort'] as const) {
    it(`is given back by ${how}, as often as it likes, and stays open`, async () => {
      const raw = new RawLine()
      const line = lineOf(raw)
      const first = new Holder(line)
      const free = line.free()
      const leave = async (): Promise<void> => {
        if (how === 'close') await first.link.close()
        else first.link.abort(new Error('over'))
      }
      await leave()
      await free
      const second = new Holder(line)
      await leave()
      raw.receiver.data(bytes('for the second'))
      assert.deepEqual([first.told, second.told], [[], ['for the second']])
      assert.equal(raw.closes, 0)
      assert.equal(line.over, false)
    })
  }

  it('drops what comes while nobody has it', () => {
    const raw = new RawLine()
    const line = lineOf(raw)
    raw.receiver.data(bytes('to nobody'))
    const link = line.take()
    raw.receiver.data(bytes('to somebody who does not listen yet'))
    link.abort(new Error('over'))
    const holder = new Holder(line)
    raw.receiver.data(bytes('now'))
    assert.deepEqual(holder.told, ['now'])
  })

  it('is free at once where nobody has it, and not before it is given back', async () => {
    const line = lineOf(new RawLine())
    await line.free()
    const { link } = new Holder(line)
    let isFree = false
    const free = line.free().then(() => {
      isFree = true
    })
    await nextTurn()
    assert.equal(isFree, false)
    link.abort(new Error('over'))
    await free
  })

  it('lets go of a source that hangs when it is closed', async () => {
    let returned = false
    const source: Link['source'] = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<never>(() => undefined),
        return: () => {
          returned = true
          return Promise.resolve({ done: true, value: undefined })
        },
      }),
    }
    const { direct: _face, ...link } = new RawLine().link
    const line = new SharedLink({ ...link, source })
    await nextTurn()
    await line.close()
    await nextTurn()
    assert.equal(returned, true)
  })

  it('reads and writes lines that have no direct interface', async () => {
    await keptAlive(async () => {
      const clock = manualClock()
      const [near, far] = memoryPair({ clock })
      const line = new SharedLink(plain(near))
      const other = new SharedLink(far)
      const [first, second] = [new Holder(line), new Holder(other)]
      assert.equal(first.write('there'), false)
      await eventually(() => first.told.includes('drain'), 'it has left')
      await eventually(() => second.told.includes('there'), 'it has arrived')
      second.write('back')
      await eventually(() => first.told.includes('back'), 'it has arrived')
      await Promise.all([line.close(), other.close()])
      assert.equal(clock.pending, 0)
    })
  })

  it('has links with their direct interface alone', async () => {
    const { link } = new Holder(lineOf(new RawLine()))
    assert.throws(() => link.source, isCode('ERR_BAD_ARGUMENT'))
    await assert.rejects(
      link.sink(
        (async function* () {
          // nothing
        })(),
      ),
      isCode('ERR_BAD_ARGUMENT'),
    )
  })
})

describe('a last batch that is stuck', () => {
  it('is not mixed with what the next one writes: that waits for it', () => {
    const raw = new RawLine()
    const line = lineOf(raw)
    const first = new Holder(line)
    raw.takes = false
    assert.equal(first.write('the last words'), false)
    first.link.abort(new Error('over'))
    const second = new Holder(line)
    assert.equal(second.write('hello'), false)
    assert.equal(text(raw.written), 'the last words')
    raw.takes = true
    raw.receiver.drain()
    assert.equal(text(raw.written), 'the last wordshello')
    assert.deepEqual([first.told, second.told], [[], ['drain']])
    assert.equal(second.write('!'), true)
  })

  it('may be followed by one that sticks too', () => {
    const raw = new RawLine()
    const line = lineOf(raw)
    raw.takes = false
    const first = new Holder(line)
    first.write('one ')
    first.link.abort(new Error('over'))
    const second = new Holder(line)
    second.write('two ')
    raw.receiver.drain()
    assert.equal(text(raw.written), 'one two ')
    assert.deepEqual(second.told, [])
    raw.receiver.drain()
    assert.deepEqual(second.told, ['drain'])
  })

  it('leaves while the next one has nothing to say: nobody is told', () => {
    const raw = new RawLine()
    const line = lineOf(raw)
    raw.takes = false
    const first = new Holder(line)
    first.write('one')
    first.link.abort(new Error('over'))
    const second = new Holder(line)
    raw.takes = true
    raw.receiver.drain()
    assert.deepEqual(second.told, [])
    assert.equal(second.write('two'), true)
  })

  it('is over when it has left: whoever comes then does not wait', () => {
    const raw = new RawLine()
    const line = lineOf(raw)
    const first = new Holder(line)
    raw.takes = false
    first.write('one ')
    raw.takes = true
    raw.receiver.drain()
    first.link.abort(new Error('over'))
    assert.equal(new Holder(line).write('two'), true)
    assert.equal(text(raw.written), 'one two')
  })

  it('leaves while whoever has the line does not listen yet', () => {
    const raw = new RawLine()
    const line = lineOf(raw)
    const first = new Holder(line)
    raw.takes = false
    first.write('one')
    first.link.abort(new Error('over'))
    line.take()
    raw.receiver.drain()
    raw.receiver.drain()
    assert.equal(text(raw.written), 'one')
  })

  it('lets what waited behind it be forgotten with who wanted to say it', () => {
    const raw = new RawLine()
    const line = lineOf(raw)
    raw.takes = false
    for (const word of ['one', 'two', 'three']) {
      const holder = new Holder(line)
      holder.write(word)
      raw.receiver.data(bytes('x'))
      assert.deepEqual(holder.told, ['x'], 'reading waits for nothing')
      holder.link.abort(new Error('over'))
    }
    raw.receiver.drain()
    assert.equal(text(raw.written), 'one')
  })
})

describe('a raw line that ends', () => {
  it('ends the link of whoever has it, and there is no more to take', () => {
    const raw = new RawLine()
    const line = lineOf(raw)
    const holder = new Holder(line)
    raw.receiver.end()
    assert.deepEqual(holder.told, ['end'])
    assert.equal(line.over, true)
  })

  it('fails it with its code where it fails, and once', () => {
    for (const [error, code] of [
      [new TrunkError('ERR_LINK_LOST', 'the device has vanished'), 'ERR_LINK_LOST'],
      [new Error('EIO'), 'ERR_LINK_FAILED'],
    ] as const) {
      const raw = new RawLine()
      const line = lineOf(raw)
      const holder = new Holder(line)
      raw.receiver.fail(error)
      raw.receiver.end()
      assert.deepEqual(holder.told, [`fail ${code}`])
      assert.equal(line.over, true)
    }
  })

  it('is no trouble where nobody listens', () => {
    for (const finish of [
      (raw: RawLine) => raw.receiver.end(),
      (raw: RawLine) => raw.receiver.fail(new Error('EIO')),
    ]) {
      const raw = new RawLine()
      const line = lineOf(raw)
      line.take()
      finish(raw)
      assert.equal(line.over, true)
    }
  })

  it('is told to whoever takes it then, once it listens', async () => {
    for (const [finish, told] of [
      [(raw: RawLine) => raw.receiver.end(), 'end'],
      [(raw: RawLine) => raw.receiver.fail(new TrunkError('ERR_LINK_LOST', 'gone')), 'fail ERR_LINK_LOST'],
    ] as const) {
      const raw = new RawLine()
      const line = lineOf(raw)
      finish(raw)
      assert.equal(line.over, true)
      const holder = new Holder(line)
      assert.deepEqual(holder.told, [], 'not before start has returned')
      await Promise.resolve()
      assert.deepEqual(holder.told, [told])
    }
  })

  it('is closed once and for all by close, which never rejects', async () => {
    const raw = new RawLine()
    raw.failsToClose = true
    const line = lineOf(raw)
    await line.close()
    assert.equal(raw.closes, 1)
    assert.equal(line.over, true)
  })
})
