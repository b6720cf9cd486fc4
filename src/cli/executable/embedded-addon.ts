/**
 * Addons and programs that the executable brings inside. The system loads code from files only, so
 * an addon gets one for that moment: a file without a name where the file system has such, else one
 * in a folder of its own that nobody else may enter. Nothing is left behind, and nobody else could
 * have put anything there.
 *
 * A folder may be missing, full, read-only or mounted noexec: each of several is tried.
 */
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { getAsset } from 'node:sea'

/** Linux's; Node has no name for it. It contains O_DIRECTORY. */
const O_TMPFILE = 0o20_000_000 | constants.O_DIRECTORY
const OWN_ONLY = 0o700

function folders(): string[] {
  const { XDG_RUNTIME_DIR: runtime = '', HOME: home = '' } = process.env
  return [tmpdir(), runtime, '/dev/shm', '/run', '/var/tmp', home, '.'].filter((folder) => folder !== '')
}

/**
 * Gives what the addon `name` exports. Throws what the system said of the last folder that was
 * tried.
 */
export function loadEmbedded(name: string): unknown {
  const content = new Uint8Array(getAsset(name))
  let failure: unknown
  for (const folder of folders()) {
    for (const put of [unnamed, named]) {
      try {
        return put(folder, content, load)
      } catch (error) {
        failure = error
      }
    }
  }
  throw failure
}

/**
 * The path of the program `name`, for as long as this process lives; undefined where `works` is
 * false of it in every folder.
 */
export function embeddedProgram(name: string, works: (path: string) => boolean): string | undefined {
  const content = new Uint8Array(getAsset(name))
  // who is written is not executed: it is opened once more
  const open = (path: string): number => openSync(path, constants.O_RDONLY)
  for (const folder of folders()) {
    for (const put of [unnamed, named]) {
      try {
        const fd = put(folder, content, open)
        const path = `/proc/${process.pid}/fd/${fd}`
        if (works(path)) return path
        closeSync(fd)
      } catch {
        // a folder that is missing, full or read-only: the next one
      }
    }
  }
  return undefined
}

function unnamed<T>(folder: string, content: Uint8Array, use: (path: string) => T): T {
  const fd = openSync(folder, O_TMPFILE | constants.O_RDWR, OWN_ONLY)
  try {
    for (let at = 0; at < content.byteLength;) at += writeSync(fd, content, at)
    return use(`/proc/self/fd/${fd}`)
  } finally {
    closeSync(fd)
  }
}

function named<T>(folder: string, content: Uint8Array, use: (path: string) => T): T {
  const own = mkdtempSync(`${folder}/trunkline-`)
  try {
    const path = `${own}/embedded`
    writeFileSync(path, content, { mode: OWN_ONLY, flag: 'wx' })
    return use(path)
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
}

function load(path: string): unknown {
  const module = { exports: {} }
  process.dlopen(module, path)
  return module.exports
}
