/**
 * The one message of a SOCKS4 or SOCKS4a client: an address, or a name behind an address that is
 * none. Its texts end in a zero byte, so the whole is bounded: {@link MAX_REQUEST_4_BYTES}.
 */
import { destinationOf, latin1, MORE, type Destination, type Parsed } from './parsed.ts'

/** Its first byte. */
export const VERSION_4 = 4
const CONNECT = 1
const FIXED_BYTES = 8
/** A longer request is none: a user of 256 bytes beside the longest name. */
export const MAX_REQUEST_4_BYTES = 512

/** The numbers of the reply. */
export const REPLY_4 = { granted: 0x5a, rejected: 0x5b } as const

/** Where the client wants to go. Whom it says that it is proves nothing, and is not looked at. */
export function parseRequest4(bytes: Uint8Array): Parsed<Destination> {
  const [version, command, high = 0, low = 0] = bytes
  if (version !== undefined && version !== VERSION_4) return bad('the request is not of SOCKS4')
  if (bytes.byteLength < FIXED_BYTES) return MORE
  if (command !== CONNECT) return bad('only CONNECT is served')
  const userEnd = endOfText(bytes, FIXED_BYTES)
  if (userEnd === undefined) return moreOrBad(bytes)
  const address = bytes.subarray(4, FIXED_BYTES)
  // 0.0.0.x: the name follows the user
  const isName = address[0] === 0 && address[1] === 0 && address[2] === 0 && address[3] !== 0
  const end = isName ? endOfText(bytes, userEnd) : userEnd
  if (end === undefined) return moreOrBad(bytes)
  if (end > MAX_REQUEST_4_BYTES) return tooLong()
  const host = isName ? latin1(bytes.subarray(userEnd, end - 1)) : address.join('.')
  const to = destinationOf(host, (high << 8) | low)
  return to === undefined
    ? bad('the destination is neither an address nor a name with a port')
    : { state: 'done', value: to, length: end }
}

/** Where what follows the zero byte begins. */
function endOfText(bytes: Uint8Array, from: number): number | undefined {
  const zero = bytes.indexOf(0, from)
  return zero < 0 ? undefined : zero + 1
}

function moreOrBad(bytes: Uint8Array): Parsed<Destination> {
  return bytes.byteLength >= MAX_REQUEST_4_BYTES ? tooLong() : MORE
}

function tooLong(): Parsed<Destination> {
  return bad(`the request is longer than ${MAX_REQUEST_4_BYTES} bytes`)
}

function bad(why: string): { state: 'bad'; why: string; reply: number } {
  return { state: 'bad', why, reply: REPLY_4.rejected }
}

/** The answer. */
export function reply4(number: number): Uint8Array {
  return Uint8Array.of(0, number, 0, 0, 0, 0, 0, 0)
}
