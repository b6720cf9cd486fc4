/**
 * What a session on a terminal reads of it: the escape character among the keys, and the modes that
 * a program sets in what it shows.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { EscapeKeys } from '../../src/cli/exec/escape.ts'
import { PrivateModes } from '../../src/cli/exec/private-modes.ts'
import { MAX_TYPED_BYTES, TypedAhead } from '../../src/cli/exec/typed-ahead.ts'
import { eventually } from '../helpers/eventually.ts'

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

describe('keys on their way', () => {
  it('[R-806] wait in order, up to a bound, above which no more are to be read', async () => {
    const written: string[] = []
    const taken: (() => void)[] = []
    let rooms = 0
    const ahead = new TypedAhead(
      (keys) => {
        written.push(Buffer.from(keys).toString())
        return new Promise((resolve) => taken.push(resolve))
      },
      () => rooms++,
    )
    for (const keys of ['a', 'b', 'c']) ahead.push(Buffer.from(keys))
    ahead.push(Buffer.alloc(MAX_TYPED_BYTES - 4, 'd'))
    assert.equal(ahead.isFull, false)
    ahead.push(Buffer.from('e'))
    assert.equal(ahead.isFull, true)
    taken.shift()?.()
    await eventually(() => written.length === 2, 'the rest is written')
    assert.deepEqual(
      [written[0], written[1]?.slice(0, 3), written[1]?.at(-1), ahead.isFull, rooms],
      ['a', 'bcd', 'e', false, 1],
    )
    taken.shift()?.()
  })

  it('[R-807] are for nobody once the command reads no more', async () => {
    let writes = 0
    const ahead = new TypedAhead(
      () => {
        writes++
        return Promise.reject(new Error('reads no more'))
      },
      () => undefined,
    )
    ahead.push(Buffer.alloc(MAX_TYPED_BYTES))
    await eventually(() => !ahead.isFull, 'what waited is dropped')
    ahead.push(Buffer.alloc(MAX_TYPED_BYTES))
    assert.deepEqual([ahead.isFull, writes], [false, 1])
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
