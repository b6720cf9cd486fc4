/**
 * The direction of imports (docs/architecture.md): address, transport, link, session, mux, pipe, protocol. A rule names
 * the files it binds and what they may, or may not, import; the table is the whole truth.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { ROOT } from './helpers/root.ts'
import { importTable, reachableFrom, sourceFiles, type ImportTable } from './helpers/source-imports.ts'

interface Rule {
  readonly says: string
  readonly binds: (path: string) => boolean
  readonly allows: (imported: string, path: string) => boolean
}

const inside =
  (...folders: string[]) =>
  (path: string) =>
    folders.some((folder) => path.startsWith(`${folder}/`))
const isSource = inside('src', 'transports', 'protocols')
const isPackage = (imported: string) => !isSource(imported) && !imported.startsWith('node:')

/** What every layer may use: no layer of its own, and it imports none. */
const FOUNDATION = new Set([
  'src/errors.ts',
  'src/limits.ts',
  'src/types.ts',
  'src/clock.ts',
  'src/cbor.ts',
  'src/backoff.ts',
  'src/on-abort.ts',
  'src/tell.ts',
])
/** What transports and protocols may use besides: the way to the kernel, what its errors mean, and their part of what all trunks share. */
const OUTSIDE = new Set([
  ...FOUNDATION,
  'src/policy.ts',
  'src/net-errors.ts',
  'src/host-port.ts',
  'src/unread.ts',
  'src/fresh-bytes.ts',
  'src/budgets.ts',
  'src/fair-budget.ts',
])
const isTransport = (path: string) => /^transports\/[^/]+\.ts$/.test(path) && path !== 'transports/schemes.ts'

const RULES: readonly Rule[] = [
  {
    says: 'the foundation imports the foundation and packages only',
    binds: (path) => FOUNDATION.has(path),
    allows: (imported) => FOUNDATION.has(imported) || isPackage(imported),
  },
  {
    says: 'frame imports errors, limits and types only',
    binds: inside('src/frame'),
    allows: (imported) =>
      inside('src/frame')(imported) || ['src/errors.ts', 'src/limits.ts', 'src/types.ts'].includes(imported),
  },
  {
    says: 'session and mux import no transport, no protocol, no command line and no entry point',
    binds: inside('src/session', 'src/mux'),
    allows: (imported) =>
      !inside('transports', 'protocols', 'src/cli')(imported) &&
      !['src/index.ts', 'src/trunk.ts', 'src/connect.ts'].includes(imported),
  },
  {
    says: 'src outside the command line imports transports only by their schemes, from connect.ts',
    binds: (path) => inside('src')(path) && !inside('src/cli')(path),
    allows: (imported, path) =>
      !inside('transports')(imported) || (path === 'src/connect.ts' && imported === 'transports/schemes.ts'),
  },
  {
    says: 'src outside the command line imports no protocol and nothing of the command line',
    binds: (path) => inside('src')(path) && !inside('src/cli')(path),
    allows: (imported) => !inside('protocols', 'src/cli')(imported),
  },
  {
    says: 'a transport imports no other transport',
    binds: (path) => inside('transports')(path) && path !== 'transports/schemes.ts',
    allows: (imported, path) => !isTransport(imported) || imported === path,
  },
  {
    says: 'of src, a transport imports the foundation, the network errors and the native part only',
    binds: inside('transports'),
    allows: (imported) => !inside('src')(imported) || OUTSIDE.has(imported) || inside('src/native')(imported),
  },
  {
    says: 'a transport imports no protocol, and a protocol no transport',
    binds: inside('transports', 'protocols'),
    allows: (imported, path) => !inside(inside('transports')(path) ? 'protocols' : 'transports')(imported),
  },
  {
    says: 'of src, a protocol imports what a plugin may, the policy, the network errors and the native part only',
    binds: inside('protocols'),
    allows: (imported) =>
      !inside('src')(imported) ||
      OUTSIDE.has(imported) ||
      inside('src/native')(imported) ||
      ['src/index.ts', 'src/protocol.ts'].includes(imported),
  },
  {
    says: 'only the command line imports what draws on a terminal',
    binds: (path) => !inside('src/cli')(path),
    allows: (imported) => !['commander', 'cli-progress'].includes(imported),
  },
]

