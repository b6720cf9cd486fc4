/**
 * From a unix socket's address to a listening socket: what a peer asks for by its rules, or what
 * this machine's own user named.
 */
import { TrunkError } from '../../src/contracts/errors.ts'
import { listenError } from '../../src/runtime/net-errors.ts'
import type { Connection, Endpoint } from '../tcp/connection.ts'
import { connectionSet } from '../tcp/connection-set.ts'
import { NativeSource } from '../tcp-listener/acceptor-native.ts'
import { listenByNet } from '../tcp-listener/acceptor-net.ts'
import type { ConnectionSource } from '../tcp-listener/acceptor.ts'
import { printableAddress, type UnixAddress } from './address.ts'
import { nativeDial, netDial, netPath, type UnixDial } from './dial.ts'
import { folderOf, ownPlace, whyNot, type SocketFolder } from './place.ts'
import type { SocketPolicy } from './policy.ts'
import { claimName, type NameClaim } from './socket-file.ts'

/** How sockets are bound and probed: a path, or an abstract name behind a zero byte. */
export interface UnixSockets {
  /** Rejects with the system's error. */
  listen(path: Buffer, backlog: number, onReady: () => void): Promise<ConnectionSource>
  readonly dial: UnixDial
}

/** What {@link listenUnix} is given. */
export interface ListenUnixOptions {
  /** Undefined where this machine's own user names the socket: then everything is allowed. */
  readonly policy: SocketPolicy | undefined
  readonly mode: number
  readonly backlog: number
  readonly sockets: UnixSockets
}

/** By Node. */
export const netSockets: UnixSockets = {
  dial: netDial,
  async listen(path, backlog, onReady) {
    return await listenByNet({ path: netPath(path), backlog, exclusive: true }, backlog, onReady)
  },
}

/** By the native addon; undefined where there is none. */
export function nativeSockets(): UnixSockets | undefined {
  const set = connectionSet()
  if (set === undefined) return undefined
  const { native } = set
  return {
    dial: nativeDial(set),
    // a promise only for the failure: binding does not block
    listen: (path, backlog, onReady) =>
      new Promise((resolve) => {
        resolve(new NativeSource(set, native, native.listen({ family: 'unix', path }, backlog), onReady))
      }),
  }
}

/** By the native addon where there is one, else by Node. */
export function systemSockets(): UnixSockets {
  return nativeSockets() ?? netSockets
}

/**
 * Listens. Rejects with ERR_DENIED, ERR_ADDRESS_IN_USE, ERR_ADDRESS_UNAVAILABLE, ERR_BIND_DENIED
 * and the like. Closing the source removes the socket's file, where it still is ours.
 */
export async function listenUnix(
  address: UnixAddress,
  options: ListenUnixOptions,
  onReady: () => void,
): Promise<ConnectionSource> {
  const target = printableAddress(address)
  try {
    if (address.type === 'file') return await listenAtFile(address, options, onReady, target)
    if (options.policy?.allowsAbstract(address.name) === false) throw denied(target)
    return await options.sockets.listen(Buffer.concat([Buffer.of(0), address.name]), options.backlog, onReady)
  } catch (error) {
    throw listenError(error, target)
  }
}

async function listenAtFile(
  address: Extract<UnixAddress, { type: 'file' }>,
  { policy, mode, backlog, sockets }: ListenUnixOptions,
  onReady: () => void,
  target: string,
): Promise<ConnectionSource> {
  const place = policy === undefined ? ownPlace(address) : policy.placeOf(address)
  if (place === undefined) throw denied(target)
  let at: SocketFolder
  try {
    at = folderOf(place)
  } catch (error) {
    throw whyNot(error, target)
  }
  let claim: NameClaim | undefined
  let source: ConnectionSource | undefined
  try {
    claim = await claimName(at, { mode, anyFolder: policy === undefined, dial: sockets.dial })
    source = await sockets.listen(claim.temporary, backlog, onReady)
    claim.publish()
    return new FileSource(source, claim, at)
  } catch (error) {
    source?.close()
    claim?.release()
    at.close()
    throw error
  }
}

/** A source that takes the socket's file along when it is closed. */
class FileSource implements ConnectionSource {
  readonly local: Endpoint
  readonly #source: ConnectionSource
  readonly #claim: NameClaim
  readonly #at: SocketFolder

  constructor(source: ConnectionSource, claim: NameClaim, at: SocketFolder) {
    this.local = source.local
    this.#source = source
    this.#claim = claim
    this.#at = at
  }

  take(): Connection | undefined {
    return this.#source.take()
  }

  arm(): void {
    this.#source.arm()
  }

  disarm(): void {
    this.#source.disarm()
  }

  /**
   * The name goes first: a socket that is closed under its name would be stale for an instant, and
   * another's to take.
   */
  close(): void {
    this.#claim.release()
    this.#source.close()
    this.#at.close()
  }
}

function denied(target: string): TrunkError {
  return new TrunkError('ERR_DENIED', `${target} is not allowed here`)
}
