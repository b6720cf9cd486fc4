/** Where a request's body ends: nothing of the next request may reach this one's server. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BodyMeter } from '../../../protocols/proxy/body-meter.ts'
import type { BodyLength } from '../../../protocols/proxy/http-head.ts'
import { CHUNKINGS, splitAt } from '../../helpers/chunkings.ts'
import { seededBytes } from '../../helpers/link-traffic.ts'

/** What of `bytes` is taken for the body, and whether it is none. */
function taken(length: BodyLength, chunks: readonly Uint8Array[]): { body: string; malformed: boolean } {
  const meter = new BodyMeter(length)
  const body = chunks.map((chunk) => Buffer.from(chunk.subarray(0, meter.take(chunk))).toString('latin1')).join('')
  return { body, malformed: meter.malformed }
}

const BODIES: readonly (readonly [what: string, length: BodyLength, body: string])[] = [
  ['no body', 0, ''],
  ['five bytes', 5, 'GET /'],
  ['no chunk', 'chunked', '0\r\n\r\n'],
  ['chunks', 'chunked', '4\r\nGET \r\n1\r\n/\r\n0\r\n\r\n'],
  ['chunks with extensions', 'chunked', '1;a=b\r\nx\r\n2 ;c="d"\r\n\r\n\r\n0;e\r\n\r\n'],
  ['chunks and fields behind them', 'chunked', '0A\r\n0123456789\r\n00\r\nx-a: 1\r\nx-b: 2\r\n\r\n'],
]
const NEXT = 'GET http://other/ HTTP/1.1\r\n\r\n'

describe('the body of a request that is passed on', () => {
  for (const [what, length, body] of BODIES) {
    it(`ends where it ends: ${what} [R-526]`, () => {
      const bytes = Buffer.from(body + NEXT, 'latin1')
      const everywhere = Array.from({ length: bytes.byteLength }, (_, index) => splitAt(index))
      for (const chunking of [...CHUNKINGS, ...everywhere])
        assert.deepEqual(taken(length, chunking.cut(bytes)), { body, malformed: false }, chunking.name)
    })
  }

  for (const body of [
    '\r\n',
    'g\r\n',
    '1\n',
    '1\r\nab\r\n',
    '1\r\na\n',
    '10000000000000\r\n',
    '1;a\nb',
    '0\r\n\n',
    '0\r\nx: 1\n\r\n',
    '0\r\n\rx',
  ]) {
    it(`is none for ${JSON.stringify(body)} [R-526]`, () => {
      for (const chunking of CHUNKINGS) assert.equal(taken('chunked', chunking.cut(Buffer.from(body))).malformed, true)
    })
  }

  it('comes to the same for random bytes, however they are cut [R-526]', () => {
    for (let seed = 1; seed <= 2_000; seed++) {
      const bytes = Buffer.concat([Buffer.from('3\r\nabc\r\n'), seededBytes(seed, seed % 50)])
      const whole = taken('chunked', [bytes])
      assert.deepEqual(
        taken(
          'chunked',
          [...bytes].map((byte) => Uint8Array.of(byte)),
        ),
        whole,
        `seed ${seed}`,
      )
    }
  })
})
