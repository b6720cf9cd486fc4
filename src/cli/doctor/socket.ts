/**
 * The file of a unix socket: is it there, is it one, may we connect, and how many clients does the
 * kernel know of. Does not connect: the session does, and a client that comes and goes is an event
 * to whoever listens.
 */
import { lstatSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { note, ok, problem, type Finding, type Findings } from './findings.ts'
import { at, namesIn, textAt, type Machine } from './machine.ts'
import { closedFolder, examinePermissions } from './permissions.ts'

/** Who is at the other end of it, which decides what to do when it is missing. */
export type SocketKind = 'trunkline' | 'qemu' | 'hybrid'

const MAX_SUGGESTIONS = 6
/** Columns of /proc/net/unix, and the state of a socket that is connected. */
const STATE_COLUMN = 5
const PATH_COLUMN = 7
const CONNECTED = '03'

const START: Readonly<Record<SocketKind, (path: string) => readonly string[]>> = {
  trunkline: (path) => ['Start the other end first:', `  trunkline serve unix://${path}`],
  qemu: (path) => [
    'Start the machine with a character device at that path:',
    `  -chardev socket,id=line,path=${path},server=on,wait=off`,
  ],
  hybrid: () => ['Start the machine; its vsock device has to name that path (Firecracker: "uds_path").'],
}

/** Everything about the socket at `path`. */
export async function* examineSocket(machine: Machine, path: string, kind: SocketKind): Findings {
  const stats = statSync(at(machine, path), { throwIfNoEntry: false })
  if (stats === undefined) {
    yield missing(machine, path, kind)
    return false
  }
  if (!stats.isSocket()) {
    const advice = stats.isCharacterDevice() ? ['A device has an address of its own:', `  serial://${path}`] : []
    yield problem('socket', `${path} is no socket`, ...advice)
    return false
  }
  yield ok('socket', `${path} is a socket`)
  const permissions = examinePermissions(machine, path, stats)
  yield permissions
  const clients = clientsOf(machine, path)
  if (clients > 0 && kind === 'qemu') {
    // Not all that listen at such a socket are QEMU: whether we are heard is found out by trying.
    yield note(
      'in-use',
      `in use: the kernel knows of a client that is connected to ${path}`,
      'QEMU serves one client at a time: a second one is connected, and waits unheard until the first has left.',
      'End the other client first; as root, this names it:',
      `  ss -xp | grep ${path}`,
    )
  } else if (clients > 0) yield note('in-use', `${clients} connected to ${path} now`)
  return permissions.level === 'ok'
}

/**
 * Connections that were accepted at `path`; one that trunkline listens at is not counted, since it
 * was bound under another name.
 */
function clientsOf(machine: Machine, path: string): number {
  const lines = (textAt(machine, '/proc/net/unix') ?? '').split('\n')
  return lines.filter((line) => {
    const columns = line.trim().split(/\s+/)
    return columns[STATE_COLUMN] === CONNECTED && columns.slice(PATH_COLUMN).join(' ') === path
  }).length
}

function missing(machine: Machine, path: string, kind: SocketKind): Finding {
  const closed = closedFolder(machine, path)
  if (closed !== undefined) return problem('socket', `${path} cannot be looked at: we may not enter ${closed}`)
  const folder = dirname(path)
  const sockets = namesIn(machine, folder).filter((name) => isSocket(at(machine, `${folder}/${name}`)))
  const there = sockets.length === 0 ? [] : [`Sockets in ${folder}: ${sockets.slice(0, MAX_SUGGESTIONS).join(', ')}`]
  return problem('socket', `${path} does not exist`, ...there, ...START[kind](path))
}

function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true
}
