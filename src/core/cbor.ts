/**
 * Structured payloads: CBOR (RFC 8949) through `cborg`, strictly. What comes out is made of
 * null-prototype objects, so that a key such as `__proto__` or `constructor` is a key and nothing
 * else.
 */
import { decode, encode, Tokenizer, Type, type Token } from 'cborg'
import { badArgument, TrunkError, type ErrorCode } from '../contracts/errors.ts'

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

/**
 * The library replaces what is no UTF-8 and drops a byte order mark, so that two names would become
 * one: here each is an error or kept.
 */
class StrictTokens extends Tokenizer {
  override next(): Token {
    const token = super.next()
    if (Type.equals(token.type, Type.string)) token.value = utf8.decode(token.byteValue)
    return token
  }
}

/**
 * Encodes a value made of plain objects, arrays, well-formed strings, numbers, booleans, null and
 * byte arrays; undefined members are left out. What would arrive as something else (a Map as `{}`)
 * is refused with ERR_BAD_ARGUMENT. Three things are not told apart: -0 and 0, `undefined` alone
 * and null, and kinds of byte arrays.
 */
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

/**
 * Decodes exactly one value that fills `bytes`, or throws `code`. Byte strings in it are copies.
 */
export function decodeCbor(bytes: Uint8Array, code: ErrorCode, what: string): unknown {
  try {
    return unmapped(decode(bytes, { ...STRICT, tokenizer: new StrictTokens(bytes, STRICT) }), 0)
  } catch (error) {
    throw new TrunkError(code, `${what} is not valid CBOR of the accepted kind`, { cause: error })
  }
}

/** Half of a pair that stands alone: UTF-8 has no bytes for it. */
const LONE_SURROGATE = /\p{Surrogate}/u

/**
 * Arguments are checked here rather than by the library, which takes whatever has members for a map
 * of these, and whose errors do not name them.
 */
function plain(value: unknown, depth: number, what: string): unknown {
  if (depth > MAX_DEPTH) throw badArgument(`${what} is nested deeper than ${MAX_DEPTH}`)
  if (value === undefined) return null
  if (typeof value === 'string') return wellFormed(value, what)
  if (typeof value === 'bigint') return needed(value, what)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  if (Array.isArray(value)) {
    // not `map`, which keeps holes
    return Array.from(value, (item: unknown) => {
      if (item === undefined) throw badArgument(`${what} has an array with undefined in it, which would become null`)
      return plain(item, depth + 1, what)
    })
  }
  requirePlain(value, what)
  const copy = new Map<string, unknown>()
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined) copy.set(wellFormed(key, what), plain(member, depth + 1, what))
  }
  return copy
}

function wellFormed(text: string, what: string): string {
  if (LONE_SURROGATE.test(text))
    throw badArgument(`${what} has a string with a lone surrogate: ${JSON.stringify(text)}`)
  return text
}

/** The peer is given a number wherever one is exact. */
function needed(value: bigint, what: string): bigint {
  if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER)
    throw badArgument(`${what} has the bigint ${value}, which would arrive as a number: give a number`)
  return value
}

/** Of any realm: what an object literal, `Object.create(null)` and JSON.parse make. */
function requirePlain(value: object, what: string): void {
  const prototype: unknown = Object.getPrototypeOf(value)
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null
  if (!isPlain) throw badArgument(`${what} has ${nameOf(prototype)}, which cannot be sent: use plain objects`)
  if (Object.getOwnPropertySymbols(value).length > 0)
    throw badArgument(`${what} has a member that is named by a symbol`)
}

/** `a Map`, without running anything of the object. */
function nameOf(prototype: unknown): string {
  const made: unknown = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value
  const name: unknown = typeof made === 'function' ? Object.getOwnPropertyDescriptor(made, 'name')?.value : undefined
  return typeof name === 'string' && name !== '' ? `an object of the class ${name}` : 'an object of a class'
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
