/**
 * A character device: is it there, is it one, may we use it, who else does; then what it is, a
 * terminal or a virtio port, and what stands in a trunk's way on it. Changes nothing, and opens a
 * device only where nobody else is known to have it.
 */
import { statSync, type Stats } from 'node:fs'
import type { Clock } from '../../index.ts'
import { ok, problem, type Finding, type Findings } from './findings.ts'
import { examineHolders } from './holders.ts'
import { at, namesIn, realAt, type Machine } from './machine.ts'
import { closedFolder, examinePermissions } from './permissions.ts'
import { examineConsole, examineDriver, examineSettings } from './terminal.ts'
import { examineHost, examineVirtioDriver, portName, portNodeNamed } from './virtio-port.ts'

/** The device that an address names. */
export interface DeviceAddress {
  readonly path: string
  /** Bits a second. */
  readonly baud: number
}

const VIRTIO_FOLDER = '/dev/virtio-ports/'
/** Names of devices that carry bytes between a machine and what is around it. */
const SERIAL_NAME = /^(ttyS|ttyUSB|ttyACM|ttyAMA|hvc|vport)\d/
const MAX_SUGGESTIONS = 6

/** Everything about the device of an address. */
export async function* examineDevice(machine: Machine, { path, baud }: DeviceAddress, clock: Clock): Findings {
  const stats = statSync(at(machine, path), { throwIfNoEntry: false })
  if (stats === undefined) {
    if (path.startsWith(VIRTIO_FOLDER)) yield examineVirtioDriver(machine)
    yield missing(machine, path)
    return false
  }
  if (!stats.isCharacterDevice()) {
    yield problem('device', `${path} is ${kindOf(stats)}, not a character device`, ...insteadOf(machine, path, stats))
    return false
  }
  const real = realAt(machine, path) ?? path
  const device = { path, real, name: real.replace(/^\/dev\//, ''), stats }
  const port = portName(machine, device.name)
  const what = port === undefined ? examineDriver(machine, device) : ok('device', `${path} is the virtio port ${port}`)
  yield what
  if (what.level === 'problem') return false
  const permissions = examinePermissions(machine, path, stats)
  yield permissions
  const { findings, free } = examineHolders(machine, device, clock)
  yield* findings
  const usable = permissions.level === 'ok'
  if (port !== undefined) {
    if (!usable || !free) return false
    const host = examineHost(machine, path)
    yield host
    return host.level !== 'problem'
  }
  const console = examineConsole(machine, device)
  if (console !== undefined) yield console
  if (usable) yield* await examineSettings(machine, device, baud)
  // Whoever has the terminal already would lose bytes to us, and a person at the console would be
  // shown our hello.
  return usable && free && console === undefined
}

function missing(machine: Machine, path: string): Finding {
  const closed = closedFolder(machine, path)
  if (closed !== undefined) return problem('device', `${path} cannot be looked at: we may not enter ${closed}`)
  return problem('device', `${path} does not exist`, ...similar(machine, path))
}

function kindOf(stats: Stats): string {
  if (stats.isSocket()) return 'a socket'
  if (stats.isDirectory()) return 'a folder'
  if (stats.isFIFO()) return 'a FIFO'
  return stats.isBlockDevice() ? 'a disk' : 'a file'
}

function insteadOf(machine: Machine, path: string, stats: Stats): string[] {
  if (!stats.isSocket()) return similar(machine, path)
  return ['The socket of a character device of QEMU has an address of its own:', `  serial+unix://${path}`]
}

/** Devices that might be meant, those with the most alike names first. */
function similar(machine: Machine, path: string): string[] {
  if (path.startsWith(VIRTIO_FOLDER)) {
    const node = portNodeNamed(machine, path.slice(VIRTIO_FOLDER.length))
    if (node !== undefined) return [`The port of that name is ${node}: use serial://${node}`]
  }
  const ports = namesIn(machine, VIRTIO_FOLDER).map((name) => `${VIRTIO_FOLDER}${name}`)
  const found = namesIn(machine, '/dev').filter((name) => SERIAL_NAME.test(name) && hasHardware(machine, name))
  // The nodes of virtio ports have no telling names: where there are links to them, those are
  // enough.
  const nodes = ports.length === 0 ? found : found.filter((name) => !name.startsWith('vport'))
  const all = [...nodes.map((name) => `/dev/${name}`), ...ports]
  if (all.length === 0) return ['This machine has no serial device at all: give it one, then try again.']
  const stem = path.startsWith(VIRTIO_FOLDER) ? VIRTIO_FOLDER : path.replace(/\d+$/, '')
  const alike = all.filter((name) => name.startsWith(stem))
  const sorted = [...alike, ...all.filter((name) => !name.startsWith(stem))]
  const more = sorted.length > MAX_SUGGESTIONS ? ', …' : ''
  return [`There are: ${sorted.slice(0, MAX_SUGGESTIONS).join(', ')}${more}`]
}

function hasHardware(machine: Machine, name: string): boolean {
  return examineDriver(machine, { path: `/dev/${name}`, name }).level === 'ok'
}
