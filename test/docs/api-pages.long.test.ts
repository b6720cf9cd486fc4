/** `npm run docs`: typedoc makes the pages of the API, and has nothing to warn of. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

describe('the pages that typedoc makes', () => {
  it('are made without a warning, one for each entry point', () => {
    const out = temporaryFolder()
    const typedoc = join(ROOT, 'node_modules/typedoc/bin/typedoc')
    const options = join(ROOT, 'docs/reference/typedoc.json')
    const { status, stdout, stderr } = spawnSync(process.execPath, [typedoc, '--options', options, '--out', out], {
      cwd: ROOT,
      encoding: 'utf8',
    })
    // a warning is an error there
    assert.equal(status, 0, stdout + stderr)
    const modules = readdirSync(join(out, 'modules'))
    const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      exports: Record<string, unknown>
    }
    const named = Object.keys(exports).filter((key) => !key.includes('*') && !key.endsWith('.json'))
    assert.ok(modules.length >= named.length + 10, modules.join(' '))
  })
})
