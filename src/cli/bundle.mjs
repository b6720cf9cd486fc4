/**
 * Makes the command line as it ships, in dist/bin: main.cjs, everything in one file, and
 * trunkline.cjs, which starts it (src/cli/launch.ts). A command reads two files instead of 240.
 * What a command does not need is in the file and is not run: whatever the sources import with
 * `import()`, and the modules of Node. Imports of the library are not bundled.
 *
 * Usage: node src/cli/bundle.mjs
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Modules that Node has loaded by itself: there is nothing to wait with. */
const AT_ONCE = new Set(['buffer', 'events', 'fs', 'os', 'path', 'process', 'timers', 'url', 'util'])

/**
 * What is loaded by its first use besides the modules of Node and what the sources import with
 * `import()`: most commands use none of it. None is called for every frame.
 */
const SELDOM = [
  'src/api/server.ts',
  'src/session/reconnecting-trunk.ts',
  'src/core/session/checked-framing.ts',
  'src/session/checksum-tools.ts',
  'src/session/token.ts',
  'src/native/load.ts',
  'protocols/filesystem/copy/copy.ts',
  'protocols/filesystem/server.ts',
  'node_modules/cli-progress/cli-progress.js',
]
const CHUNK = (path) => `BUNDLE_CHUNK(${JSON.stringify(path)})`
const RESOLVED = Symbol('resolved')

/**
 * A module that is loaded by the first use of what it exports, not because a file that may use it
 * is there. Of Node's own, child_process, crypto, readline, zlib and the promises of fs take a
 * fifth of the time that a bare Node takes to start.
 */
function waited(names, load) {
  const lines = [
    'let found',
    `const load = () => (found ??= ${load})`,
    `module.exports = { ${names.map((name) => `get ${name}() { return load().${name} }`).join(', ')} }`,
  ]
  return { contents: lines.join('\n'), loader: 'js' }
}

const lazyModules = {
  name: 'lazy-modules',
  setup({ onResolve, onLoad, resolve: find }) {
    const builtins = builtinModules.filter((name) => !name.startsWith('_') && !AT_ONCE.has(name))
    onResolve({ filter: new RegExp(`^(node:)?(${builtins.join('|')})$`) }, ({ path, importer, kind }) => {
      const name = path.replace(/^node:/, '')
      const pluginData = { names: kind === 'import-statement' ? importedNames(importer, path) : undefined }
      return { path: `${name} ${pluginData.names ?? ''}`, namespace: 'builtin', sideEffects: false, pluginData }
    })
    onLoad({ filter: /./, namespace: 'builtin' }, async ({ path, pluginData }) => {
      const name = `node:${path.split(' ')[0]}`
      const all = Object.keys(await import(name)).filter((one) => !/^(default|module\.exports)$/.test(one))
      // not esbuild's require, which it would move to the front
      return waited(pluginData.names ?? all, `BUNDLE_REQUIRE('${name}')`)
    })
    onResolve({ filter: /^\.|^cli-progress$/ }, async ({ path, importer, kind, resolveDir, pluginData }) => {
      if (kind !== 'import-statement' || pluginData === RESOLVED) return undefined
      const found = await find(path, { importer, kind, resolveDir, pluginData: RESOLVED })
      const from = relative(root, found.path)
      if (!SELDOM.includes(from)) return undefined
      const names = importedNames(importer, path)
      return { path: `${from} ${names}`, namespace: 'seldom', sideEffects: false, pluginData: { from, names } }
    })
    onLoad({ filter: /./, namespace: 'seldom' }, ({ pluginData: { from, names } }) => waited(names, CHUNK(from)))
  },
}

/** The names that `file` imports from `from`. */
function importedNames(file, from) {
  const names = new Set()
  for (const [, kind, list, path] of readFileSync(file, 'utf8').matchAll(
    /^(?:import|export) (type )?(\w+|\{[^}]*\}) from ['"]([^'"]+)['"]/gm,
  )) {
    if (path !== from || kind !== undefined) continue
    if (!list.startsWith('{')) names.add('default')
    for (const one of list
      .replace(/[{}]/g, '')
      .split(',')
      .map((text) => text.trim()))
      if (one !== '' && list.startsWith('{') && !one.startsWith('type ')) names.add(one.split(' as ')[0])
  }
  return [...names]
}

