/**
 * A link over this process's own stdin and stdout, which the process can give away once.
 *
 * Promises: nothing else reaches the peer; from here on what the program writes to `process.stdout`
 * goes to stderr. Assumes: both are pipes or sockets (a terminal or a file is no line) and nobody
 * reads stdin. Node's own stdout objects are not used for the line: they may write synchronously,
 * and a peer that does not read would then stop this process from reading, too.
 */
import { fstatSync } from 'node:fs'
import { Socket } from 'node:net'
import { isatty } from 'node:tty'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Link, TransportOptions } from '../../src/contracts/types.ts'
import { socketLink } from './socket-link.ts'

let taken = false

/**
 * The link; throws ERR_TRANSPORT_UNAVAILABLE where stdin or stdout is no line or was given away
 * before.
 */
export function takeStdio({ clock, limits }: TransportOptions): Link {
  if (taken) throw new TrunkError('ERR_TRANSPORT_UNAVAILABLE', 'stdin and stdout of this process are in use already')
  requireLine(0, 'stdin')
  requireLine(1, 'stdout')
  const readable = open(0, 'stdin')
  const writable = open(1, 'stdout')
  taken = true
  process.stdout.write = process.stderr.write.bind(process.stderr)
  return socketLink({ readable, writable, peer: 'stdio:', clock, closeTimeoutMs: limits.closeTimeoutMs })
}

function requireLine(fd: number, name: string): void {
  if (isPipeOrSocket(fd)) return
  if (isatty(fd)) {
    const advice = 'a line has to be without one (ssh -T instead of -t, docker exec -i instead of -it)'
    throw new TrunkError('ERR_TRANSPORT_UNAVAILABLE', `${name} is a terminal: ${advice}`)
  }
  const advice = 'start this process from a program that speaks to it, as exec:COMMAND does'
  throw new TrunkError('ERR_TRANSPORT_UNAVAILABLE', `${name} is no pipe and no socket: ${advice}`)
}

function isPipeOrSocket(fd: number): boolean {
  try {
    const kind = fstatSync(fd)
    return kind.isFIFO() || kind.isSocket()
  } catch {
    // The descriptor is closed, which is no line either.
    return false
  }
}

function open(fd: number, name: string): Socket {
  try {
    return new Socket({ fd, readable: fd === 0, writable: fd === 1, allowHalfOpen: true })
  } catch (error) {
    const message = `${name} cannot be used as a line: something else may be using it`
    throw new TrunkError('ERR_TRANSPORT_UNAVAILABLE', message, { cause: error })
  }
}
