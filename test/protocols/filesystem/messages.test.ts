import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeCbor, encodeCbor } from '../../../src/core/cbor.ts'
import { TrunkError } from '../../../src/contracts/errors.ts'
import {
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
  type FileRequestInput,
  type ReplyingOp,
} from '../../../protocols/filesystem/messages.ts'
import { hostilePaths } from './hostile-paths.ts'

const path = new TextEncoder().encode('a/b')
const over = (value: unknown): unknown => decodeCbor(encodeCbor(value, 8192, 'value'), 'ERR_MESSAGE_INVALID', 'value')
const ops = [
  'stat',
  'list',
  'read',
  'sha256',
  'write',
  'mkdir',
  'remove',
  'rename',
  'setAttributes',
  'readMany',
  'writeMany',
] as const

const wholes: FileRequestInput[] = [
  { op: 'stat', path },
  { op: 'list', path },
  { op: 'read', path, offset: 1, length: 2 },
  { op: 'sha256', path, offset: 2 ** 40, length: 0 },
  { op: 'write', path, how: 'update', offset: 9, mode: 0o640, modifiedMs: 1.5, exclusive: true, durable: false },
  { op: 'mkdir', path, recursive: true, mode: 0o755 },
  { op: 'remove', path, recursive: true },
  { op: 'rename', path, to: path, replace: true },
  { op: 'setAttributes', path, mode: 0o4755, modifiedMs: -1, accessedMs: 0.25 },
  { op: 'readMany' },
  { op: 'writeMany' },
]

describe('a request', () => {
  it('comes out of the wire as it went in, for each operation', () => {
    assert.deepEqual(
      wholes.map((request) => request.op),
      ops,
    )
    for (const request of wholes) {
      const decoded = decodeRequest(over(encodeRequest(request)))
      assert.ok(decoded.ok)
      assert.deepEqual({ ...decoded.value }, request)
    }
  })

  it('gets its defaults where it is silent', () => {
    const decoded = decodeRequest(over(encodeRequest({ op: 'write', path, how: 'replace', mode: undefined })))
    assert.ok(decoded.ok)
    assert.deepEqual(
      { ...decoded.value },
      { op: 'write', path, how: 'replace', offset: 0, exclusive: false, durable: true },
    )
  })

  it('is refused with a code for each bad member', () => {
    const bad: unknown[] = [
      null,
      7,
      'stat',
      [],
      {},
      { op: 'link', path },
      { op: 'stat' },
      { op: 'stat', path: 'a' },
      { op: 'stat', path, follow: true },
      { op: 'read', path, offset: -1 },
      { op: 'read', path, offset: 0.5 },
      { op: 'read', path, length: 2 ** 53 },
      { op: 'write', path, how: 'over' },
      { op: 'write', path, how: 'replace', mode: 0o10000 },
      { op: 'write', path, how: 'replace', modifiedMs: 'now' },
      { op: 'mkdir', path, recursive: 1 },
      { op: 'setAttributes', path, modifiedMs: 1e300 },
      { op: 'readMany', path },
      { op: 'writeMany', durable: true },
    ]
    for (const params of bad) {
      const decoded = decodeRequest(over(params))
      assert.ok(!decoded.ok, JSON.stringify(params))
      assert.equal(decoded.error.code, 'ERR_PARAMS_INVALID')
    }
  })

  it('is refused for its path, either of them, before anything else happens [R-081]', () => {
    for (const hostile of hostilePaths) {
      for (const request of wholes.filter((whole) => 'path' in whole)) {
        const decoded = decodeRequest({ ...request, path: hostile })
        assert.ok(!decoded.ok)
        assert.equal(decoded.error.code, 'ERR_PATH_INVALID')
      }
      const decoded = decodeRequest({ op: 'rename', path, to: hostile })
      assert.equal(decoded.ok ? undefined : decoded.error.code, 'ERR_PATH_INVALID')
    }
  })

  it('never throws, whatever the value', () => {
    const near = fc.record(
      {
        op: fc.constantFrom(...ops),
        path: fc.oneof(fc.uint8Array(), fc.anything()),
        to: fc.anything(),
        offset: fc.anything(),
      },
      { requiredKeys: ['op'] },
    )
    fc.assert(
      fc.property(fc.oneof(fc.anything({ withNullPrototype: true }), near), (value) => {
        const decoded = decodeRequest(value)
        assert.equal(typeof decoded.ok, 'boolean')
      }),
      { numRuns: 3000 },
    )
  })

  it('never throws, whatever the bytes were before CBOR', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        let value: unknown
        try {
          value = decodeCbor(bytes, 'ERR_MESSAGE_INVALID', 'value')
        } catch (error) {
          assert.ok(error instanceof TrunkError)
          return
        }
        assert.equal(typeof decodeRequest(value).ok, 'boolean')
      }),
      { numRuns: 3000 },
    )
  })
})

describe('a reply', () => {
  const stat = { type: 'file', size: 3, mode: 0o644, modifiedMs: 1.25, accessedMs: 2, links: 1 } as const

  it('comes out of the wire as it went in, with unknown members left out', () => {
    assert.deepEqual(decodeReply('stat', over(encodeReply('stat', stat))), { ok: true, value: stat })
    assert.deepEqual(decodeReply('stat', over({ ...stat, color: 'red' })), { ok: true, value: stat })
    const read = { bytes: null, size: 0 }
    assert.deepEqual(decodeReply('read', over(encodeReply('read', read))), { ok: true, value: read })
    const sha256 = { sha256: new Uint8Array(32), bytes: 5 }
    assert.deepEqual(decodeReply('sha256', over(encodeReply('sha256', sha256))), { ok: true, value: sha256 })
  })

  it('is refused when a server lies about its shape', () => {
    const lies: [ReplyingOp, unknown][] = [
      ['stat', undefined],
      ['stat', { ...stat, type: 'door' }],
      ['stat', { ...stat, size: -1 }],
      ['stat', { ...stat, size: 2 ** 60 }],
      ['stat', { ...stat, modifiedMs: Infinity }],
      ['read', { bytes: 1.5, size: 2 }],
      ['sha256', { sha256: new Uint8Array(31), bytes: 0 }],
    ]
    for (const [op, reply] of lies) {
      const decoded = decodeReply(op, reply)
      assert.equal(decoded.ok ? undefined : decoded.error.code, 'ERR_MESSAGE_INVALID')
    }
  })

  it('never throws, whatever the value', () => {
    fc.assert(
      fc.property(fc.constantFrom('stat', 'read', 'sha256'), fc.anything({ withNullPrototype: true }), (op, value) => {
        assert.equal(typeof decodeReply(op, value).ok, 'boolean')
      }),
      { numRuns: 2000 },
    )
  })
})
