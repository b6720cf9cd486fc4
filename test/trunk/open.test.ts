import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TrunkError, defineProtocol, overLink, type Link, type Refusal, type Trunk } from '../../src/index.ts'
import { memoryPair } from '../../transports/memory.ts'
import { eventually, steady } from '../helpers/eventually.ts'
import { decodeFrames, TYPE } from '../helpers/naive-codec.ts'
import { checkPattern, collect, count, echo, manual, outcome, pattern, protocol } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { trunkPair } from '../helpers/trunk-pair.ts'

noStrayRejections()

async function closed(...trunks: Trunk[]): Promise<void> {
  await Promise.all(trunks.map((trunk) => trunk.close()))
}

/** A trunk that is good for one more round trip. */
async function alive(trunk: Trunk): Promise<void> {
  const pipe = await trunk.open('echo', undefined, { body: pattern(100) })
  assert.equal(await checkPattern(pipe.source), 100)
  await pipe.close()
}

describe('open', () => {
  it('opens from either side, and writes on one pipe while the other side opens another', async () => {
    const [near, far] = await trunkPair({ protocols: [echo] }, { protocols: [echo] })
    const a = await near.open('echo')
    await a.write(pattern(100))
    const b = await far.open('echo')
    assert.notEqual(a.id % 2, b.id % 2)
    await Promise.all([a.closeWrite(), b.sink([pattern(500)])])
    assert.deepEqual(await Promise.all([checkPattern(a.source), checkPattern(b.source)]), [100, 500])
    assert.deepEqual([a.protocol, b.protocol, a.reply], ['echo', 'echo', undefined])
    await closed(near, far)
  })

  it('carries parameters there and the reply back', async () => {
    const value = { text: 'ä', list: [1, -2, 2.5, null, true], bytes: Uint8Array.of(0, 255), deep: { a: { b: 1 } } }
    const mirror = protocol('mirror', async ({ params, accept }) => void accept(params))
    const [near, far] = await trunkPair({}, { protocols: [mirror] })
    const { reply } = await near.open('mirror', value)
    assert.deepEqual(structuredClone(reply), value)
    const { reply: nothing } = await near.open('mirror')
    assert.equal(nothing, undefined)
    await closed(near, far)
  })

  it('carries data with the open: within the window, beyond it, and with the end', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo, count] })
    for (const size of [0, 1, 8192, 65_536, 65_537, 1_000_000]) {
      const early = pattern(size)
      const pipe = await near.open('echo', undefined, { body: early })
      early.fill(0xff) // the opener's again
      assert.equal(await outcome(pipe.write(pattern(1))), 'ERR_PIPE_CLOSED')
      assert.equal(await checkPattern(pipe.source), size)
      await pipe.close()
    }
    const more = await near.open('count', undefined, { early: pattern(200_000) })
    await more.write(pattern(5))
    await more.closeWrite()
    assert.equal((await collect(more.source)).toString(), '200005')
    await closed(near, far)
  })

  it('sends a body in one batch with the open and the end', async () => {
    const [nearLink, farLink] = memoryPair()
    const batches: Buffer[] = []
    const { direct } = nearLink
    assert.ok(direct)
    const write = (batch: readonly Uint8Array[]): boolean => {
      batches.push(Buffer.concat(batch))
      return direct.write(batch)
    }
    const recorded = { start: direct.start.bind(direct), end: direct.end.bind(direct), write }
    const link: Link = {
      source: nearLink.source,
      sink: nearLink.sink,
      close: () => nearLink.close(),
      abort(reason) {
        nearLink.abort(reason)
      },
      direct: recorded,
    }
    const [near, far] = await Promise.all([overLink(link), overLink(farLink, { protocols: [echo] })])
    for (const [bytes, types] of [
      [0, [TYPE.OPEN, TYPE.END]],
      [60_000, [TYPE.OPEN, TYPE.DATA, TYPE.END]],
    ] as const) {
      batches.length = 0
      const pipe = await near.open('echo', undefined, { body: pattern(bytes) })
      const { frames } = decodeFrames(batches[0] ?? new Uint8Array(0))
      assert.deepEqual([...new Set(frames.filter((one) => one.pipe === pipe.id).map(({ type }) => type))], types)
      assert.equal(await checkPattern(pipe), bytes)
      await pipe.close()
    }
    await closed(near, far)
  })

  it('lets the handler see early data before it accepts, and drops it where the handler refuses', async () => {
    const seen: number[] = []
    const slow = protocol('slow', async ({ accept, params }) => {
      await steady(() => far.status().bytesRead, 20)
      seen.push(far.status().pipes[0]?.unread ?? -1)
      if (params === 'no') throw new TrunkError('ERR_DENIED', 'not today')
      const pipe = accept()
      assert.equal(await checkPattern(pipe.source), 100_000)
    })
    const [near, far] = await trunkPair({}, { protocols: [slow, echo] })
    assert.equal(await outcome(near.open('slow', 'no', { body: pattern(100_000) })), 'ERR_DENIED')
    const pipe = await near.open('slow', 'yes', { body: pattern(100_000) })
    await pipe.close()
    assert.deepEqual(seen, [65_536, 65_536])
    await alive(near)
    await closed(near, far)
  })

  it('is refused with the code and sentence of whoever refuses it', async () => {
    const refusals: Refusal[] = []
    const protocols = [
      protocol('coded', async () => {
        throw new TrunkError('MY_CODE', 'because')
      }),
      protocol('foreign', async () => {
        throw new Error('/home/me/secret')
      }),
      defineProtocol({
        name: 'sync',
        parse: (params) => params,
        handle() {
          throw new TrunkError('ERR_BUSY', 'at once')
        },
      }),
      defineProtocol({
        name: 'parsed',
        parse() {
          throw new Error('bad')
        },
        handle: async () => undefined,
      }),
      protocol('silent', async () => undefined),
      defineProtocol({
        name: 'v3',
        version: 3,
        parse: (params) => params,
        handle: async ({ accept }) => void accept(),
      }),
    ]
    const [near, far] = await trunkPair({}, { protocols: [...protocols, echo], onPipeError: (r) => refusals.push(r) })
    const expected: [name: string, code: string, message: RegExp][] = [
      ['coded', 'MY_CODE', /^because$/],
      ['foreign', 'ERR_HANDLER_FAILED', /^(?!.*secret)/],
      ['sync', 'ERR_BUSY', /^at once$/],
      ['parsed', 'ERR_PARAMS_INVALID', /parsed/],
      ['silent', 'ERR_HANDLER_FAILED', /answer/],
      ['unknown', 'ERR_PROTOCOL_UNKNOWN', /unknown/],
      ['constructor', 'ERR_PROTOCOL_UNKNOWN', /constructor/],
      ['v3', 'ERR_PROTOCOL_VERSION', /3.*1/],
    ]
    for (const [name, code, message] of expected) {
      await assert.rejects(near.open(name), { code, message, origin: 'remote', scope: 'pipe' })
    }
    assert.deepEqual(
      refusals.map(({ protocol: name, code, refused }) => [name, code, refused]),
      expected.map(([name, code]) => [name, code, true]),
    )
    assert.equal((await near.open('v3', undefined, { version: 3 })).protocol, 'v3')
    await alive(near)
    await closed(near, far)
  })

  it('refuses bad arguments before anything is sent', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const sent = await steady(() => near.status().bytesWritten, 20)
    const wrong: unknown[][] = [
      [''],
      ['x'.repeat(256)],
      [7],
      [undefined],
      ['echo', () => 1],
      ['echo', 'x'.repeat(5000)],
      ['echo', undefined, { version: 0 }],
      ['echo', undefined, { version: 1.5 }],
      ['echo', undefined, { version: NaN }],
      ['echo', undefined, { early: 'text' }],
      ['echo', undefined, { body: 'text' }],
      ['echo', undefined, { body: new Uint8Array(1), early: new Uint8Array(1) }],
    ]
    for (const args of wrong) {
      assert.equal(await outcome(near.open(...(args as [string]))), 'ERR_BAD_ARGUMENT', String(args))
    }
    await assert.rejects(near.open('echo', undefined, { version: 70_000 }), /70000/)
    assert.equal(near.status().bytesWritten, sent)
    assert.equal(near.status().pipes.length, 0)
    await closed(near, far)
  })

  it('refuses protocols that are none, or that are there already', async () => {
    const [near, far] = await trunkPair({ protocols: [echo] })
    for (const wrong of [undefined, null, {}, { name: 'x' }, { name: '', parse: () => 1, handle: () => 1 }, echo]) {
      assert.throws(() => near.handle(wrong as never), { code: 'ERR_BAD_ARGUMENT' })
    }
    await closed(near, far)
  })

  it('finds a protocol that was added later', async () => {
    const [near, far] = await trunkPair()
    assert.equal(await outcome(near.open('echo')), 'ERR_PROTOCOL_UNKNOWN')
    far.handle(echo)
    await alive(near)
    await closed(near, far)
  })
})

