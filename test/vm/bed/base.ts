/**
 * The archive that all guests share: busybox, node with its libraries, the modules for
 * virtio-serial and vsock, the guest's first process and its tool. Everything comes from this
 * machine or from the cache's unpacked packages.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Entry } from './cpio.ts'
import { BedError } from './debian.ts'

/** Where the guest's own sources are. */
export const GUEST: string = join(import.meta.dirname, '..', 'guest')

/** Loaded by every guest, in this order. */
const MODULES = ['virtio_pci', 'virtio_console', 'vsock_loopback', 'vmw_vsock_virtio_transport']
/** Loaded by a guest that is itself a host: its side of vsock, and what runs its guest. */
const HOST_MODULES = ['vhost_vsock', 'kvm_amd']
const FOLDERS = [
  'bin',
  'sbin',
  'dev',
  'proc',
  'sys',
  'tmp',
  'root',
  'run',
  'etc',
  'app',
  'usr',
  'usr/bin',
  'lib',
  'lib/modules',
  'lib64',
]

/** What the base is made of. */
export interface Parts {
  readonly busybox: string
  /** An unpacked kernel's folder `lib/modules/RELEASE`, with its modules.dep. */
  readonly modules: string
  readonly node: string
}

/** The entries of the shared archive. */
export function baseEntries({ busybox, modules, node }: Parts): Entry[] {
  const entries: Entry[] = FOLDERS.map((path) => ({ path }))
  entries.push({ path: 'init', content: readFileSync(join(GUEST, 'init')), isExecutable: true })
  entries.push({ path: 'bin/vmtool', content: compileTool(), isExecutable: true })
  entries.push({ path: 'bin/busybox', content: readFileSync(busybox), isExecutable: true })
  const applets = output(busybox, '--list').split('\n')
  for (const name of applets.filter((applet) => applet !== '' && applet !== 'busybox'))
    entries.push({ path: `bin/${name}`, to: 'busybox' })
  entries.push({ path: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\n' })
  entries.push({ path: 'etc/group', content: 'root:x:0:\n' })
  entries.push({ path: 'etc/hosts', content: '127.0.0.1 localhost\n::1 localhost\n' })
  entries.push(...programEntries(node), { path: 'bin/node', to: node })
  const own = moduleFiles(modules, MODULES)
  const further = moduleFiles(modules, HOST_MODULES).filter((file) => !own.includes(file))
  for (const file of [...own, ...further]) {
    entries.push({ path: moduleAt(file), content: moduleContent(join(modules, file)) })
  }
  entries.push({ path: 'etc/modules', content: own.map((file) => `/${moduleAt(file)}\n`).join('') })
  entries.push({ path: 'etc/host-modules', content: further.map((file) => `/${moduleAt(file)}\n`).join('') })
  return entries
}

/** A program and the shared libraries that it needs, each under its own path. */
export function programEntries(program: string): Entry[] {
  return [program, ...librariesOf(program)].flatMap(sameEntries)
}

/** A file of this machine under its own path, with the folders above it. */
export function sameEntries(path: string): Entry[] {
  const parts = path.slice(1).split('/')
  const folders = parts.slice(0, -1).map((_, index) => ({ path: parts.slice(0, index + 1).join('/') }))
  return [...folders, { path: parts.join('/'), content: readFileSync(realpathSync(path)), isExecutable: true }]
}

/** The shared libraries of a program, by their paths on this machine. */
export function librariesOf(program: string): string[] {
  return [...new Set(output('ldd', program).match(/\/\S+/g))].filter((path) => !path.endsWith(':'))
}

function compileTool(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-vmtool-'))
  try {
    const tool = join(folder, 'vmtool')
    const sources = readdirSync(GUEST).filter((name) => name.endsWith('.c'))
    output(
      'gcc',
      '-std=gnu11',
      '-O2',
      '-Wall',
      '-Wextra',
      '-Werror',
      '-static',
      '-o',
      tool,
      ...sources.map((name) => join(GUEST, name)),
    )
    return readFileSync(tool)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * The files of these modules with all they need, in an order in which they can be loaded; what is
 * built into the kernel has none.
 */
function moduleFiles(folder: string, names: readonly string[]): string[] {
  const files = new Map<string, string[]>()
  for (const line of readFileSync(join(folder, 'modules.dep'), 'utf8').split('\n')) {
    const [file, needs] = line.split(':')
    if (file === undefined || needs === undefined) continue
    // the file nearest to the module comes first, what that one needs behind it
    files.set(moduleName(file), [
      ...needs
        .split(' ')
        .filter((need) => need !== '')
        .reverse(),
      file,
    ])
  }
  const builtIn = new Set(readFileSync(join(folder, 'modules.builtin'), 'utf8').split('\n').map(moduleName))
  const found = names.flatMap((name) => {
    const listed = files.get(name)
    if (listed === undefined && !builtIn.has(name)) throw new BedError(`the kernel has no module ${name}`)
    return listed ?? []
  })
  return [...new Set(found)]
}

/** `kernel/net/vmw_vsock/vhost-vsock.ko.xz` is `vhost_vsock`. */
function moduleName(file: string): string {
  return basename(file)
    .replace(/\.ko(\.xz)?$/, '')
    .replaceAll('-', '_')
}

function moduleAt(file: string): string {
  return `lib/modules/${moduleName(file)}.ko`
}

function moduleContent(path: string): Buffer {
  if (!path.endsWith('.xz')) return readFileSync(path)
  return spawnSync('xz', ['-dc', path], { maxBuffer: 64 * 1024 * 1024 }).stdout
}

/** Runs a program and gives what it prints. */
function output(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new BedError(`${basename(program)} ${args[0] ?? ''} failed:\n${stderr}`)
  return stdout
}
