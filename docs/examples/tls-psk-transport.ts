/**
 * A transport that is not part of trunkline: TLS with a secret that both ends know, and no
 * certificates.
 *
 * Run: `tlsPsk({ port: 7443, identity: 'vm-7', key })` where an address would stand, in `connect`
 * and in `serve`. docs/guide/writing-a-transport.md explains the contract;
 * test/transports/tls-psk.long.test.ts runs the conformance suite on this file.
 */
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { TrunkError, type Link, type Transport, type TransportOptions } from 'trunkline'
import { connectError, dialDuplex, linkFromDuplex, LinkListener, listenError } from 'trunkline/transports/duplex'

/** Where the other end is, and the secret. */
export interface TlsPskOptions {
  /** @default '127.0.0.1' */
  host?: string
  /** 0 for listening at a port that the kernel chooses. */
  port: number
  /** Which secret: a name that travels in the clear. */
  identity: string
  /** The secret, at least 16 random bytes. */
  key: Uint8Array
}

/**
 * Forward secrecy, and no suite that would ask for a certificate; Node's pre-shared keys are those
 * of TLS 1.2. Half-open: one end may go on writing after the other has ended.
 */
const TLS = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  allowHalfOpen: true,
} as const

/** A transport for one address and one secret. */
export function tlsPsk({ host = '127.0.0.1', port, identity, key }: TlsPskOptions): Transport {
  if (key.byteLength < 16) throw new TrunkError('ERR_BAD_ARGUMENT', `key must have 16 bytes, not ${key.byteLength}`)
  const address = `tls-psk://${host}:${port}`

  return {
    scheme: 'tls-psk',
    address,
    // a TLS record holds 16 KiB
    traits: { lossless: true, connected: true, preferredFrameBytes: 16 * 1024 },

    async connect(options) {
      const open = (): TLSSocket =>
        connect({
          ...TLS,
          host,
          port,
          pskCallback: () => ({ identity, psk: key }),
          // there is no certificate: who knows the secret is who we want
          checkServerIdentity: () => undefined,
        })
      return dialDuplex(
        {
          open,
          ready: 'secureConnect', // the secret is proven by now
          target: address,
          toLink: (socket) => toLink(socket, options),
          toError: (error) => refusal(error, address),
        },
        options,
      )
    },

    async listen(options) {
      options.signal.throwIfAborted()
      const server = createServer({
        ...TLS,
        handshakeTimeout: options.limits.connectTimeoutMs,
        pskCallback: (_socket, name) => (name === identity ? key : null),
      })
      server.maxConnections = options.limits.maxSessions
      await new Promise<void>((resolve, reject) => {
        server.once('error', (error) => reject(listenError(error, address, 'link')))
        server.listen(port, host, resolve)
      })
      const listener = new LinkListener(`tls-psk://${host}:${(server.address() as AddressInfo).port}`, () =>
        server.close(),
      )
      server.on('secureConnection', (socket) => listener.push(toLink(socket, options)))
      server.on('error', (error) => listener.finish(listenError(error, address, 'link')))
      return listener
    },
  }
}

function toLink(socket: TLSSocket, { clock, limits }: TransportOptions): Link {
  const peer = `${socket.remoteAddress}:${socket.remotePort}`
  return linkFromDuplex(socket, { peer, clock, closeTimeoutMs: limits.closeTimeoutMs })
}

/**
 * OpenSSL's own errors mean that the secrets differ, or that the other end speaks no TLS; the rest
 * is the network's.
 */
function refusal(error: Error, address: string): TrunkError {
  const code = 'code' in error ? String(error.code) : ''
  if (!/^ERR_SSL_|^EPROTO$|^ECONNRESET$/.test(code)) return connectError(error, address, 'link')
  return new TrunkError('ERR_AUTH_FAILED', `${address} did not accept our secret`, { cause: error, scope: 'link' })
}
