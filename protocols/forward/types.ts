/** What forwards take and give. Types only. */
import type { TrunkError } from '../../src/contracts/errors.ts'
import type { Clock } from '../../src/contracts/types.ts'
import type { HandshakeOptions } from '../proxy/handshake.ts'
import type { TcpTarget } from '../tcp-connection/client.ts'
import type { TcpBind } from '../tcp-listener/client.ts'
import type { UnixPath } from '../unix/address.ts'
import type { UnixTarget } from '../unix/connection-client.ts'
import type { UnixBind } from '../unix/listener-client.ts'
import type { Lookup } from '../tcp/resolve.ts'

/** How a forward stands. The counts are from its start. */
export interface ForwardStatus {
  /**
   * `listening`: it takes connections. `waiting`: the session was lost, or the peer cannot listen
   * just now, and it is asked again; only of a forward where the peer listens. `closed`: for good.
   */
  readonly state: 'listening' | 'waiting' | 'closed'
  /** Connections that are carried, or being connected, now. */
  readonly connections: number
  /** Connections that were taken, those of `connections` included. */
  readonly taken: number
  /** Connections that led nowhere: each was told to `onFailure`. */
  readonly failed: number
}

/** What went wrong with a part of a forward, which goes on. */
export interface ForwardFailure {
  /**
   * `connect`: a connection led nowhere, and its client has seen a reset, or a proxy's refusal.
   * `listen`: the peer does not listen again just now, and is asked again.
   */
  readonly phase: 'connect' | 'listen'
  /** Which forward, for messages: its {@link Forward.description}. */
  readonly forward: string
  /** Why the connection was given up. */
  readonly error: TrunkError
}

/** Options that all forwards take. */
export interface ForwardOptions {
  /** Where it listens: port 0 is any free one; or a unix socket. */
  listen: TcpBind | UnixBind
  /**
   * Gives the attempt up, and ends the forward later: at once, with a reset of every connection
   * that it carries. `closed` then rejects with the signal's reason.
   */
  signal?: AbortSignal
  /**
   * Connections at a time, 1 to 100,000. What comes beyond waits, whole, in the kernel of the side
   * that listens, and is taken when one has ended.
   * @default 256
   */
  maxConnections?: number
  /** Told of each {@link ForwardFailure}. Must not throw. */
  onFailure?: (failure: ForwardFailure) => void
  /** The clock of all time limits. @default the machine's monotonic clock */
  clock?: Clock
}

/** What a forward adds where the peer listens. */
interface RemoteListening {
  /**
   * Connections asked for ahead, 1 to 32. Each holds one of the trunk's places for opens that wait
   * (`maxWaitingPipes`, 64): give fewer where many such forwards share a trunk.
   * @default 8
   */
  accepts?: number
}

/** Options of {@link forwardLocal}. */
export interface ForwardLocalOptions extends ForwardOptions {
  /** Where the peer connects to. A name is the peer's to resolve, and the peer's rules decide. */
  to: TcpTarget | UnixTarget
}

/** Options of {@link forwardRemote}. */
export interface ForwardRemoteOptions extends ForwardOptions, RemoteListening {
  /** Where this machine connects to. A name is resolved here, for each connection. */
  to: TcpTarget | UnixTarget
}

/** Options of {@link proxyLocal}. */
export interface ProxyLocalOptions extends ForwardOptions, HandshakeOptions {}

/** Options of {@link proxyRemote}. */
export interface ProxyRemoteOptions extends ForwardOptions, RemoteListening, HandshakeOptions {
  /**
   * What may be connected to from here: the rules of `tcp-connection`, decided on the address that
   * is dialled. An empty list denies everything.
   */
  allow: readonly string[]
  /** Time for resolving and dialling together, in milliseconds. @default 10000 */
  connectTimeoutMs?: number
  /** How names are resolved. @default the system's resolver */
  lookup?: Lookup
}

/**
 * A forward that listens. Whoever has it closes it; it ends with its trunk as well, when that is
 * over for good. It needs nobody to look at it.
 */
export interface Forward extends AsyncDisposable {
  /** Where it listens: the real port; or the path of a unix socket, with no host and the port 0. */
  readonly address: { readonly host: string; readonly port: number; readonly path?: UnixPath }
  /**
   * `127.0.0.1:8080 -> HOST:PORT`, and `peer 127.0.0.1:8080 -> HOST:PORT` where the peer listens.
   */
  readonly description: string
  /** A snapshot of what it carries. */
  status(): ForwardStatus
  /**
   * The present status, then each change. A slow reader is given the latest one and not those
   * between; after `closed` it ends. Leaving the loop leaves nothing behind.
   */
  watch(): AsyncIterable<ForwardStatus>
  /**
   * Takes no further connection; those that are carried go on, as long as the trunk does. Resolves
   * when the port is free, on the side that listens. Never rejects.
   */
  close(): Promise<void>
  /**
   * Resolves when it was closed, or its trunk was. Rejects with what ended it otherwise: the loss
   * of a trunk that does not reconnect, a peer that no longer lets it listen, the signal's reason.
   * Never unhandled.
   */
  readonly closed: Promise<void>
}
