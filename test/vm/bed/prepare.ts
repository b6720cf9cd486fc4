/**
 * Makes what every guest is booted from, in a cache: a Debian kernel and the shared archive. What
 * is there and still fits is used as it is, without a look at the network.
 *
 * Environment: TRUNKLINE_VM_CACHE is the cache's folder (default: `trunkline-vm` in the user's
 * cache), TRUNKLINE_VM_NODE the node binary for the guest (default: the running one). Any number of
 * processes may prepare at once; the cache is locked while something is made.
 */
import { spawnSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writevSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { baseEntries, GUEST } from './base.ts'
import { archive } from './cpio.ts'
import { BedError, currentKernel, installPrograms, missingPrograms, unpackPackage } from './debian.ts'
import { withLock } from './lock.ts'

/** What guests are booted from: paths of this machine. */
export interface Bed {
  readonly kernel: string
  readonly base: string
}

/** The cloud flavour boots fastest: little is built in, and the rest is not loaded. */
const KERNEL = 'linux-image-cloud-amd64'
/**
 * A base that nothing made in this time has used is no longer wanted: another node or another guest
 * has taken its place.
 */
const STALE_MS = 60 * 60 * 1000

/** Prepares. Throws a {@link BedError} that says what is missing. */
export async function prepareBed(): Promise<Bed> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new BedError(
      `the guest is an x86-64 Linux that runs this machine's node: this is ${process.platform} ${process.arch}`,
    )
  }
  const cache = cacheFolder()
  const made = missingPrograms().length === 0 ? madeAlready(cache) : undefined
  if (made !== undefined) return made
  // flock is one of the programs
  if (missingPrograms().includes('flock')) installPrograms()
  return await withLock(join(cache, 'lock'), () => Promise.resolve(make(cache)))
}

function cacheFolder(): string {
  const { TRUNKLINE_VM_CACHE: own, XDG_CACHE_HOME: users } = process.env
  const folder = own ?? join(users ?? join(homedir(), '.cache'), 'trunkline-vm')
  mkdirSync(folder, { recursive: true })
  return realpathSync(folder)
}

function make(cache: string): Bed {
  installPrograms()
  // whoever had the lock before us may have made it
  const made = madeAlready(cache)
  if (made !== undefined) return made
  const busybox = join(cache, 'busybox', 'bin', 'busybox')
  if (!existsSync(busybox)) unpackPackage('busybox-static', join(cache, 'busybox'))
  if (unpackedKernel(cache) === undefined) {
    const name = currentKernel(KERNEL)
    unpackPackage(name, join(cache, 'kernel'))
    const release = name.slice('linux-image-'.length)
    if (spawnSync(busybox, ['depmod', '-b', join(cache, 'kernel'), release], { stdio: ['ignore', 2, 2] }).status !== 0)
      throw new BedError('depmod failed')
  }
  const kernel = unpackedKernel(cache)
  if (kernel === undefined) throw new BedError('the kernel package holds no kernel')
  const base = basePath(cache, kernel.release)
  console.error('bed: making the shared archive')
  write(base, archive(baseEntries({ busybox, modules: kernel.modules, node: nodeBinary() })))
  dropStale(cache, base)
  return { kernel: kernel.image, base }
}

function madeAlready(cache: string): Bed | undefined {
  const kernel = unpackedKernel(cache)
  if (kernel === undefined) return undefined
  const base = basePath(cache, kernel.release)
  return existsSync(base) ? { kernel: kernel.image, base } : undefined
}

function unpackedKernel(cache: string): { release: string; image: string; modules: string } | undefined {
  const folder = join(cache, 'kernel', 'lib', 'modules')
  const release = existsSync(folder) ? readdirSync(folder)[0] : undefined
  if (release === undefined || !existsSync(join(folder, release, 'modules.dep'))) return undefined
  return { release, image: join(cache, 'kernel', 'boot', `vmlinuz-${release}`), modules: join(folder, release) }
}

function nodeBinary(): string {
  return realpathSync(process.env.TRUNKLINE_VM_NODE ?? process.execPath)
}

/** The base's name says what it was made of. */
function basePath(cache: string, release: string): string {
  const hash = createHash('sha256')
  const node = nodeBinary()
  const { size, mtimeMs } = statSync(node)
  hash.update(JSON.stringify([release, node, size, mtimeMs]))
  const sources = [...readdirSync(GUEST).map((name) => join(GUEST, name)), join(import.meta.dirname, 'base.ts')]
  for (const source of sources.sort()) hash.update(readFileSync(source))
  return join(cache, `base-${hash.digest('hex').slice(0, 16)}.cpio`)
}

function write(path: string, pieces: readonly Buffer[]): void {
  const part = `${path}.${randomUUID()}`
  const file = openSync(part, 'wx')
  try {
    for (const piece of pieces) {
      for (let rest = piece; rest.byteLength > 0;) rest = rest.subarray(writevSync(file, [rest]))
    }
    renameSync(part, path)
  } catch (error) {
    rmSync(part, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
}

function dropStale(cache: string, kept: string): void {
  for (const name of readdirSync(cache).filter((entry) => entry.startsWith('base-'))) {
    const path = join(cache, name)
    if (path !== kept && Date.now() - statSync(path).mtimeMs > STALE_MS) rmSync(path, { force: true })
  }
}
