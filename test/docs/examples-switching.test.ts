/**
 * docs/examples/switching: the same two programs over one kind of line after the other; nothing but
 * the addresses differs. Uses the built package, as a user's program would.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { codeBlocks } from '../helpers/markdown.ts'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { PROGRAMS, switchTo } from './switching-programs.ts'

describe('docs/examples/switching', () => {
  it('needs the built package', () => {
    assert.ok(existsSync(join(ROOT, 'dist/src/index.js')), 'run `npm run build` first')
  })

  it('runs over tcp', () => switchTo('tcp://127.0.0.1:0', ''))

  it('runs over unix', () => switchTo(`unix://${temporaryFolder()}/x.sock`, ''))

  it('is in the guide word for word', () => {
    const blocks = codeBlocks('docs/guide/start.md').map(({ text }) => text)
    for (const name of ['guest.ts', 'host.ts']) {
      const program = readFileSync(join(PROGRAMS, name), 'utf8').replace(/^\/\*\*[\s\S]*?\*\/\n/, '')
      assert.ok(blocks.includes(program), `${name} is not in docs/guide/start.md word for word`)
    }
  })
})
