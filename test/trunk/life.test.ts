import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError, type Pipe, type Trunk } from '../../src/index.ts'
import { eventually, steady } from '../helpers/eventually.ts'
import {
  collect,
  checkPattern,
  count,
  echo,
  manual,
  outcome,
  pattern,
  patternChunks,
  produce,
  protocol,
} from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { manualClock } from '../helpers/manual-clock.ts'
import { trunkPair } from '../helpers/trunk-pair.ts'

noStrayRejections()

const text = async (pipe: Pipe): Promise<string> => (await collect(pipe.source)).toString()

async function closed(...trunks: Trunk[]): Promise<void> {
  await Promise.all(trunks.map((trunk) => trunk.close()))
}

describe('half close', () => {
  it('ends one direction after all its bytes while the other goes on, from the opener [R-030]', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    await a.write(pattern(300_000).subarray(0, 60_000))
    await a.closeWrite()
    assert.equal(await checkPattern(b.source), 60_000)
    await b.write(Buffer.from('after the end'))
    await b.closeWrite()
    assert.equal(await text(a), 'after the end')
    finish()
    await a.close()
    await closed(near, far)
  })

  it('ends one direction while the other goes on, from the handler [R-030]', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    await b.write(Buffer.from('first'))
    await b.closeWrite()
    assert.equal(await text(a), 'first')
    const reading = checkPattern(b.source)
    await a.sink(patternChunks(500_000, 7_000))
    assert.equal(await reading, 500_000)
    finish()
    await a.close()
    await closed(near, far)
  })

  it('ends an empty direction, and both ends of a pipe that was never written', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    await Promise.all([a.closeWrite(), b.closeWrite()])
    assert.deepEqual(await Promise.all([a.source.next(), b.source.next()]), [
      { done: true, value: undefined },
      { done: true, value: undefined },
    ])
    finish()
    await a.close()
    await eventually(() => near.status().pipes.length === 0 && far.status().pipes.length === 0, 'the pipe is gone')
    await closed(near, far)
  })

  it('refuses to write after the end of writing [R-046]', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const pipe = await near.open('echo')
    await pipe.closeWrite()
    assert.equal(await outcome(pipe.write(Uint8Array.of(1))), 'ERR_PIPE_CLOSED')
    assert.equal(await outcome(pipe.sink([Uint8Array.of(1)])), 'ERR_PIPE_BUSY')
    assert.equal(await outcome(pipe.closeWrite()), 'resolved')
    assert.equal(pipe.writableLength, 0)
    await closed(near, far)
  })
})

describe('writing', () => {
  it('delivers what was opened, written and closed in one tick [R-032]', async () => {
    const [near, far] = await trunkPair({}, { protocols: [count] })
    const pipe = await near.open('count')
    void pipe.write(pattern(50_000))
    void pipe.write(Uint8Array.of(1))
    const done = pipe.close()
    assert.equal(await text(pipe), '50001')
    await done
    await closed(near, far)
  })

  it('waits in close until everything queued was delivered and read [R-031]', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    void a.write(pattern(1_000_000))
    let settled = false
    const closing = a.close().then(() => (settled = true))
    await steady(() => b.readableLength, 20)
    assert.equal(settled, false)
    assert.equal(await checkPattern(b.source), 1_000_000)
    await steady(() => far.status().bytesRead, 20)
    assert.equal(settled, false, 'the handler had not ended')
    finish()
    await closing
    await closed(near, far)
  })

  it('takes one sink and one iteration of a pipe [R-046]', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    const first = a.sink(patternChunks(100_000, 1000))
    assert.equal(await outcome(a.sink([])), 'ERR_PIPE_BUSY')
    const reading = checkPattern(b.source)
    assert.equal(await outcome(checkPattern(b.source)), 'ERR_PIPE_BUSY')
    assert.equal(await outcome(b.source.next()), 'ERR_PIPE_BUSY', 'a second reader at the same time')
    assert.equal(await reading, 100_000)
    await first
    finish()
    await a.close()
    await closed(near, far)
  })

  it('rejects what is not bytes at once, and changes nothing', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const pipe = await near.open('echo')
    for (const wrong of ['text', 7, undefined, null, [1]]) {
      const written: Promise<void> = pipe.write(wrong as never)
      assert.equal(await outcome(written), 'ERR_BAD_ARGUMENT')
    }
    for (const wrong of [undefined, null, 7, {}]) {
      assert.equal(await outcome(Promise.resolve().then(() => pipe.sink(wrong as never))), 'ERR_BAD_ARGUMENT')
    }
    await Promise.all([pipe.write(Buffer.from('alive')), pipe.closeWrite()])
    assert.equal(await text(pipe), 'alive')
    await closed(near, far)
  })
})

