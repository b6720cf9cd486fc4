/**
 * Debian's packages: programs are installed (that needs root), what only the guest needs is
 * downloaded and unpacked into the cache. Nothing else is fetched from anywhere.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** What the bed cannot do, and what to do about it; shown without a stack. */
export class BedError extends Error {
  override readonly name = 'BedError'
}

/** Program to the packages that bring it. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  'qemu-system-x86_64': ['qemu-system-x86'],
  gcc: ['gcc', 'libc6-dev'],
  setpriv: ['util-linux'],
  flock: ['util-linux'],
  xz: ['xz-utils'],
}
/** Likewise, for the tests of libvirt alone. */
const LIBVIRT: Readonly<Record<string, readonly string[]>> = {
  libvirtd: ['libvirt-daemon-system'],
  virsh: ['libvirt-clients'],
}
/** Likewise, for user-mode Linux. */
const USER_MODE: Readonly<Record<string, readonly string[]>> = { 'linux.uml': ['user-mode-linux'] }
const APT = [
  '-q',
  '-o=APT::Sandbox::User=root',
  '-o=Dpkg::Use-Pty=0',
  '-o=DPkg::Lock::Timeout=300',
  '-o=Acquire::Retries=2',
]

let isUpdated = false

/** True where a program is on the PATH. */
function isThere(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}

/** Runs a command in a folder; what it says goes to our stderr. */
function run(folder: string, command: string, ...args: string[]): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  return spawnSync(command, args, { cwd: folder, env, stdio: ['ignore', 2, 2] }).status === 0
}

/**
 * Brings the lists of packages up to date, once a process. Without root the lists that are there
 * have to do.
 */
function update(): void {
  if (isUpdated || !isRoot()) return
  if (!run('/', 'apt-get', ...APT, 'update')) throw new BedError('apt-get update failed: is there a network?')
  isUpdated = true
}

/** The programs that the bed needs and that are not there. */
export function missingPrograms(): string[] {
  return Object.keys(PROGRAMS).filter((program) => !isThere(program))
}

/** Installs the programs that are missing. */
export function installPrograms(): void {
  install(PROGRAMS)
}

export function installLibvirt(): void {
  install(LIBVIRT)
}

export function installUserMode(): void {
  install(USER_MODE)
}

function install(programs: Readonly<Record<string, readonly string[]>>): void {
  const missing = Object.keys(programs).filter((program) => !isThere(program))
  const packages = [...new Set(missing.flatMap((program) => programs[program] ?? []))]
  if (packages.length === 0) return
  const advice = `apt-get install ${packages.join(' ')}`
  if (!isRoot()) throw new BedError(`missing: ${missing.join(', ')}. Only root can install; as root: ${advice}`)
  if (!isThere('apt-get')) throw new BedError(`missing: ${missing.join(', ')}, and there is no apt-get to install them`)
  update()
  if (!run('/', 'apt-get', ...APT, 'install', '-y', '--no-install-recommends', ...packages))
    throw new BedError(`could not install ${missing.join(', ')}: ${advice} failed`)
}

/** Downloads a package and unpacks it as `folder`. */
export function unpackPackage(name: string, folder: string): void {
  if (!isThere('apt-get') || !isThere('dpkg'))
    throw new BedError('the guest is made of Debian packages: there is no apt-get')
  update()
  console.error(`bed: fetching ${name}`)
  const part = mkdtempSync(`${folder}.part-`)
  try {
    if (!run(part, 'apt-get', ...APT, 'download', name)) {
      throw new BedError(`could not download ${name}${isRoot() ? '' : '; perhaps after apt-get update, as root'}`)
    }
    const file = readdirSync(part).find((entry) => entry.endsWith('.deb'))
    if (file === undefined || !run(part, 'dpkg', '-x', file, 'root')) throw new BedError(`could not unpack ${name}`)
    rmSync(folder, { recursive: true, force: true })
    renameSync(join(part, 'root'), folder)
  } finally {
    rmSync(part, { recursive: true, force: true })
  }
}

/** The kernel package that a meta package such as linux-image-amd64 stands for at present. */
export function currentKernel(meta: string): string {
  update()
  const { stdout } = spawnSync('apt-cache', ['depends', meta], { encoding: 'utf8' })
  const name = /^\s*Depends: (linux-image-\S+)/m.exec(stdout)?.[1]
  if (name === undefined) throw new BedError(`no kernel package stands behind ${meta}`)
  return name
}
