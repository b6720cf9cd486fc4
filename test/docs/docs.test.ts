/** The pages say what the code does: each code, limit and frame type has its row. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { BUDGET_BOUNDS, defaultSizes } from '../../src/runtime/budgets.ts'
import { ERROR_CODES } from '../../src/contracts/errors.ts'
import { FrameType } from '../../src/core/frame/constants.ts'
import { DEFAULT_LIMITS, LIMIT_BOUNDS } from '../../src/contracts/limits.ts'
import { codeRows, PAGES, readPage } from '../helpers/markdown.ts'
import { ROOT } from '../helpers/root.ts'

const plain = (number: number) => number.toLocaleString('en-US')

describe('docs/reference/errors.md', () => {
  const rows = codeRows('docs/reference/errors.md').filter(([name]) => name?.startsWith('ERR_'))

  it('has one row for each code and no other', () => {
    assert.deepEqual(rows.map(([code]) => code).sort(), Object.keys(ERROR_CODES).sort())
  })

  it('gives each code its number and its scope', () => {
    const told = rows.map(([code, wire, scope]) => [code, wire, scope].join(' '))
    const held = Object.entries(ERROR_CODES).map(
      ([code, { wire, scope }]) => `${code} ${wire === 0 ? '–' : wire} ${scope}`,
    )
    assert.deepEqual(told.sort(), held.sort())
  })

  it('says of each when it comes, what is usable and what to do', () => {
    for (const row of rows) {
      assert.equal(row.length, 6, `${row[0]} has ${row.length} cells`)
      assert.deepEqual(
        row.filter((cell) => cell === ''),
        [],
        `${row[0]} has an empty cell`,
      )
    }
  })

  it('gives no number twice', () => {
    const numbers = Object.values(ERROR_CODES)
      .map(({ wire }): number => wire)
      .filter((wire) => wire !== 0)
    assert.equal(new Set(numbers).size, numbers.length)
  })
})

describe('docs/reference/limits.md', () => {
  it('has one row for each limit with its default and bounds, and no other', () => {
    const told = codeRows('docs/reference/limits.md')
      .filter(([name = '']) => !Object.hasOwn(BUDGET_BOUNDS, name))
      .map((row) => row.slice(0, 4).join(' '))
    const held = Object.entries(LIMIT_BOUNDS).map(([name, [min, max]]) =>
      [name, ...[DEFAULT_LIMITS[name as keyof typeof LIMIT_BOUNDS], min, max].map(plain)].join(' '),
    )
    assert.deepEqual(told.sort(), held.sort())
  })

  it('[R-519] has one row for each budget with its bounds, and no other', () => {
    const told = codeRows('docs/reference/limits.md').filter(([name = '']) => Object.hasOwn(BUDGET_BOUNDS, name))
    const held = Object.entries(BUDGET_BOUNDS).map(([name, [min, max]]) => [name, plain(min), plain(max)])
    assert.deepEqual(told.map(([name, , min, max]) => [name, min, max]).sort(), held.sort())
  })

  it('[R-519] says what the defaults of the budgets are on a few machines', () => {
    const number = (cell: string | undefined) => Number(cell?.replaceAll(/[^\d]/g, ''))
    const rows = readPage('docs/reference/limits.md').matchAll(/^\| ([\d,]+) MiB \| ([\d,]+) \| ([\d,]+) \| (.*) \|$/gm)
    let count = 0
    for (const [, memory, threads, files, told = ''] of rows) {
      count++
      const machine = { memoryBytes: number(memory) * 2 ** 20, threads: number(threads), files: number(files) }
      const sizes = defaultSizes(machine)
      const { transferBytes, readAheadBytes, poolJobs, descriptors, windowBytes, inboxBytes, lookups } = sizes
      const ofFiles = [transferBytes, readAheadBytes, poolJobs, descriptors]
      assert.equal(told, [...ofFiles, windowBytes, inboxBytes, lookups].map(plain).join(' · '))
    }
    assert.equal(count, 3)
  })

  it('gives a reason for each', () => {
    for (const row of codeRows('docs/reference/limits.md'))
      assert.ok((row[4] ?? '').length > 20, `${row[0]} has no reason`)
  })
})

describe('docs/reference/api.md', () => {
  it('has each entry point of the package', () => {
    const { exports: entries } = JSON.parse(readPage('package.json')) as { exports: Record<string, object | null> }
    const files = (folder: string) => readdirSync(join(ROOT, folder)).filter((name) => name.endsWith('.ts'))
    const named = Object.entries(entries)
      .filter(([entry, target]) => target !== null && !entry.includes('*') && entry !== './package.json')
      .map(([entry]) => `trunkline${entry.slice(1)}`)
    const plugins = ['transports', 'protocols'].flatMap((folder) =>
      files(folder).map((name) => `trunkline/${folder}/${name.slice(0, -'.ts'.length)}`),
    )
    const page = readPage('docs/reference/api.md')
    assert.deepEqual(
      [...named, ...plugins].filter((entry) => !page.includes(`\`${entry}\``)),
      [],
    )
  })
})

describe('docs/guide/security.md', () => {
  it('says of each limit what it stops [R-303]', () => {
    const page = readPage('docs/guide/security.md')
    const rows = page.split('\n').filter((line) => line.startsWith('| `'))
    const missing = [...Object.keys(LIMIT_BOUNDS), ...Object.keys(BUDGET_BOUNDS)].filter(
      (name) => !rows.some((row) => row.includes(`\`${name}\``)),
    )
    assert.deepEqual(missing, [])
  })
})

describe('docs/reference/wire-format.md', () => {
  it('names each frame type beside its number', () => {
    const lines = readPage('docs/reference/wire-format.md').split('\n')
    for (const [name, number] of Object.entries(FrameType)) {
      const hex = `0x${number.toString(16).padStart(2, '0')}`
      const row = lines.find(
        (line) => line.startsWith('|') && line.includes(hex) && new RegExp(`\\b${name}\\b`).test(line),
      )
      assert.ok(row !== undefined, `no table row holds ${hex} and ${name}`)
    }
  })
})

describe('the pages', () => {
  it('link to files that exist', () => {
    const broken: string[] = []
    for (const page of PAGES) {
      for (const [, target = ''] of readPage(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
        if (/^[a-z]+:/.test(target)) continue
        if (!existsSync(join(ROOT, page, '..', target))) broken.push(`${page}: ${target}`)
      }
    }
    assert.deepEqual(broken, [])
  })

  it('use none of the archaic words that docs/internals/style.md names', () => {
    // the first page quotes them, the second one the titles of tests
    const quoting = ['docs/internals/style.md', 'docs/internals/catalogue.md']
    const archaic = PAGES.filter((page) => !quoting.includes(page)).flatMap((page) =>
      [...readPage(page).matchAll(/\b(?:anew|whoever|mend(?:s|ed)?|so (?:much|many))\b/gi)].map(
        ([word]) => `${page}: ${word}`,
      ),
    )
    assert.deepEqual(archaic, [])
  })

  it('for contributors name files that exist', () => {
    const missing = ['CONTRIBUTING.md', 'docs/internals/architecture.md'].flatMap((page) =>
      [...readPage(page).matchAll(/`((?:src|transports|protocols|test|docs)\/[\w./-]+)`/g)]
        .map(([, path = '']) => path)
        .filter((path) => !path.includes('NAME') && !existsSync(join(ROOT, path)))
        .map((path) => `${page}: ${path}`),
    )
    assert.deepEqual(missing, [])
  })

  it('are each in the index, docs/README.md, or in that of the decisions', () => {
    const indexes = ['docs/README.md', 'docs/internals/decisions/README.md']
    const listed = new Set(
      indexes.flatMap((index) =>
        [...readPage(index).matchAll(/\]\(([^)#\s]+)/g)].map(([, target = '']) => join(index, '..', target)),
      ),
    )
    const unlisted = PAGES.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md' && !listed.has(page))
    assert.deepEqual(unlisted, [])
  })

  it('mention only codes that exist', () => {
    const unknown = PAGES.flatMap((page) =>
      [...readPage(page).matchAll(/`(ERR_[A-Z_]+)`/g)]
        .map(([, code = '']) => code)
        .filter((code) => !code.endsWith('_') && !Object.hasOwn(ERROR_CODES, code) && !code.startsWith('ERR_PACKAGE'))
        .map((code) => `${page}: ${code}`),
    )
    assert.deepEqual(unknown, [])
  })
})
