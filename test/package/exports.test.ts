/**
 * Every public file of transports/ and protocols/ can be imported by its name, is in the docs, and
 * has its tests.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readPage } from '../helpers/markdown.ts'
import { ROOT } from '../helpers/root.ts'
import { sourceFiles } from '../helpers/source-imports.ts'

/** Names of the public files of a folder: `tcp` for transports/tcp.ts. */
function publicNames(folder: string, closed: readonly string[] = []): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map(({ name }) => name.slice(0, -'.ts'.length))
    .filter((name) => !closed.includes(name))
}

/**
 * The test files of one name: `<folder>/<name>.test.ts`, `<folder>/<name>-*.test.ts` and all below
 * `<folder>/<name>/`.
 */
function testsOf(folder: string, name: string): string[] {
  return sourceFiles(`test/${folder}`).filter(
    (path) => path.endsWith('.test.ts') && new RegExp(`^test/${folder}/${name}(/|-|\\.)`).test(path),
  )
}

const transports = publicNames('transports', ['schemes'])
const protocols = publicNames('protocols')
/** What makes links out of something else and is no transport by itself. */
const NO_TRANSPORT = new Set(['duplex'])

describe('the package’s exports', () => {
  it('cover every public file', async () => {
    const names = [
      'proxy',
      'forward',
      ...transports.map((name) => `transports/${name}`),
      ...protocols.map((name) => `protocols/${name}`),
    ]
    assert.ok(names.length >= 7, `only ${names.join(', ')} were found`)
    for (const name of names) {
      const specifier = `trunkline/${name}`
      assert.ok(existsSync(fileURLToPath(import.meta.resolve(specifier))), `${specifier} leads nowhere`)
      const module = (await import(specifier)) as Record<string, unknown>
      assert.ok(Object.keys(module).length > 0, `${specifier} exports nothing`)
    }
  })

  it('lead from each entry point to a module, and the README names it', async () => {
    const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      exports: Record<string, unknown>
    }
    const names = Object.keys(exports).filter((name) => !name.includes('*') && name !== './package.json')
    assert.ok(names.includes('.') && names.includes('./streams') && names.includes('./testing'), names.join(', '))
    for (const name of names) {
      const specifier = name.replace('.', 'trunkline')
      assert.ok(Object.keys((await import(specifier)) as object).length > 0, `${specifier} exports nothing`)
      assert.ok(readPage('README.md').includes(`\`${specifier}\``), `the README does not name ${specifier}`)
    }
  })

  it('close every folder of private parts', () => {
    const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      exports: Record<string, unknown>
    }
    for (const folder of ['transports', 'protocols']) {
      for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
        if (entry.isDirectory())
          assert.equal(exports[`./${folder}/${entry.name}/*`], null, `${folder}/${entry.name} is open`)
      }
    }
  })
})

describe('each transport', () => {
  const readme = readPage('README.md')
  for (const name of transports) {
    it(`${name} is in the README`, () => {
      assert.ok(
        readme.includes(`trunkline/transports/${name}`),
        `the README does not mention trunkline/transports/${name}`,
      )
    })
    it(`${name} passes the conformance suite [R-117]`, { skip: NO_TRANSPORT.has(name) && 'no transport' }, () => {
      const files = testsOf('transports', name)
      const runs = files.filter((path) => readPage(path).includes('transportConformance('))
      assert.ok(runs.length > 0, `none of ${files.join(', ') || 'no file'} calls transportConformance`)
    })
  }
})

for (const [name, page] of [
  ['proxy', 'proxy'],
  ['forward', 'forwarding'],
] as const) {
  describe(`trunkline/${name}`, () => {
    it('is in the README, and has its page', () => {
      assert.ok(readPage('README.md').includes(`trunkline/${name}`))
      assert.ok(existsSync(join(ROOT, `docs/guide/${page}.md`)))
    })
  })
}

describe('each protocol', () => {
  const readme = readPage('README.md')
  for (const name of protocols) {
    it(`${name} is in the README, has its page and its tests`, () => {
      assert.ok(
        readme.includes(`trunkline/protocols/${name}`),
        `the README does not mention trunkline/protocols/${name}`,
      )
      assert.ok(
        existsSync(join(ROOT, `docs/guide/protocols/${name}.md`)),
        `docs/guide/protocols/${name}.md is not there`,
      )
      assert.ok(testsOf('protocols', name).length > 0, `test/protocols has no test of ${name}`)
    })
  }
})
