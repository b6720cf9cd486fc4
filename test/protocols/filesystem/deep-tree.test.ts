/** Trees as deep as paths go: a walk must not hold what the copies that it feeds are waiting for. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { filesystem } from '../../../protocols/filesystem.ts'
import { MAX_PATH_DEPTH } from '../../../protocols/filesystem/path.ts'
import { run } from '../../../src/cli/run.ts'
import { serve } from '../../../src/index.ts'
import { capturedContext } from '../../helpers/captured-context.ts'
import { temporaryFolder } from './served.ts'

describe('a tree of the greatest depth', () => {
  for (const terminal of [0, 80]) {
    const how = terminal > 0 ? 'while its size is found out for the progress bar' : 'in a pipe'
    it(`R-279: is copied from the peer and back, ${how}`, { timeout: 30_000 }, async (t) => {
      const base = temporaryFolder(t)
      const [root, here] = [join(base, 'root'), join(base, 'here')]
      const deep = Array<string>(MAX_PATH_DEPTH - 2).fill('d')
      mkdirSync(join(root, 'tree', ...deep), { recursive: true })
      for (let file = 0; file < 60; file++) writeFileSync(join(root, 'tree', ...deep, `f${file}`), 'x')
      const server = await serve('tcp://127.0.0.1:0', { protocols: [filesystem({ root })] })
      t.after(() => server.close())
      for (const [from, to] of [
        [':tree', here],
        [here, ':back'],
      ] as const) {
        const { context, stderr } = capturedContext({}, terminal)
        assert.equal(await run(['cp', '-r', '--to', server.address, from, to], context), 0, stderr())
      }
      for (const folder of [here, join(root, 'back')]) assert.equal(readdirSync(join(folder, ...deep)).length, 60)
    })
  }
})
