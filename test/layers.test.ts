/**
 * The direction of imports (docs/internals/architecture.md): address, transport, link, session,
 * mux, pipe, protocol. A rule names the files it binds and what they may, or may not, import; the
 * table is the whole truth.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ROOT } from './helpers/root.ts'
import { circlesOf, importTable, reachableFrom, sourceFiles, type ImportTable } from './helpers/source-imports.ts'

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

const isTransport = (path: string) => /^transports\/[^/]+\.ts$/.test(path)
const inContracts = inside('src/contracts')
const inRuntime = inside('src/runtime')
const inNative = inside('src/native')
const either =
  (...checks: ((path: string) => boolean)[]) =>
  (path: string) =>
    checks.some((check) => check(path))

/** The files that package.json exports, as sources: what users import by name. */
const PUBLIC = publicFiles()
/**
 * What the command line uses besides: nothing of it is an interface, and none of it decides what a
 * user of the library could not.
 */
const CLI_EXCEPTIONS: Readonly<Record<string, string>> = {
  'src/runtime/': 'what every program could use: it has no domain, and is no interface',
  'src/native/': 'doctor says what the addon can do, a terminal is restored by it, and the executable unpacks it',
  'src/contracts/errors.ts': 'the sentences for a bad argument and an abort are made in one place',
  'src/api/scheme.ts': 'an address of the configuration is checked, and examined, without a connection',
  'src/api/schemes.ts': 'the same',
  'protocols/tcp/policy.ts': 'a rule of the configuration is checked when it is read, not when it is served',
  'protocols/filesystem/copy/copy.ts': 'cp between two peers names paths and their sides as cp writes them',
  'protocols/filesystem/anonymous-file.ts': 'the configuration is replaced as served files are',
  'protocols/exec/keeper/': 'doctor says whether commands would have a keeper here',
  'protocols/exec/launch.ts': 'doctor starts a command as the server would',
}
const isCliException = (imported: string) =>
  Object.keys(CLI_EXCEPTIONS).some((name) => (name.endsWith('/') ? imported.startsWith(name) : imported === name))

const RULES: readonly Rule[] = [
  {
    says: 'of trunkline, the command line imports itself, what users import, and the exceptions that the rule names',
    binds: inside('src/cli'),
    allows: (imported) =>
      !isSource(imported) || inside('src/cli')(imported) || PUBLIC.has(imported) || isCliException(imported),
  },
  {
    says: 'the contracts import each other and packages only',
    binds: inContracts,
    allows: either(inContracts, isPackage),
  },
  {
    says: 'of trunkline, what every program could use imports the contracts only',
    binds: inRuntime,
    allows: (imported) => !isSource(imported) || either(inContracts, inRuntime)(imported),
  },
  {
    says: 'frames import frames and the contracts only',
    binds: inside('src/core/frame', 'src/core/checked-frame'),
    allows: either(inside('src/core/frame', 'src/core/checked-frame'), inContracts),
  },
  {
    says: 'the core imports itself, the contracts and what every program could use',
    binds: inside('src/core'),
    allows: either(inside('src/core'), inContracts, inRuntime, isPackage),
  },
  {
    says: 'the session imports the core and what that may import',
    binds: inside('src/session'),
    allows: (imported) =>
      !isSource(imported) || either(inside('src/session', 'src/core'), inContracts, inRuntime)(imported),
  },
  {
    says: 'the native part imports nothing of trunkline',
    binds: inNative,
    allows: (imported) => !isSource(imported) || inNative(imported),
  },
  {
    says: 'streams are made of pipes: of trunkline they import the contracts and what every program could use only',
    binds: (path) => path.startsWith('src/api/streams'),
    allows: (imported) =>
      !isSource(imported) || either(inContracts, inRuntime, (path) => path.startsWith('src/api/streams'))(imported),
  },
  {
    says: 'only the schemes, of src/api, import transports',
    binds: (path) => inside('src')(path) && !inside('src/cli')(path),
    allows: (imported, path) => !inside('transports')(imported) || path === 'src/api/schemes.ts',
  },
  {
    says: 'src outside the command line imports no protocol and nothing of the command line',
    binds: (path) => inside('src')(path) && !inside('src/cli')(path),
    allows: (imported) => !inside('protocols', 'src/cli')(imported),
  },
  {
    says: 'src holds the entry, and no other file',
    binds: (path) => inside('src')(path) && path !== 'src/index.ts',
    allows: (_, path) => path.split('/').length > 2,
  },
  {
    says: 'a transport imports no other transport',
    binds: inside('transports'),
    allows: (imported, path) => !isTransport(imported) || imported === path,
  },
  {
    says: 'of src, a transport imports the contracts, what every program could use and the native part only',
    binds: inside('transports'),
    allows: (imported) => !inside('src')(imported) || either(inContracts, inRuntime, inNative)(imported),
  },
  {
    says: 'a transport imports no protocol, and a protocol no transport',
    binds: inside('transports', 'protocols'),
    allows: (imported, path) => !inside(inside('transports')(path) ? 'protocols' : 'transports')(imported),
  },
  {
    says: 'of src, a protocol imports what a plugin may, CBOR, the contracts, what every program could use and the native part only',
    binds: inside('protocols'),
    allows: (imported) =>
      !inside('src')(imported) ||
      either(inContracts, inRuntime, inNative)(imported) ||
      ['src/index.ts', 'src/core/cbor.ts'].includes(imported),
  },
  {
    says: 'only the command line imports what draws on a terminal',
    binds: (path) => !inside('src/cli')(path),
    allows: (imported) => !['commander', 'cli-progress', 'picocolors'].includes(imported),
  },
]

