/**
 * docs/guide/command-line.md says what the command does: each command, each option, each exit
 * status.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { asFailure } from '../../src/cli/failure.ts'
import { createProgram } from '../../src/cli/program.ts'
import { ERROR_CODES, TrunkError } from '../../src/contracts/errors.ts'
import { capturedContext } from '../helpers/captured-context.ts'

const PAGE = readFileSync(new URL('../../docs/guide/command-line.md', import.meta.url), 'utf8')

const program = await createProgram(capturedContext().context, () => undefined)

describe('docs/guide/command-line.md', () => {
  for (const command of program.commands) {
    it(`describes ${command.name()} and its options`, () => {
      assert.match(PAGE, new RegExp(`^### .*\\b${command.name()}\\b`, 'm'))
      for (const { short, long, hidden } of command.options) {
        if (!hidden) assert.ok(PAGE.includes(short ?? long ?? ''), `${short ?? ''} ${long ?? ''}`)
      }
    })
  }

  it('gives each code its exit status', () => {
    const row = (status: number): string => new RegExp(`^\\| ${status} \\|.*$`, 'm').exec(PAGE)?.[0] ?? ''
    for (const [code, { scope }] of Object.entries(ERROR_CODES)) {
      const { status } = asFailure(new TrunkError(code, 'x'))
      assert.equal(row(2).includes(`\`${code}\``), status === 2, code)
      assert.equal(row(4).includes(`\`${code}\``), status === 4, code)
      if (status === 3) assert.ok(scope === 'link' || scope === 'session', code)
    }
  })
})
