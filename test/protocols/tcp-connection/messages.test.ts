import fc from 'fast-check'
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as connection from '../../../protocols/tcp-connection/messages.ts'
import * as listener from '../../../protocols/tcp-listener/messages.ts'
import { TrunkError } from '../../../src/contracts/errors.ts'

const decoders = {
  'a connection request': connection.decodeRequest,
  'a connection reply': connection.decodeReply,
  'a listener request': listener.decodeRequest,
  'a listener reply': listener.decodeReply,
}

/** Values that look like messages, with anything in their fields. */
const nearly = fc.record(
  {
    op: fc.oneof(fc.constantFrom('listen', 'accept'), fc.anything()),
    host: fc.oneof(fc.string(), fc.ipV4(), fc.ipV6(), fc.domain(), fc.anything()),
    port: fc.oneof(fc.integer({ min: -5, max: 70_000 }), fc.anything()),
    listener: fc.oneof(fc.nat(), fc.anything()),
    request: fc.oneof(fc.nat(), fc.anything()),
    localAddress: fc.oneof(fc.ipV4(), fc.anything()),
    localPort: fc.oneof(fc.nat(65_535), fc.anything()),
    remoteAddress: fc.oneof(fc.ipV4(), fc.anything()),
    remotePort: fc.oneof(fc.nat(65_535), fc.anything()),
  },
  { requiredKeys: [] },
)

describe('messages of the TCP protocols', () => {
  for (const [what, decode] of Object.entries(decoders)) {
    it(`decode ${what} from anything without throwing, and what passes decodes to itself`, () => {
      const holds = (value: unknown): void => {
        const decoded = decode(value)
        if (decoded.ok) assert.deepEqual(decode(decoded.value), decoded)
        else assert.ok(decoded.error instanceof TrunkError && /^ERR_(PARAMS|MESSAGE)_INVALID$/.test(decoded.error.code))
      }
      fc.assert(fc.property(fc.oneof(fc.anything(), nearly), holds), { numRuns: 500 })
    })
  }

  it('come back from their encoding', () => {
    const addresses = { localAddress: '::1', localPort: 1, remoteAddress: '127.0.0.1', remotePort: 65_535 }
    const pairs: [unknown, { ok: boolean; value?: unknown }][] = [
      [
        { host: 'a.example', port: 1 },
        connection.decodeRequest(connection.encodeRequest({ host: 'a.example', port: 1 })),
      ],
      [addresses, connection.decodeReply(connection.encodeReply(addresses))],
    ]
    const requests: listener.ListenerRequest[] = [
      { op: 'listen', host: '127.0.0.1', port: 0 },
      { op: 'accept', listener: 3, request: 4 },
    ]
    for (const request of requests) pairs.push([request, listener.decodeRequest(listener.encodeRequest(request))])
    const replies: listener.ListenerReply[] = [
      { op: 'listen', listener: 3, host: '127.0.0.1', port: 80 },
      { op: 'accept', request: 4, ...addresses },
    ]
    for (const reply of replies) pairs.push([reply, listener.decodeReply(listener.encodeReply(reply))])
    for (const [message, decoded] of pairs) assert.deepEqual(decoded, { ok: true, value: message })
  })

  it('name the field that is wrong', () => {
    const decoded = connection.decodeRequest({ host: '127.0.0.1', port: 0 })
    assert.ok(!decoded.ok)
    assert.match(decoded.error.message, /port/)
  })
})
