/** A listing of a hundred thousand entries; what a listing holds besides is in listing.test.ts. */
import assert from 'node:assert/strict'
import { linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import v8 from 'node:v8'
import { runInNewContext } from 'node:vm'
import { eventually, steady } from '../../helpers/eventually.ts'
import { descriptorsIn, fails, serveFolder } from './served.ts'

const MANY = 100_000
const MIB = 1024 * 1024

v8.setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes that this process really holds. */
function heldBytes(): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

describe('a listing', () => {
  it('of 100,000 entries flows in less than 16 MiB, and stops where its reader does [R-096]', async (t) => {
    const { root, near, far, files } = await serveFolder(t)
    mkdirSync(join(root, 'many'))
    // names of four files: quicker to make than files, and a listing knows no difference
    for (let index = 0; index < MANY; index++) {
      const file = join(root, `file-${index % 4}`)
      if (index < 4) writeFileSync(file, '')
      linkSync(file, join(root, `many/an entry with a usual name ${index}`))
    }
    let count = 0
    let peak = 0
    const before = heldBytes()
    for await (const entry of files.list('many')) {
      assert.ok(entry.nameBytes.byteLength > 0)
      if (++count % 10_000 === 0) peak = Math.max(peak, heldBytes() - before)
    }
    assert.equal(count, MANY)
    assert.ok(peak < 16 * MIB, `held ${peak} bytes`)

    await t.test('by leaving the loop', async () => {
      const idle = heldBytes()
      for await (const entry of files.list('many')) {
        assert.equal(entry.type, 'file')
        // a reader that pauses: the server reads the directory no further than the pipe's credit
        // takes it
        await steady(() => far.status().pipes[0]?.bytesWritten ?? 0, 1000)
        const held = heldBytes() - idle
        assert.ok(held < 2 * MIB, `held ${held} bytes`)
        break
      }
      await eventually(() => descriptorsIn(join(root, 'many')).length === 0, 'the directory is closed')
    })

    await t.test('by its signal', async () => {
      const controller = new AbortController()
      let seen = 0
      const listing = async (): Promise<void> => {
        for await (const entry of files.list('many', { signal: controller.signal })) {
          if (entry.size === 0 && ++seen === 1000) controller.abort()
        }
      }
      await fails(listing(), 'ERR_ABORTED')
      assert.ok(seen < MANY)
      await eventually(() => descriptorsIn(join(root, 'many')).length === 0, 'the directory is closed')
      assert.equal(near.status().pipes.length, 0)
    })
    await files.remove('many', { recursive: true })
  })
})
