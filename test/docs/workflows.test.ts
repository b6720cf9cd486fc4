/**
 * The workflows of .github run what package.json and test/ci/plan.mjs have: scripts that exist, and
 * every release of Node that is promised.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { readPage } from '../helpers/markdown.ts'
import { ROOT } from '../helpers/root.ts'

describe('the workflows', () => {
  const files = readdirSync(join(ROOT, '.github/workflows')).map((name) => `.github/workflows/${name}`)
  const { scripts, engines } = JSON.parse(readPage('package.json')) as {
    scripts: Record<string, string>
    engines: { node: string }
  }

  it('run scripts that package.json has', () => {
    const named = files.flatMap((file) =>
      [...readPage(file).matchAll(/npm (?:run )?(\w[\w:]*)/g)].map(([, script = '']) => ({ file, script })),
    )
    assert.ok(named.length > 8, `only ${named.length} commands of npm were found`)
    const missing = named.filter(({ script }) => !['ci', 'pkg'].includes(script) && !(script in scripts))
    assert.deepEqual(missing, [])
  })

  it('test the oldest release of Node that is promised, and those of test/ci/plan.mjs', () => {
    const matrix = /node: \[(.*)\]/.exec(readPage('.github/workflows/ci.yml'))?.[1]
    const releases = /RELEASES = \[(.*)\]/.exec(readPage('test/ci/plan.mjs'))?.[1]
    const oldest = engines.node.replace('>=', '')
    assert.equal(matrix, `'${oldest}', ${releases ?? ''}`)
  })

  it('ask who reports a fault for what trunkline doctor says', () => {
    assert.match(readPage('.github/ISSUE_TEMPLATE/bug.yml'), /trunkline doctor --json/)
  })
})
