/**
 * A terminal: a UART, a USB adapter, a paravirtual console or a pseudo-terminal. Which driver is
 * behind it, whether the kernel prints on it, and how it is set: trunkline sets it to raw when it
 * opens it, so what it is before is only worth a note.
 */
import { execFile } from 'node:child_process'
import { note, ok, problem, type Finding } from './findings.ts'
import { at, linkAt, textAt, type Machine } from './machine.ts'

/** The terminal that is looked at. */
export interface Terminal {
  readonly path: string
  readonly name: string
}

const STTY_MS = 2_000
/** Settings that change, hold back, add or drop bytes that go through a terminal. */
const NOT_RAW = [
  'icanon',
  'echo',
  'icrnl',
  'inlcr',
  'igncr',
  'istrip',
  'ixon',
  'ixoff',
  'opost',
  'cs7',
  'parenb',
  'crtscts',
]

/** What a terminal is, and the hardware behind it. */
export function examineDriver(machine: Machine, { path, name }: Terminal): Finding {
  if (name.startsWith('pts/')) return ok('device', `${path} is a pseudo-terminal`)
  const driver = linkAt(machine, `/sys/class/tty/${name}/device/driver`)?.split('/').at(-1)
  if (textAt(machine, `/sys/class/tty/${name}/type`)?.trim() === '0') {
    return problem(
      'device',
      `${path} exists, but there is no serial port behind it`,
      'The kernel makes these names whether there is hardware or not. Give the machine the port; for QEMU:',
      '  -chardev socket,id=line,path=/run/vm.sock,server=on,wait=off -device isa-serial,chardev=line',
    )
  }
  return ok('device', `${path} is a terminal${driver === undefined ? '' : ` of the driver ${driver}`}`)
}

/** Whether the kernel prints its messages on the terminal; undefined where it does not. */
export function examineConsole(machine: Machine, { path, name }: Terminal): Finding | undefined {
  const active = (textAt(machine, '/sys/class/tty/console/active') ?? '').trim().split(/\s+/)
  const booted = (textAt(machine, '/proc/cmdline') ?? '').trim().split(/\s+/)
  const option = booted.find((word) => word === `console=${name}` || word.startsWith(`console=${name},`))
  if (option === undefined && !active.includes(name)) return undefined
  return problem(
    'console',
    `the kernel prints its messages on ${path}: each of them damages what is under way`,
    `Use another line for trunkline, or take ${option ?? `console=${name}`} off the kernel's command line. Until then, only the worst:`,
    '  sudo dmesg -n 1',
  )
}

/** How the terminal is set, from `stty`; `baud` is what the address asks for. */
export async function examineSettings(machine: Machine, terminal: Terminal, baud: number): Promise<Finding[]> {
  const settings = await sttyOf(at(machine, terminal.path))
  if (settings === undefined) {
    return [note('settings', `the settings of ${terminal.path} cannot be told: stty did not answer`)]
  }
  // Nothing there has a speed.
  if (/^(pts\/|hvc)/.test(terminal.name)) return [rawness(terminal, settings)]
  return [speedOf(terminal, settings, baud), rawness(terminal, settings)]
}

function sttyOf(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const options = { timeout: STTY_MS, killSignal: 'SIGKILL' as const, env: { ...process.env, LC_ALL: 'C' } }
    execFile('stty', ['-F', path, '-a'], options, (error, stdout) => resolve(error === null ? stdout : undefined))
  })
}

function speedOf({ path }: Terminal, settings: string, baud: number): Finding {
  const speed = Number(/speed (\d+) baud/.exec(settings)?.[1] ?? 0)
  if (baud === speed) return ok('speed', `${speed} baud; the other end has to have the same`)
  const what = `${path} is at ${speed} baud now; trunkline sets ${baud}, as the address says or by default`
  return note('speed', what, 'The other end has to have the same. A virtual UART does not care.')
}

function rawness({ path }: Terminal, settings: string): Finding {
  const words = new Set(settings.split(/[\s;]+/))
  const found = NOT_RAW.filter((setting) => words.has(setting))
  if (found.length === 0) return ok('raw', 'set to raw: bytes pass as they are')
  return note(
    'raw',
    `not raw now (${found.join(', ')}); trunkline sets it to raw while it has it open`,
    'Until then it sends back, holds back or changes what arrives. To have it raw at once:',
    `  stty -F ${path} raw -echo`,
  )
}
