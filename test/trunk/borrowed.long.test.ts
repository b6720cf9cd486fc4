import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Trunk } from '../../src/index.ts'
import { seeded } from '../helpers/link-traffic.ts'
import { LINES } from '../helpers/lines.ts'
import { checkPattern, echo, outcome, pattern, patternChunks, produce, protocol } from '../helpers/protocols.ts'
import { noStrayRejections } from '../helpers/stray-rejections.ts'

noStrayRejections()

const MIB = 1024 * 1024

/** Reads what the peer lends, and writes it back before it asks for more. */
const lender = protocol('lender', async ({ accept }) => {
  const pipe = accept()
  await pipe.sink(pipe.borrowed)
})

for (const line of LINES) {
  describe(`borrowed bytes over ${line.name}`, () => {
    it('are right until the next are asked for, beside readers that keep theirs', async () => {
      const { near, far, free } = await line.join({ protocols: [echo, lender] }, { protocols: [echo, lender] })
      const next = seeded(Number(process.env['TRUNKLINE_SEED'] ?? 11))
      const borrowed = async (trunk: Trunk, chunkBytes: number): Promise<void> => {
        const pipe = await trunk.open('lender')
        const [, bytes] = await Promise.all([
          pipe.sink(patternChunks(4 * MIB, chunkBytes)),
          checkPattern(pipe.borrowed),
        ])
        assert.equal(bytes, 4 * MIB)
        await pipe.close()
      }
      const kept = async (trunk: Trunk, chunkBytes: number): Promise<void> => {
        const pipe = await trunk.open('echo')
        const writing = pipe.sink(patternChunks(4 * MIB, chunkBytes))
        const lists = []
        for await (const list of pipe.source) lists.push(list)
        await writing
        let at = 0
        for (const list of lists) {
          assert.ok(pattern(list.byteLength, at).equals(list.subarray()), `bytes from ${at} on were written over`)
          at += list.byteLength
        }
        assert.equal(at, 4 * MIB)
        await pipe.close()
      }
      const sizes = Array.from({ length: 4 }, () => 1 + (next() % 150_000))
      await Promise.all(
        [near, far].flatMap((trunk) => sizes.map((size, index) => (index % 2 === 0 ? borrowed : kept)(trunk, size))),
      )
      await free()
    })

    it('are given once: by `borrowed` or by `source`, and iterated once', async () => {
      const { near, free } = await line.join({}, { protocols: [produce] })
      const pipe = await near.open('produce', 1000)
      const { borrowed } = pipe
      assert.throws(() => pipe.source, { code: 'ERR_PIPE_BUSY' })
      assert.equal(await checkPattern(borrowed), 1000)
      assert.throws(() => borrowed[Symbol.asyncIterator](), { code: 'ERR_PIPE_BUSY' })
      // who has asked for `source` owns what comes, however it is asked for afterwards
      const other = await near.open('produce', 1000)
      assert.equal(other.source, other.borrowed)
      assert.equal(await checkPattern(other.borrowed), 1000)
      await free()
    })

    it('may be taken apart by their reader, and left in the middle', async () => {
      const { near, free } = await line.join({}, { protocols: [produce] })
      const pipe = await near.open('produce', 3 * MIB)
      let at = 0
      for await (const list of pipe.borrowed) {
        while (list.byteLength > 0) {
          const taken = Math.min(list.byteLength, 10_007)
          assert.ok(pattern(taken, at).equals(list.subarray(0, taken)))
          list.consume(taken)
          at += taken
        }
        list.append(pattern(100))
      }
      assert.equal(at, 3 * MIB)
      const left = await near.open('produce', 3 * MIB)
      for await (const list of left.borrowed) {
        assert.ok(list.byteLength > 0)
        break
      }
      // its writer was stopped, and says so
      assert.equal(await outcome(left.close()), 'ERR_PIPE_STOPPED')
      // the session goes on, and its memory is what it was
      const after = await near.open('produce', MIB)
      assert.equal(await checkPattern(after.source), MIB)
      await free()
    })
  })
}

describe('borrowed bytes over a socket', () => {
  it('lie in a handful of buffers, however many there are', async () => {
    const line = LINES.find(({ name }) => name === 'tcp')
    assert.ok(line)
    const { near, free } = await line.join({}, { protocols: [produce] })
    const buffersOf = async (source: 'borrowed' | 'source'): Promise<number> => {
      const buffers = new Set<ArrayBufferLike>()
      const pipe = await near.open('produce', 64 * MIB)
      for await (const list of pipe[source])
        for (const chunk of list) if (chunk.byteLength > 4096) buffers.add(chunk.buffer)
      return buffers.size
    }
    const borrowed = await buffersOf('borrowed')
    const owned = await buffersOf('source')
    assert.ok(borrowed <= 20, `64 MiB came in ${borrowed} buffers`)
    assert.ok(owned > 40, `64 MiB that are the reader's came in ${owned} buffers`)
    await free()
  })
})
