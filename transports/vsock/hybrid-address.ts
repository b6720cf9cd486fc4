/**
 * `vsock+unix:///PATH?port=PORT`: the socket that a virtual machine monitor has for its guest's
 * vsock, and a port of the guest's (connecting) or of the host's (listening). The path is written
 * as in a unix address. Throws ERR_ADDRESS_INVALID that shows the address.
 */
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { accessIn, ACCESS_NAMES, checkAccess, formatAccess, type SocketAccess } from '../internal/socket-access.ts'
import {
  checkSocketPath,
  formatUnixAddress,
  MAX_SOCKET_PATH_BYTES,
  parseUnixAddress,
  readQuery,
} from '../internal/unix-address.ts'
import { MAX_PORT, parseNumber } from './address.ts'

/** The monitor's socket, and the port on vsock. */
export interface HybridAddress {
  readonly path: string
  readonly port: number
  /** Who may connect to the socket that is made for listening. */
  readonly access?: SocketAccess
}

const SHAPE = /^vsock\+(unix:[^?]*)\?port=([0-9]+)(?:&([^?]*))?$/

/** The parts of `address`. */
export function parseHybridAddress(address: string): HybridAddress {
  const match = SHAPE.exec(address)
  const invalid = (what: string): TrunkError =>
    new TrunkError('ERR_ADDRESS_INVALID', `${JSON.stringify(address)} is no vsock+unix address: ${what}`)
  if (match === null) throw invalid('it must be vsock+unix:///PATH?port=PORT')
  const [, unix = '', digits = '', rest] = match
  const path = parseUnixAddress(unix, address)
  const port = parseNumber(digits, MAX_PORT)
  if (port === undefined || port === 0) throw invalid(`the port must be 1 to ${String(MAX_PORT)}`)
  if (!fits(path, port)) throw invalid(TOO_LONG)
  if (rest === undefined) return { path, port }
  const query = readQuery(rest, ACCESS_NAMES)
  const access = typeof query === 'string' ? query : accessIn(query)
  if (typeof access === 'string') throw invalid(access)
  return { path, port, access }
}

/** A path and a port given as options; ERR_BAD_ARGUMENT where they are none. */
export function checkHybridOptions(options: {
  path: string
  port: number
  mode?: number
  group?: string
}): HybridAddress {
  const path = checkSocketPath(options.path)
  const port = requireInteger('port', options.port, 1, MAX_PORT)
  if (!fits(path, port)) throw badArgument(`path ${JSON.stringify(options.path)} is no socket path: ${TOO_LONG}`)
  return { path, port, access: checkAccess(options.mode, options.group) }
}

/** How a user would write it. */
export function formatHybridAddress({ path, port, access = {} }: HybridAddress): string {
  return `vsock+${formatUnixAddress(path)}?${[`port=${String(port)}`, ...formatAccess(access)].join('&')}`
}

/**
 * Where a monitor connects when its guest dials `port` of the host: the convention that all of them
 * share.
 */
export function guestSocketPath({ path, port }: HybridAddress): string {
  return `${path}_${String(port)}`
}

const TOO_LONG = `with _PORT it is longer than ${String(MAX_SOCKET_PATH_BYTES)} bytes`

function fits(path: string, port: number): boolean {
  return Buffer.byteLength(guestSocketPath({ path, port })) <= MAX_SOCKET_PATH_BYTES
}
