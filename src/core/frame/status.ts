/**
 * A code and a sentence as they travel in BYE, REFUSE, DONE, STOP and RESET:
 *
 *     code u16 | name length u8 | name | sentence (UTF-8, the rest)
 *
 * A plugin's code travels by name, with the number 0.
 */
import {
  codeFromWire,
  ERROR_CODES,
  isCodeShaped,
  isKnownCode,
  TrunkError,
  withoutControls,
  type ErrorCode,
  type ErrorScope,
} from '../../contracts/errors.ts'
import { readU16, writeU16 } from './numbers.ts'

/** Longest sentence that is sent or accepted, in bytes. */
export const MAX_SENTENCE_BYTES = 512
/** Longest status payload: the number, the name's length, a name, a sentence. */
export const MAX_STATUS_BYTES: number = 3 + 64 + MAX_SENTENCE_BYTES

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

/** The payload for `code` and `sentence`; the sentence is cut where it is too long. */
export function encodeStatus(code: ErrorCode, sentence: string): Uint8Array {
  const known = isKnownCode(code) && ERROR_CODES[code].wire !== 0
  // a code of our own without a number never travels: by name it would end the session as a lie
  // about a plugin's code
  const name = isKnownCode(code) || !isCodeShaped(code) ? new Uint8Array(0) : encoder.encode(code)
  const number = known ? ERROR_CODES[code].wire : name.byteLength > 0 ? 0 : ERROR_CODES.ERR_PIPE_RESET.wire
  const text = new Uint8Array(MAX_SENTENCE_BYTES)
  // encodeInto never cuts a character in half
  const { written } = encoder.encodeInto(withoutControls(sentence), text)
  const payload = new Uint8Array(3 + name.byteLength + written)
  writeU16(payload, 0, number)
  payload[2] = name.byteLength
  payload.set(name, 3)
  payload.set(text.subarray(0, written), 3 + name.byteLength)
  return payload
}

/**
 * The error that the peer sent, or undefined where the payload is no status. Numbers from a newer
 * version become `fallback`.
 */
export function decodeStatus(payload: Uint8Array, fallback: ErrorCode, scope?: ErrorScope): TrunkError | undefined {
  const nameLength = payload[2]
  if (nameLength === undefined || payload.byteLength > MAX_STATUS_BYTES) return undefined
  if (3 + nameLength > payload.byteLength) return undefined
  let name: string
  let sentence: string
  try {
    name = decoder.decode(payload.subarray(3, 3 + nameLength))
    sentence = decoder.decode(payload.subarray(3 + nameLength))
  } catch {
    return undefined // not UTF-8: the caller raises the violation
  }
  const number = readU16(payload, 0)
  if (number === 0 ? !isCodeShaped(name) || isKnownCode(name) : nameLength !== 0) return undefined
  const code = number === 0 ? name : (codeFromWire(number) ?? fallback)
  return new TrunkError(code, withoutControls(sentence), {
    origin: 'remote',
    ...(scope === undefined ? {} : { scope }),
  })
}
