/** What a chunk uses and does not load: the modules of Node, and some of our own. */
import { readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { relative } from 'node:path'
import { root } from './root.mjs'

/** Modules that Node has loaded by itself: there is nothing to wait with. */
const AT_ONCE = new Set(['buffer', 'events', 'fs', 'os', 'path', 'process', 'timers', 'url', 'util'])

/**
 * What is loaded by its first use besides the modules of Node and what the sources import with
 * `import()`: most commands use none of it. None is called for every frame.
 */
export const SELDOM = [
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

/** `text` with the paths of chunks in place of what {@link SELDOM} names. */
export function withChunks(text, pathOf) {
  return text.replaceAll(/BUNDLE_CHUNK\("([^"]+)"\)/g, (_, source) => `require("${pathOf(source)}")`)
}

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

export const lazyModules = {
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
