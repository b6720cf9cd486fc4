/** Comments and pages end at column 100: a line that is longer is read with a finger under it. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, it } from 'node:test'
import ts from 'typescript'
import { ROOT } from '../helpers/root.ts'

const COLUMNS = 100

/** What a tool reads has to stay on one line; so does an address. */
const UNBREAKABLE = /eslint-|oxlint-|@ts-|c8 ignore|https?:\/\/\S{60,}/

const ELSEWHERE = new Set(['node_modules', 'build', 'prebuilds', 'dist'])

function files(folder: string, ending: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return ELSEWHERE.has(entry.name) ? [] : files(path, ending)
    return ending.test(entry.name) ? [path] : []
  })
}

/** The first line of each comment that is too long, counted from 1. */
function longComments(path: string, text: string): number[] {
  const long: number[] = []
  const check = (from: number, to: number): void => {
    const start = text.lastIndexOf('\n', from) + 1
    const end = text.indexOf('\n', to)
    const lines = text.slice(start, end < 0 ? undefined : end).split('\n')
    const at = lines.findIndex((line) => Array.from(line).length > COLUMNS && !UNBREAKABLE.test(line))
    if (at >= 0) long.push(text.slice(0, start).split('\n').length + at)
  }
  if (/\.[ch]$/.test(path)) {
    for (const { index, 0: found } of text.matchAll(/\/\*[\s\S]*?\*\/|(?<!:)\/\/[^\n]*/g)) {
      check(index, index + found.length)
    }
    return long
  }
  // to parse a file costs a hundred times what it costs to see that nothing in it can be meant
  const isSuspect = (line: string): boolean => line.length > COLUMNS && /^\s*\*|\/[*/]/.test(line)
  if (!text.split('\n').some(isSuspect)) return long
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const visit = (node: ts.Node): void => {
    if (ts.isJSDoc(node)) return
    const children = node.getChildren(source)
    for (const child of children) visit(child)
    if (children.length > 0 || node.pos === node.getStart(source)) return
    const gap = text.slice(node.pos, node.getStart(source))
    for (const { index, 0: found } of gap.matchAll(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g)) {
      check(node.pos + index, node.pos + index + found.length)
    }
  }
  visit(source)
  return long
}

/** Lines of a page that are too long; tables, headings and programs are as long as they are. */
function longLines(page: string): number[] {
  const long: number[] = []
  let inProgram = false
  for (const [at, line] of page.split('\n').entries()) {
    if (/^\s*(```|~~~)/.test(line)) inProgram = !inProgram
    if (inProgram || /^\s*[|#<]|^\[[^\]]+\]: /.test(line) || Array.from(line).length <= COLUMNS) continue
    // what cannot be broken may reach beyond: an address, a command
    const whole = line.replaceAll(/`[^`]*`/g, (span) => 'x'.repeat(span.length))
    if (whole.lastIndexOf(' ') > COLUMNS) long.push(at + 1)
  }
  return long
}

describe(`a line of ${COLUMNS} columns`, () => {
  it('holds every line of a comment', () => {
    const sources = ['src', 'transports', 'protocols', 'test', 'docs'].flatMap((folder) =>
      files(folder, /\.([mc]?[jt]s|[ch])$/),
    )
    assert.ok(sources.length > 500, `only ${sources.length} files were found`)
    const long = sources.flatMap((path) =>
      longComments(path, readFileSync(join(ROOT, path), 'utf8')).map((line) => `${path}:${line}`),
    )
    assert.deepEqual(long, [])
  })

  it('holds every line of a page outside tables and programs', () => {
    const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...files('docs', /\.md$/)]
    const long = pages.flatMap((path) =>
      longLines(readFileSync(join(ROOT, path), 'utf8')).map((line) => `${relative('.', path)}:${line}`),
    )
    assert.deepEqual(long, [])
  })

  it('is what the check of comments and pages finds broken', () => {
    const tooLong = `${'word '.repeat(20)}end`
    assert.deepEqual(longComments('a.ts', `const a = 1\n// ${tooLong}\n`), [2])
    assert.deepEqual(longComments('a.ts', `/**\n * short\n * ${tooLong}\n */\nconst a = 1\n`), [3])
    assert.deepEqual(longComments('a.c', `/* short */\n/* ${tooLong} */\n`), [2])
    assert.deepEqual(longComments('a.ts', `const a = '// ${tooLong}'\n`), [])
    assert.deepEqual(longLines(`short\n${tooLong} and more\n| ${tooLong} and more |\n`), [2])
  })
})