/** One sentence for each import that breaks a rule. */
function violations(table: ImportTable): string[] {
  const found: string[] = []
  for (const [path, imports] of table) {
    for (const rule of RULES.filter((candidate) => candidate.binds(path))) {
      for (const imported of imports.filter((name) => !rule.allows(name, path))) {
        found.push(`${path} imports ${imported}: ${rule.says}`)
      }
    }
  }
  return found
}

describe('the layers', () => {
  const table = importTable(['src', 'transports', 'protocols'])

  it('import in one direction', () => {
    assert.ok(table.size > 20, `only ${table.size} source files were found`)
    assert.deepEqual(violations(table), [])
  })

  it('name files that exist', () => {
    const known = new Set(table.keys())
    const missing = [...table].flatMap(([path, imports]) =>
      imports
        .filter((name) => isSource(name) && name.endsWith('.ts') && !known.has(name))
        .map((name) => `${path}: ${name}`),
    )
    assert.deepEqual(missing, [])
  })

  it('report a wrong import', () => {
    const wrong: [path: string, imported: string][] = [
      ['src/errors.ts', 'node:fs'],
      ['src/frame/decoder.ts', 'src/mux/core.ts'],
      ['src/frame/decoder.ts', 'uint8arraylist'],
      ['src/mux/core.ts', 'transports/tcp.ts'],
      ['src/trunk.ts', 'transports/schemes.ts'],
      ['src/trunk.ts', 'protocols/filesystem.ts'],
      ['transports/unix.ts', 'transports/tcp.ts'],
      ['transports/tcp.ts', 'src/session/engine.ts'],
      ['protocols/filesystem/server.ts', 'src/mux/core.ts'],
      ['protocols/filesystem/server.ts', 'transports/internal/socket-link.ts'],
      ['protocols/tcp-listener.ts', 'src/trunk.ts'],
      ['src/connect.ts', 'cli-progress'],
    ]
    for (const [path, imported] of wrong) {
      assert.notDeepEqual(violations(new Map([[path, [imported]]])), [], `${path} may import ${imported}`)
    }
  })

  it('keep Node, time and promises out of the core', () => {
    const core = [...table.keys()].filter(
      (path) => inside('src/frame')(path) || ['src/mux/core.ts', 'src/session/engine.ts'].includes(path),
    )
    assert.ok(core.includes('src/mux/core.ts'), 'src/mux/core.ts is not there')
    const modules = [...reachableFrom(table, core)].filter(
      (name) => name.startsWith('node:') || name === 'src/clock.ts',
    )
    assert.deepEqual(modules, [])
  })

  it('load no transport, no protocol and no native part with the package’s entry', () => {
    const loaded = [...reachableFrom(table, ['src/index.ts'])]
    // transports/schemes.ts holds the dynamic imports: what it names is loaded when it is first used
    const eager = reachableFrom(new Map([...table].filter(([path]) => path !== 'transports/schemes.ts')), [
      'src/index.ts',
    ])
    assert.ok(loaded.includes('transports/schemes.ts'), 'the schemes are not reached from the entry')
    assert.deepEqual(
      [...eager].filter((path) => isTransport(path) || inside('protocols', 'src/native', 'src/cli')(path)),
      [],
    )
  })
})

describe('the top level', () => {
  it('holds the folders of the design and the usual root files, nothing else', () => {
    const folders = ['.changeset', '.ci', 'docs', 'protocols', 'src', 'test', 'transports']
    const files = [
      '.c8rc.json',
      '.editorconfig',
      '.gitattributes',
      '.gitignore',
      '.prettierignore',
      '.prettierrc.json',
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'eslint.config.js',
      'knip.json',
      'package-lock.json',
      'package.json',
      'tsconfig.build.json',
      'tsconfig.json',
    ]
    const ignored = (name: string) =>
      ['.git', 'node_modules', 'dist', 'coverage', 'build', 'prebuilds'].includes(name) || name.endsWith('.tgz')
    const entries = readdirSync(ROOT).filter((name) => !ignored(name))
    assert.deepEqual(entries.sort(), [...folders, ...files].sort())
  })

  it('gives every shipped file a kebab-case name', () => {
    const names = ['src', 'transports', 'protocols'].flatMap(sourceFiles)
    assert.deepEqual(
      names.filter((path) => !/^[a-z0-9-]+(\/[a-z0-9-]+)*\.ts$/.test(path)),
      [],
    )
  })
})
