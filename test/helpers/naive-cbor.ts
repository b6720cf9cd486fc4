/**
 * As much CBOR (RFC 8949) as the wire uses, written from the RFC: shortest heads, definite lengths,
 * members in the order given.
 */
import { bigEndian, concat, fromBigEndian, utf8 } from './naive-codec.ts'

/**
 * What can be encoded; a float that is a whole number goes as an integer. Members that are
 * undefined are left out.
 */
export type CborValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly CborValue[]
  | { readonly [key: string]: CborValue | undefined }

/** A head: major type and argument, in the shortest form. */
export function cborHead(major: number, argument: number | bigint): Uint8Array {
  const value = BigInt(argument)
  const top = major << 5
  if (value < 24n) return Uint8Array.of(top | Number(value))
  if (value < 2n ** 8n) return concat(Uint8Array.of(top | 24), bigEndian(value, 1))
  if (value < 2n ** 16n) return concat(Uint8Array.of(top | 25), bigEndian(value, 2))
  if (value < 2n ** 32n) return concat(Uint8Array.of(top | 26), bigEndian(value, 4))
  return concat(Uint8Array.of(top | 27), bigEndian(value, 8))
}

/** A value as bytes. */
export function cbor(value: CborValue): Uint8Array {
  if (value === null) return Uint8Array.of(0xf6)
  if (value === false) return Uint8Array.of(0xf4)
  if (value === true) return Uint8Array.of(0xf5)
  if (typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))) {
    return value < 0 ? cborHead(1, -1n - BigInt(value)) : cborHead(0, value)
  }
  if (typeof value === 'number') {
    const bytes = new Uint8Array(9)
    bytes[0] = 0xfb
    new DataView(bytes.buffer).setFloat64(1, value)
    return bytes
  }
  if (typeof value === 'string') return concat(cborHead(3, utf8(value).byteLength), utf8(value))
  if (value instanceof Uint8Array) return concat(cborHead(2, value.byteLength), value)
  if (Array.isArray(value)) return concat(cborHead(4, value.length), ...value.map((item: CborValue) => cbor(item)))
  const members = Object.entries(value as { readonly [key: string]: CborValue | undefined })
  const parts = members.flatMap(([key, member]) => (member === undefined ? [] : [cbor(key), cbor(member)]))
  return concat(cborHead(5, parts.length / 2), ...parts)
}

/** The one value in `bytes`: what {@link cbor} can make, without floats. */
export function fromCbor(bytes: Uint8Array): CborValue {
  const [value, end] = readCbor(bytes, 0)
  if (end !== bytes.byteLength) throw new Error('bytes after the value')
  return value
}

function readCbor(bytes: Uint8Array, start: number): [value: CborValue, end: number] {
  const major = bytes[start]! >> 5
  const info = bytes[start]! & 31
  const extra = info < 24 ? 0 : 2 ** (info - 24)
  let at = start + 1 + extra
  const argument = info < 24 ? info : Number(fromBigEndian(bytes.slice(start + 1, at)))
  if (major === 0) return [argument, at]
  if (major === 1) return [-1 - argument, at]
  if (major === 2) return [bytes.slice(at, at + argument), at + argument]
  if (major === 3) return [new TextDecoder().decode(bytes.slice(at, at + argument)), at + argument]
  if (major === 7) return [info === 20 ? false : info === 21 ? true : null, at]
  const items: CborValue[] = []
  for (let i = 0; i < (major === 5 ? argument * 2 : argument); i++) {
    const [item, end] = readCbor(bytes, at)
    items.push(item)
    at = end
  }
  if (major === 4) return [items, at]
  const members: [key: string, member: CborValue][] = []
  for (let i = 0; i < items.length; i += 2) members.push([items[i] as string, items[i + 1]!])
  // makes `__proto__` a member like any other, which an assignment would not
  return [Object.fromEntries(members), at]
}
