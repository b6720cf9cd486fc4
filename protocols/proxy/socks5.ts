/**
 * The messages of a SOCKS5 client (RFC 1928), and its user and password (RFC 1929). Each parser
 * bounds what it asks for by the lengths' own size: 257, 513 and 262 bytes.
 */
import { canonicalAddress } from '../tcp/policy.ts'
import { destinationOf, latin1, MORE, type Destination, type Parsed } from './parsed.ts'

/** The first byte of each message but the login. */
export const VERSION_5 = 5
const LOGIN_VERSION = 1

/** Ways to say who one is. */
export const METHOD = { none: 0, password: 2, unacceptable: 0xff } as const

const CONNECT = 1
const UNKNOWN = '0.0.0.0'
const ADDRESS_TYPE = { ipv4: 1, name: 3, ipv6: 4 } as const

/** The numbers of the reply. */
export const REPLY_5 = {
  succeeded: 0,
  failed: 1,
  denied: 2,
  hostUnreachable: 4,
  refused: 5,
  commandUnsupported: 7,
  addressTypeUnsupported: 8,
} as const

/** The ways that the client offers. */
export function parseGreeting(bytes: Uint8Array): Parsed<readonly number[]> {
  const [version, count] = bytes
  if (version !== undefined && version !== VERSION_5) return bad('the greeting is not of SOCKS5')
  if (count === undefined || bytes.byteLength < 2 + count) return MORE
  return { state: 'done', value: [...bytes.subarray(2, 2 + count)], length: 2 + count }
}

/** Who the client says that it is, each byte a character. */
export function parseLogin(bytes: Uint8Array): Parsed<{ readonly user: string; readonly password: string }> {
  const [version, userLength] = bytes
  if (version !== undefined && version !== LOGIN_VERSION) return bad('the login is not of version 1')
  if (userLength === undefined) return MORE
  const passwordLength = bytes[2 + userLength]
  if (passwordLength === undefined) return MORE
  const length = 3 + userLength + passwordLength
  if (bytes.byteLength < length) return MORE
  const user = latin1(bytes.subarray(2, 2 + userLength))
  return { state: 'done', value: { user, password: latin1(bytes.subarray(3 + userLength, length)) }, length }
}

/** Where the client wants to go. */
export function parseRequest5(bytes: Uint8Array): Parsed<Destination> {
  const [version, command, , type] = bytes
  if (version !== undefined && version !== VERSION_5) return bad('the request is not of SOCKS5')
  if (type === undefined) return MORE
  const known = type === ADDRESS_TYPE.ipv4 || type === ADDRESS_TYPE.name || type === ADDRESS_TYPE.ipv6
  if (!known) return bad('an address of an unknown type', REPLY_5.addressTypeUnsupported)
  const from = type === ADDRESS_TYPE.name ? 5 : 4
  const size = type === ADDRESS_TYPE.ipv4 ? 4 : type === ADDRESS_TYPE.ipv6 ? 16 : bytes[4]
  if (size === undefined || bytes.byteLength < from + size + 2) return MORE
  if (command !== CONNECT) return bad('only CONNECT is served', REPLY_5.commandUnsupported)
  const host = hostOf(type, bytes.subarray(from, from + size))
  const to = destinationOf(host, portAt(bytes, from + size))
  if (to === undefined) return bad('the destination is neither an address nor a name with a port', REPLY_5.failed)
  return { state: 'done', value: to, length: from + size + 2 }
}

function hostOf(type: number, bytes: Uint8Array): string {
  if (type === ADDRESS_TYPE.name) return latin1(bytes)
  if (type === ADDRESS_TYPE.ipv4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, index) => portAt(bytes, 2 * index).toString(16))
  return groups.join(':')
}

function portAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
}

function bad(why: string, reply: number = REPLY_5.failed): { state: 'bad'; why: string; reply: number } {
  return { state: 'bad', why, reply }
}

/** Which way the client is to take. */
export function methodReply(method: number): Uint8Array {
  return Uint8Array.of(VERSION_5, method)
}

/** Whether the login was right. */
export function loginReply(right: boolean): Uint8Array {
  return Uint8Array.of(LOGIN_VERSION, right ? 0 : 1)
}

/**
 * The answer to a request. `bound` is the connection's own end, where there is one that can be
 * said.
 */
export function reply5(number: number, bound?: { readonly address: string; readonly port: number }): Uint8Array {
  const known = canonicalAddress(bound?.address ?? '') ?? UNKNOWN
  // `::1.2.3.4` is nobody's own address
  const address = known.includes(':') && known.includes('.') ? UNKNOWN : known
  const port = bound?.port ?? 0
  const isIPv6 = address.includes(':')
  const octets = isIPv6 ? octetsOf(address) : address.split('.').map(Number)
  const type = isIPv6 ? ADDRESS_TYPE.ipv6 : ADDRESS_TYPE.ipv4
  return Uint8Array.of(VERSION_5, number, 0, type, ...octets, port >> 8, port & 0xff)
}

/** The 16 bytes of an IPv6 address in canonical form, which has no dots. */
function octetsOf(address: string): number[] {
  const [left = '', right] = address.split('::')
  const groups = (text: string | undefined): string[] => (text === undefined || text === '' ? [] : text.split(':'))
  const [before, after] = [groups(left), groups(right)]
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0')
  return [...before, ...zeros, ...after].flatMap((group) => {
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}
