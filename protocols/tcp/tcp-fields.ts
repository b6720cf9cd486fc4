/** The fields that the messages of both TCP protocols are made of. */
import * as v from 'valibot'
import { canonicalName } from '../../src/runtime/host-port.ts'
import { canonicalAddress } from './policy.ts'
import type { Connection } from './connection.ts'

const wholePort = (min: number): v.GenericSchema<unknown, number> =>
  v.pipe(
    v.number(`must be a port number from ${min} to 65535`),
    v.check(
      (port) => Number.isInteger(port) && port >= min && port <= 65_535,
      `must be a port number from ${min} to 65535`,
    ),
  )

/** A port to dial: 1 to 65535. */
export const DialPort: v.GenericSchema<unknown, number> = wholePort(1)
/** A port to bind: 0 lets the system choose. */
export const BindPort: v.GenericSchema<unknown, number> = wholePort(0)

/**
 * An address literal or a host name, in its canonical form. Never a path, a number in disguise, or
 * anything with a zone id.
 */
export const Host: v.GenericSchema<unknown, string> = v.pipe(
  v.string('must be an address or a host name'),
  v.maxLength(255, 'must be at most 255 characters'),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const host = canonicalAddress(dataset.value) ?? canonicalName(dataset.value)
    if (host !== undefined) return host
    addIssue({ message: 'must be an address or a host name' })
    return NEVER
  }),
)

/** The two ends of a TCP connection, as the side that holds its socket sees them. */
export interface TcpAddresses {
  /** IP address of the end whose socket this side holds. */
  readonly localAddress: string
  /** Port of that end. */
  readonly localPort: number
  /** IP address of the far end. */
  readonly remoteAddress: string
  /** Port of the far end. */
  readonly remotePort: number
}

/** The fields of a reply about `connection`. */
export function addressesOf({ local, remote }: Connection): TcpAddresses {
  return {
    localAddress: local.address,
    localPort: local.port,
    remoteAddress: remote.address,
    remotePort: remote.port,
  }
}

/** An address in a reply: the peer's word, bounded and never dialled. */
const AddressText: v.GenericSchema<unknown, string> = v.pipe(
  v.string('must be text'),
  v.maxLength(64, 'must be at most 64 characters'),
)

/** The schema's fields of {@link TcpAddresses}. */
export const ADDRESS_FIELDS: {
  readonly localAddress: v.GenericSchema<unknown, string>
  readonly localPort: v.GenericSchema<unknown, number>
  readonly remoteAddress: v.GenericSchema<unknown, string>
  readonly remotePort: v.GenericSchema<unknown, number>
} = {
  localAddress: AddressText,
  localPort: BindPort,
  remoteAddress: AddressText,
  remotePort: BindPort,
}
