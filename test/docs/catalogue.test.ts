/**
 * docs/internals/catalogue.md and the titles of the tests say the same: every row has a test whose
 * title carries its number, in a suite of each kind that the row names, and every number in a title
 * has its row.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Kinds of tests, as the page names them, and where each kind lives. */
const KINDS: Readonly<Record<string, RegExp>> = {
  unit: /^test\/(core|runtime|session|trunk|transports|protocols|conformance|docs|native)\/|^test\/[^/]+$/,
  property: /^test\/core\//,
  // or a clock that is turned by hand
  simulation: /^test\/(sim|core|runtime|session|trunk|wire|conformance)\//,
  'raw peer': /^test\/(wire|hostile|core\/session|session)\//,
  // or a line that does what the test says
  'fault proxy': /^test\/(faults|wire)\//,
  'pseudo-terminal': /^test\/(transports\/serial|trunk\/serial-line|trunk\/soak|faults\/)/,
  'real files': /^test\/protocols\/filesystem\//,
  'real sockets': /^test\/(transports|protocols|trunk|cli|faults|hostile)\//,
  'child process': /^test\/(trunk\/.*process|cli\/|package\/|faults\/|hostile\/|native)/,
}

/** Rows of the page, and those of them that name kinds. */
const ROW_COUNT = 107

/** Suites with no tests of the normal run: they have their own runners. */
const ELSEWHERE = new Set(['node_modules', 'vm', 'bench', 'build', 'soak', 'mutation'])

/** Paths from the root of every TypeScript file below `folder`. */
function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return ELSEWHERE.has(entry.name) ? [] : sources(path)
    return entry.name.endsWith('.ts') ? [relative(ROOT, path)] : []
  })
}

/**
 * A test's title where it is made: `it('…'`, `test(`…`, `describe("…"`, a conformance point, or the
 * row of a table.
 */
const TITLE =
  /(?:\b(?:it|test|describe)(?:\.\w+)?\(\s*|\bpoint\(\s*suite,\s*[^,]+,\s*|\btransportConformance\(\s*|\btitle: )(['"`])((?:\\.|(?!\1).)*)\1/gs

/**
 * The catalogue's numbers in titles, and the files that have them. The points of the conformance
 * suite are tests of every file that calls it.
 */
function numbersInTitles(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  const texts = sources(join(ROOT, 'test')).map((file) => ({ file, text: readFileSync(join(ROOT, file), 'utf8') }))
  const conforming = texts.filter(({ text }) => /^transportConformance\(/m.test(text)).map(({ file }) => file)
  for (const { file, text } of texts) {
    for (const [, , title = ''] of text.matchAll(TITLE)) {
      for (const [number] of title.matchAll(/R-\d{3}/g)) {
        const files = found.get(number) ?? new Set()
        for (const one of file.startsWith('test/conformance/') ? [file, ...conforming] : [file]) files.add(one)
        found.set(number, files)
      }
    }
  }
  return found
}

describe('docs/internals/catalogue.md', () => {
  const titles = numbersInTitles()
  const page = readFileSync(join(ROOT, 'docs/internals/catalogue.md'), 'utf8')
  const rows = [...page.matchAll(/^\| (R-\d{3}) \| (.+) \| (.+) \|$/gm)].map(
    ([, number = '', holds = '', last = '']) => ({
      number,
      holds,
      // the third column of this repository's own rows is their suite
      kinds: last.split(', ').filter((kind) => kind in KINDS),
    }),
  )

  it('has each row once', () => {
    assert.equal(rows.filter(({ kinds }) => kinds.length > 0).length, ROW_COUNT)
    assert.equal(new Set(rows.map(({ number }) => number)).size, rows.length)
  })

  it('has a test for each row, in a suite of each kind that the row names', () => {
    const missing = rows.flatMap(({ number, kinds }) => {
      const files = [...(titles.get(number) ?? [])]
      if (files.length === 0) return [`${number} has no test`]
      return kinds
        .filter((kind) => !files.some((file) => KINDS[kind]?.test(file)))
        .map((kind) => `${number} has no test of the kind "${kind}"`)
    })
    assert.deepEqual(missing, [])
  })

  it('has a row for each number in a title', () => {
    const listed = new Set(rows.map(({ number }) => number))
    const missing = [...titles]
      .filter(([number]) => !listed.has(number))
      .map(([number, files]) => `add: | ${number} | what holds | ${[...files].join(', ')} |`)
    assert.deepEqual(missing, [])
  })
})