describe('close', () => {
  it('rejects with the error of the remote handler, message included', async () => {
    const failing = protocol('failing', async ({ accept }) => {
      for await (const _ of accept().source);
      throw new TrunkError('MY_PLUGIN_CODE', 'the disk is full')
    })
    const [near, far] = await trunkPair({}, { protocols: [failing] })
    const pipe = await near.open('failing')
    await pipe.write(Buffer.from('x'))
    await assert.rejects(pipe.close(), { code: 'MY_PLUGIN_CODE', message: 'the disk is full', origin: 'remote' })
    await closed(near, far)
  })

  it('rejects with ERR_PIPE_STOPPED where the handler returned without reading all', async () => {
    const lazy = protocol('lazy', async ({ accept }) => {
      const reader = accept().source
      await reader.next()
    })
    const [near, far] = await trunkPair({}, { protocols: [lazy] })
    const pipe = await near.open('lazy')
    assert.equal(await outcome(pipe.sink(patternChunks(1_000_000, 10_000))), 'ERR_PIPE_STOPPED')
    assert.equal(await outcome(pipe.close()), 'ERR_PIPE_STOPPED')
    await closed(near, far)
  })

  it('rejects with the peer’s reason where the stop had come before sink was called', async () => {
    const deaf = protocol('deaf', async ({ accept }) => {
      const pipe = accept()
      await pipe.source.return(undefined)
      await pipe.closeWrite()
    })
    const [near, far] = await trunkPair({}, { protocols: [deaf] })
    const pipe = await near.open('deaf')
    // the end of the other direction comes behind the stop
    for await (const _ of pipe.source) assert.fail('nothing was written')
    assert.equal(await outcome(pipe.sink([Buffer.from('x')])), 'ERR_PIPE_STOPPED')
    await closed(near, far)
  })

  it('resolves where the handler read all that was written and returned before the end was', async () => {
    const one = protocol('one', async ({ accept }) => {
      const pipe = accept()
      await pipe.source.next()
      await pipe.write(Buffer.from('thanks'))
    })
    const [near, far] = await trunkPair({}, { protocols: [one] })
    const pipe = await near.open('one')
    await pipe.write(Buffer.from('please'))
    assert.equal(await text(pipe), 'thanks')
    // the handler has ended, and its stop has arrived: nothing was lost by it
    await pipe.close()
    await closed(near, far)
  })

  it('settles at both ends where both close and neither reads what the other wrote [R-039]', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    await Promise.all([a.write(pattern(1000)), b.write(pattern(1000))])
    const closing = outcome(b.close())
    const both = [outcome(a.close()), closing]
    void closing.then(finish)
    assert.deepEqual(await Promise.all(both), ['ERR_PIPE_STOPPED', 'ERR_PIPE_STOPPED'])
    await closed(near, far)
  })

  it('settles at both ends where the handler waits for its own close first [R-039]', async () => {
    const polite = protocol('polite', async ({ accept }) => {
      const pipe = accept()
      await pipe.write(Buffer.from('hello'))
      await pipe.close().catch(() => undefined)
    })
    const [near, far] = await trunkPair({}, { protocols: [polite] })
    const pipe = await near.open('polite')
    await pipe.close()
    assert.equal(await outcome(pipe.source.next()), 'ERR_PIPE_CLOSED', 'what was given up does not look like an end')
    await closed(near, far)
  })

  it('reads on while it closes', async () => {
    const [near, far] = await trunkPair({}, { protocols: [produce] })
    const pipe = await near.open('produce', 300_000)
    assert.deepEqual(await Promise.all([pipe.close(), checkPattern(pipe.source)]), [undefined, 300_000])
    await closed(near, far)
  })

  it('leaves nothing for `await using` to reset once a pipe is finished', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [echo, test.protocol] })
    {
      await using pipe = await near.open('echo')
      await Promise.all([pipe.write(Buffer.from('x')), pipe.closeWrite()])
      assert.equal(await text(pipe), 'x')
      await pipe.close()
    }
    {
      await using pipe = await near.open('manual')
      const { pipe: b, finish, request } = await test.next()
      await pipe.closeWrite()
      await b.closeWrite()
      assert.equal((await pipe.source.next()).done, true)
      await eventually(() => far.status().pipes[0]?.waitsFor === 'confirmation', 'the end was sent')
      assert.equal(request.signal.aborted, false)
      finish()
    }
    await eventually(() => near.status().pipes.length === 0 && far.status().pipes.length === 0, 'the pipes are gone')
    await closed(near, far)
  })

  it('delivers what was written before `await using` leaves the block, ended there or not [R-367]', async () => {
    for (const ends of [true, false]) {
      const test = manual()
      const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
      const reading = test.next().then(async ({ pipe, finish }) => {
        const bytes = await collect(pipe.source)
        finish()
        return bytes
      })
      {
        await using pipe = await near.open('manual')
        await pipe.write(pattern(300_000))
        if (ends) await pipe.closeWrite()
      }
      assert.equal((await reading).byteLength, 300_000)
      await closed(near, far)
    }
  })

  it('ends a sink before it ends the pipe that `await using` leaves [R-367]', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const reading = test.next().then(async ({ pipe, finish }) => {
      const bytes = await collect(pipe.source)
      finish()
      return bytes
    })
    let sinking: Promise<void> | undefined
    {
      await using pipe = await near.open('manual')
      sinking = pipe.sink(
        (async function* () {
          for (let i = 0; i < 20; i++) yield pattern(10_000)
        })(),
      )
    }
    await sinking
    assert.equal((await reading).byteLength, 200_000)
    await closed(near, far)
  })

  it('breaks off a pipe whose peer does not finish within closeTimeoutMs after it was left [R-367]', async () => {
    const clock = manualClock()
    const test = manual()
    const [near, far] = await trunkPair({ clock, limits: { closeTimeoutMs: 700 } }, { protocols: [test.protocol] })
    const pipe = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    await pipe.write(Buffer.from('x'))
    const leaving = outcome(Promise.resolve(pipe[Symbol.asyncDispose]()))
    clock.advance(699)
    assert.equal(b.signal.aborted, false)
    clock.advance(1)
    assert.equal(await leaving, 'ERR_CLOSE_TIMEOUT')
    await eventually(() => b.signal.aborted, 'the handler is told')
    finish()
    await closed(near, far)
  })

  it('tells a reader that is not done when `await using` leaves the block, and no other [R-367]', async () => {
    const [near, far] = await trunkPair({}, { protocols: [produce] })
    const pipe = await near.open('produce', 3_000_000)
    const first = await pipe.source.next()
    assert.ok(first.done !== true)
    await pipe[Symbol.asyncDispose]()
    assert.equal(await outcome(pipe.source.next()), 'ERR_PIPE_CLOSED')
    {
      await using broken = await near.open('produce', 1000)
      broken.abort(new TrunkError('ERR_BUSY', 'on purpose'))
    }
    await closed(near, far)
  })
})

