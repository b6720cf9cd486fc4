/**
 * What the linter refuses, and where: a program of the project's own shape, with one fault a line,
 * is linted with the project's rules.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { ROOT } from '../helpers/root.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

/**
 * Faults by the file that has them: each line of code breaks the one rule that stands beside it.
 */
const FAULTS: Readonly<Record<string, readonly (readonly [code: string, rule: string])[]>> = {
  'src/core/a.ts': [
    ["import { readFileSync } from 'node:fs'", 'no-restricted-imports'],
    ['export const now = (): number => performance.now()', 'no-restricted-globals'],
    [
      'export const later = (then: () => void): unknown => setTimeout(then, readFileSync.length)',
      'no-restricted-globals',
    ],
    ['export const none = (): Promise<void> | undefined => undefined', 'no-promises'],
    ['export async function wait(): Promise<void> {}', 'no-promises'],
  ],
  'transports/a.ts': [
    ["export const isKnown = (error: Error): boolean => error.message.includes('known')", 'no-message-matching'],
    ['export const later = (then: () => void): unknown => setTimeout(then, 1)', 'no-restricted-globals'],
    ["export const say = (): void => console.log('loud')", 'no-console'],
    ['export const forget = (work: () => Promise<void>): void => { work() }', 'no-floating-promises'],
    ['export const hand = (work: () => Promise<void>): void => { [1].forEach(work) }', 'no-misused-promises'],
    ['export const part = (text: string): unknown => JSON.parse(text).part', 'no-unsafe-member-access'],
    ["export const same = (a: unknown): boolean => a == 'a'", 'eqeqeq'],
    ['export const first = (list: string[]): string => list.at(0)!', 'no-non-null-assertion'],
  ],
  'test/a.ts': [
    ['export const sleep = (then: () => void): unknown => setInterval(then, 1)', 'no-restricted-globals'],
    ['export const forget = (work: () => Promise<void>): void => { work() }', 'no-floating-promises'],
  ],
  'src/runtime/clock.ts': [],
}
/** Breaks no rule where it stands. */
const FINE: Readonly<Record<string, string>> = {
  'src/runtime/clock.ts': 'export const later = (then: () => void): unknown => setTimeout(then, 1)',
  'test/helpers/a.ts': 'export const later = (then: () => void): unknown => setTimeout(then, 1)',
}

interface Finding {
  readonly filename: string
  readonly code: string
  readonly labels: readonly { readonly span: { readonly line: number } }[]
}

describe('the rules of the linter', () => {
  const folder = temporaryFolder()

  it('refuse what they are to refuse, each where it is meant, and nothing else', () => {
    mkdirSync(join(folder, 'test/lint'), { recursive: true })
    for (const name of ['.oxlintrc.json', 'tsconfig.json', 'test/lint/plugin.js'])
      copyFileSync(join(ROOT, name), join(folder, name))
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    const put = (path: string, text: string): void => {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), `${text}\n`)
    }
    for (const [path, faults] of Object.entries(FAULTS)) put(path, faults.map(([code]) => code).join('\n'))
    for (const [path, text] of Object.entries(FINE)) put(path, text)
    const { stdout, stderr, status } = spawnSync(
      join(ROOT, 'node_modules/.bin/oxlint'),
      ['--format=json', 'src', 'transports', 'test'],
      {
        cwd: folder,
        encoding: 'utf8',
      },
    )
    assert.equal(status, 1, stderr)
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: readonly Finding[] }
    const found = diagnostics.map(({ filename, code, labels }) => {
      const rule = /\(([\w-]+)\)$/.exec(code)?.[1]
      return `${filename}:${labels[0]?.span.line} ${rule}`
    })
    const wanted = Object.entries(FAULTS).flatMap(([path, faults]) =>
      faults.map(([, rule], index) => `${path}:${index + 1} ${rule}`),
    )
    assert.deepEqual([...new Set(found)].sort(), wanted.sort())
  })
})
