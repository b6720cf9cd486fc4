/**
 * Commands that are given several things do each of them, whatever becomes of the others; and
 * nothing that a server names reaches a terminal as it is.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { serving, trunkline, type Serving } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const root = temporaryFolder()
let server: Serving

before(async () => {
  server = await serving(['--fs', root])
})
after(() => server.stop())

const SOME: readonly [command: string, ...paths: string[]][] = [
  ['cat', ':none', ':a', ':gone', ':b'],
  ['stat', '--json', ':none', ':a', ':gone', ':b'],
  ['ls', '--json', ':none', ':a', ':gone', ':b'],
]

describe('several operands', () => {
  for (const args of SOME) {
    it(`${args[0]}: what fails is a line, the rest is done, and the status is 1 [R-417]`, async () => {
      writeFileSync(join(root, 'a'), '"name":"a"\n')
      writeFileSync(join(root, 'b'), '"name":"b"\n')
      const { status, stdout, stderr } = await trunkline(args, { to: server.address })
      assert.match(stderr, /^trunkline: ERR_NOT_FOUND: :none: [^\n]+\ntrunkline: ERR_NOT_FOUND: :gone: [^\n]+\n$/)
      assert.match(stdout, /"(name|path)":":?a"[^]*"(name|path)":":?b"/)
      assert.equal(status, 1)
    })
  }
})

describe('serve', () => {
  it('refuses a second --fs, which could only replace the first [R-421]', async () => {
    const { context, stderr } = capturedContext()
    assert.equal(await run(['serve', 'tcp://127.0.0.1:0', '--fs', root, '--fs', '/tmp'], context), 2)
    assert.match(stderr(), /^trunkline: ERR_BAD_ARGUMENT: --fs was given twice[^\n]+\n$/)
  })
})
