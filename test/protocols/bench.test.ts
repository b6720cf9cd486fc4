/**
 * Measurements over a real session: what is counted, what ends them, and that nothing of them is
 * left.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { defineProtocol, type Refusal, type Trunk } from '../../src/index.ts'
import { bench, benchClient, type BenchDirection, type BenchOptions } from '../../protocols/bench.ts'
import { eventually, keptAlive } from '../helpers/eventually.ts'
import { trunkPair } from '../helpers/trunk-pair.ts'

const DIRECTIONS: readonly BenchDirection[] = ['read', 'write', 'echo']
const MIB = 1024 * 1024

/** Runs `use` with a trunk whose peer serves `bench`; afterwards no handler may have failed. */
async function withBench(use: (trunk: Trunk) => Promise<void>, options: BenchOptions = {}): Promise<void> {
  const refusals: Refusal[] = []
  const [near, far] = await trunkPair(
    {},
    { protocols: [bench(options)], onPipeError: (refusal) => refusals.push(refusal) },
  )
  await keptAlive(() => use(near))
  await eventually(() => far.status().pipes.length === 0 && near.status().pipes.length === 0, 'no pipe is left')
  assert.deepEqual(refusals, [])
  await near.close()
  await far.close()
}

describe('a measurement', () => {
  for (const direction of DIRECTIONS) {
    it(`moves exactly the bytes that were asked for: ${direction}`, async () => {
      await withBench(async (trunk) => {
        for (const bytes of [1, 65_536, 3 * MIB + 7]) {
          const result = await benchClient(trunk).measure({ direction, bytes })
          assert.equal(result.direction, direction)
          assert.equal(result.bytes, bytes)
          assert.ok(result.milliseconds > 0)
          assert.equal(result.bytesPerSecond, (bytes * 1000) / result.milliseconds)
        }
      })
    })

    it(`ends with its time: ${direction}`, async () => {
      await withBench(async (trunk) => {
        const { bytes, milliseconds } = await benchClient(trunk).measure({ direction, seconds: 0.2 })
        assert.ok(bytes > 0)
        // both sides stop at their own time: a reader's begins with its first byte, which a busy
        // machine brings later than the other's
        assert.ok(milliseconds >= 100 && milliseconds < 2_000, `${milliseconds} ms`)
        // the wire carried what is counted, and not several times that
        const { bytesRead, bytesWritten } = trunk.status()
        assert.ok((direction === 'write' ? bytesWritten : bytesRead) >= bytes)
      })
    })

    it(`is cut to the server's bounds: ${direction}`, async () => {
      await withBench(
        async (trunk) => {
          const { bytes } = await benchClient(trunk).measure({ direction, bytes: MIB, seconds: 30 })
          assert.equal(bytes, 1_000)
        },
        { maxBytes: 1_000 },
      )
    })

    it(`rejects with the reason of its signal: ${direction}`, async () => {
      await withBench(async (trunk) => {
        const reason = new Error('enough')
        const controller = new AbortController()
        const measuring = benchClient(trunk).measure({ direction, seconds: 30, signal: controller.signal })
        await eventually(() => trunk.status().bytesRead + trunk.status().bytesWritten > MIB, 'bytes flow')
        controller.abort(reason)
        await assert.rejects(measuring, (error) => error === reason)
      })
    })
  }

  it('may run beside others', async () => {
    await withBench(async (trunk) => {
      const client = benchClient(trunk)
      const results = await Promise.all(DIRECTIONS.map((direction) => client.measure({ direction, bytes: 2 * MIB })))
      assert.deepEqual(
        results.map(({ bytes }) => bytes),
        DIRECTIONS.map(() => 2 * MIB),
      )
    })
  })

  it('is refused by a peer that does not offer it', async () => {
    const [near, far] = await trunkPair()
    await assert.rejects(benchClient(near).measure({ direction: 'read' }), { code: 'ERR_PROTOCOL_UNKNOWN' })
    await near.close()
    await far.close()
  })
})

