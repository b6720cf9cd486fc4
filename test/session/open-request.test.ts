/** First frames that are known by their bytes say what they would say if each were read anew. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeCbor } from '../../src/core/cbor.ts'
import { OpenRequestCache } from '../../src/session/open-request.ts'

const MAX_BYTES = 4096
const head = (fields: Record<string, unknown>): Uint8Array => encodeCbor(fields, MAX_BYTES, 'it')

describe('first frames', () => {
  it('without parameters are read once, and the same again by their bytes', () => {
    const requests = new OpenRequestCache()
    const first = requests.decode(head({ protocol: 'echo' }))
    assert.equal(requests.decode(head({ protocol: 'echo' })), first)
    assert.deepEqual({ ...first }, { protocol: 'echo', version: 1 })
    assert.deepEqual({ ...requests.decode(head({ protocol: 'echo', version: 2 })) }, { protocol: 'echo', version: 2 })
  })

  it('are not known by bytes that have been written to since', () => {
    const requests = new OpenRequestCache()
    const bytes = head({ protocol: 'echo' })
    requests.decode(bytes)
    bytes.set(head({ protocol: 'ohce' }))
    assert.equal(requests.decode(bytes).protocol, 'ohce')
    assert.equal(requests.decode(head({ protocol: 'echo' })).protocol, 'echo')
  })

  it('with parameters are read anew each time', () => {
    const requests = new OpenRequestCache()
    const params = (): unknown => requests.decode(head({ protocol: 'p', params: [1, 'two'] })).params
    assert.deepEqual(params(), [1, 'two'])
    assert.notEqual(params(), params())
  })

  it('are kept sixteen at most, and short ones only; the others are read all the same', () => {
    const requests = new OpenRequestCache()
    const names = Array.from({ length: 20 }, (_, i) => `protocol${i}`)
    const long = `long${'g'.repeat(60)}`
    const read = (): object[] => [...names, long].map((protocol) => requests.decode(head({ protocol })))
    const again = read().map((one, i) => [one, read()[i]] as const)
    assert.deepEqual(
      again.map(([one, other]) => one === other),
      [...names.map((_, i) => i < 16), false],
    )
    for (const [one, other] of again) assert.deepEqual(one, other)
    const other = new OpenRequestCache()
    assert.notEqual(other.decode(head({ protocol: long })), other.decode(head({ protocol: long })))
  })

  it('that are wrong are wrong each time, with a code', () => {
    const requests = new OpenRequestCache()
    for (const wrong of [head({ protocol: 7 }), head({ protocol: '' }), head({}), Uint8Array.of(0xff)]) {
      for (let i = 0; i < 2; i++) assert.throws(() => requests.decode(wrong), { code: 'ERR_PARAMS_INVALID' })
    }
  })

  it('go out as they were encoded once, each protocol its own', () => {
    const requests = new OpenRequestCache()
    const encode = (protocol: string): Uint8Array => requests.encode(protocol, undefined, {}, MAX_BYTES)
    assert.equal(encode('echo'), encode('echo'))
    assert.deepEqual(encode('echo'), head({ protocol: 'echo' }))
    for (let i = 0; i < 20; i++) assert.deepEqual(encode(`other${i}`), head({ protocol: `other${i}` }))
    assert.deepEqual(requests.encode('echo', { a: 1 }, {}, MAX_BYTES), head({ protocol: 'echo', params: { a: 1 } }))
    assert.deepEqual(
      requests.encode('echo', undefined, { version: 2 }, MAX_BYTES),
      head({ protocol: 'echo', version: 2 }),
    )
  })
})
