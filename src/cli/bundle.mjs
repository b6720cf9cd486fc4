/**
 * Makes the command line as it ships, in dist/bin: main.cjs, with what a command at the peer's
 * files needs, a file for each other part of it, and trunkline.cjs, which starts it
 * (src/cli/launch.ts). A command reads two or three files instead of 240. What a command does not
 * need is not run: whatever the sources import with `import()`, and the modules of Node. Imports of
 * the library are not bundled.
 *
 * Usage: node src/cli/bundle.mjs
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'
import { lazyModules, SELDOM, withChunks } from './bundle/lazy-modules.mjs'
import { notices } from './bundle/notices.mjs'
import { root } from './bundle/root.mjs'

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/**
 * A chunk of esbuild's as a function's body. Its exports are values, where esbuild has a getter for
 * each, and a getter costs what the function behind it costs. Chunks do not need each other in a
 * circle, so none reads a value that is not there yet. Each line stays one, for the source map.
 */
function asBody(text) {
  const body = text
    .replaceAll(/^import \{([^}]*)\} from ("[^"]+");$/gm, (_, names, from) => {
      return `const {${names.replaceAll(' as ', ': ')}} = require(${from});`
    })
    .replaceAll(/^import (?:\* as )?([\w$]+) from ("node:[^"]+");$/gm, 'const $1 = require($2);')
    // only for its effects, and package.json says that there are none
    .replaceAll(/^import "\.[^"]+";$/gm, '')
    .replaceAll(/^export \{([^}]*)\};$/gm, (_, names) => {
      return `module.exports = {${names.replaceAll(/([\w$]+) as ([\w$]+)/g, '$2: $1')}};`
    })
    .replaceAll(/^export default (.*);$/gm, 'module.exports = { default: $1 };')
    .replaceAll(/\bimport\(("\.[^"]+")\)/g, 'Promise.resolve().then(() => require($1))')
  const left = /^(?:import|export)\b.*$/m.exec(body)
  if (left) throw new Error(`a chunk has a form that is not known here: ${left[0]}`)
  return body
}

/** How all of it is bundled. */
export const settings = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  // a module's path is below the root, also where node_modules is a link
  preserveSymlinks: true,
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
 * The files, and the sources that are loaded alone and belong to each: what a file's sources need
 * is there too, or in the first file. The last one has all that is not named.
 */
const PARTS = {
  main: [
    'src/cli/main.ts',
    ...['ls', 'cat', 'stat', 'mkdir', 'rm', 'mv', 'ping'].map((name) => `src/cli/commands/${name}.ts`),
    'src/native/load.ts',
    'src/session/token.ts',
    'transports/tcp.ts',
    'transports/unix.ts',
  ],
  copy: ['src/cli/commands/cp.ts', 'protocols/filesystem/copy/copy.ts'],
  progress: ['node_modules/cli-progress/cli-progress.js'],
  config: ['src/cli/config/load.ts', 'src/cli/commands/peers.ts'],
  exec: ['exec', 'shell', 'ps', 'attach', 'logs', 'kill'].map((name) => `src/cli/commands/${name}.ts`),
  forward: [
    'src/cli/commands/forward.ts',
    'src/cli/forward/proxy.ts',
    'src/session/reconnecting-trunk.ts',
    'protocols/forward/index.ts',
    'protocols/tcp-connection.ts',
  ],
  rest: [],
}

/**
 * The command line divided into chunks by what may be loaded alone: their texts by path, the paths
 * of those that sources are the entries of, and what is in them.
 */
async function makeChunks({ external, plugins, define, sourcemap }) {
  const { metafile, outputFiles } = await build({
    ...settings,
    // asBody reads lines
    minifyWhitespace: false,
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
  const codes = new Map()
  for (const [path, text] of texts) {
    if (!path.endsWith('.js')) continue
    const body = asBody(withChunks(text, (source) => join(root, entries.get(source))))
    const { code } = await transform(body, {
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
    codes.set(path, code)
  }
  return { codes, entries, metafile }
}

/**
 * The part of each chunk: the one whose sources need it, the first one where several do, and the
 * last one for what {@link PARTS} does not name.
 */
function partsOf({ codes, entries, metafile }) {
  const parts = new Map()
  const [first] = Object.keys(PARTS)
  for (const [part, sources] of Object.entries(PARTS)) {
    const seen = new Set()
    const visit = (path) => {
      if (seen.has(path) || !codes.has(path)) return
      seen.add(path)
      parts.set(path, parts.has(path) ? first : part)
      // without what is imported by `import()`: each of those is an entry
      for (const { path: next, kind } of metafile.outputs[path].imports) if (kind === 'import-statement') visit(next)
    }
    for (const source of sources) {
      if (!entries.has(source)) throw new Error(`${source} is not loaded alone`)
      visit(entries.get(source))
    }
  }
  for (const path of codes.keys()) if (!parts.has(path)) parts.set(path, Object.keys(PARTS).at(-1))
  return parts
}

/** The chunks that one of another part may need. */
function wantedElsewhere({ entries, metafile }, parts) {
  const wanted = new Set(SELDOM.map((source) => entries.get(source)))
  for (const [path, part] of parts) {
    for (const { path: next } of metafile.outputs[path].imports)
      if (parts.has(next) && parts.get(next) !== part) wanted.add(next)
  }
  return [...wanted]
}

/**
 * Writes the chunks that `start` needs to a file, each as a function. What is of another part is
 * asked of that part.
 */
async function writePart({ codes }, { start, otherPart, ...options }) {
  const chunks = {
    name: 'chunks',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /./ }, ({ path, resolveDir, kind }) => {
        if (kind === 'entry-point') return { path, namespace: 'start' }
        const whole = relative(root, resolve(resolveDir, path))
        if (!codes.has(whole)) return { path, external: true }
        return { path: whole, namespace: otherPart(whole) === undefined ? 'chunk' : 'elsewhere' }
      })
      onLoad({ filter: /./, namespace: 'start' }, () => ({ contents: start, resolveDir: root }))
      onLoad({ filter: /./, namespace: 'elsewhere' }, ({ path }) => ({
        contents: `module.exports = BUNDLE(${JSON.stringify(otherPart(path))})(${JSON.stringify(path)})`,
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

/** What gives a chunk by its path: one function, as most are not asked for. */
function giver(paths) {
  const cases = paths.map((path) => `case ${JSON.stringify(path)}:return require(${JSON.stringify(join(root, path))})`)
  return `(path)=>{switch(path){${cases.join(';')}}}`
}

/**
 * The command line, made in two steps: chunks, which esbuild divides by what may be loaded alone,
 * then files in which each chunk is a function. What V8 keeps of a script holds something of every
 * function that is not within another one which never ran: so a chunk that is not used costs next
 * to nothing but the reading. Gives what went into it.
 * @param fileOf the file of a part; without it there is one file, `outfile`
 */
export async function bundleCommandLine({
  outfile,
  fileOf,
  external = [],
  plugins = [],
  define = {},
  sourcemap,
  banner,
  footer,
}) {
  const made = await makeChunks({ external, plugins, define, sourcemap: sourcemap === false ? false : 'inline' })
  const { entries, metafile } = made
  const common = { sourcemap: sourcemap ?? settings.sourcemap, banner, footer }
  const start = `require(${JSON.stringify(join(root, entries.get('src/cli/main.ts')))})`
  if (fileOf === undefined) {
    await writePart(made, { ...common, outfile, start, otherPart: () => undefined })
    return metafile
  }
  const parts = partsOf(made)
  const wanted = wantedElsewhere(made, parts)
  for (const part of Object.keys(PARTS))
    await writePart(made, {
      ...common,
      outfile: fileOf(part),
      start: `module.exports=${giver(wanted.filter((path) => parts.get(path) === part))};${part === 'main' ? start : ''}`,
      otherPart: (path) => (parts.get(path) === part ? undefined : parts.get(path)),
    })
  return metafile
}

async function makeBundle(folder) {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const fileOf = (part) => join(folder, `${part}.cjs`)
  const metafile = await bundleCommandLine({
    fileOf,
    external: ['serialport'],
    banner: { js: `(function(exports,require,module,__filename,BUNDLE){${HEAD}` },
    footer: { js: '})' },
  })
  writeFileSync(join(folder, 'third-party-licenses.txt'), notices(metafile))
  const hash = createHash('sha256')
  for (const part of Object.keys(PARTS)) hash.update(readFileSync(fileOf(part)))
  await build({
    ...settings,
    entryPoints: ['src/cli/launch.ts'],
    outfile: join(folder, 'trunkline.cjs'),
    define: { BUNDLE_HASH: JSON.stringify(hash.digest('hex').slice(0, 16)) },
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await makeBundle(join(root, 'dist', 'bin'))