/** Chunks know each other: what one exports needs no copy that also looks right to strangers. */
function plainExports(code) {
  return code
    .replace(/__toCommonJS\((\w+)\)/, '$1')
    .replaceAll(/__toESM\(require\((["'][./][^"']+["'])\)\)/g, 'require($1)')
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

const definitions = {
  'import.meta.url': 'BUNDLE_URL',
  TRUNKLINE_VERSION: JSON.stringify(manifest.version),
  TRUNKLINE_STARTED: 'BUNDLE_STARTED',
  TRUNKLINE_EXECUTABLE: 'false',
}

/** What the defined names stand for, at the head of the file. */
export const HEAD = [
  'const BUNDLE_REQUIRE=require',
  'BUNDLE_URL=require("node:url").pathToFileURL(__filename).href',
  'BUNDLE_STARTED=process.argv[1];',
].join()

/**
 * What only these load is in a file of its own, that most commands do not read: servers, the lines
 * that are files here, what is seldom asked for.
 */
const REST = [
  'src/cli/commands/serve.ts',
  'src/cli/commands/doctor.ts',
  'src/cli/commands/bench.ts',
  'src/cli/commands/demo.ts',
  'src/cli/doctor/examine.ts',
  'src/cli/doctor/findings.ts',
  'src/cli/demo/demo.ts',
  'src/cli/demo/role.ts',
  'src/api/server.ts',
  'src/core/session/checked-framing.ts',
  'src/session/checksum-tools.ts',
  'protocols/bench.ts',
  'protocols/filesystem.ts',
  'protocols/filesystem/server.ts',
  'protocols/tcp-listener.ts',
  'protocols/unix-connection.ts',
  'protocols/unix-listener.ts',
  'transports/memory.ts',
  'transports/serial.ts',
  'transports/stdio.ts',
  'transports/vsock.ts',
  'node_modules/cli-progress/cli-progress.js',
]

/**
 * The command line divided into chunks by what may be loaded alone: their texts by path, the paths
 * of those that sources are the entries of, and what is in them.
 */
async function makeChunks({ external, plugins, define, sourcemap }) {
  const { metafile, outputFiles } = await build({
    ...settings,
    // a line's end within what stands for a chunk would hide it
    lineLimit: 0,
    entryPoints: ['src/cli/main.ts', ...SELDOM],
    outbase: root,
    outdir: 'dist/bin',
    format: 'esm',
    splitting: true,
    chunkNames: '[hash]',
    write: false,
    metafile: true,
    sourcemap,
    external,
    define: { ...definitions, ...define },
    plugins: [...plugins, lazyModules],
  })
  // by their paths from the root: none of this machine is in what is made
  const texts = new Map(outputFiles.map(({ path, text }) => [relative(root, path), text]))
  const entries = new Map()
  for (const [path, { entryPoint }] of Object.entries(metafile.outputs))
    if (entryPoint !== undefined) entries.set(entryPoint, path)
  for (const [path, text] of texts)
    texts.set(
      path,
      text.replaceAll(/BUNDLE_CHUNK\("([^"]+)"\)/g, (_, from) => `require("${join(root, entries.get(from))}")`),
    )
  const codes = new Map()
  for (const [path, text] of texts) {
    const { code } = await transform(text, {
      format: 'cjs',
      charset: 'ascii',
      platform: 'node',
      target: settings.target,
      // A script that V8 was given has no loader for import(): each becomes a require.
      supported: { 'dynamic-import': false },
      minifySyntax: true,
      sourcemap,
      sourcefile: path,
    })
    codes.set(path, plainExports(code))
  }
  return { codes, entries, metafile }
}

/** The chunks that nothing loads but what {@link REST} names. */
function chunksOfRest({ codes, entries, metafile }) {
  const main = new Set()
  const visit = (path) => {
    if (main.has(path) || !codes.has(path)) return
    main.add(path)
    // without what is imported by `import()`: each of those is an entry
    for (const { path: next, kind } of metafile.outputs[path].imports) if (kind === 'import-statement') visit(next)
  }
  for (const [source, path] of entries) if (!REST.includes(source)) visit(path)
  return new Set([...codes.keys()].filter((path) => !main.has(path) && path.endsWith('.js')))
}

/**
 * Writes the chunks that `start` needs to a file, each as a function, but for those of `elsewhere`,
 * which `other` names the way to.
 */
async function writeChunks({ codes }, { start, elsewhere, other, ...options }) {
  const chunks = {
    name: 'chunks',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /./ }, ({ path, resolveDir, kind }) => {
        if (kind === 'entry-point') return { path, namespace: 'start' }
        const whole = relative(root, resolve(resolveDir, path))
        if (!codes.has(whole)) return { path, external: true }
        return { path: whole, namespace: elsewhere.has(whole) ? 'elsewhere' : 'chunk' }
      })
      onLoad({ filter: /./, namespace: 'start' }, () => ({ contents: start, resolveDir: root }))
      onLoad({ filter: /./, namespace: 'elsewhere' }, ({ path }) => ({
        contents: `module.exports=${other}[${JSON.stringify(path)}]()`,
      }))
      onLoad({ filter: /./, namespace: 'chunk' }, ({ path }) => ({
        contents: codes.get(path),
        resolveDir: join(root, dirname(path)),
      }))
    },
  }
  await build({
    ...settings,
    entryPoints: ['start'],
    supported: { 'dynamic-import': false },
    plugins: [chunks],
    ...options,
  })
}

