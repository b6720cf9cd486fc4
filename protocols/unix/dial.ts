/**
 * Connecting to a unix socket that was found. There is one address and no name to look up, so there
 * is nothing to choose between; but a listener whose backlog is full does not let a connection
 * wait, so it is asked again until the time is over.
 */
import { connect } from 'node:net'
import type { Clock } from '../../src/runtime/clock.ts'
import { pause } from '../../src/runtime/clock.ts'
import { Doubling } from '../../src/runtime/backoff.ts'
import { errnoOf } from '../../src/runtime/system-errors.ts'
import type { Connection } from '../tcp/connection.ts'
import { connectionSet, type ConnectionSet } from '../tcp/connection-set.ts'
import { NativeConnection } from '../tcp/native-connection.ts'
import { netConnection } from '../tcp/net-connection.ts'

/**
 * Connects to `path` once: a file, or an abstract name behind a zero byte. Rejects with the
 * system's error.
 */
export type UnixDial = (path: Buffer) => Promise<Connection>

/** What a full backlog says. */
const FULL = 'EAGAIN'
const FIRST_PAUSE_MS = 1
const MAX_PAUSE_MS = 100
/** Neither side of a unix socket has an address that says something. */
const NOWHERE = { address: '', port: 0 }
/** The addon's time limit has a meaning for vsock only. */
const NO_TIMEOUT_MS = 1

/** By the native addon, with connections that are in `set`. */
export function nativeDial(set: ConnectionSet): UnixDial {
  return (path) =>
    // a promise for the failure alone: the kernel connects at once or not at all
    new Promise((resolve) => {
      const fd = set.native.connect({ family: 'unix', path }, NO_TIMEOUT_MS)
      try {
        resolve(new NativeConnection(set, fd, { local: NOWHERE, remote: NOWHERE, isUnix: true }))
      } catch (error) {
        set.native.close(fd)
        throw error
      }
    })
}

/** By Node. */
export const netDial: UnixDial = (path) =>
  new Promise((resolve, reject) => {
    const socket = connect({ path: netPath(path), allowHalfOpen: true })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(netConnection(socket))
    })
  })

/** Node 20 fills an abstract name up with zero bytes, which makes another name of it. */
const HAS_ABSTRACT = Number(process.versions.node.split('.')[0]) >= 22

/**
 * `path` as Node takes it. Throws as a system would: EINVAL for what is no text, EAFNOSUPPORT for
 * an abstract name that Node would change.
 */
export function netPath(path: Buffer): string {
  const fails = (code: string) => Object.assign(new Error(code), { code })
  const text = path.toString()
  if (!Buffer.from(text).equals(path)) throw fails('EINVAL')
  if (path[0] === 0 && !HAS_ABSTRACT) throw fails('EAFNOSUPPORT')
  return text
}

/** By the native addon where there is one, else by Node. */
export function systemDial(): UnixDial {
  const set = connectionSet()
  return set === undefined ? netDial : nativeDial(set)
}

/**
 * Connects, asking again while the listener's backlog is full. Rejects with the system's error, or
 * the reason of `signal`.
 */
export async function dialPatiently(
  path: Buffer,
  { dial, clock, signal, timeoutMs }: { dial: UnixDial; clock: Clock; signal: AbortSignal; timeoutMs: number },
): Promise<Connection> {
  const until = clock.now() + timeoutMs
  const pauses = new Doubling(FIRST_PAUSE_MS, MAX_PAUSE_MS)
  for (;;) {
    signal.throwIfAborted()
    try {
      return await dial(path)
    } catch (error) {
      if (errnoOf(error) !== FULL || clock.now() >= until) throw error
    }
    await pause(clock, pauses.next(), signal)
  }
}
