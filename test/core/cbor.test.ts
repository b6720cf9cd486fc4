/** CBOR against the golden vectors: one encoding a value, everything else refused with a code. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { decodeCbor, encodeCbor } from '../../src/core/cbor.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { cbor, fromCbor, type CborValue } from '../helpers/naive-cbor.ts'
import { concat, fromHex, hex } from '../helpers/naive-codec.ts'
import { plain, revive, wireFixture } from '../helpers/wire-fixtures.ts'

const fixture = wireFixture('cbor.json')
const decode = (bytes: Uint8Array): unknown => plain(decodeCbor(bytes, 'ERR_MESSAGE_INVALID', 'the message'))
const refused = (error: unknown): boolean => error instanceof TrunkError && error.code === 'ERR_MESSAGE_INVALID'

describe('CBOR', () => {
  for (const { value, hex: text } of fixture.values) {
    const name = JSON.stringify(value)
    it(`encodes and decodes ${name.length > 40 ? `${name.slice(0, 40)}…` : name}`, () => {
      assert.equal(hex(encodeCbor(revive(value), 1000, 'it')), text)
      assert.deepEqual(decode(fromHex(text)), revive(value))
    })
  }

  it('encodes and decodes bytes of each length of head', () => {
    for (const { length, head } of fixture.bytes) {
      const bytes = concat(fromHex(head), new Uint8Array(length).fill(7))
      assert.equal(hex(encodeCbor(new Uint8Array(length).fill(7), 1000, 'it')), hex(bytes))
      assert.deepEqual(decode(bytes), new Uint8Array(length).fill(7))
    }
  })

  for (const { name, hex: text, value, integer } of fixture.taken) {
    it(`takes ${name}, in a hello or anywhere [R-379]`, () => {
      assert.equal(decode(fromHex(text)), integer === undefined ? value : BigInt(integer))
    })
  }

  for (const { name, hex: text } of fixture.invalid) {
    it(`refuses ${name}`, () => {
      assert.throws(() => decode(fromHex(text)), refused)
    })
  }

  it('takes nesting of exactly the limit', () => {
    assert.ok(Array.isArray(decode(fromHex(`${'81'.repeat(16)}01`))))
    assert.throws(() => decode(fromHex(`${'81'.repeat(17)}01`)), refused)
    assert.throws(() => decode(new Uint8Array(100_000).fill(0x81)), refused)
  })

  it('makes a key of __proto__ and constructor, and nothing else', () => {
    const value = decodeCbor(cbor({ ['__proto__']: { polluted: 1 }, constructor: 2 }), 'ERR_IO', 'it') as Record<
      string,
      unknown
    >
    assert.deepEqual(Object.keys(value), ['__proto__', 'constructor'])
    assert.equal(Object.getPrototypeOf(value), null)
    assert.equal(({} as Record<string, unknown>).polluted, undefined)
  })

  it('gives byte strings of their own, not views of the line’s chunk', () => {
    const bytes = cbor({ a: Uint8Array.of(1, 2, 3) })
    const value = decodeCbor(bytes, 'ERR_IO', 'it') as { a: Uint8Array }
    bytes.fill(0)
    assert.deepEqual([...value.a], [1, 2, 3])
    assert.equal(value.a.buffer.byteLength, 3)
  })

  it('[R-390] refuses what would arrive as something else, wherever it stands', () => {
    class Point {
      x = 1
    }
    const changed: readonly (readonly [unknown, RegExp])[] = [
      [new Map([['a', 1]]), /the class Map/],
      [new Set([1]), /the class Set/],
      [new Date(0), /the class Date/],
      [/x/, /the class RegExp/],
      [new Error('x'), /the class Error/],
      [Promise.resolve(1), /the class Promise/],
      [new Point(), /the class Point/],
      [
        new (class {
          y = 1
        })(),
        /a class/,
      ],
      [new String('x'), /the class String/],
      [new Uint16Array(2), /the class Uint16Array/],
      [new ArrayBuffer(2), /the class ArrayBuffer/],
      [{ [Symbol('s')]: 1 }, /symbol/],
      [[undefined], /undefined/],
      [new Array<unknown>(1), /undefined/],
      [5n, /bigint 5/],
      ['a\ud800', /surrogate/],
      [{ 'k\udfff': 1 }, /surrogate/],
    ]
    for (const [value, message] of changed) {
      for (const one of [value, { a: [value] }]) {
        assert.throws(() => encodeCbor(one, 1000, 'it'), { code: 'ERR_BAD_ARGUMENT', message }, String(message))
      }
    }
  })

  it('takes plain objects of each making, and what arrives as it was', () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1 })
    const foreign: unknown = runInNewContext('({ a: 1 })')
    for (const value of [{ a: 1 }, bare, foreign, JSON.parse('{"a":1}')]) {
      assert.equal(hex(encodeCbor(value, 1000, 'it')), 'a1616101')
    }
    for (const value of [2n ** 63n, -(2n ** 63n), '\ud83d\ude00', 1.5, Infinity, Buffer.from('x')]) {
      assert.deepEqual(
        decode(encodeCbor(value, 1000, 'it')),
        value instanceof Uint8Array ? new Uint8Array(value) : value,
      )
    }
    assert.deepEqual(decode(encodeCbor({ a: undefined, b: 1 }, 1000, 'it')), { b: 1 })
  })

  it('agrees with the naive encoder on whatever fast-check comes up with', () => {
    const leaf = fc.oneof(
      fc.string(),
      fc.boolean(),
      fc.constant(null),
      fc.maxSafeInteger(),
      fc.uint8Array({ maxLength: 30 }),
    )
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.array(tie('any'), { maxLength: 5 }),
        fc.dictionary(fc.string(), tie('any'), { maxKeys: 5 }),
      ),
    })).any as fc.Arbitrary<CborValue>
    fc.assert(
      fc.property(value, (one) => {
        assert.deepEqual(plain(decode(cbor(one))), plain(one))
        assert.deepEqual(plain(fromCbor(encodeCbor(one, 100_000, 'it'))), plain(one))
      }),
      { numRuns: 1000 },
    )
  })

  it('refuses or takes any bytes, and throws nothing but its code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decode(bytes)
        } catch (error) {
          assert.ok(refused(error), String(error))
        }
      }),
      { numRuns: 10_000 },
    )
  })
})
