/**
 * The messages of `bench`: one request in the open, the bounds in force in its acceptance, and one
 * report at the end of a `write`.
 */
import * as v from 'valibot'
import { decodeCbor, encodeCbor } from '../../src/core/cbor.ts'
import { badArgument } from '../../src/contracts/errors.ts'
import { decodeWith, unwrap, type Decoded } from '../internal/decoded.ts'

/** The protocol's name on the wire. */
export const NAME = 'bench'

/** What moves: bytes to the client, bytes to the server, or bytes to the server and back. */
export type BenchDirection = 'read' | 'write' | 'echo'

/** What ends a measurement, whatever comes first. */
export interface Bounds {
  readonly bytes: number
  readonly milliseconds: number
}

/** Asks for a measurement. */
export interface MeasureRequest extends Bounds {
  readonly direction: BenchDirection
}

/** Most bytes of a report that are looked at. */
export const MAX_REPORT_BYTES = 64

const positive = (what: string): v.GenericSchema<unknown, number> =>
  v.pipe(
    v.number(`${what} must be a whole number above 0`),
    v.check((number) => Number.isSafeInteger(number) && number > 0, `${what} must be a whole number above 0`),
  )
const counted = (what: string): v.GenericSchema<unknown, number> =>
  v.pipe(
    v.number(`${what} must be a number`),
    v.check((number) => number >= 0 && number <= Number.MAX_SAFE_INTEGER, `${what} must not be below 0`),
  )

const BOUNDS = { bytes: positive('bytes'), milliseconds: positive('milliseconds') }
const Direction = v.picklist(['read', 'write', 'echo'] as const, 'direction must be read, write or echo')
const Request = v.object({ direction: Direction, ...BOUNDS })
const Reply = v.object(BOUNDS)
const Report = v.object({ bytes: counted('bytes'), milliseconds: counted('milliseconds') })

/** Checks what a peer sent as parameters. */
export function decodeRequest(params: unknown): Decoded<MeasureRequest> {
  return decodeWith(Request, params, 'ERR_PARAMS_INVALID', 'bench')
}

/** A request of our own that a peer would take, or ERR_BAD_ARGUMENT. */
export function requireRequest(request: MeasureRequest): MeasureRequest {
  const checked = decodeRequest(request)
  if (!checked.ok) throw badArgument(`not a measurement: ${checked.error.message}`)
  return checked.value
}

/** Checks what a peer sent as reply. */
export function decodeReply(reply: unknown): Decoded<Bounds> {
  return decodeWith(Reply, reply, 'ERR_MESSAGE_INVALID', 'the reply to bench')
}

/** What the server has read of a `write`, and in which time. */
export function encodeReport(report: Bounds): Uint8Array {
  return encodeCbor({ bytes: report.bytes, milliseconds: report.milliseconds }, MAX_REPORT_BYTES, 'the report')
}

/** The report in `bytes`; throws ERR_MESSAGE_INVALID. */
export function decodeReport(bytes: Uint8Array): Bounds {
  const report = decodeCbor(bytes, 'ERR_MESSAGE_INVALID', 'the report of bench')
  return unwrap(decodeWith(Report, report, 'ERR_MESSAGE_INVALID', 'the report of bench'))
}
