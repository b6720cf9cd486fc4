/**
 * Compiles the C files of this folder with a C compiler and the headers of the running Node: no node-gyp, no network. Where that is not
 * possible it prints a line that says why and exits with 0, because everything but what needs the addon works without it.
 *
 * Usage: node src/native/build.mjs [--strict] [--prebuild [--target PLATFORM-ARCH]... | --sanitize] [--output FILE]
 *
 * Makes build/Release/trunkline.node for the running platform. With --prebuild it makes prebuilds/PLATFORM-ARCH/trunkline.node instead, for every
 * platform that the package carries, or for those that are named: an installed package needs no compiler. With --sanitize it makes
 * build/Sanitized/trunkline.node, which tells of wrong accesses to memory and of undefined behaviour when libasan is loaded before it.
 * With --strict warnings are errors, and what cannot be made exits with 1.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..', '..')
const running = `${process.platform}-${process.arch}`

/** What the package carries, each with the cross compiler for it (by its usual name) and where Debian has that. */
const TARGETS = {
  'linux-x64': { compiler: 'x86_64-linux-gnu-gcc', packages: 'gcc-x86-64-linux-gnu and libc6-dev-amd64-cross' },
  'linux-arm64': { compiler: 'aarch64-linux-gnu-gcc', packages: 'gcc-aarch64-linux-gnu and libc6-dev-arm64-cross' },
}

/**
 * What is shipped. A fault that memory could be taken over by ends the process in its place: checked copies, a guarded stack, and no table that is still
 * writable once the file is loaded. Some compilers define _FORTIFY_SOURCE themselves.
 */
const HARDENED = [
  '-O2',
  '-U_FORTIFY_SOURCE',
  '-D_FORTIFY_SOURCE=2',
  '-fstack-protector-strong',
  '-Wformat',
  '-Wformat-security',
  '-Wl,-z,relro,-z,now,-z,noexecstack',
]

/** Ends the process at the first wrong access, so that nothing goes on from there. */
const SANITIZED = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer', '-g', '-O1']

const { values } = parseArgs({
  options: {
    strict: { type: 'boolean' },
    prebuild: { type: 'boolean' },
    target: { type: 'string', multiple: true },
    sanitize: { type: 'boolean' },
    output: { type: 'string' },
  },
})

/**
 * Where node_api.h and uv.h are: beside the running node, where npm's `nodedir` points, or in what npm's package `node` has installed (its binary is a copy of that
 * of a package for one platform, which has the headers).
 */
function headerFolder() {
  const beside = dirname(dirname(process.execPath))
  const forPlatform = `node-${running}`
  const roots = [
    beside,
    process.env.npm_config_nodedir,
    process.env.npm_package_config_nodedir,
    join(beside, 'node_modules', forPlatform),
    join(dirname(beside), forPlatform),
  ]
  return roots
    .filter((root) => root !== undefined)
    .map((root) => join(root, 'include', 'node'))
    .find((folder) => existsSync(join(folder, 'node_api.h')) && existsSync(join(folder, 'uv.h')))
}

function compile(headers, { compiler, missing, output, flags }) {
  mkdirSync(dirname(output), { recursive: true })
  // A file of its own, then renamed: a process that has the old addon loaded keeps its file.
  const part = `${output}.${process.pid}`
  const warnings = ['-Wall', '-Wextra', ...(values.strict ? ['-Werror'] : [])]
  const shape = ['-std=c11', '-fPIC', '-shared', '-fvisibility=hidden', '-DNAPI_VERSION=8', ...flags]
  const sources = readdirSync(here)
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(here, name))
  const args = [...shape, ...warnings, `-I${headers}`, '-o', part, ...sources]
  const run = spawnSync(compiler, args, { stdio: ['ignore', 'inherit', 'pipe'], encoding: 'utf8' })
  if (run.error?.code === 'ENOENT') return missing
  if (run.status !== 0) {
    rmSync(part, { force: true })
    process.stderr.write(run.stderr ?? '')
    return `${compiler} failed`
  }
  process.stderr.write(run.stderr)
  renameSync(part, output)
  return undefined
}

/** Why `job` was not done; undefined where it was. */
function problem(job) {
  if (process.platform !== 'linux') return `it is for Linux, not ${process.platform}`
  const headers = headerFolder()
  if (headers === undefined) return `the headers of Node ${process.version} (node_api.h, uv.h) were not found`
  return compile(headers, job)
}

/** With the system's own compiler, for the running platform. */
function ownJob(output, flags = HARDENED) {
  const compiler = process.env.CC ?? 'cc'
  return { what: 'the native addon', compiler, missing: `there is no C compiler (${compiler})`, output, flags }
}

function prebuildJob(target) {
  const known = TARGETS[target]
  if (known === undefined) throw new Error(`--target is one of ${Object.keys(TARGETS).join(', ')}, not ${target}`)
  const output = values.output ?? join(root, 'prebuilds', target, 'trunkline.node')
  if (target === running) return { ...ownJob(output), what: `the native addon for ${target}` }
  const { compiler, packages } = known
  const missing = `there is no ${compiler} (on Debian in ${packages})`
  return { what: `the native addon for ${target}`, compiler, missing, output, flags: HARDENED }
}

function jobs() {
  if (values.prebuild) {
    const targets = values.target ?? Object.keys(TARGETS)
    if (values.output !== undefined && targets.length !== 1) throw new Error('--output takes one --target')
    return targets.map(prebuildJob)
  }
  if (values.sanitize) return [ownJob(values.output ?? join(root, 'build', 'Sanitized', 'trunkline.node'), SANITIZED)]
  return [ownJob(values.output ?? join(root, 'build', 'Release', 'trunkline.node'))]
}

for (const job of jobs()) {
  const why = problem({ ...job, output: resolve(job.output) })
  if (why === undefined) continue
  // a file of an earlier run would be packed as if it were of these sources
  if (values.prebuild) rmSync(job.output, { force: true })
  console.log(`trunkline: ${job.what} was not built: ${why}`)
  if (values.strict) process.exitCode = 1
}
