/**
 * Compiles the C files of this folder, the addon, with a C compiler and the headers of the running
 * Node, and those of keeper/, a program of its own: no node-gyp, no network. Where that is not
 * possible it prints a line that says why and exits with 0, because everything but what needs them
 * works without them.
 *
 * Usage: node src/native/build.mjs [--strict] [--prebuild [--target PLATFORM-ARCH]... | --sanitize]
 * [--output FILE]
 *
 * Makes build/Release/trunkline.node, and the keeper beside it, for the running platform. With
 * --prebuild it makes them in prebuilds/PLATFORM-ARCH instead, for every platform that the package
 * carries, or for those that are named: an installed package needs no compiler. With --sanitize it
 * makes them in build/Sanitized, where they tell of wrong accesses to memory and of undefined
 * behaviour: the addon when libasan is loaded before it, the keeper by itself; and calls of the
 * keeper's fail when KEEPER_FAIL says so (keeper/keeper.h). FILE is the addon's. With --strict
 * warnings are errors, and what cannot be made exits with 1.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..', '..')
const running = `${process.platform}-${process.arch}`

/**
 * What the package carries, each with the cross compiler for it (by its usual name) and where
 * Debian has that.
 */
const TARGETS = {
  'linux-x64': { compiler: 'x86_64-linux-gnu-gcc', packages: 'gcc-x86-64-linux-gnu and libc6-dev-amd64-cross' },
  'linux-arm64': { compiler: 'aarch64-linux-gnu-gcc', packages: 'gcc-aarch64-linux-gnu and libc6-dev-arm64-cross' },
}

/**
 * What is shipped. A fault that memory could be taken over by ends the process in its place:
 * checked copies, a guarded stack, and no table that is still writable once the file is loaded.
 * Some compilers define _FORTIFY_SOURCE themselves.
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
 * Where node_api.h and uv.h are: beside the running node, where npm's `nodedir` points, or in what
 * npm's package `node` has installed (its binary is a copy of that of a package for one platform,
 * which has the headers).
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

/** Every C file of a folder. */
function sourcesOf(folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(folder, name))
}

/**
 * Why `output` was not made of `words`, and what the compiler said; undefined where it was made.
 */
function compile({ compiler, missing }, output, words) {
  mkdirSync(dirname(output), { recursive: true })
  // A file of its own, then renamed: a process that has the old one loaded keeps its file.
  const part = `${output}.${process.pid}`
  const warnings = ['-Wall', '-Wextra', ...(values.strict ? ['-Werror'] : [])]
  const args = ['-std=c11', ...warnings, '-o', part, ...words]
  const run = spawnSync(compiler, args, { stdio: ['ignore', 'inherit', 'pipe'], encoding: 'utf8' })
  if (run.error?.code === 'ENOENT') return { why: missing, said: '' }
  if (run.status !== 0) {
    rmSync(part, { force: true })
    return { why: `${compiler} failed`, said: run.stderr ?? '' }
  }
  process.stderr.write(run.stderr)
  renameSync(part, output)
  return undefined
}

function makeAddon(job, output) {
  const headers = headerFolder()
  if (headers === undefined)
    return { why: `the headers of Node ${process.version} (node_api.h, uv.h) were not found`, said: '' }
  const shape = ['-fPIC', '-shared', '-fvisibility=hidden', '-DNAPI_VERSION=8', `-I${headers}`]
  return compile(job, output, [...shape, ...job.flags, ...sourcesOf(here)])
}

/**
 * The keeper brings its library along. Where the compiler's machine has that for shared use alone,
 * so has a keeper that is for this machine; one for the package is not made then.
 */
function makeKeeper(job, output) {
  const sources = sourcesOf(join(here, 'keeper'))
  if (values.sanitize) return compile(job, output, [...job.flags, '-DKEEPER_FAULTS', ...sources])
  const words = ['-s', ...job.flags, ...sources]
  const failed = compile(job, output, ['-static-pie', '-fPIE', ...words])
  return failed === undefined || job.isForAnyMachine ? failed : compile(job, output, words)
}

/** What a job makes: by its name, how, and beside the addon under which name. */
const PARTS = [
  { name: 'the native addon', make: makeAddon, file: undefined },
  { name: 'the keeper', make: makeKeeper, file: 'keeper' },
]

/**
 * Makes all of a job; says what was not made and why, in one line where all has the same reason.
 */
function make(job) {
  const problems = new Map()
  for (const { name, make: makePart, file } of PARTS) {
    const output = file === undefined ? job.output : join(dirname(job.output), file)
    const failed =
      process.platform === 'linux'
        ? makePart(job, output)
        : { why: `it is for Linux, not ${process.platform}`, said: '' }
    if (failed === undefined) continue
    process.stderr.write(failed.said)
    problems.set(failed.why, [...(problems.get(failed.why) ?? []), name])
    // a file of an earlier run would be packed as if it were of these sources
    if (values.prebuild) rmSync(output, { force: true })
  }
  for (const [why, names] of problems)
    console.log(`trunkline: ${names.join(' and ')}${job.target} ${names.length > 1 ? 'were' : 'was'} not built: ${why}`)
  if (problems.size > 0 && values.strict) process.exitCode = 1
}

/** With the system's own compiler, for the running platform. */
function ownJob(output, flags = HARDENED) {
  const compiler = process.env.CC ?? 'cc'
  return {
    target: '',
    compiler,
    missing: `there is no C compiler (${compiler})`,
    output,
    flags,
    isForAnyMachine: false,
  }
}

function prebuildJob(target) {
  const known = TARGETS[target]
  if (known === undefined) throw new Error(`--target is one of ${Object.keys(TARGETS).join(', ')}, not ${target}`)
  const output = values.output ?? join(root, 'prebuilds', target, 'trunkline.node')
  const named = { target: ` for ${target}`, output, flags: HARDENED, isForAnyMachine: true }
  if (target === running) return { ...ownJob(output), ...named }
  const { compiler, packages } = known
  return { ...named, compiler, missing: `there is no ${compiler} (on Debian in ${packages})` }
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

for (const job of jobs()) make({ ...job, output: resolve(job.output) })