function publicFiles(): ReadonlySet<string> {
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    exports: Record<string, string | null | { readonly default: string }>
  }
  const files = Object.values(exports).flatMap((target) => {
    if (target === null || typeof target === 'string') return []
    const source = target.default.replace(/^\.\/dist\//, '').replace(/\.js$/, '.ts')
    if (!source.includes('*')) return [source]
    const folder = source.slice(0, source.indexOf('*'))
    return readdirSync(join(ROOT, folder))
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${folder}${name}`)
  })
  return new Set(files)
}

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

  it('hold no circle of imports, of types neither', () => {
    assert.deepEqual(circlesOf(table), [])
  })

  it('have no exception for the command line that nothing needs', () => {
    const used = [...table].filter(([path]) => inside('src/cli')(path)).flatMap(([, imports]) => imports)
    const isUsed = (name: string) => used.some((one) => (name.endsWith('/') ? one.startsWith(name) : one === name))
    assert.deepEqual(
      Object.keys(CLI_EXCEPTIONS).filter((name) => !isUsed(name) || PUBLIC.has(name)),
      [],
    )
  })

  it('report a circle', () => {
    const circles = circlesOf(
      new Map([
        ['a', ['b', 'node:fs']],
        ['b', ['c']],
        ['c', ['a', 'd']],
        ['d', ['e']],
        ['e', []],
        ['f', ['f']],
        ['g', ['h', 'a']],
        ['h', ['g']],
      ]),
    )
    assert.deepEqual(circles, [['a', 'b', 'c'], ['f'], ['g', 'h']])
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
      ['src/cli/run.ts', 'src/session/trunk.ts'],
      ['src/cli/run.ts', 'src/contracts/types.ts'],
      ['src/cli/run.ts', 'protocols/filesystem/client.ts'],
      ['src/contracts/errors.ts', 'node:fs'],
      ['src/contracts/types.ts', 'src/runtime/clock.ts'],
      ['src/runtime/backoff.ts', 'src/core/cbor.ts'],
      ['src/core/frame/decoder.ts', 'src/core/mux/core.ts'],
      ['src/core/frame/decoder.ts', 'uint8arraylist'],
      ['src/core/mux/core.ts', 'transports/tcp.ts'],
      ['src/core/mux/core.ts', 'src/session/driver.ts'],
      ['src/core/session/engine.ts', 'node:crypto'],
      ['src/session/trunk.ts', 'src/api/server.ts'],
      ['src/session/trunk.ts', 'src/api/schemes.ts'],
      ['src/session/trunk.ts', 'protocols/filesystem.ts'],
      ['src/api/connect.ts', 'transports/tcp.ts'],
      ['src/api/connect.ts', 'picocolors'],
      ['src/api/streams/node.ts', 'src/session/pipe/pipe.ts'],
      ['src/loose.ts', 'src/contracts/types.ts'],
      ['transports/unix.ts', 'transports/tcp.ts'],
      ['transports/tcp.ts', 'src/core/session/engine.ts'],
      ['protocols/filesystem/server.ts', 'src/core/mux/core.ts'],
      ['protocols/filesystem/server.ts', 'transports/internal/socket-link.ts'],
      ['protocols/tcp-listener.ts', 'src/session/trunk.ts'],
    ]
    for (const [path, imported] of wrong) {
      assert.notDeepEqual(violations(new Map([[path, [imported]]])), [], `${path} may import ${imported}`)
    }
  })

  it('keep Node, time and promises out of the core', () => {
    const core = [...table.keys()].filter(inside('src/core'))
    assert.ok(core.includes('src/core/mux/core.ts'), 'src/core/mux/core.ts is not there')
    const modules = [...reachableFrom(table, core)].filter(
      (name) => name.startsWith('node:') || name === 'src/runtime/clock.ts',
    )
    assert.deepEqual(modules, [])
  })

  it('load no transport, no protocol and no native part with the package’s entry', () => {
    const loaded = [...reachableFrom(table, ['src/index.ts'])]
    // src/api/schemes.ts holds the dynamic imports: what it names is loaded when it is first used
    const eager = reachableFrom(new Map([...table].filter(([path]) => path !== 'src/api/schemes.ts')), ['src/index.ts'])
    assert.ok(loaded.includes('src/api/schemes.ts'), 'the schemes are not reached from the entry')
    assert.deepEqual(
      [...eager].filter((path) => isTransport(path) || inside('protocols', 'src/native', 'src/cli')(path)),
      [],
    )
  })
})

describe('the top level', () => {
  it('holds the folders of the design and the usual root files, nothing else', () => {
    const folders = ['.changeset', '.ci', '.github', 'docs', 'protocols', 'src', 'test', 'transports']
    const files = [
      '.c8rc.json',
      '.editorconfig',
      '.gitattributes',
      '.gitignore',
      '.oxfmtrc.json',
      '.oxlintrc.json',
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
    const made = ['.git', 'node_modules', 'dist', 'coverage', 'build', 'prebuilds']
    const editors = ['.devcontainer', '.idea', '.vscode']
    const ignored = (name: string) => [...made, ...editors].includes(name) || name.endsWith('.tgz')
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
