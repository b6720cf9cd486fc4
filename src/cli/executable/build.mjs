/**
 * Makes the command line as one executable file that brings its own Node, for machines that have
 * none (Node's "single executable application"): a copy of a Node binary with the bundle,
 * trunkline's addon and keeper and serialport's addon put in. Linux with glibc only.
 *
 * Usage: node src/cli/executable/build.mjs [--node FILE] [--output FILE]
 *
 * The Node is the running one, or FILE: one for another processor has to be of the running one's
 * version. Beside the executable come the licences of what is in it.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { bundleCommandLine, HEAD } from '../bundle.mjs'
import { notices } from '../bundle/notices.mjs'
import { root } from '../bundle/root.mjs'

/** Node looks for both in its own file. */
const RESOURCE = 'NODE_SEA_BLOB'
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'

/**
 * By the ELF header's number: Node's name of the processor, and serialport's of its addon for it.
 */
const PROCESSORS = {
  62: { arch: 'x64', serialport: '@serialport+bindings-cpp.glibc.node' },
  183: { arch: 'arm64', serialport: '@serialport+bindings-cpp.armv8.glibc.node' },
}
const ELF = Buffer.from('\x7fELF', 'latin1')
const MACHINE_AT = 18

const { values } = parseArgs({ options: { node: { type: 'string' }, output: { type: 'string' } } })

function fail(message) {
  console.error(`trunkline: the executable was not built: ${message}`)
  process.exit(1)
}

/** What the Node binary is for, and whether it can be run here. */
function examine(path) {
  const bytes = readFileSync(path)
  const known = bytes.subarray(0, 4).equals(ELF) ? PROCESSORS[bytes.readUInt16LE(MACHINE_AT)] : undefined
  if (known === undefined)
    fail(
      `${path} is no program for Linux on ${Object.values(PROCESSORS)
        .map(({ arch }) => arch)
        .join(' or ')}`,
    )
  if (!bytes.includes(FUSE)) fail(`${path} is no Node that takes a program inside`)
  if (bytes.includes(`${FUSE}:1`)) fail(`${path} has a program inside already`)
  if (bytes.includes('/ld-musl-')) fail(`${path} is for musl, and the addons are for glibc`)
  const runsHere = process.platform === 'linux' && known.arch === process.arch
  // What is put in differs from release to release: the Node that is to read it writes it, where it
  // runs.
  if (!runsHere && !bytes.includes(`node-${process.version}`) && !bytes.includes(process.version))
    fail(`${path} is not of version ${process.version}, which writes what is put in`)
  return { ...known, writer: runsHere ? path : process.execPath, runsHere }
}

/** trunkline's addon and its keeper for this processor, made where they are missing. */
function ownParts(arch, folder) {
  const parts = (from) => ({ 'trunkline.node': join(from, 'trunkline.node'), keeper: join(from, 'keeper') })
  if (process.platform === 'linux' && arch === process.arch) {
    const built = parts(join(root, 'build', 'Release'))
    if (Object.values(built).every((file) => existsSync(file))) return built
  }
  const made = parts(folder)
  const script = join(root, 'src', 'native', 'build.mjs')
  const args = [script, '--strict', '--prebuild', '--target', `linux-${arch}`, '--output', made['trunkline.node']]
  if (spawnSync(process.execPath, args, { stdio: 'inherit' }).status !== 0)
    fail(`there is no addon or no keeper for linux-${arch}`)
  return made
}

/**
 * As src/cli/launch.ts does: nothing is left to be done then, and the process need not take its
 * heap apart.
 */
const LEAVE = "process.once('beforeExit',()=>process.exit());"

/** What finds an addon by its file gives way to what has it inside. */
const embedded = {
  name: 'embedded-parts',
  setup({ onResolve }) {
    const here = (file) => ({ path: join(root, 'src', 'cli', 'executable', file) })
    onResolve({ filter: /^\.\/addon-file\.ts$/ }, ({ importer }) => {
      return importer === join(root, 'src', 'native', 'load.ts') ? here('addon-file.ts') : undefined
    })
    onResolve({ filter: /\/native\/keeper-file\.ts$/ }, () => here('keeper-file.ts'))
    const named = join(root, 'src', 'cli', 'executable', 'serialport.ts')
    onResolve({ filter: /^serialport$/ }, ({ importer }) => (importer === named ? undefined : { path: named }))
    onResolve({ filter: /^node-gyp-build$/ }, () => here('serialport-addon.ts'))
  },
}

async function bundle(folder) {
  const outfile = join(folder, 'main.cjs')
  const metafile = await bundleCommandLine({
    outfile,
    sourcemap: false,
    define: { TRUNKLINE_EXECUTABLE: 'true' },
    plugins: [embedded],
    banner: { js: `${HEAD}${LEAVE}` },
  })
  return { outfile, metafile }
}

/** By its command, whose warnings about the sections of a Node binary mean nothing. */
function inject(file, blob) {
  const command = createRequire(import.meta.url).resolve('postject/dist/cli.js')
  const args = [command, file, RESOURCE, blob, '--sentinel-fuse', FUSE]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) fail(`it was not put into ${file}: ${stderr}${stdout}`)
}

async function make(node, output) {
  const { arch, serialport, writer, runsHere } = examine(node)
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-executable-'))
  try {
    const { outfile, metafile } = await bundle(folder)
    const blob = join(folder, 'blob')
    const config = join(folder, 'config.json')
    const assets = {
      ...ownParts(arch, folder),
      'serialport.node': join(root, 'node_modules/@serialport/bindings-cpp/prebuilds', `linux-${arch}`, serialport),
    }
    const settings = {
      main: outfile,
      output: blob,
      disableExperimentalSEAWarning: true,
      useCodeCache: runsHere,
      assets,
    }
    writeFileSync(config, JSON.stringify(settings))
    const { status, stderr } = spawnSync(writer, ['--experimental-sea-config', config], { encoding: 'utf8' })
    if (status !== 0) fail(`Node did not take it: ${stderr}`)
    mkdirSync(dirname(output), { recursive: true })
    // A file of its own, then renamed: a process that runs the old one keeps its file.
    const part = `${output}.${process.pid}`
    try {
      copyFileSync(node, part)
      chmodSync(part, 0o755)
      inject(part, blob)
      renameSync(part, output)
    } finally {
      rmSync(part, { force: true })
    }
    writeFileSync(join(dirname(output), 'third-party-licenses.txt'), notices(metafile))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return arch
}

const node = realpathSync(values.node ?? process.execPath)
const output = resolve(values.output ?? join(root, 'dist', 'executable', 'trunkline'))
const arch = await make(node, output)
console.log(`${output}: linux-${arch}, ${(statSync(output).size / 2 ** 20).toFixed(0)} MiB`)
