#!/usr/bin/env node
/**
 * The `trunkline` command as it is installed: starts main.cjs, with the code that V8 made of it
 * when the same command ran before, and gives it the other files of the command line where it needs
 * them (src/cli/bundle.mjs says what is in which). Compiling is half of what a short command costs;
 * a good part of what is left is memory that is touched for the first time, so no more is read than
 * a command needs, and what is read goes through one buffer.
 *
 * Node's own compile cache (module.enableCompileCache) is not there on Node 20, and keeps its files
 * in the temporary folder, which every user may write: V8 runs what it finds in such a file. So the
 * files are kept here, in the user's cache folder, and only while nobody else can write there.
 *
 * Bounds: for each command a file of at most some 600 kB for each file that it runs, and MAX_FILES
 * of them. Where a file cannot be kept the command starts without.
 */
import {
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { Script } from 'node:vm'

/**
 * Put in by src/cli/bundle.mjs: of what the files contain. V8 compares the length of a source, and
 * nothing else of it.
 */
declare const BUNDLE_HASH: string

const MAX_FILES = 64
/** A command's name; other words have no file of their own. */
const COMMAND = /^[a-z]{2,8}$/
/** Groups and others may write. */
const WRITABLE_BY_OTHERS = 0o022

/** Where the files are, if they can be trusted there. */
function cacheFolder(): string | undefined {
  const { env, execArgv, platform } = process
  // Other flags make other code: each of the two would throw the other's away.
  if (env['NODE_DISABLE_COMPILE_CACHE'] || env['NODE_OPTIONS'] || execArgv.length > 0) return undefined
  if (platform === 'win32') return env['LOCALAPPDATA'] && `${env['LOCALAPPDATA']}\\trunkline\\cache`
  const parent = env['XDG_CACHE_HOME'] || (env['HOME'] && `${env['HOME']}/.cache`)
  const isText = parent?.startsWith('/') && !parent.includes('\uFFFD')
  return isText ? `${parent}/trunkline` : undefined
}

function isOurs(folder: string): boolean {
  const { uid, mode } = lstatSync(folder)
  return process.geteuid === undefined || (uid === process.geteuid() && (mode & WRITABLE_BY_OTHERS) === 0)
}

/** What a file is read into. Of it the kernel makes as much as the longest file needed, once. */
let buffer = Buffer.allocUnsafeSlow(1024 * 1024)

/** The file's bytes, until the next one is read. */
function readBytes(path: string): Buffer {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    if (buffer.byteLength < size) buffer = Buffer.allocUnsafeSlow(size)
    let end = 0
    while (end < size) {
      const bytes = readSync(fd, buffer, end, size - end, null)
      if (bytes === 0) break
      end += bytes
    }
    return buffer.subarray(0, end)
  } finally {
    closeSync(fd)
  }
}

function readCode(folder: string, name: string): Buffer | undefined {
  try {
    return isOurs(folder) ? readBytes(`${folder}/${name}`) : undefined
  } catch {
    // the first run of this command, or a folder that is not to be read: it only takes longer
    return undefined
  }
}

function writeCode(folder: string, name: string, code: Buffer): void {
  try {
    // As root with a user's $HOME (sudo): nothing of root's is left there.
    const home = process.env['XDG_CACHE_HOME'] || process.env['HOME']
    if (process.geteuid !== undefined && home !== undefined && statSync(home).uid !== process.geteuid()) return
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (!isOurs(folder)) return
    const part = `${folder}/${name}.${process.pid}`
    writeFileSync(part, code, { mode: 0o600, flag: 'wx' })
    renameSync(part, `${folder}/${name}`)
    const files = readdirSync(folder).map((file) => ({ file, at: lstatSync(`${folder}/${file}`).mtimeMs }))
    files.sort((a, b) => b.at - a.at)
    for (const { file } of files.slice(MAX_FILES)) rmSync(`${folder}/${file}`, { force: true })
  } catch {
    // A disk that is full or read-only is no reason for a command that has done its work to fail.
  }
}

/** Gives what a chunk of a part exports, by the chunk's path. */
type Chunks = (path: string) => unknown
type Run = (
  exports: unknown,
  require: NodeJS.Require,
  module: { exports: unknown },
  filename: string,
  part: (name: string) => Chunks,
) => void

const [, , word = ''] = process.argv
const folder = cacheFolder()
const end = `${process.versions.v8}-${process.arch}-${COMMAND.test(word) ? word : 'other'}`
const parts = new Map<string, { exports: unknown }>()
/** What is to be kept: where nothing was, or what does not fit. */
const fresh = new Map<string, Script>()

/** Gives a part, which is a file; it runs where it has not yet. */
function partOf(part: string): Chunks {
  const known = parts.get(part)
  if (known !== undefined) return known.exports as Chunks
  const name = `${BUNDLE_HASH}-${part}-${end}`
  const filename = `${__dirname}/${part}.cjs`
  const source = readBytes(filename).toString('latin1')
  const cachedData = folder === undefined ? undefined : readCode(folder, name)
  const script = new Script(source, { filename, ...(cachedData && { cachedData }) })
  if (cachedData === undefined || script.cachedDataRejected === true) fresh.set(name, script)
  const module: { exports: unknown } = { exports: {} }
  parts.set(part, module)
  const body = script.runInThisContext() as Run
  body(module.exports, require, module, filename, partOf)
  return module.exports as Chunks
}

process.once('exit', (status) => {
  // Only now does it hold what was compiled on the way. A wrong command says nothing about the
  // next.
  if (folder === undefined || status !== 0) return
  for (const [name, script] of fresh) writeCode(folder, name, script.createCachedData())
})
// Nothing is left to be done then: the process need not take its heap apart.
process.once('beforeExit', () => process.exit())

partOf('main')
