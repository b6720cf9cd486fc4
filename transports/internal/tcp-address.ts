/**
 * `tcp://HOST:PORT`, read strictly: what is not written in full is refused, since resolvers read
 * `127.1`, `0x7f.1` and the like as addresses and a user who wrote them would not know which.
 * Throws ERR_ADDRESS_INVALID that shows the address.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { TrunkError } from '../../src/contracts/errors.ts'
import { canonicalName, splitHostPort } from '../../src/runtime/host-port.ts'

/** Host without brackets, and port. */
export interface HostPort {
  readonly host: string
  readonly port: number
}

const PREFIX = 'tcp://'
/** The final dot of a name, where it has one, included. */
const MAX_NAME_CHARACTERS = 253

/**
 * The parts of `address`.
 * @param shown what messages show. @default `address`
 */
export function parseTcpAddress(address: string, shown: string = address): HostPort {
  const written = address.startsWith(PREFIX) ? splitHostPort(address.slice(PREFIX.length)) : undefined
  const invalid = (what: string): TrunkError =>
    new TrunkError('ERR_ADDRESS_INVALID', `${JSON.stringify(shown)} is no tcp address: ${what}`)
  const digits = written?.port ?? ''
  if (written === undefined || !/^[0-9]+$/.test(digits))
    throw invalid('it must be tcp://HOST:PORT, with an IPv6 address in brackets')
  if (written.isBracketed && !isIPv6(written.host)) throw invalid('no IPv6 address is in the brackets')
  const host = written.host === '' ? '127.0.0.1' : written.host
  if (!isHost(host)) throw invalid('the host must be a name or an address in full')
  const port = Number(digits)
  if (port > 65_535 || String(port) !== digits) throw invalid('the port must be 0 to 65535')
  return { host, port }
}

/** True for a name, a dotted IPv4 address, or an IPv6 address without brackets. */
export function isHost(host: string): boolean {
  if (isIPv4(host) || isIPv6(host)) return true
  return host.length <= MAX_NAME_CHARACTERS && canonicalName(host) !== undefined
}
