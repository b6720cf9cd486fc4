/**
 * `vsock://CID:PORT`, read strictly. A CID names a machine: a number, or `host` (2), `local` (1:
 * this machine itself), `hypervisor` (0), and for listening `any`. Both numbers have 32 bits.
 * Throws ERR_ADDRESS_INVALID that shows the address.
 */
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'

/** One end of a connection, or where one listens. */
export interface VsockAddress {
  readonly cid: number
  readonly port: number
}

/** This machine itself (VMADDR_CID_LOCAL). */
export const LOCAL_CID = 1
/** Listening: for whichever of this machine's CIDs is dialled (VMADDR_CID_ANY). */
export const ANY_CID = 0xffff_ffff
/**
 * The number after it asks the kernel for a free port (VMADDR_PORT_ANY); here 0 does that, as
 * elsewhere.
 */
export const MAX_PORT = 0xffff_fffe

const WORDS: ReadonlyMap<string, number> = new Map([
  ['hypervisor', 0],
  ['local', LOCAL_CID],
  ['host', 2],
  ['any', ANY_CID],
])

const SHAPE = /^vsock:\/\/([a-z]+|[0-9]+):([0-9]+|any)$/

/** The parts of `address`; port 0 stands for `any`. */
export function parseVsockAddress(address: string): VsockAddress {
  const match = SHAPE.exec(address)
  const invalid = (what: string): TrunkError =>
    new TrunkError('ERR_ADDRESS_INVALID', `${JSON.stringify(address)} is no vsock address: ${what}`)
  if (match === null) throw invalid('it must be vsock://CID:PORT')
  const [, written = '', portWritten = ''] = match
  const cid = WORDS.get(written) ?? parseNumber(written, ANY_CID)
  if (cid === undefined) throw invalid(`the CID must be 0 to ${String(ANY_CID)}, or ${[...WORDS.keys()].join(', ')}`)
  const port = portWritten === 'any' ? 0 : parseNumber(portWritten, MAX_PORT)
  if (port === undefined) throw invalid(`the port must be 0 to ${String(MAX_PORT)}, or any`)
  return { cid, port }
}

/** A CID given as an option, by its number or its word; ERR_BAD_ARGUMENT where it is none. */
export function checkCid(name: string, given: unknown): number {
  const cid = typeof given === 'string' ? WORDS.get(given) : undefined
  if (cid !== undefined) return cid
  if (typeof given === 'string') {
    throw badArgument(
      `${name} must be a number or one of ${[...WORDS.keys()].join(', ')}, not ${JSON.stringify(given)}`,
    )
  }
  return requireInteger(name, given, 0, ANY_CID)
}

/** How a user would write it. */
export function formatVsockAddress({ cid, port }: VsockAddress): string {
  return `vsock://${cid === ANY_CID ? 'any' : String(cid)}:${String(port)}`
}

/** Digits without a leading zero, up to `max`. */
export function parseNumber(digits: string, max: number): number | undefined {
  const value = Number(digits)
  return String(value) === digits && value <= max ? value : undefined
}
