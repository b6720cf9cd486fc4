/** What travels for commands, against the golden vectors: these bytes, and these values. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Uint8ArrayList } from 'uint8arraylist'
import {
  controlOfClient,
  controlOfServer,
  encodeControl,
  itemsOfServer,
  type ToServer,
} from '../../../protocols/exec/control.ts'
import {
  decodeFacts,
  decodeRequest,
  decodeSpec,
  decodeStartReply,
  decodeStreamReply,
} from '../../../protocols/exec/messages.ts'
import type { Pipe } from '../../../src/index.ts'
import { decodeCbor, encodeCbor } from '../../../src/core/cbor.ts'
import { fromHex } from '../../helpers/naive-codec.ts'
import { revive, wireFixture } from '../../helpers/wire-fixtures.ts'

const { requests, refused, spec, replies, control } = wireFixture('exec.json')
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const encoded = (value: unknown): string => hexOf(encodeCbor(value, 4096, 'a vector'))
const read = (hex: string): unknown => decodeCbor(fromHex(hex), 'ERR_MESSAGE_INVALID', 'a vector')
/** Only what was there: checks may give members that are undefined. */
const plain = (value: unknown): unknown => revive(JSON.parse(JSON.stringify(value, hexed)))
function hexed(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: hexOf(value) }
  const { type, data } = (value ?? {}) as { type?: unknown; data?: unknown }
  return type === 'Buffer' && Array.isArray(data) ? { hex: hexOf(Uint8Array.from(data as number[])) } : value
}

describe('golden vectors of exec', () => {
  it('[R-889] are what is encoded, and give what was meant', () => {
    for (const { value, hex } of requests) {
      assert.equal(encoded(revive(value)), hex)
      const request = decodeRequest(read(hex))
      assert.ok(request.ok, hex)
      assert.deepEqual(plain(request.value), revive(value))
    }
    for (const { value, hex } of refused) {
      assert.equal(encoded(revive(value)), hex)
      assert.equal(decodeRequest(read(hex)).ok, false, JSON.stringify(value))
    }
    for (const [{ value, hex }, decode] of [
      [spec, decodeSpec],
      [replies.start, decodeStartReply],
      [replies.kept, decodeStartReply],
      [replies.stream, decodeStreamReply],
      [replies.attach, decodeFacts],
    ] as const) {
      assert.equal(encoded(revive(value)), hex)
      const decoded = decode(read(hex))
      assert.ok(decoded.ok, hex)
      assert.deepEqual(plain(decoded.value), revive(value))
    }
  })

  for (const [way, messages] of [
    ['toServer', controlOfClient],
    ['toClient', controlOfServer],
    ['list', itemsOfServer],
  ] as const)
    it(`[R-890] of control pipes are read and written alike, ${way}`, async () => {
      const vectors = control[way]
      for (const { value, hex } of vectors) assert.equal(hexOf(encodeControl(revive(value) as ToServer)), hex)
      const whole = fromHex(vectors.map(({ hex }) => hex).join(''))
      for (const size of [1, 7, whole.byteLength]) {
        const pieces = Array.from({ length: Math.ceil(whole.byteLength / size) }, (_, at) => {
          return new Uint8ArrayList(whole.subarray(at * size, (at + 1) * size))
        })
        const had: unknown[] = []
        for await (const message of messages({ source: pieces } as unknown as Pipe)) had.push(plain(message))
        assert.deepEqual(
          had,
          vectors.map(({ value }) => revive(value)),
        )
      }
    })
})