describe('reset', () => {
  it('rejects pending reads and writes at both ends with the code, and delivers nothing after [R-035]', async () => {
    const test = manual()
    for (const side of ['opener', 'handler']) {
      const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
      const a = await near.open('manual')
      const { pipe: b, finish } = await test.next()
      const pending = [
        a.write(pattern(1_000_000)),
        a.closeWrite(),
        a.close(),
        (async () => {
          for await (const _ of a.source);
        })(),
      ]
      await steady(() => b.readableLength, 20)
      const reason = new TrunkError('ERR_IO', 'the disk broke')
      ;(side === 'opener' ? a : b).abort(reason)
      assert.deepEqual(new Set(await Promise.all(pending.map(outcome))), new Set(['ERR_IO']), side)
      await eventually(() => a.signal.aborted && b.signal.aborted, 'the reset arrives')
      assert.deepEqual(await Promise.all([outcome(a.source.next()), outcome(b.source.next())]), [
        'resolved', // this reader was told already: its iteration is over
        'ERR_IO',
      ])
      assert.deepEqual([a.readableLength, b.readableLength, a.writableLength, b.writableLength], [0, 0, 0, 0])
      assert.deepEqual([await outcome(a.write(pattern(1))), await outcome(b.closeWrite())], ['ERR_IO', 'ERR_IO'])
      assert.equal((a.signal.reason as TrunkError).code, 'ERR_IO')
      const remote = side === 'opener' ? b : a
      assert.equal((remote.signal.reason as TrunkError).origin, 'remote')
      finish()
      await closed(near, far)
    }
  })

  it('keeps the message of an error that is no TrunkError to itself', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    const cause = new Error('/home/me/secret')
    a.abort(cause)
    await eventually(() => b.signal.aborted, 'the reset arrives')
    const told = b.signal.reason as TrunkError
    assert.deepEqual([told.code, told.message.includes('secret')], ['ERR_ABORTED', false])
    assert.equal((a.signal.reason as TrunkError).cause, cause)
    finish()
    await closed(near, far)
  })

  it('leaves other pipes alone', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol, echo] })
    const survivor = await near.open('echo')
    const reading = checkPattern(survivor.source)
    const sending = survivor.sink(patternChunks(2_000_000, 10_000))
    for (let i = 0; i < 20; i++) {
      const pipe = await near.open('manual')
      const { pipe: b, finish } = await test.next()
      void pipe.write(pattern(100_000))
      ;(i % 2 === 0 ? pipe : b).abort(new Error('gone'))
      finish()
    }
    await sending
    assert.equal(await reading, 2_000_000)
    await closed(near, far)
  })

  it('settles every close and abort, in any order, repeated and at once [R-039]', async () => {
    const calls: Record<string, (pipe: Pipe) => Promise<unknown>> = {
      close: (pipe) => pipe.close(),
      closeWrite: (pipe) => pipe.closeWrite(),
      abort: async (pipe) => {
        pipe.abort(new TrunkError('ERR_BUSY', 'on purpose'))
      },
      stop: async (pipe) => {
        pipe.stopReading()
      },
      leave: async (pipe) => await pipe.source.return(undefined),
      dispose: async (pipe) => await pipe[Symbol.asyncDispose](),
    }
    const names = Object.keys(calls)
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    for (const first of names) {
      for (const second of names) {
        for (const ends of ['same', 'both'] as const) {
          const a = await near.open('manual')
          const { pipe: b, finish } = await test.next()
          void a.write(pattern(100_000))
          void b.write(pattern(100_000))
          const settled = Promise.all([
            outcome(calls[first]!(a)),
            outcome(calls[second]!(ends === 'same' ? a : b)),
            outcome(calls[first]!(a)),
          ])
          finish()
          a.stopReading()
          const results = await settled
          assert.ok(
            results.every((result) => /^(resolved|ERR_BUSY|ERR_ABORTED|ERR_PIPE_STOPPED)$/.test(result)),
            `${first}, ${second}, ${ends}: ${results.join()}`,
          )
          a.abort(new Error('cleaning up'))
        }
      }
    }
    await eventually(() => near.status().pipes.length === 0 && far.status().pipes.length === 0, 'all pipes are gone')
    await closed(near, far)
  })
})

