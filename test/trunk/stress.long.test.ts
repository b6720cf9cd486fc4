import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import v8 from 'node:v8'
import vm from 'node:vm'
import type { Trunk } from '../../src/index.ts'
import { eventually } from '../helpers/eventually.ts'
import { LINES } from '../helpers/lines.ts'
import { checkPattern, collect, echo, pattern } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'
import { trunkPair } from '../helpers/trunk-pair.ts'

noStrayRejections()

/** One pipe: each message is written when the one before it has come back. */
async function exchange(trunk: Trunk, messages: number): Promise<void> {
  const pipe = await trunk.open('echo')
  let sent = 0
  let seen = 0
  await pipe.write(pattern(64))
  for await (const chunk of pipe.source) {
    assert.ok(pattern(chunk.byteLength, seen % 64).equals(chunk.subarray()))
    seen += chunk.byteLength
    if (seen < (sent + 1) * 64) continue
    sent++
    if (sent === messages) await pipe.closeWrite()
    else await pipe.write(pattern(64))
  }
  assert.equal(sent, messages)
  await pipe.close()
}

describe('many pipes [compliance: stress] [R-078]', () => {
  for (const line of LINES.filter(({ name }) => name === 'memory' || name === 'tcp')) {
    for (const pipes of [1, 10, 100, 256]) {
      for (const messages of [1, 10, 100]) {
        it(`${pipes} pipes of ${messages} messages over ${line.name}`, async () => {
          const { near, far, free } = await line.join({}, { protocols: [echo] })
          // all messages of the largest case would take seconds without showing more
          const each = pipes === 256 ? Math.min(messages, 25) : messages
          await Promise.all(Array.from({ length: pipes }, () => exchange(near, each)))
          await eventually(() => near.status().pipes.length + far.status().pipes.length === 0, 'all are gone')
          await free()
        })
      }
    }
  }
})

describe('pipe after pipe', () => {
  it('10,000 of them leave the heap flat, finished or not [R-080]', async () => {
    v8.setFlagsFromString('--expose-gc')
    const collectGarbage = vm.runInNewContext('gc') as () => void
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const { signal } = new AbortController()
    const one = async (at: number): Promise<void> => {
      const pipe = await near.open('echo', { at }, { signal, body: pattern(100) })
      if (at % 25 === 0) {
        pipe.abort(new Error('one in 25'))
        return
      }
      assert.equal(await checkPattern(pipe.source), 100)
      await pipe.close()
    }
    const thousand = async (): Promise<number> => {
      for (let at = 0; at < 1000; at += 50) await Promise.all(Array.from({ length: 50 }, (_, i) => one(at + i)))
      await eventually(() => near.status().pipes.length + far.status().pipes.length === 0, 'all are gone', 10_000)
      collectGarbage()
      return process.memoryUsage().heapUsed
    }
    await thousand()
    const before = await thousand()
    let after = before
    for (let round = 0; round < 8; round++) after = await thousand()
    assert.ok(after - before < 1024 * 1024, `the heap grew by ${after - before} bytes over 8,000 pipes`)
    await Promise.all([near.close(), far.close()])
  })

  it('echoes 10 MiB in one write, by write and by sink [compliance: large]', async () => {
    const [near, far] = await trunkPair({}, { protocols: [echo] })
    const big = pattern(10 * 1024 * 1024)
    for (const way of ['write', 'sink'] as const) {
      const pipe = await near.open('echo')
      const sending = way === 'sink' ? pipe.sink([big]) : pipe.write(big).then(() => pipe.closeWrite())
      const [, received] = await Promise.all([sending, collect(pipe.source)])
      assert.ok(received.equals(big))
      await pipe.close()
    }
    await Promise.all([near.close(), far.close()])
  })
})
