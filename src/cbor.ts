/**
 * Structured payloads: CBOR (RFC 8949) through `cborg`, strictly. What comes out is made of null-prototype objects, so that a
 * key such as `__proto__` or `constructor` is a key and nothing else.
 */
import { decode, encode, Tokenizer, Type, type Token } from 'cborg'
import { badArgument, TrunkError, type ErrorCode } from './errors.ts'

/** Deepest nesting that is accepted; nothing in trunkline nests deeper than 4. */
const MAX_DEPTH = 16

const STRICT = {
  strict: true,
  useMaps: true,
  rejectDuplicateMapKeys: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowBigInt: true,
  retainStringBytes: true,
} as const

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The library replaces what is no UTF-8 and drops a byte order mark, so that two names would become one: here each is an error or kept. */
class StrictTokens extends Tokenizer {
  override next(): Token {
    const token = super.next()
    if (Type.equals(token.type, Type.string)) token.value = utf8.decode(token.byteValue)
    return token
  }
}

/** Encodes a value made of plain objects, arrays, strings, numbers, booleans, null and byte arrays; undefined members are left out. */
export function encodeCbor(value: unknown, maxBytes: number, what: string): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = encode(plain(value, 0, what), { ignoreUndefinedProperties: true })
  } catch (error) {
    if (error instanceof TrunkError) throw error
    throw new TrunkError('ERR_BAD_ARGUMENT', `${what} cannot be encoded`, { cause: error })
  }
  if (bytes.byteLength > maxBytes) {
    throw badArgument(`${what} is ${bytes.byteLength} bytes encoded, above the limit of ${maxBytes}`)
  }
  return bytes
}

/** Decodes exactly one value that fills `bytes`, or throws `code`. Byte strings in it are copies. */
export function decodeCbor(bytes: Uint8Array, code: ErrorCode, what: string): unknown {
  try {
    return unmapped(decode(bytes, { ...STRICT, tokenizer: new StrictTokens(bytes, STRICT) }), 0)
  } catch (error) {
    throw new TrunkError(code, `${what} is not valid CBOR of the accepted kind`, { cause: error })
  }
}

/** Arguments are checked here rather than by the library, whose errors do not name them. */
function plain(value: unknown, depth: number, what: string): unknown {
  if (depth > MAX_DEPTH) throw badArgument(`${what} is nested deeper than ${MAX_DEPTH}`)
  if (value === undefined) return null
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1, what))
  const copy = new Map<string, unknown>()
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined) copy.set(key, plain(member, depth + 1, what))
  }
  return copy
}

function unmapped(value: unknown, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new RangeError(`nested deeper than ${MAX_DEPTH}`)
  if (value instanceof Map) {
    const object = Object.create(null) as Record<string, unknown>
    for (const [key, member] of value) {
      if (typeof key !== 'string') throw new TypeError('a key is not a string')
      object[key] = unmapped(member, depth + 1)
    }
    return object
  }
  if (Array.isArray(value)) return value.map((item) => unmapped(item, depth + 1))
  if (value instanceof Uint8Array) return new Uint8Array(value)
  return value
}