describe('a bad argument', () => {
  it('of a measurement is refused before anything is sent [R-079]', async () => {
    await withBench(async (trunk) => {
      const { bytesWritten } = trunk.status()
      const wrong = [
        { direction: 'sideways' },
        { direction: 'read', bytes: 0 },
        { direction: 'read', bytes: 1.5 },
        { direction: 'write', seconds: 0 },
        { direction: 'write', seconds: NaN },
        { direction: 'echo', seconds: '1' },
      ]
      for (const request of wrong) {
        await assert.rejects(benchClient(trunk).measure(request as never), { code: 'ERR_BAD_ARGUMENT' })
      }
      assert.equal(trunk.status().bytesWritten, bytesWritten)
    })
  })

  it('of the server is refused at once [R-079]', () => {
    for (const options of [{ maxBytes: 0 }, { maxBytes: NaN }, { maxSeconds: -1 }, { maxSeconds: 1.5 }]) {
      assert.throws(() => bench(options), { code: 'ERR_BAD_ARGUMENT' })
    }
  })
})

describe('a hostile peer', () => {
  const asks = [
    undefined,
    { direction: 'read' },
    { direction: 'read', bytes: -1, milliseconds: 1 },
    { direction: 'read', bytes: 1, milliseconds: 0.5 },
    { direction: 'up', bytes: 1, milliseconds: 1 },
  ]
  it('that asks for nonsense is refused', async () => {
    const [near, far] = await trunkPair({}, { protocols: [bench()] })
    for (const params of asks) await assert.rejects(near.open('bench', params), { code: 'ERR_PARAMS_INVALID' })
    await near.close()
    await far.close()
  })

  it('that sends more than it said is stopped', async () => {
    const [near, far] = await trunkPair({}, { protocols: [bench()] })
    await keptAlive(async () => {
      const pipe = await near.open('bench', { direction: 'write', bytes: 100, milliseconds: 60_000 })
      const flood = async (): Promise<never> => {
        for (;;) await pipe.write(new Uint8Array(65_536))
      }
      await assert.rejects(flood(), { code: 'ERR_PIPE_STOPPED' })
      pipe.abort(new Error('enough of it'))
      await near.close()
      await far.close()
    })
  })

  it('that never sends what it announced ends with its time', async () => {
    const [near, far] = await trunkPair({}, { protocols: [bench()] })
    await keptAlive(async () => {
      const pipe = await near.open('bench', { direction: 'echo', bytes: 100, milliseconds: 50 })
      for await (const bytes of pipe.source) assert.fail(`${bytes.byteLength} bytes came`)
      await pipe.close()
    })
    assert.deepEqual(far.status().pipes, [])
    await near.close()
    await far.close()
  })

  const lies: readonly (readonly [what: string, reply: unknown, report: Uint8Array])[] = [
    ['no reply', undefined, new Uint8Array(0)],
    ['a reply that is none', { bytes: 'many' }, new Uint8Array(0)],
    ['no report', { bytes: 1_000, milliseconds: 1_000 }, new Uint8Array(0)],
    ['a report that is none', { bytes: 1_000, milliseconds: 1_000 }, Buffer.alloc(1_000, 0xff)],
    // { bytes: 2^53 - 1, milliseconds: 1 }
    [
      'a report of more than was sent',
      { bytes: 1_000, milliseconds: 1_000 },
      Buffer.from('a26562797465731b001fffffffffffff6c6d696c6c697365636f6e647301', 'hex'),
    ],
  ]
  for (const [what, reply, report] of lies) {
    it(`that answers with ${what} makes the measurement fail`, async () => {
      const liar = defineProtocol({
        name: 'bench',
        parse: () => undefined,
        async handle({ accept }) {
          const pipe = accept(reply)
          if (report.byteLength > 0) await pipe.write(report)
        },
      })
      const [near, far] = await trunkPair({}, { protocols: [liar] })
      await keptAlive(async () => {
        await assert.rejects(benchClient(near).measure({ direction: 'write', bytes: 1_000 }), {
          code: 'ERR_MESSAGE_INVALID',
        })
      })
      await near.close()
      await far.close()
    })
  }
})
