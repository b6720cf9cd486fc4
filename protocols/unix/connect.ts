/**
 * From a unix socket's address to a connection: what a peer asks for by its rules, or what this
 * machine's own user named.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { connectError } from '../../src/runtime/net-errors.ts'
import type { Connection } from '../tcp/connection.ts'
import { printableAddress, type UnixAddress } from './address.ts'
import { dialPatiently, systemDial, type UnixDial } from './dial.ts'
import { findOwnSocket, findSocket, whyNot, type FoundSocket } from './place.ts'
import type { SocketPolicy } from './policy.ts'

/** What {@link connectUnix} is given. */
export interface ConnectUnixOptions {
  /** Undefined where this machine's own user names the socket: then everything is allowed. */
  readonly policy: SocketPolicy | undefined
  readonly clock: Clock
  readonly signal: AbortSignal
  /** How long a full backlog is waited for. */
  readonly timeoutMs: number
  /** @default the system's */
  readonly dial?: UnixDial | undefined
}

/** Connects. Rejects with ERR_DENIED, ERR_CONNECT_REFUSED or the reason of the signal. */
export async function connectUnix(address: UnixAddress, options: ConnectUnixOptions): Promise<Connection> {
  const { policy, clock, signal, timeoutMs, dial = systemDial() } = options
  const target = printableAddress(address)
  const patience = { dial, clock, signal, timeoutMs }
  try {
    if (address.type === 'abstract') {
      if (policy?.allowsAbstract(address.name) === false) throw denied(target)
      return await dialPatiently(Buffer.concat([Buffer.of(0), address.name]), patience)
    }
    const found = find(address, policy, target)
    try {
      if (found.stats.isSymbolicLink()) throw whyNot(Object.assign(new Error('a link'), { code: 'ELOOP' }), target)
      if (!found.stats.isSocket()) throw Object.assign(new Error('no socket'), { code: 'ENOTSOCK' })
      return await dialPatiently(found.path, patience)
    } finally {
      found.close()
    }
  } catch (error) {
    if (signal.aborted) throw error
    throw connectError(error, target)
  }
}

function find(
  address: Extract<UnixAddress, { type: 'file' }>,
  policy: SocketPolicy | undefined,
  target: string,
): FoundSocket {
  const place = policy?.placeOf(address)
  if (policy !== undefined && place === undefined) throw denied(target)
  try {
    return place === undefined ? findOwnSocket(address) : findSocket(place)
  } catch (error) {
    throw whyNot(error, target)
  }
}

function denied(target: string): TrunkError {
  return new TrunkError('ERR_DENIED', `${target} is not allowed here`)
}
