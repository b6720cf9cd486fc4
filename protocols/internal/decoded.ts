/** What decoding a message from the peer gives. It never throws, whatever the peer sent. */
import * as v from 'valibot'
import { TrunkError, type ErrorCode } from '../../src/contracts/errors.ts'

/** A message, or why there is none. */
export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: TrunkError }

/**
 * Checks `value` against `schema`. Fields that the schema does not know are left out; `what` names
 * the message.
 */
export function decodeWith<T>(
  schema: v.GenericSchema<unknown, T>,
  value: unknown,
  code: ErrorCode,
  what: string,
): Decoded<T> {
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (result.success) return { ok: true, value: result.output }
  const issue = result.issues[0]
  const where = v.getDotPath(issue)
  return { ok: false, error: new TrunkError(code, `${what}: ${where === null ? '' : `${where}: `}${issue.message}`) }
}

/** The message, or its error thrown. */
export function unwrap<T>(decoded: Decoded<T>): T {
  if (!decoded.ok) throw decoded.error
  return decoded.value
}