const table = (paths) =>
  `{${[...paths].map((path) => `${JSON.stringify(path)}:()=>require(${JSON.stringify(join(root, path))})`).join()}}`

/**
 * The command line, made in two steps: chunks, which esbuild divides by what may be loaded alone,
 * then a file in which each chunk is a function. What V8 keeps of a script holds something of every
 * function that is not within another one which never ran: so a chunk that is not used costs next
 * to nothing. With `restfile` what few commands need is there. Gives what went into it.
 */
export async function bundleCommandLine({
  outfile,
  restfile,
  external = [],
  plugins = [],
  define = {},
  sourcemap,
  banner,
  footer,
}) {
  const made = await makeChunks({ external, plugins, define, sourcemap: sourcemap === false ? false : 'inline' })
  const { codes, entries, metafile } = made
  const rest = restfile === undefined ? new Set() : chunksOfRest(made)
  const main = new Set([...codes.keys()].filter((path) => path.endsWith('.js') && !rest.has(path)))
  const common = { sourcemap: sourcemap ?? settings.sourcemap, banner, footer }
  const start = `require(${JSON.stringify(join(root, entries.get('src/cli/main.ts')))})`
  const shared = restfile === undefined ? '' : `BUNDLE.chunks=${table(main)};`
  await writeChunks(made, { ...common, outfile, start: `${shared}${start}`, elsewhere: rest, other: 'BUNDLE.rest()' })
  if (restfile !== undefined)
    await writeChunks(made, {
      ...common,
      outfile: restfile,
      start: `BUNDLE.others=${table(rest)}`,
      elsewhere: main,
      other: 'BUNDLE.chunks',
    })
  return metafile
}

const LICENCE = /^(licen[cs]e|notice|copying)(\.|-|$)/i

/** The licences of the packages that are in the bundle, as each of them brings it. */
export function notices({ inputs }) {
  const folders = new Set()
  for (const path of Object.keys(inputs)) {
    if (/^\w+:/.test(path)) continue
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
  const files = { outfile: join(folder, 'main.cjs'), restfile: join(folder, 'rest.cjs') }
  const metafile = await bundleCommandLine({
    ...files,
    external: ['serialport'],
    banner: { js: `(function(exports,require,module,__filename,BUNDLE){${HEAD}` },
    footer: { js: '})' },
  })
  writeFileSync(join(folder, 'third-party-licenses.txt'), notices(metafile))
  const hash = createHash('sha256')
  for (const file of Object.values(files)) hash.update(readFileSync(file))
  await build({
    ...settings,
    entryPoints: ['src/cli/launch.ts'],
    outfile: join(folder, 'trunkline.cjs'),
    define: { BUNDLE_HASH: JSON.stringify(hash.digest('hex').slice(0, 16)) },
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await makeBundle(join(root, 'dist', 'bin'))
