/**
 * What the parsers of the proxy's handshakes have in common: bytes in; a value, the wish for more,
 * or why it is none out. They hold nothing and wait for nothing.
 */
import { canonicalName, splitHostPort } from '../../src/runtime/host-port.ts'
import { canonicalAddress } from '../tcp/policy.ts'

/** What a parser makes of the bytes that have come so far. */
export type Parsed<T> =
  | { readonly state: 'more' }
  /** @property length bytes that it takes; what follows is not its own */
  | { readonly state: 'done'; readonly value: T; readonly length: number }
  /** @property reply the number that says so, in the protocol's own words */
  | { readonly state: 'bad'; readonly why: string; readonly reply: number }

/** Where a client wants to go. */
export interface Destination {
  /** An address literal or a host name in its canonical form. */
  readonly host: string
  /** 1 to 65535. */
  readonly port: number
}

/** There is not enough yet. */
export const MORE: { readonly state: 'more' } = { state: 'more' }

/**
 * A destination that can be one; undefined for a path, a zone, a number in disguise and the like,
 * and for port 0.
 */
export function destinationOf(host: string, port: number): Destination | undefined {
  const canonical = canonicalAddress(host) ?? canonicalName(host)
  return canonical === undefined || !(port >= 1 && port <= 65_535) ? undefined : { host: canonical, port }
}

/** The destination in `HOST:PORT` or `[IPV6]:PORT`; undefined where it is none. */
export function destinationIn(text: string, defaultPort?: number): Destination | undefined {
  const { host = '', isBracketed, port: digits } = splitHostPort(text) ?? {}
  // brackets are for IPv6, and nothing else is in them
  if (isBracketed === true && !host.includes(':')) return undefined
  if (digits === undefined) return defaultPort === undefined ? undefined : destinationOf(host, defaultPort)
  return /^\d{1,5}$/.test(digits) ? destinationOf(host, Number(digits)) : undefined
}

/** Each byte as the character of its number. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
