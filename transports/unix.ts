/**
 * Unix sockets: `unix:///run/x.sock`.
 *
 * Promises: the socket file has mode 0600 (or what was asked for) before anyone can see it; one
 * that nobody answers any more is replaced, a live one and any other file are ERR_ADDRESS_IN_USE;
 * `close` removes the file that we made and no other; half-close either way. Unlike TCP the line
 * knows no reset: the peer of an `abort` sees an end, or ERR_LINK_RESET when it writes. Bounds: 107
 * bytes of path, and those of tcp.
 */
import { createServer, connect } from 'node:net'
import type { Socket } from 'node:net'
import type { Link, Transport, TransportOptions, TransportTraits } from '../src/contracts/types.ts'
import { readPooled } from './internal/accepted.ts'
import { dialDuplex } from './internal/dial-duplex.ts'
import { serveSockets } from './internal/serve-sockets.ts'
import { PooledReader } from './internal/pooled-reader.ts'
import { socketLink } from './internal/socket-link.ts'
import { checkAccess } from './internal/socket-access.ts'
import { checkSocketPath, formatUnixAddress, parseListenPath } from './internal/unix-address.ts'
import { claimSocketPath } from './internal/unix-path.ts'

/** Where to dial or listen. */
export interface UnixOptions {
  /** Absolute, or relative to the current folder; at most 107 bytes in full. */
  path: string
  /**
   * Of the socket that `serve` makes: permission bits, such as 0o660. @default 0o600, with a group
   * 0o660
   */
  mode?: number
  /** Of the socket that `serve` makes: a group's name or number. */
  group?: string
}

const TRAITS: TransportTraits = { lossless: true, connected: true, preferredFrameBytes: 64 * 1024 }

/**
 * A unix socket transport. Throws ERR_ADDRESS_INVALID for an address that is none, ERR_BAD_ARGUMENT
 * for a bad path.
 *
 * @example
 * ```ts
 * const address = unix({ path: '/run/vm.sock', mode: 0o660, group: 'vms' })
 * const server = await serve(address, { protocols })
 * ```
 */
export function unix(address: string | UnixOptions): Transport {
  const { path, access } =
    typeof address === 'string'
      ? parseListenPath(address)
      : { path: checkSocketPath(address.path), access: checkAccess(address.mode, address.group) }
  const written = formatUnixAddress(path, access)
  const toLink = (socket: Socket, { clock, limits }: TransportOptions, reader?: PooledReader): Link =>
    socketLink({
      readable: socket,
      writable: socket,
      ...(reader === undefined ? {} : { reader }),
      clock,
      closeTimeoutMs: limits.closeTimeoutMs,
      peer: written,
    })
  return {
    scheme: 'unix',
    address: written,
    traits: TRAITS,
    connect(options) {
      const reader = new PooledReader()
      return dialDuplex(
        {
          open: () => connect({ path, allowHalfOpen: true, onread: reader.onread }),
          target: written,
          toLink: (socket) => toLink(socket, options, reader),
        },
        options,
      )
    },
    async listen(options) {
      options.signal.throwIfAborted()
      const claim = await claimSocketPath(path, written, access)
      const server = createServer({ allowHalfOpen: true })
      return serveSockets(
        {
          server,
          listen: { path: claim.temporaryPath },
          target: written,
          address() {
            claim.publish()
            return written
          },
          toLink(accepted) {
            const { socket, reader } = readPooled(accepted)
            return toLink(socket, options, reader)
          },
          release: claim.release,
        },
        options,
      )
    },
  }
}
