/**
 * A write whose line is cut after each single byte of it: the target is as it was or as it is to
 * be, and nothing lies beside it.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { filesystem, filesystemClient } from '../../../protocols/filesystem.ts'
import { overLink } from '../../../src/index.ts'
import { memoryPair } from '../../../transports/memory.ts'
import { cutAfter } from '../../helpers/cut-link.ts'
import { eventually } from '../../helpers/eventually.ts'
import { outcome } from '../../helpers/protocols.ts'
import { descriptorsIn, temporaryFolder } from './served.ts'

const BEFORE = 'as it was'
const PORTIONS = ['first, ', 'second, ', 'and the last of it'].map((text) => Buffer.from(text))
const AFTER = PORTIONS.join('')

/** Where the line is cut: how many bytes of each way pass. */
interface Passing {
  there: number
  back: number
}

/** The writes of each kind, all at once: whether the bytes are there from the start. */
const SIZES = {
  'in portions': [false],
  'that travels with its open': [true],
  // two that share a pipe
  'in company': [true, true],
} as const
type Size = keyof typeof SIZES

/**
 * One write over a line that is cut; gives how it ended for its caller, what there is afterwards,
 * and what had passed.
 */
async function writeOver(t: TestContext, root: string, passing: Passing, size: Size) {
  writeFileSync(join(root, 'file'), BEFORE)
  const [nearLink, farLink] = memoryPair()
  const near = cutAfter(nearLink, () => passing.back)
  const far = cutAfter(farLink, () => passing.there)
  const serving = overLink(far.link, { protocols: [filesystem({ root })] })
  const dialling = overLink(near.link)
  // they are asked how they ended later
  for (const trunk of [serving, dialling]) trunk.catch(() => undefined)
  const write = async (): Promise<void> => {
    const trunk = await dialling
    const source = async function* (): AsyncGenerator<Uint8Array> {
      for (const portion of PORTIONS) {
        yield portion
        // each is a frame of its own
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const files = filesystemClient(trunk)
    const calls = SIZES[size].map((whole) =>
      files.write('file', whole ? Buffer.concat(PORTIONS) : source(), { durable: false }),
    )
    for (const result of await Promise.allSettled(calls)) if (result.status === 'rejected') throw result.reason
  }
  const ended = await outcome(write())
  await Promise.all(
    [serving, dialling].map(async (trunk) => {
      // a session that did not come about has nothing to be closed
      await trunk.then((one) => one.close()).catch(() => undefined)
    }),
  )
  await eventually(() => descriptorsIn(root).length === 0, 'the server has let go')
  const result = {
    ended,
    names: readdirSync(root),
    content: readFileSync(join(root, 'file'), 'utf8'),
    passed: { there: far.received(), back: near.received() },
  }
  assert.deepEqual(result.names, ['file'], JSON.stringify({ passing, result }))
  assert.ok(result.content === BEFORE || result.content === AFTER, JSON.stringify({ passing, result }))
  if (ended === 'resolved') assert.equal(result.content, AFTER, JSON.stringify({ passing, result }))
  return result
}

describe('a write whose line is cut', () => {
  for (const size of Object.keys(SIZES) as Size[]) {
    for (const way of ['there', 'back'] as const) {
      it(`${size}, after each byte ${way}, leaves the target whole and nothing else [R-272]`, async (t) => {
        const root = temporaryFolder(t)
        const whole = await writeOver(t, root, { there: Infinity, back: Infinity }, size)
        assert.deepEqual([whole.ended, whole.content], ['resolved', AFTER])
        const contents = new Set<string>()
        for (let bytes = 0; bytes < whole.passed[way]; bytes++) {
          const { content } = await writeOver(t, root, { there: Infinity, back: Infinity, [way]: bytes }, size)
          contents.add(content)
        }
        t.diagnostic(`${whole.passed[way]} bytes`)
        assert.ok(contents.has(BEFORE))
      })
    }
  }
})
