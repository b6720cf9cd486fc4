/**
 * Compiles the C files of this folder into build/Release/trunkline.node with the system's C compiler and the headers of the running
 * Node: no node-gyp, no network. Where that is not possible it prints one line and exits with 0, because everything but
 * what needs the addon works without it.
 *
 * Usage: node src/native/build.mjs [--strict] [--prebuild | --output FILE]. With --strict warnings are errors and failing exits with 1;
 * --prebuild writes to prebuilds/PLATFORM-ARCH, which the package carries, so that an installed one needs no compiler.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const { values } = parseArgs({
  options: { strict: { type: 'boolean' }, prebuild: { type: 'boolean' }, output: { type: 'string' } },
})
const folder = values.prebuild ? ['prebuilds', `${process.platform}-${process.arch}`] : ['build', 'Release']
const output = resolve(values.output ?? join(here, '..', '..', ...folder, 'trunkline.node'))

/** Where node_api.h and uv.h are: beside the running node, or where npm's `nodedir` points. */
function headerFolder() {
  const roots = [
    dirname(dirname(process.execPath)),
    process.env.npm_config_nodedir,
    process.env.npm_package_config_nodedir,
  ]
  return roots
    .filter((root) => root !== undefined)
    .map((root) => join(root, 'include', 'node'))
    .find((folder) => existsSync(join(folder, 'node_api.h')) && existsSync(join(folder, 'uv.h')))
}

function compile(headers) {
  const compiler = process.env.CC ?? 'cc'
  mkdirSync(dirname(output), { recursive: true })
  // A file of its own, then renamed: a process that has the old addon loaded keeps its file.
  const part = `${output}.${process.pid}`
  const warnings = ['-Wall', '-Wextra', ...(values.strict ? ['-Werror'] : [])]
  const shape = ['-std=c11', '-O2', '-fPIC', '-shared', '-fvisibility=hidden', '-DNAPI_VERSION=8']
  const sources = readdirSync(here)
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(here, name))
  const args = [...shape, ...warnings, `-I${headers}`, '-o', part, ...sources]
  const run = spawnSync(compiler, args, { stdio: ['ignore', 'inherit', 'pipe'], encoding: 'utf8' })
  if (run.error?.code === 'ENOENT') return `there is no C compiler (${compiler})`
  if (run.status !== 0) {
    rmSync(part, { force: true })
    process.stderr.write(run.stderr ?? '')
    return `${compiler} failed`
  }
  process.stderr.write(run.stderr)
  renameSync(part, output)
  return undefined
}

function problem() {
  if (process.platform !== 'linux') return `it is for Linux, not ${process.platform}`
  const headers = headerFolder()
  if (headers === undefined) return `the headers of Node ${process.version} (node_api.h, uv.h) were not found`
  return compile(headers)
}

const why = problem()
if (why !== undefined) {
  console.log(`trunkline: the native addon was not built: ${why}`)
  if (values.strict) process.exitCode = 1
}
