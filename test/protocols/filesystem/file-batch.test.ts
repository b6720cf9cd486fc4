/** Batches of small files: what goes in comes out, and no bytes that come instead are believed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Uint8ArrayList } from 'uint8arraylist'
import { TrunkError } from '../../../src/contracts/errors.ts'
import {
  decodeDone,
  decodePaths,
  decodeReads,
  decodeWrites,
  encodeDone,
  encodePaths,
  encodeReads,
  encodeWrites,
  MAX_FILE_BATCH_BYTES,
  MAX_BATCH_FILES,
  MAX_SMALL_BYTES,
  FILE_BATCH_BYTES,
  receiveFileBatch,
  ROW_BYTES,
  type SmallWrite,
} from '../../../protocols/filesystem/file-batch.ts'
import { pattern } from '../../helpers/protocols.ts'
import { rawFileBatch } from './raw-file-batch.ts'
import { fails } from './served.ts'

const path = Buffer.from('a/b')
const DECODERS = [decodeWrites, decodeDone, decodePaths, decodeReads] as const

describe('a batch of small files', () => {
  const writes: SmallWrite[] = [
    { path, content: pattern(5), mode: 0o640, modifiedMs: 1.5 },
    { path: Buffer.from([0xff]), content: pattern(0), mode: undefined, modifiedMs: undefined },
    { path: Buffer.from('c'), content: pattern(MAX_SMALL_BYTES, 3), mode: 0, modifiedMs: -1 },
  ]

  it('comes out as it went in, of each kind [R-330]', () => {
    const written = decodeWrites(encodeWrites(writes))
    assert.ok(written.ok)
    assert.deepEqual(
      written.value.map((file) => ({ ...file, path: Buffer.from(file.path), content: Buffer.from(file.content) })),
      writes.map((file) => ({ ...file, path: Buffer.from(file.path), content: Buffer.from(file.content) })),
    )
    const failure = new TrunkError('ERR_NOT_FOUND', 'no such file')
    const done = decodeDone(encodeDone([undefined, failure]))
    assert.ok(done.ok)
    assert.equal(done.value[0], undefined)
    const paths = decodePaths(encodePaths([path, path]))
    assert.deepEqual(paths, { ok: true, value: [new Uint8Array(path), new Uint8Array(path)] })
    const read = decodeReads(encodeReads([pattern(7), 'unbatched', failure, pattern(0)]))
    assert.ok(read.ok)
    assert.deepEqual(read.value.slice(0, 2), [new Uint8Array(pattern(7)), 'unbatched'])
    assert.deepEqual(read.value[3], new Uint8Array(0))
    for (const error of [done.value[1], read.value[2]]) {
      assert.ok(error instanceof TrunkError)
      assert.deepEqual(
        [error.code, error.message, error.origin, error.scope],
        ['ERR_NOT_FOUND', 'no such file', 'remote', 'pipe'],
      )
    }
  })

  it('that was filled is accepted, whatever is said about each file [R-330]', () => {
    const longest = new TrunkError('ERR_NOT_FOUND', '\u20ac'.repeat(10_000))
    const sentences = encodeDone(Array.from({ length: MAX_BATCH_FILES }, () => longest))
    const full = Array.from({ length: MAX_BATCH_FILES }, () => Math.floor(FILE_BATCH_BYTES / MAX_BATCH_FILES))
    const contents = encodeReads(full.map((size) => pattern(size)))
    assert.ok(sentences.byteLength + contents.byteLength < MAX_FILE_BATCH_BYTES)
    // what a row is counted for is not less than what it costs
    const row = encodeWrites([{ path, content: pattern(MAX_SMALL_BYTES), mode: 0o777, modifiedMs: Math.PI }])
    assert.ok(row.byteLength <= path.byteLength + MAX_SMALL_BYTES + ROW_BYTES)
  })

  it('is refused where its sizes, its rows or its length are not true [R-331]', () => {
    const row = [path, 3, null, null]
    const lies: Uint8Array[] = [
      Buffer.alloc(0),
      Buffer.alloc(3),
      rawFileBatch([row], pattern(2)),
      rawFileBatch([row], pattern(4)),
      rawFileBatch([row], pattern(3), 2 ** 32 - 1),
      rawFileBatch([row], pattern(3), 0),
      rawFileBatch([[path, MAX_SMALL_BYTES + 1, null, null]], pattern(MAX_SMALL_BYTES + 1)),
      rawFileBatch([[path, -1, null, null]]),
      rawFileBatch([[path, 2 ** 60, null, null]]),
      rawFileBatch([['a', 0, null, null]]),
      rawFileBatch([[path, 0, 0o10000, null]]),
      rawFileBatch([[path, 0, null, Infinity]]),
      rawFileBatch([[path, 0, null, null, null]]),
      rawFileBatch([[path, 0, null]]),
      rawFileBatch([]),
      rawFileBatch({}),
      rawFileBatch(7),
      rawFileBatch(Array.from({ length: MAX_BATCH_FILES + 1 }, () => [path, 0, null, null])),
    ]
    for (const [index, lie] of lies.entries()) assert.equal(decodeWrites(lie).ok, false, `lie ${index}`)
    const whole = encodeWrites(writes)
    for (let bytes = 0; bytes < 100; bytes++) assert.equal(decodeWrites(whole.subarray(0, bytes)).ok, false)
    for (const failure of [['not a code', ''], ['ERR_IO', 'x'.repeat(201)], ['ERR_IO'], 'ERR_IO']) {
      assert.equal(decodeDone(rawFileBatch([failure])).ok, false)
      assert.equal(decodeReads(rawFileBatch([failure])).ok, false)
    }
    assert.equal(decodeReads(rawFileBatch([3], pattern(2))).ok, false)
    assert.equal(decodePaths(rawFileBatch(['a'])).ok, false)
  })

  it('says nothing to a terminal but text [R-331]', () => {
    const done = decodeDone(rawFileBatch([['ERR_IO', 'a\u001b[2J\nb\u0085']]))
    assert.ok(done.ok)
    assert.equal(done.value[0]?.message, 'a [2J b ')
  })

  it('never makes a decoder throw, whatever the bytes [R-331]', () => {
    const rows = fc.array(fc.oneof(fc.anything(), fc.tuple(fc.uint8Array(), fc.nat(9), fc.anything(), fc.anything())))
    const batches = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.tuple(rows, fc.uint8Array()).map(([value, content]) => {
        try {
          return rawFileBatch(value, content)
        } catch {
          return content // not everything can be encoded
        }
      }),
    )
    fc.assert(
      fc.property(batches, (bytes) => {
        for (const decode of DECODERS) assert.equal(typeof decode(bytes).ok, 'boolean')
      }),
      { numRuns: 2000 },
    )
  })

  it('is received from any pieces, and from no more bytes than it may have [R-332]', async () => {
    async function* pieces(bytes: number, size: number): AsyncGenerator<Uint8ArrayList> {
      const whole = pattern(bytes)
      for (let at = 0; at < bytes; at += size) yield new Uint8ArrayList(whole.subarray(at, Math.min(bytes, at + size)))
    }
    for (const [bytes, size] of [
      [0, 1],
      [3000, 1],
      [MAX_FILE_BATCH_BYTES, 999],
      [MAX_FILE_BATCH_BYTES, MAX_FILE_BATCH_BYTES],
    ] as const) {
      assert.deepEqual(Buffer.from(await receiveFileBatch(pieces(bytes, size))), Buffer.from(pattern(bytes)))
    }
    let given = 0
    const endless = async function* (): AsyncGenerator<Uint8ArrayList> {
      for (;;) {
        given += 1000
        yield new Uint8ArrayList(pattern(1000))
      }
    }
    await fails(receiveFileBatch(endless()), 'ERR_MESSAGE_INVALID')
    assert.ok(given <= MAX_FILE_BATCH_BYTES + 1000)
  })
})
