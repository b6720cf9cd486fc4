/**
 * A guest's virtio port: its name, and whether a program on the host has the other end. That only
 * an open port tells, and only one process can have it open: so it is opened for a moment, where
 * nobody has it. What had arrived before is lost by that, as it is for a session, which skips it.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { errnoOf } from '../../runtime/system-errors.ts'
import { note, ok, problem, type Finding } from './findings.ts'
import { at, hasModule, namesIn, textAt, type Machine } from './machine.ts'

const PORTS = '/sys/class/virtio-ports'
/** A look at what is waiting, not at all of it. */
const LOOK_BYTES = 4096

/**
 * The name that the host gave to the port which the kernel calls `name`; undefined where that is no
 * virtio port.
 */
export function portName(machine: Machine, name: string): string | undefined {
  return textAt(machine, `${PORTS}/${name}/name`)?.trim()
}

/** Node of the port that the host named so: where no udev made /dev/virtio-ports. */
export function portNodeNamed(machine: Machine, wanted: string): string | undefined {
  const found = namesIn(machine, PORTS).find((name) => portName(machine, name) === wanted)
  return found === undefined ? undefined : `/dev/${found}`
}

/** What to look at where a guest has no virtio port at all. */
export function examineVirtioDriver(machine: Machine): Finding {
  if (hasModule(machine, 'virtio_console') === false) {
    return problem(
      'driver',
      'the kernel has no driver for virtio ports (virtio_console)',
      'In the guest:',
      '  sudo modprobe virtio_console',
    )
  }
  if (namesIn(machine, PORTS).length > 0) return ok('driver', 'the driver of virtio ports is there')
  return problem(
    'driver',
    'this machine has no virtio port',
    'Virtio ports are for the guest; the host opens the socket of QEMU (serial+unix://PATH). To give the guest one:',
    '  -chardev socket,id=line,path=/run/vm.sock,server=on,wait=off',
    '  -device virtio-serial -device virtserialport,chardev=line,name=NAME',
  )
}

/** What the port is, and whether the host is there. Opens it for a moment. */
export function examineHost(machine: Machine, path: string): Finding {
  let fd: number
  try {
    fd = openSync(at(machine, path), constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    return unopened(path, errnoOf(error) ?? String(error))
  }
  try {
    const bytes = readSync(fd, new Uint8Array(LOOK_BYTES))
    if (bytes > 0) return ok('host', 'a program on the host has the other end open, and had sent something')
    return problem(
      'host',
      'no program on the host has the other end open',
      'On the host, start what is to answer; where PATH is the socket of the character device:',
      '  trunkline serve serial+unix://PATH',
    )
  } catch (error) {
    if (errnoOf(error) === 'EAGAIN') return ok('host', 'a program on the host has the other end open')
    return note('host', `whether the host has the other end cannot be told (${errnoOf(error) ?? String(error)})`)
  } finally {
    closeSync(fd)
  }
}

function unopened(path: string, code: string): Finding {
  if (code !== 'EBUSY') return problem('host', `${path} cannot be opened (${code})`)
  return problem(
    'in-use',
    `in use: another process has ${path} open, and a virtio port can be opened once`,
    'End that process first. As root, this names it:',
    `  fuser -v ${path}`,
  )
}
