import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { pipe } from 'it-pipe'
import { TrunkError, type Bytes, type Trunk } from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import {
  checkPattern,
  collect,
  echo,
  manual,
  outcome,
  pattern,
  patternChunks,
  produce,
  protocol,
} from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { trunkPair } from '../helpers/trunk-pair.ts'

noStrayRejections()

async function closed(...trunks: Trunk[]): Promise<void> {
  await Promise.all(trunks.map((trunk) => trunk.close()))
}

async function* upperCase(source: AsyncIterable<Bytes>): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) yield Buffer.from(Buffer.from(chunk.subarray()).toString().toUpperCase())
}

describe('a pipe in it-pipe', () => {
  it('is a duplex in the middle: source, pipe, sink [compliance: echo]', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    for (const [total, chunk] of [
      [5, 5],
      [10 * 1024 * 1024, 64_000],
    ] as const) {
      const middle = await near.open('echo')
      assert.equal(await pipe(patternChunks(total, chunk), middle, checkPattern), total)
      await middle.close()
    }
    await closed(near, far)
  })

  it('is a duplex at both ends: pipe, transform, pipe', async () => {
    const shout = protocol('shout', async ({ accept }) => {
      const duplex = accept()
      await pipe(duplex, upperCase, duplex)
    })
    const [near, far] = await trunkPair({}, { protocols: [shout] })
    const duplex = await near.open('shout')
    const reply = await pipe([Buffer.from('hello '), Buffer.from('there')], duplex, collect)
    assert.equal(reply.toString(), 'HELLO THERE')
    await duplex.close()
    await closed(near, far)
  })

  it('joins two pipes of two trunks', async () => {
    const [near, middleNear] = await trunkPair({}, { protocols: [] })
    const [middleFar, far] = await trunkPair({}, { protocols: [echo] })
    middleNear.handle(
      protocol('relay', async ({ accept }) => {
        const onward = await middleFar.open('echo')
        const inbound = accept()
        await Promise.all([pipe(inbound, onward.sink), pipe(onward, inbound.sink)])
        await onward.close()
      }),
    )
    const duplex = await near.open('relay')
    assert.equal(await pipe(patternChunks(1_000_000, 33_333), duplex, checkPattern), 1_000_000)
    await duplex.close()
    await closed(near, middleNear, middleFar, far)
  })

  it('closes the source when the consumer leaves early', async () => {
    let closedSource = false
    async function* endless(): AsyncGenerator<Buffer> {
      try {
        for (let at = 0; ; at += 1000) yield pattern(1000, at)
      } finally {
        closedSource = true
      }
    }
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const duplex = await near.open('echo')
    await pipe(endless(), duplex, async (source) => {
      let bytes = 0
      for await (const chunk of source) {
        bytes += chunk.byteLength
        if (bytes > 100_000) break
      }
    })
    await eventually(() => closedSource, 'the source was closed')
    await eventually(() => near.status().pipes.length === 0 && far.status().pipes.length === 0, 'the pipe is gone')
    await closed(near, far)
  })

  it('passes the error of a source on: the peer sees its code, the source is closed', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    for (const [error, code] of [
      [new TrunkError('ERR_NO_SPACE', 'full'), 'ERR_NO_SPACE'],
      [new Error('secret'), 'ERR_ABORTED'],
    ] as const) {
      const duplex = await near.open('manual')
      const { pipe: b, finish } = await test.next()
      async function* failing(): AsyncGenerator<Buffer> {
        yield pattern(1000)
        throw error
      }
      const reading = outcome(collect(b.source))
      await assert.rejects(pipe(failing(), duplex.sink), error)
      assert.equal(await reading, code)
      finish()
    }
    await closed(near, far)
  })

  it('passes the error of a middle stage on, and both pipes are over', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol, produce] })
    const from = await near.open('produce', 1_000_000)
    const to = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    const reading = outcome(collect(b.source))
    await assert.rejects(
      pipe(
        from,
        async function* (source) {
          for await (const chunk of source) {
            yield chunk
            throw new TrunkError('ERR_FILE_TOO_LARGE', 'that is enough')
          }
        },
        to,
      ),
      { code: 'ERR_FILE_TOO_LARGE' },
    )
    assert.equal(await reading, 'ERR_FILE_TOO_LARGE')
    finish()
    await eventually(() => near.status().pipes.every((status) => status.id !== to.id), 'the target is gone')
    // what fed the stage was left early, so its peer was told to stop
    assert.equal(await outcome(from.close()), 'ERR_PIPE_STOPPED')
    await closed(near, far)
  })

  it('stops waiting for a source that hangs when the pipe fails', async () => {
    const test = manual()
    const [near, far] = await trunkPair({}, { protocols: [test.protocol] })
    const duplex = await near.open('manual')
    const { pipe: b, finish } = await test.next()
    async function* hanging(): AsyncGenerator<Buffer> {
      yield pattern(10)
      await new Promise(() => undefined)
    }
    const sinking = outcome(duplex.sink(hanging()))
    await b.source.next()
    b.abort(new TrunkError('ERR_IO', 'broken'))
    assert.equal(await sinking, 'ERR_IO')
    finish()
    await closed(near, far)
  })
})
