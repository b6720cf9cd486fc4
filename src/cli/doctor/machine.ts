/**
 * The machine as the doctor looks at it: files of /proc, /sys, /dev and /etc below one root, which
 * a test can put elsewhere, and who we are. A file that is missing or closed to us is no error
 * here: it is what cannot be told.
 */
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { userInfo } from 'node:os'

/** See the head of this file. */
export interface Machine {
  /** `/`, or what stands for it. */
  readonly root: string
  readonly uid: number
  readonly pid: number
}

/** A process that runs. */
export interface Process {
  readonly pid: number
  /** Its words; empty for a kernel thread. */
  readonly command: readonly string[]
}

/** Most bytes of a file of the system that are looked at. */
const MAX_TEXT = 1024 * 1024

/** The machine that this runs on. */
export function thisMachine(): Machine {
  return { root: '/', uid: userInfo().uid, pid: process.pid }
}

/** `path`, absolute, below the machine's root. */
export function at(machine: Machine, path: string): string {
  return machine.root === '/' ? path : `${machine.root}${path}`
}

/** What `read` gives; undefined where the file is missing, or closed to us. */
function orNothing<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    // the callers say what that means: there is nothing else to tell of a file that cannot be
    // looked at
    return undefined
  }
}

/** The text of a file. */
export function textAt(machine: Machine, path: string): string | undefined {
  return orNothing(() => readFileSync(at(machine, path), 'utf8').slice(0, MAX_TEXT))
}

/** The names in a folder, sorted; none where there is none. */
export function namesIn(machine: Machine, path: string): string[] {
  return (orNothing(() => readdirSync(at(machine, path))) ?? []).sort(byNumber)
}

/** Where a link leads, as it is written. */
export function linkAt(machine: Machine, path: string): string | undefined {
  return orNothing(() => readlinkSync(at(machine, path)))
}

/** The real path of `path`, every link followed, as seen from the machine's root. */
export function realAt(machine: Machine, path: string): string | undefined {
  const real = orNothing(() => realpathSync(at(machine, path)))
  const root = machine.root === '/' ? '' : (orNothing(() => realpathSync(machine.root)) ?? machine.root)
  return real?.startsWith(root) === true ? real.slice(root.length) : real
}

function byNumber(one: string, other: string): number {
  return one.localeCompare(other, 'en', { numeric: true })
}

/** Every process but this one. */
export function processes(machine: Machine): Process[] {
  const found: Process[] = []
  for (const name of namesIn(machine, '/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === machine.pid) continue
    const command = (textAt(machine, `/proc/${name}/cmdline`) ?? '').split('\0')
    found.push({ pid: Number(name), command: command.slice(0, command.at(-1) === '' ? -1 : undefined) })
  }
  return found
}

/** How a process is named in a sentence: `qemu-system-x86 (412)`. */
export function nameOf(machine: Machine, { pid, command }: Process): string {
  const name = command[0]?.split('/').at(-1)?.split(' ')[0] ?? textAt(machine, `/proc/${pid}/comm`)?.trim() ?? ''
  return `${name === '' ? 'a process' : name} (${pid})`
}

/**
 * True where a part of the kernel is there, as a module or built in; undefined where it cannot be
 * told.
 */
export function hasModule(machine: Machine, name: string): boolean | undefined {
  const loaded = textAt(machine, '/proc/modules')
  const isName = (text: string): boolean => text.replaceAll('-', '_') === name
  if (loaded?.split('\n').some((line) => isName(line.split(' ')[0] ?? '')) === true) return true
  if (namesIn(machine, '/sys/module').some(isName)) return true
  const release = textAt(machine, '/proc/sys/kernel/osrelease')?.trim() ?? ''
  const builtIn = textAt(machine, `/lib/modules/${release}/modules.builtin`)
  if (builtIn?.split('\n').some((line) => isName(line.split('/').at(-1)?.replace(/\.ko$/, '') ?? '')) === true)
    return true
  // A kernel without loadable modules has no /proc/modules, and its parts do not all show in
  // /sys/module.
  return loaded === undefined || builtIn === undefined ? undefined : false
}

/**
 * Name of a user or a group by its number, from /etc/passwd or /etc/group; the number where it has
 * none.
 */
export function accountName(machine: Machine, kind: 'passwd' | 'group', id: number): string {
  for (const line of textAt(machine, `/etc/${kind}`)?.split('\n') ?? []) {
    const fields = line.split(':')
    if (fields[2] === String(id)) return fields[0] ?? String(id)
  }
  return String(id)
}
