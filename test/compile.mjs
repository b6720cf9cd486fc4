/**
 * Compiles every module that tests load, once for all of them: `compile()` of this file, as
 * test/run.mjs calls it.
 *
 * A compiler in each process costs more than most tests (half a second to start, a second for what
 * it compiles). The result is plain modules with source maps below build/tests, in the same tree as
 * the sources. `import.meta` keeps telling the source's place, so that a fixture beside a test is
 * found, and so is what the test starts. Only what has changed is written: two runs at a time do
 * not disturb each other.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Where the compiled modules are: the place of `test/x.ts` is `test/x.js` below it. */
export const COMPILED = join(root, 'build', 'tests')

const SOURCES = ['src', 'transports', 'protocols', 'test', 'docs/examples']
/** Programs with dependencies of their own, or of other machines. */
const NOT_OURS = new Set(['node_modules', 'build', 'mutation'])

async function typeScriptFiles(folder) {
  const entries = await readdir(folder, { withFileTypes: true })
  const found = entries.map((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : typeScriptFiles(path)
    return entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts') ? [path] : []
  })
  return (await Promise.all(found)).flat()
}

/** Where the compiled module of the source `path` is. */
export const compiledPath = (path) => join(COMPILED, relative(root, path).replace(/\.ts$/, '.js'))

/** Each module stays one of its own, and `import.meta` tells the source's place. */
const inPlace = {
  name: 'in place',
  setup(building) {
    building.onResolve({ filter: /^/ }, ({ path, kind, resolveDir }) => {
      if (kind === 'entry-point') return undefined
      if (!path.startsWith('.')) return { path, external: true }
      const from = dirname(compiledPath(join(resolveDir, 'any.ts')))
      const target = join(resolveDir, path)
      const to = relative(from, path.endsWith('.ts') ? compiledPath(target) : target).replaceAll(sep, '/')
      return { path: to.startsWith('.') ? to : `./${to}`, external: true }
    })
    building.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8')
      const place = { url: pathToFileURL(path).href, filename: path, dirname: dirname(path) }
      const contents = source.replace(/\bimport\.meta\.(url|filename|dirname)\b/g, (_all, name) =>
        JSON.stringify(place[name]),
      )
      return { contents, loader: 'ts' }
    })
  },
}

/** Writes `contents` where the file has others. */
async function update(path, contents) {
  const present = await readFile(path).catch(() => undefined)
  if (present?.equals(contents)) return
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, contents)
}

/** Compiles; rejects where a source cannot be parsed. */
export async function compile() {
  const folders = SOURCES.map((folder) => typeScriptFiles(join(root, folder)))
  const { outputFiles } = await build({
    entryPoints: (await Promise.all(folders)).flat(),
    outdir: COMPILED,
    outbase: root,
    absWorkingDir: root,
    write: false,
    bundle: true,
    plugins: [inPlace],
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'linked',
    sourcesContent: false,
    logLevel: 'error',
  })
  await Promise.all(outputFiles.map(({ path, contents }) => update(path, contents)))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await compile()
