/** The time that a test file has for its own end. The file is played. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

/** Runs a file of one passing test that has `statement` before it, and `endMs` for its own end. */
function play(statement: string, endMs: number) {
  const path = join(temporaryFolder(), 'played.test.mjs')
  writeFileSync(
    path,
    `import { createServer } from 'node:net'\nimport { it } from 'node:test'\n${statement}\nit('passes', () => undefined)\n`,
  )
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env
  const { stdout, status } = spawnSync(
    process.execPath,
    ['--import', './test/helpers/end-of-file.mjs', '--test', '--test-reporter=spec', path],
    { cwd: ROOT, env: { ...env, TRUNKLINE_TEST_END_MS: String(endMs) }, encoding: 'utf8', timeout: 60_000 },
  )
  return { stdout, status }
}

describe('a test file', () => {
  it('fails, and says what is open, where its process goes on after its last test', () => {
    const { stdout, status } = play('createServer().listen(0)', 200)
    assert.match(stdout, /these keep its process: .*TCPServerWrap/)
    assert.equal(status, 1)
  })

  it('passes where nothing is left', () => {
    const { stdout, status } = play('', 30_000)
    assert.match(stdout, /^ℹ pass 1$/m)
    assert.equal(status, 0)
  })
})
