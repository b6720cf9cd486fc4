/** The table of codes in docs/reference/wire-format.md is the table in src/contracts/errors.ts. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ERROR_CODES } from '../../../src/contracts/errors.ts'
import { ROOT } from '../../helpers/root.ts'

describe('codes in docs/reference/wire-format.md', () => {
  const document = readFileSync(join(ROOT, 'docs/reference/wire-format.md'), 'utf8')
  const table = document.slice(document.indexOf('<!-- codes'), document.indexOf('## A worked example'))

  it('are those of src/contracts/errors.ts, each with its number', () => {
    const documented = [...table.matchAll(/\| (\d+) +\| `(ERR_[A-Z_]+)` /g)].map(([, wire, code]) => `${wire} ${code}`)
    const known = Object.entries(ERROR_CODES).filter(([, { wire }]) => wire > 0)
    assert.deepEqual(documented.sort(), known.map(([code, { wire }]) => `${wire} ${code}`).sort())
  })

  it('have each their own number, in u16', () => {
    const numbers = Object.values(ERROR_CODES)
      .map(({ wire }) => wire as number)
      .filter((wire) => wire > 0)
    assert.equal(new Set(numbers).size, numbers.length)
    assert.ok(numbers.every((wire) => wire < 65_536))
  })
})
