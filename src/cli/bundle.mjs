/**
 * Makes the command line as it ships, in dist/bin: main.cjs, everything in one file, and trunkline.cjs, which starts it (src/cli/launch.ts). A command
 * reads two files instead of 240. What a command does not need is in the file and is not run: whatever the sources import with `import()`,
 * and the modules of Node. Imports of the library are not bundled.
 *
 * Usage: node src/cli/bundle.mjs
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Modules that Node has loaded by itself: there is nothing to wait with. */
const AT_ONCE = new Set(['buffer', 'events', 'fs', 'module', 'os', 'path', 'process', 'timers', 'url', 'util'])

/**
 * Modules of Node are loaded by their first use, not because a file that may use them is there: child_process, crypto, readline, zlib and
 * the promises of fs take a fifth of the time that a bare Node takes to start.
 */
const lazyBuiltins = {
  name: 'lazy-builtins',
  setup({ onResolve, onLoad }) {
    const names = builtinModules.filter((name) => !name.startsWith('_') && !AT_ONCE.has(name))
    onResolve({ filter: new RegExp(`^(node:)?(${names.join('|')})$`) }, ({ path }) => {
      return { path: path.replace(/^node:/, ''), namespace: 'builtin', sideEffects: false }
    })
    onLoad({ filter: /./, namespace: 'builtin' }, async ({ path }) => {
      const names = Object.keys(await import(`node:${path}`)).filter(
        (name) => !/^(default|module\.exports)$/.test(name),
      )
      const lines = [
        'let found',
        // not esbuild's require, which it would move to the front
        `const load = () => (found ??= BUNDLE_REQUIRE('node:${path}'))`,
        `module.exports = { ${names.map((name) => `get ${name}() { return load().${name} }`).join(', ')} }`,
      ]
      return { contents: lines.join('\n'), loader: 'js' }
    })
  },
}

/** How all of it is bundled. */
export const settings = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20.15',
  // V8 holds ASCII in one byte a character, and it is read without decoding
  charset: 'ascii',
  // names stay, and lines: a stack is to be read
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'none',
  logLevel: 'warning',
}

/** The command line in one file. */
export const commandLine = {
  ...settings,
  entryPoints: ['src/cli/main.ts'],
  external: ['serialport'],
  // A script that V8 was given has no loader for import(): the one that is left, of serialport, becomes a require.
  supported: { 'dynamic-import': false },
  plugins: [lazyBuiltins],
  metafile: true,
  define: {
    'import.meta.url': 'BUNDLE_URL',
    TRUNKLINE_VERSION: JSON.stringify(manifest.version),
    TRUNKLINE_STARTED: 'BUNDLE_STARTED',
    TRUNKLINE_EXECUTABLE: 'false',
  },
}

/** What the defined names above stand for, at the head of the file. */
export const HEAD = [
  'const BUNDLE_REQUIRE=require',
  'BUNDLE_URL=require("node:url").pathToFileURL(__filename).href',
  'BUNDLE_STARTED=process.argv[1];',
].join()

const LICENCE = /^(licen[cs]e|notice|copying)(\.|-|$)/i

/** The licences of the packages that are in the bundle, as each of them brings it. */
export function notices({ inputs }) {
  const folders = new Set()
  for (const path of Object.keys(inputs)) {
    const found = /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(path)
    if (found) folders.add(found[0])
  }
  const parts = [...folders].sort().map((folder) => {
    const { name, version, license, author } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
    const files = readdirSync(join(root, folder)).filter((file) => LICENCE.test(file))
    const texts = files.map((file) => readFileSync(join(root, folder, file), 'utf8').trim())
    // some packages of one author bring no text: theirs are the two that trunkline has itself
    const none = `By ${author}. The texts of its licences are in trunkline's own file LICENSE.`
    if (texts.length === 0 && license !== manifest.license) throw new Error(`${folder} has no file with its licence`)
    return [`${name} ${version} (${license})`, ...(texts.length > 0 ? texts : [none])].join('\n\n')
  })
  return `The command line contains these packages.\n\n${parts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}

async function makeBundle(folder) {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const outfile = join(folder, 'main.cjs')
  const { metafile } = await build({
    ...commandLine,
    outfile,
    banner: { js: `(function(exports,require,module,__filename){${HEAD}` },
    footer: { js: '})' },
  })
  writeFileSync(join(folder, 'third-party-licenses.txt'), notices(metafile))
  const hash = createHash('sha256').update(readFileSync(outfile)).digest('hex').slice(0, 16)
  await build({
    ...settings,
    entryPoints: ['src/cli/launch.ts'],
    outfile: join(folder, 'trunkline.cjs'),
    define: { BUNDLE_HASH: JSON.stringify(hash) },
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await makeBundle(join(root, 'dist', 'bin'))