describe('stopReading', () => {
  it('tells the writer the code, fails its writes, and leaves the other direction', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    const blocked = a.write(pattern(1_000_000))
    await steady(() => b.readableLength, 20)
    b.stopReading('ERR_QUOTA')
    assert.equal(await outcome(blocked), 'ERR_QUOTA')
    assert.equal(await outcome(a.write(pattern(1))), 'ERR_QUOTA')
    assert.equal(b.readableLength, 0)
    assert.deepEqual(await b.source.next(), { done: true, value: undefined })
    await b.write(Buffer.from('still here'))
    await b.closeWrite()
    assert.equal(await text(a), 'still here')
    finish()
    assert.equal(await outcome(a.close()), 'ERR_QUOTA')
    await closed(near, far)
  })

  it('takes only what has the shape of a code', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const pipe = await near.open('echo')
    for (const wrong of ['lower', '', 'A', 'ERR-DASH', 'X'.repeat(65)]) {
      assert.throws(() => pipe.stopReading(wrong), { code: 'ERR_BAD_ARGUMENT' }, wrong)
    }
    pipe.abort(new Error('done'))
    await closed(near, far)
  })

  it('is what leaving the loop does: the peer is told, its source is closed, the memory is free [R-042]', async () => {
    let finished = false
    async function* endless(): AsyncGenerator<Buffer> {
      try {
        for (let at = 0; ; at += 10_000) yield pattern(10_000, at)
      } finally {
        finished = true
      }
    }
    const told: string[] = []
    const flood = protocol('flood', async ({ accept }) => {
      const pipe = accept()
      told.push(await outcome(pipe.sink(endless())))
    })
    const [near, far] = await trunkPair({}, { protocols: [flood] })
    const pipe = await near.open('flood')
    let bytes = 0
    for await (const chunk of pipe.source) {
      bytes += chunk.byteLength
      if (bytes > 200_000) break
    }
    await eventually(() => finished, 'the source of the peer was closed')
    assert.deepEqual(told, ['ERR_PIPE_STOPPED'])
    assert.equal(pipe.readableLength, 0)
    await pipe.close()
    await eventually(() => near.status().pipes.length === 0 && far.status().pipes.length === 0, 'the pipe is gone')
    await closed(near, far)
  })

  it('is not told of where the loop throws: the pipe stops all the same', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const a = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    const writing = a.sink(patternChunks(1_000_000, 10_000))
    await assert.rejects(
      (async () => {
        for await (const _ of b.source) throw new RangeError('mine')
      })(),
      RangeError,
    )
    assert.equal(await outcome(writing), 'ERR_PIPE_STOPPED')
    finish()
    await closed(near, far)
  })
})
