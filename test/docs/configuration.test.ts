/**
 * docs/reference/configuration.md has each key of the schema as it is, and its example is a
 * configuration.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Command } from 'commander'
import { addServe } from '../../src/cli/commands/serve.ts'
import { MAX_CONFIG_BYTES } from '../../src/cli/config/file.ts'
import { KINDS } from '../../src/cli/config/kinds.ts'
import { MAX_MISTAKES, parseConfiguration } from '../../src/cli/config/parse.ts'
import { isSection, SCHEMA } from '../../src/cli/config/schema.ts'
import type { Section } from '../../src/cli/config/schema.ts'
import { capturedContext } from '../helpers/captured-context.ts'
import { codeBlocks, readPage } from '../helpers/markdown.ts'

const PAGE = 'docs/reference/configuration.md'
const HEADERS = { defaults: '[defaults]', peer: '[peer.NAME]', serve: '[serve.NAME]' } as const

/** What the page has to say of a section, and of the tables in it. */
function textOf(header: string, { about, keys }: Section, at = ''): string {
  const rows = Object.entries(keys).flatMap(([name, entry]): string[] => {
    if (isSection(entry)) {
      return Object.entries(entry.keys).flatMap(([inner, key]) =>
        isSection(key) ? [] : [`| \`${name}.${inner}\` | ${key.kind} | ${key.about} | \`${key.example}\` |`],
      )
    }
    const required = entry.required === true ? '; has to be there' : ''
    return [`| \`${at}${name}\` | ${entry.kind} | ${entry.about}${required} | \`${entry.example}\` |`]
  })
  return [
    `### ${header}`,
    '',
    about,
    '',
    '| key | value | what it is for | example |',
    '| --- | --- | --- | --- |',
    ...rows,
  ].join('\n')
}

describe(PAGE, () => {
  const page = readPage(PAGE)

  for (const name of ['defaults', 'peer', 'serve'] as const) {
    it(`has the section ${HEADERS[name]} as the schema has it [R-684]`, () => {
      const wanted = textOf(HEADERS[name], SCHEMA[name])
      assert.ok(page.includes(`${wanted}\n`), `the page has to have:\n\n${wanted}\n`)
    })
  }

  it('says what each kind of value is [R-684]', () => {
    for (const [name, { wanted }] of Object.entries(KINDS)) {
      const row = `| ${name} | ${wanted} |`
      assert.ok(page.includes(row), `the page has to have:\n${row}`)
    }
  })

  it('shows a configuration that holds, and says its bounds', () => {
    const blocks = [PAGE, 'docs/guide/names.md'].flatMap(codeBlocks).filter(({ info }) => info === 'toml')
    assert.ok(blocks.length >= 2)
    for (const { text, place } of blocks) assert.ok('configuration' in parseConfiguration(text), place)
    for (const bound of [MAX_CONFIG_BYTES, MAX_MISTAKES]) assert.ok(page.includes(bound.toLocaleString('en-US')))
  })

  it('has a key for each option of serve, and no other [R-684]', () => {
    const program = new Command()
    addServe(program, capturedContext().context)
    const options = program.commands[0]?.options.map(({ long }) => long?.slice(2) ?? '') ?? []
    const keys = Object.keys(SCHEMA.serve.keys).filter((key) => key !== 'address')
    assert.deepEqual(keys.sort(), options.filter((name) => !['as', 'config'].includes(name)).sort())
  })
})
