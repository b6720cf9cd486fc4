/**
 * Who has a device open: every process's descriptors, as far as we may look and as the time allows.
 * A login that waits on a terminal (a getty) is told apart: it takes bytes off the line, writes its
 * own, and comes back when it is ended.
 */
import { accessSync, constants, statSync, type Stats } from 'node:fs'
import type { Clock } from '../../index.ts'
import { byteString, toBytes } from '../../runtime/byte-string.ts'
import { errnoOf } from '../../runtime/system-errors.ts'
import { note, ok, problem, type Finding } from './findings.ts'
import { at, linkAt, nameOf, namesIn, processes, textAt, type Machine, type Process } from './machine.ts'

const TIME_MS = 2_000
/** Programs that wait for a login, or are one. */
const GETTY = /^(a|m|u|fb|min)?getty$|^sulogin$|^login$/

/** The device that may be held: its paths and the kernel's name for it. */
export interface Held {
  readonly path: string
  readonly real: string
  readonly name: string
  readonly stats: Stats
}

/** Finds who holds it; `free` where nobody is known to. */
export function examineHolders(
  machine: Machine,
  device: Held,
  clock: Clock,
): { readonly findings: readonly Finding[]; readonly free: boolean } {
  const { holders, hidden } = holdersOf(machine, device, clock)
  const gettys = holders.filter(isGetty)
  const others = holders.filter((holder) => !isGetty(holder))
  const findings = []
  if (gettys.length > 0) findings.push(loginFinding(machine, device, gettys))
  if (others.length > 0) {
    const names = others.map((holder) => nameOf(machine, holder)).join(', ')
    findings.push(
      problem(
        'in-use',
        `in use: ${names} has ${device.path} open`,
        'One program at a time can speak over a line: end that one first.',
        'Where it is a trunkline that serves there, run the doctor at the other end of the line.',
      ),
    )
  }
  if (findings.length > 0) return { findings, free: false }
  if (hidden === 0) return { findings: [ok('in-use', 'no other process has it open')], free: true }
  const what = `no process that we may look into has it open; ${hidden} of other users are hidden from us`
  return { findings: [note('in-use', what, 'Run the doctor as root to see them.')], free: true }
}

function holdersOf(machine: Machine, device: Held, clock: Clock): { holders: Process[]; hidden: number } {
  const until = clock.now() + TIME_MS
  const holders: Process[] = []
  let hidden = 0
  for (const process of processes(machine)) {
    const folder = `/proc/${process.pid}/fd`
    const numbers = clock.now() < until ? namesIn(machine, folder) : []
    // A process shows its descriptors, is a kernel thread (which has no words), has ended
    // meanwhile, or is closed to us.
    if (numbers.length === 0 && process.command.length > 0 && isClosed(machine, folder)) hidden += 1
    const paths = numbers.map((number) => `${folder}/${number}`)
    const waits = isGetty(process) && process.command.includes(device.name)
    if (waits || (paths.some((path) => leadsTo(machine, path, device)) && !makes(machine, paths, device))) {
      holders.push(process)
    }
  }
  return { holders, hidden }
}

/** True where a folder is there and we may not look into it. */
function isClosed(machine: Machine, folder: string): boolean {
  try {
    accessSync(toBytes(byteString(at(machine, folder))), constants.R_OK | constants.X_OK)
    return false
  } catch (error) {
    return errnoOf(error) === 'EACCES' || errnoOf(error) === 'EPERM'
  }
}

/**
 * True where the descriptor is of that device, and not of another one that has its name in a
 * container.
 */
function leadsTo(machine: Machine, descriptor: string, { path, real, name, stats }: Held): boolean {
  const to = linkAt(machine, descriptor)
  if (to !== path && to !== real) return false
  const found = statSync(at(machine, descriptor), { throwIfNoEntry: false })
  if (found === undefined) return true
  return found.rdev === stats.rdev && (!isPseudo(name) || found.dev === stats.dev)
}

/** True for whoever made a pseudo-terminal (QEMU, socat): it keeps its own line open. */
function makes(machine: Machine, descriptors: readonly string[], { name }: Held): boolean {
  return isPseudo(name) && descriptors.some((path) => /^\/dev\/(pts\/)?ptmx$/.test(linkAt(machine, path) ?? ''))
}

function isPseudo(name: string): boolean {
  return name.startsWith('pts/')
}

function isGetty({ command }: Process): boolean {
  return GETTY.test(command[0]?.split('/').at(-1) ?? '')
}

function loginFinding(machine: Machine, { path, name }: Held, gettys: readonly Process[]): Finding {
  const names = gettys.map((getty) => nameOf(machine, getty)).join(', ')
  const systemd = textAt(machine, '/proc/1/comm')?.trim() === 'systemd'
  const advice = systemd
    ? ['Take the login off this line, for good:', `  sudo systemctl mask --now serial-getty@${name}.service`]
    : [`Take the login off this line: remove ${name} from /etc/inittab, then`, '  kill -HUP 1']
  return problem('login', `a login waits on ${path}: ${names}`, ...advice, 'Or give trunkline a line of its own.')
}
