/**
 * Which descriptors Node's streams carry: pipes, stream sockets and, for reading, terminals. For
 * any other they are a trap: a block device, or a socket of another kind, reads as an empty file
 * and swallows what is written to it, without an error. Those go through the thread pool, whatever
 * they are.
 */
import { constants, fstatSync, readFileSync, statSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { isatty, ReadStream } from 'node:tty'
import { byteString, toBytes } from '../../runtime/byte-string.ts'

/**
 * Descriptors that blocked before a stream of ours was put on them. They are shared with other
 * processes, which expect that they still do.
 */
const madeNonBlocking = new Set<number>()

/** Those of them. */
export function toBeMadeBlocking(): number[] {
  return [...madeNonBlocking].filter((fd) => fd <= 2)
}

/**
 * Node's `isatty`, asked only where the descriptor can be a terminal: with it come `net` and the
 * streams, which `trunkline --version | cat` has no use for.
 */
export function isTerminal(fd: number): boolean {
  return fstatSync(fd).isCharacterDevice() && isatty(fd)
}

/** The stream to read `fd` with; undefined where it takes the thread pool. */
export function polledInput(fd: number): Readable | undefined {
  if (isTerminal(fd)) return new ReadStream(fd)
  return socketOn(fd, { readable: true, writable: false })
}

/**
 * The stream to write `fd` with. A terminal is none of them: Node's blocks the process while
 * somebody holds the terminal by Ctrl-S.
 */
export function polledOutput(fd: number): Writable | undefined {
  return isTerminal(fd) ? undefined : socketOn(fd, { readable: false, writable: true })
}

function socketOn(fd: number, way: { readable: boolean; writable: boolean }): Socket | undefined {
  const kind = fstatSync(fd)
  if (!kind.isFIFO() && !kind.isSocket()) return undefined
  const blocked = isBlocking(fd)
  try {
    const socket = new Socket({ fd, ...way, allowHalfOpen: true })
    if (blocked) madeNonBlocking.add(fd)
    return socket
  } catch {
    // a socket of a kind that Node does not know: the kernel's read and write still do
    return undefined
  }
}

/**
 * True where standard input is what Node opens in place of one that is closed, before any code of
 * ours runs: /dev/null for reading and writing. To take that for an empty file would lose what was
 * to be copied; who means an empty one opens it for reading. Of an output nothing can be told: many
 * a parent opens it like this.
 */
export function standsForClosed(fd: number): boolean {
  const { rdev } = fstatSync(fd)
  const flags = flagsOf(fd)
  const isNull = fd === 0 && rdev === statSync(toBytes(byteString('/dev/null')), { throwIfNoEntry: false })?.rdev
  return isNull && flags !== undefined && (flags & ACCESS_MODE) === constants.O_RDWR
}

const ACCESS_MODE = constants.O_WRONLY | constants.O_RDWR

function isBlocking(fd: number): boolean {
  const flags = flagsOf(fd)
  // Without them Node itself puts back what it has changed, unless the process ends at once.
  return flags !== undefined && (flags & constants.O_NONBLOCK) === 0
}

/** What the file was opened with; undefined where there is no /proc. */
function flagsOf(fd: number): number | undefined {
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(toBytes(byteString(`/proc/self/fdinfo/${fd}`)), 'utf8'))?.[1]
    return flags === undefined ? undefined : parseInt(flags, 8)
  } catch {
    return undefined
  }
}
