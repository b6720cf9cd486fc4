import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { encodeCbor } from '../../../src/core/cbor.ts'
import {
  BatchReader,
  encodeBatch,
  MAX_BATCH_BYTES,
  MAX_BATCH_ENTRIES,
  type WireEntry,
} from '../../../protocols/filesystem/entries.ts'

const entry = (name: Uint8Array): WireEntry => ({
  nameBytes: name,
  type: 'file',
  size: 5,
  mode: 0o644,
  modifiedMs: 1.5,
})
const named = (name: string): WireEntry => entry(new TextEncoder().encode(name))

/** A batch with any rows in it. */
function rawBatch(rows: unknown): Uint8Array {
  const body = encodeCbor(rows, 1e6, 'rows')
  const batch = new Uint8Array(4 + body.byteLength)
  new DataView(batch.buffer).setUint32(0, body.byteLength)
  batch.set(body, 4)
  return batch
}

/** All entries of `bytes`, fed in portions of `portion`; a code where they are refused. */
function readAll(bytes: Uint8Array, portion: number): WireEntry[] | string {
  const reader = new BatchReader()
  const entries: WireEntry[] = []
  for (let at = 0; at < bytes.byteLength; at += portion) {
    reader.append(bytes.subarray(at, at + portion))
    for (let result = reader.next(); result.type !== 'more'; result = reader.next()) {
      if (result.type === 'bad') return result.code
      entries.push(...result.entries)
    }
  }
  assert.equal(reader.pendingBytes, 0)
  return entries
}

describe('a listing on the wire', () => {
  it('comes out the same in any portions', () => {
    const first = [named('a'), entry(Uint8Array.of(0xff, 0xfe)), named('ü')]
    const second = Array.from({ length: MAX_BATCH_ENTRIES }, (_, index) => named(`file ${index}`))
    const bytes = Buffer.concat([encodeBatch(first), encodeBatch(second)])
    for (const portion of [1, 2, 3, 4, 5, 7, 100, 1000, bytes.byteLength]) {
      assert.deepEqual(readAll(bytes, portion), [...first, ...second])
    }
  })

  it('takes a batch of the longest names', () => {
    const longest = Array.from({ length: MAX_BATCH_ENTRIES }, () => ({
      ...entry(new Uint8Array(255).fill(0x61)),
      type: 'directory' as const,
      size: Number.MAX_SAFE_INTEGER,
      mode: 0o7777,
      modifiedMs: 1.7e12 + 0.123,
    }))
    const batch = encodeBatch(longest)
    assert.ok(batch.byteLength <= 4 + MAX_BATCH_BYTES)
    assert.deepEqual(readAll(batch, batch.byteLength), longest)
  })

  it('refuses names that are no names: a server must not choose where a client writes [R-081]', () => {
    for (const name of ['', '.', '..', '../x', '/etc/passwd', 'a/b', 'a\0b', 'n'.repeat(256)]) {
      const bytes = rawBatch([[new TextEncoder().encode(name), 'file', 1, 0o644, 1]])
      assert.equal(readAll(bytes, bytes.byteLength), 'ERR_NAME_INVALID', JSON.stringify(name))
    }
  })

  it('refuses lengths and shapes that are not allowed, without waiting for what they announce', () => {
    const huge = new Uint8Array(4).fill(0xff)
    assert.equal(readAll(huge, 4), 'ERR_MESSAGE_INVALID')
    assert.equal(readAll(new Uint8Array(4), 4), 'ERR_MESSAGE_INVALID')
    const name = Uint8Array.of(0x61)
    const rows: unknown[] = [
      [],
      7,
      [[]],
      [[name, 'file', 1, 0o644]],
      [[name, 'file', 1, 0o644, 1, 1]],
      [['a', 'file', 1, 0o644, 1]],
      [[name, 'door', 1, 0o644, 1]],
      [[name, 'file', -1, 0o644, 1]],
      [[name, 'file', 1, 0o10000, 1]],
      Array(MAX_BATCH_ENTRIES + 1).fill([name, 'file', 1, 0o644, 1]),
    ]
    for (const row of rows) assert.equal(readAll(rawBatch(row), 1e6), 'ERR_MESSAGE_INVALID', JSON.stringify(row))
  })

  it('never throws, whatever the bytes', () => {
    const framed = fc.uint8Array({ maxLength: 100 }).map((body) => {
      const batch = new Uint8Array(4 + body.byteLength)
      new DataView(batch.buffer).setUint32(0, body.byteLength)
      batch.set(body, 4)
      return batch
    })
    fc.assert(
      fc.property(fc.oneof(framed, fc.uint8Array({ maxLength: 100 })), (bytes) => {
        const reader = new BatchReader()
        reader.append(bytes)
        assert.ok(['batch', 'more', 'bad'].includes(reader.next().type))
      }),
      { numRuns: 3000 },
    )
  })
})
