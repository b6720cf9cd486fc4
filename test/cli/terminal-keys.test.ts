/**
 * What a session on a terminal reads of it: the escape character among the keys, and the modes that
 * a program sets in what it shows.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { EscapeKeys } from '../../src/cli/exec/escape.ts'
import { PrivateModes } from '../../src/cli/exec/private-modes.ts'

/** What becomes of keys that come in these pieces: keys as text, wishes in angle brackets. */
function typed(...pieces: string[]): string {
  const keys = new EscapeKeys(0x7e)
  return pieces
    .flatMap((piece) => keys.push(Buffer.from(piece)))
    .map((part) => ('wish' in part ? `<${part.wish}>` : Buffer.from(part.keys).toString()))
    .join('')
}

function undone(...pieces: string[]): string {
  const modes = new PrivateModes()
  for (const piece of pieces) modes.push(Buffer.from(piece))
  return modes.undo().replaceAll('\u001B', '^')
}

describe('the escape character', () => {
  it('[R-637] counts at the start of a line only, however the keys come [X32]', () => {
    assert.equal(typed('~.'), '<leave>')
    assert.equal(typed('~', '.'), '<leave>')
    assert.equal(typed('a~.b\r'), 'a~.b\r')
    assert.equal(typed('ls\r~?~d\n~\u001A'), 'ls\r<help><detach>\n<suspend>')
    assert.equal(typed('\r~~.'), '\r~.')
    assert.equal(typed('~x~.'), '~x~.')
    assert.equal(typed('~'), '')
    assert.equal(typed('~', '\r', '~.'), '~\r<leave>')
    const none = new EscapeKeys(undefined)
    assert.deepEqual(none.push(Buffer.from('~.')), [{ keys: Uint8Array.from(Buffer.from('~.')) }])
  })
})

describe('the modes of a terminal', () => {
  it('[R-638] are undone where a program has set them, and no others [X31]', () => {
    assert.equal(undone('plain \u001B[31mred\u001B[0m \u001B[2J\u001B[?2004h\u001B[?2004l'), '')
    assert.equal(undone('\u001B[?1049h\u001B[?25l\u001B[?7l'), '^[?1049l^[?25h^[?7h')
    assert.equal(undone('\u001B[?1000;1006h', '\u001B[?1000l'), '^[?1006l')
    assert.equal(undone('\u001B', '[?', '10', '49h'), '^[?1049l')
    assert.equal(undone('\u001B[>1u\u001B[>3u\u001B[<u\u001B[5 q\u001B='), '^[<u^[0 q^>')
    assert.equal(undone('\u001B[?1049h\u001B[>1u\u001Bc'), '')
    assert.equal(undone('\u001B[?9999h'), '')
    assert.equal(undone(`\u001B[${'1;'.repeat(5_000)}`, '\u001B[?25l'), '^[?25h')
  })
})
