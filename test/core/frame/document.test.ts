/** What docs/reference/wire-format.md shows of frames is what the code has and the vectors hold. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FIRST_OPTIONAL_TYPE, FrameType, HEADER_BYTES, SYNC_WORD } from '../../../src/core/frame/constants.ts'
import { MAX_SENTENCE_BYTES, MAX_STATUS_BYTES } from '../../../src/core/frame/status.ts'
import { hex } from '../../helpers/naive-codec.ts'
import { ROOT } from '../../helpers/root.ts'
import { wireFixture } from '../../helpers/wire-fixtures.ts'

const document = readFileSync(join(ROOT, 'docs/reference/wire-format.md'), 'utf8')

describe('docs/reference/wire-format.md', () => {
  it('lists the frame types', () => {
    const listed = [...document.matchAll(/^\| 0x([0-9a-f]{2}) \| ([A-Z]+) \|/gm)].map(([, type, name]) => [
      name,
      parseInt(type!, 16),
    ])
    assert.deepEqual(Object.fromEntries(listed), { ...FrameType })
    assert.ok(document.includes(`types 0x${FIRST_OPTIONAL_TYPE.toString(16)} to 0x7f`))
    assert.equal(HEADER_BYTES, 9)
  })

  it('gives the sync word and the sizes of a status', () => {
    assert.ok(document.includes(hex(SYNC_WORD).replace(/..(?=.)/g, '$& ')))
    assert.ok(document.includes(`more than ${MAX_STATUS_BYTES} bytes`))
    assert.ok(document.includes(`to ${MAX_SENTENCE_BYTES} bytes`))
  })

  it('dumps the golden session’s first bytes', () => {
    const lines = [...document.matchAll(/^00[0-9a-f]0 {2}((?:[0-9a-f]{2} )+)/gm)].map(([, bytes]) =>
      bytes!.replaceAll(' ', ''),
    )
    assert.equal(lines.join(''), wireFixture('session.json').steps[0]?.hex)
  })
})
