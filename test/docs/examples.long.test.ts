/**
 * Each example of the pages holds. A fenced block marked `ts` that imports trunkline has to pass
 * the type check; one marked `ts run` is a complete program and is run to its end. What is neither
 * is marked `js` or `ts fragment`.
 */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { codeBlocks, PAGES } from '../helpers/markdown.ts'
import { runCommand, type CommandResult } from '../helpers/run-command.ts'
import { ROOT } from '../helpers/root.ts'

/** How long a documented program, or the compiler, may take on a busy machine, in milliseconds. */
const PROGRAM_MS = 90_000
const node = (cwd: string, ...args: string[]) => runCommand({ cwd, timeoutMs: PROGRAM_MS }, process.execPath, args)

describe('the examples in the pages', () => {
  // inside the project, where `trunkline` is this package; ignored by git and by the linters
  const folder = join(ROOT, 'build', `doc-examples-${process.pid}`)
  const scratch = mkdtempSync(join(tmpdir(), 'trunkline-docs-'))
  const examples = PAGES.flatMap(codeBlocks).filter(
    ({ info, text: code }) => info === 'ts run' || (info === 'ts' && /from 'trunkline/.test(code)),
  )
  const programs = examples.filter(({ info }) => info === 'ts run')
  const nameOf = (place: string) => place.replaceAll(/[^a-z0-9]+/gi, '-')
  let compiled: CommandResult

  before(async () => {
    mkdirSync(folder, { recursive: true })
    // programs run in a user's project
    writeFileSync(join(scratch, 'package.json'), '{ "name": "project", "type": "commonjs" }\n')
    for (const { place, text: code } of examples) writeFileSync(join(folder, `${nameOf(place)}.ts`), code)
    const compilerOptions = {
      noEmit: false,
      rootDir: '.',
      outDir: 'js',
      declaration: false,
      isolatedDeclarations: false,
      skipLibCheck: true,
    }
    const options = { extends: '../../tsconfig.json', include: ['*.ts'], compilerOptions }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(options))
    compiled = await node(ROOT, 'node_modules/@typescript/native/bin/tsc', '-p', folder)
  })

  after(() => {
    rmSync(folder, { recursive: true, force: true })
    rmSync(scratch, { recursive: true, force: true })
  })

  it('are there', () => {
    assert.ok(
      programs.some(({ place }) => place.startsWith('README.md')),
      'the README has no program',
    )
  })

  it('pass the type check', () => {
    assert.equal(compiled.status, 0, compiled.output)
  })

  for (const { place } of programs) {
    it(`run to the end: ${place}`, async () => {
      const { status, output } = await node(scratch, join(folder, 'js', `${nameOf(place)}.js`))
      assert.equal(status, 0, output)
    })
  }
})
