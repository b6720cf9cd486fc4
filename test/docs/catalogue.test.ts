/**
 * Every row of the catalogue of attacks and faults has a test whose title carries its number, in a suite of the kind that the row asks for. The numbers
 * have gaps; those from R-200 on are this repository's own. What each row demands is said by the titles.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Kinds of tests, and where each kind lives. */
const KINDS: Readonly<Record<string, { readonly name: string; readonly where: RegExp }>> = {
  U: {
    name: 'unit',
    where: /^test\/(core|runtime|session|trunk|transports|protocols|conformance|docs|native)\/|^test\/[^/]+$/,
  },
  P: { name: 'property', where: /^test\/core\// },
  S: {
    name: 'simulation, or manual clock',
    where: /^test\/(sim|core|runtime|session|trunk|wire|conformance)\//,
  },
  W: { name: 'raw peer', where: /^test\/(wire|hostile|core\/session|session)\// },
  X: { name: 'fault proxy, or a line that does what the test says', where: /^test\/(faults|wire)\// },
  T: { name: 'pseudo-terminal', where: /^test\/(transports\/serial|trunk\/serial-line|trunk\/soak|faults\/)/ },
  F: { name: 'real files', where: /^test\/protocols\/filesystem\// },
  N: { name: 'real sockets', where: /^test\/(transports|protocols|trunk|cli|faults|hostile)\// },
  C: { name: 'child process', where: /^test\/(trunk\/.*process|cli\/|package\/|faults\/|hostile\/|native)/ },
}

/** The rows, by the kinds of test that they ask for: each of them. */
const ROWS: Readonly<Record<string, string>> = {
  P: '001 002 014',
  U: '004 015 040 045 046 047 079 081 103 105 115 122 126',
  W: '005 006 007 008 009 010 011 013 018 020 023 027 033 034 036 059 060 064 065 069 070 071 072 073 099',
  S: '017 024 025 026 029 030 031 032 035 038 039 041 042 043 049 055 056 061 063 076 080 134',
  'S,N': '021 062',
  T: '051 057 058 120 121 123',
  'S,T': '053',
  X: '075',
  N: '078 100 104 106 108 109 110 111 113 114 116 118 124 135',
  F: '082 084 086 088 089 091 092 094 095 096 097 098',
  'N,T': '117 125',
  C: '127 129 130 132 133 136',
}
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

/** A test's title where it is made: `it('…'`, `test(`…`, `describe("…"`, a conformance point, or the row of a table. */
const TITLE =
  /(?:\b(?:it|test|describe)(?:\.\w+)?\(\s*|\bpoint\(\s*suite,\s*[^,]+,\s*|\btransportConformance\(\s*|\btitle: )(['"`])((?:\\.|(?!\1).)*)\1/gs

/** The catalogue's numbers in titles, and the files that have them. The points of the conformance suite are tests of every file that calls it. */
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

describe('the catalogue of attacks and faults', () => {
  const titles = numbersInTitles()
  const rows = Object.entries(ROWS).flatMap(([kinds, numbers]) =>
    numbers.split(' ').map((number) => ({ number: `R-${number}`, kinds: kinds.split(',') })),
  )

  it('has each row once', () => {
    assert.equal(rows.length, ROW_COUNT)
    assert.equal(new Set(rows.map(({ number }) => number)).size, ROW_COUNT)
  })

  it('has a test for each row, in a suite of each kind that the row names', () => {
    const missing = rows.flatMap(({ number, kinds }) =>
      kinds
        .filter((kind) => ![...(titles.get(number) ?? [])].some((file) => KINDS[kind]?.where.test(file)))
        .map((kind) => `${number} has no test of the kind "${KINDS[kind]?.name}"`),
    )
    assert.deepEqual(missing, [])
  })

  it('is what titles mean: a number is of the catalogue, fills one of its gaps, or is our own', () => {
    const strange = [...titles.keys()].filter((number) => !/^R-[0-5]\d\d$/.test(number) || number === 'R-000')
    assert.deepEqual(strange, [])
  })
})