describe('handlers', () => {
  it('fail their own pipe only, in whichever way they fail [R-043]', async () => {
    const refusals: Refusal[] = []
    const protocols = [
      protocol('throws', async ({ accept }) => {
        const pipe = accept()
        await pipe.write(pattern(10))
        throw new Error('after accept')
      }),
      protocol('codes', async ({ accept }) => {
        accept()
        throw new TrunkError('ERR_IO', 'the disk broke')
      }),
      protocol('twice', async ({ accept }) => {
        accept()
        accept()
      }),
      protocol('reply', async ({ accept }) => {
        accept({ big: 'x'.repeat(10_000) })
      }),
      protocol('wrong', async ({ accept }) => {
        await accept().write('text' as never)
      }),
      protocol('sleeps', async ({ accept, signal }) => {
        accept()
        await new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => resolve())
        })
      }),
    ]
    const [near, far] = await trunkPair({}, { protocols: [...protocols, echo], onPipeError: (r) => refusals.push(r) })
    const read = async (name: string): Promise<unknown> => await checkPattern((await near.open(name)).source)
    await assert.rejects(read('throws'), { code: 'ERR_HANDLER_FAILED', origin: 'remote' })
    await assert.rejects(read('codes'), { code: 'ERR_IO', message: 'the disk broke' })
    await assert.rejects(read('twice'), { code: 'ERR_PIPE_BUSY' })
    await assert.rejects(near.open('reply'), { code: 'ERR_HANDLER_FAILED' })
    await assert.rejects(read('wrong'), { code: 'ERR_HANDLER_FAILED' })
    const unread = await near.open('sleeps')
    const blocked = outcome(unread.write(pattern(1_000_000)))
    await alive(near)
    unread.abort(new Error('enough'))
    assert.equal(await blocked, 'ERR_ABORTED')
    await alive(near)
    assert.deepEqual(
      refusals.map(({ protocol: name, refused }) => `${name} ${refused}`),
      ['throws false', 'codes false', 'twice false', 'reply true', 'wrong false'],
    )
    await closed(near, far)
  })

  it('hear of an opener that leaves before they answer, and their late answer is harmless [R-038]', async () => {
    let requested = (): void => undefined
    const asked = new Promise<void>((resolve) => {
      requested = resolve
    })
    const results: string[] = []
    const slow = protocol('slow', async ({ accept, signal }) => {
      requested()
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve())
      })
      const pipe = accept()
      results.push((signal.reason as TrunkError).code, await outcome(pipe.write(pattern(1))))
    })
    const limits = { maxPipes: 1 }
    const [near, far] = await trunkPair({}, { protocols: [slow, echo], limits })
    const controller = new AbortController()
    const reason = new Error('changed my mind')
    const opening = near.open('slow', undefined, { signal: controller.signal })
    await asked
    controller.abort(reason)
    await assert.rejects(opening, reason)
    await eventually(() => results.length === 2, 'the handler ends')
    assert.deepEqual(results, ['ERR_ABORTED', 'ERR_ABORTED'])
    await eventually(() => near.status().pipes.length === 0, 'the slot is free')
    // one slot: each of these would be refused if the one before held it
    for (let i = 0; i < 3; i++) await steady(() => far.status().bytesWritten, 10).then(() => alive(near))
    await closed(near, far)
  })

  it('keep their slot until they end, so that leaving early starts no more of them than the limit', async () => {
    const limits = { maxPipes: 3 }
    let running = 0
    let most = 0
    const finish: (() => void)[] = []
    const stubborn = protocol('stubborn', async ({ accept }) => {
      most = Math.max(most, ++running)
      accept()
      await new Promise<void>((resolve) => finish.push(resolve))
      running--
    })
    const [near, far] = await trunkPair({}, { protocols: [stubborn], limits })
    for (let i = 0; i < 3; i++) (await near.open('stubborn')).abort(new Error('next'))
    assert.equal(await outcome(near.open('stubborn')), 'ERR_PIPE_LIMIT')
    for (const resolve of finish.splice(0)) resolve()
    await eventually(() => running === 0, 'they end')
    await steady(() => near.status().bytesRead, 20)
    await near.open('stubborn')
    assert.equal(most, 3)
    for (const resolve of finish.splice(0)) resolve()
    await closed(near, far)
  })

  it('wait in line rather than being refused when many are opened at once [R-071]', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [echo, test.protocol], limits: { maxWaitingPipes: 2 } })
    await Promise.all(Array.from({ length: 50 }, () => alive(near)))
    assert.equal(far.status().counters.refusedOpens, 0)
    await closed(near, far)
  })
})
