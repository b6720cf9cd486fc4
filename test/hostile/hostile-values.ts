/**
 * Values that have broken others: names of every object's members, and CBOR that is none or is not
 * allowed. Written from RFC 8949 and docs/reference/wire-format.md.
 */
import { cbor, cborHead } from '../helpers/naive-cbor.ts'
import { concat, utf8 } from '../helpers/naive-codec.ts'

/** Names that resolve on a prototype where somebody looks them up in an object. */
export const HOSTILE_NAMES: readonly string[] = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'valueOf',
  'prototype',
  '__defineGetter__',
  'then',
]

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
const text = (value: string): Uint8Array => concat(cborHead(3, utf8(value).byteLength), utf8(value))
/** A map with the member `protocol: 'hold'`, and one more whose bytes are given. */
const withMember = (...rest: Uint8Array[]): Uint8Array =>
  concat(cborHead(5, 2), text('protocol'), text('hold'), ...rest)

/** First frames that have to be refused with ERR_PARAMS_INVALID. */
export const BAD_HEADS: readonly Uint8Array[] = [
  bytes(), // nothing
  bytes(0xff), // a break that ends nothing
  bytes(0x1c), // a reserved head
  cbor(7), // no map
  cbor([]),
  cbor({}), // no protocol
  cbor({ protocol: 7 }),
  cbor({ protocol: '' }),
  cbor({ protocol: 'x'.repeat(256) }),
  cbor({ protocol: 'hold', version: 'one' }),
  concat(cbor({ protocol: 'hold' }), bytes(0)), // bytes behind the value
  // a key twice
  concat(cborHead(5, 2), text('protocol'), text('hold'), text('protocol'), text('echo')),
  withMember(cbor(1), cbor(2)), // a key that is no text
  withMember(text('params'), bytes(0xc1, 0x00)), // a tag
  withMember(text('params'), bytes(0xf7)), // undefined
  withMember(text('params'), bytes(0xf8, 0xff)), // a simple value
  withMember(text('params'), bytes(0x18, 0x01)), // a head that is longer than needed
  withMember(text('params'), bytes(0x9f, 0x01, 0xff)), // an indefinite array
  withMember(text('params'), bytes(0xbf, 0xff)), // an indefinite map
  withMember(text('params'), bytes(0x7f, 0x61, 0x61, 0xff)), // an indefinite text
  withMember(text('params'), bytes(0x62, 0xc3, 0x28)), // not UTF-8
  withMember(text('params'), bytes(0x9b, 0, 0, 0, 0, 255, 255, 255, 255)), // an array of 2^32 - 1
  // one of 2^64 - 1
  withMember(text('params'), bytes(0x9b, 255, 255, 255, 255, 255, 255, 255, 255)),
  // a map of 2^63 - 1
  withMember(text('params'), bytes(0xbb, 127, 255, 255, 255, 255, 255, 255, 255)),
  withMember(text('params'), bytes(0x5b, 0, 0, 0, 0, 127, 255, 255, 255)), // 2 GiB of bytes
  withMember(text('params'), bytes(0x7b, 0, 32, 0, 0, 0, 0, 0, 0)), // 2^53 bytes of text
  // nested 4,000 deep
  withMember(text('params'), bytes(...Array.from({ length: 4000 }, () => 0x81)), cbor(0)),
  // one level too deep
  withMember(text('params'), bytes(...Array.from({ length: 17 }, () => 0x81)), cbor(0)),
  // maps in maps
  withMember(text('params'), ...Array.from({ length: 900 }, () => concat(bytes(0xa1), text('a'))), cbor(0)),
  bytes(0xa1, 0x68, 0x70), // ends within a key
]
