/**
 * Many small files in one pipe. A batch is what either side sends there: a 32-bit length in network
 * byte order, so many bytes of CBOR (an array with one row per file), then the files' contents one
 * after another, whose sizes are in the rows. Whole batches are checked before anything is done,
 * and are bounded in bytes and in files: who receives one holds no more than that. Decoding gives a
 * result object; hostile bytes never throw.
 */
import type { Uint8ArrayList } from 'uint8arraylist'
import * as v from 'valibot'
import { decodeCbor, encodeCbor } from '../../src/core/cbor.ts'
import { isCodeShaped, TrunkError, withoutControls } from '../../src/contracts/errors.ts'
import type { Decoded } from '../internal/decoded.ts'
import { onFirstUse } from '../../src/runtime/first-use.ts'
import { bytes, mode, time } from './messages.ts'

/** Files in a batch, at most. */
export const MAX_BATCH_FILES = 64
/** Content of one file in a batch, at most. A larger one gains nothing by company. */
export const MAX_SMALL_BYTES: number = 32 * 1024
/**
 * Up to this size a batch is filled: with its rows it fits the window that each pipe has from the
 * start, so it travels at once.
 */
export const FILE_BATCH_BYTES: number = 60 * 1024
/** What a row costs at most, besides its path and its content. */
export const ROW_BYTES = 48
/** A batch that is accepted, at most: one that was filled, and a sentence for each file. */
export const MAX_FILE_BATCH_BYTES: number = 128 * 1024
const LENGTH_BYTES = 4
/** Longest sentence about a file, in characters. */
const MAX_WHY = 200

/** A file that is to be written, in place of what has its name. */
export interface SmallWrite {
  readonly path: Uint8Array
  readonly content: Uint8Array
  readonly mode: number | undefined
  readonly modifiedMs: number | undefined
}

/** What became of one file; `unbatched` asks for it to be read by a pipe of its own. */
export type SmallRead = Uint8Array | 'unbatched' | TrunkError

const rowsOf = <T>(row: v.GenericSchema<unknown, T>): v.GenericSchema<unknown, T[]> =>
  v.pipe(v.array(row), v.minLength(1), v.maxLength(MAX_BATCH_FILES))

const schemas = onFirstUse(() => {
  const size = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_SMALL_BYTES))
  const failure = v.strictTuple([
    v.pipe(v.string(), v.check(isCodeShaped, 'not a code')),
    v.pipe(v.string(), v.maxLength(MAX_WHY)),
  ])
  return {
    writeRows: rowsOf(v.strictTuple([bytes, size, v.nullable(mode), v.nullable(time)])),
    pathRows: rowsOf(bytes),
    readRows: rowsOf(v.nullable(v.union([size, failure]))),
    doneRows: rowsOf(v.nullable(failure)),
  }
})

/** The files of a `writeMany`. */
export function encodeWrites(files: readonly SmallWrite[]): Uint8Array {
  const rows = files.map(({ path, content, mode, modifiedMs }) => [
    path,
    content.byteLength,
    mode ?? null,
    modifiedMs ?? null,
  ])
  return encodeFileBatch(
    rows,
    files.map(({ content }) => content),
  )
}

/** What {@link encodeWrites} made. The contents are views of `batch`. */
export function decodeWrites(batch: Uint8Array): Decoded<SmallWrite[]> {
  return decodeFileBatch(batch, schemas().writeRows, (rows, take) =>
    rows.map(([path, size, mode, modifiedMs]) => ({
      path,
      content: take(size),
      mode: mode ?? undefined,
      modifiedMs: modifiedMs ?? undefined,
    })),
  )
}

/** The answer to a `writeMany`: for each file undefined, or why it was not written. */
export function encodeDone(outcomes: readonly (TrunkError | undefined)[]): Uint8Array {
  return encodeFileBatch(
    outcomes.map((outcome) => (outcome === undefined ? null : failureRow(outcome))),
    [],
  )
}

/** What {@link encodeDone} made. */
export function decodeDone(batch: Uint8Array): Decoded<(TrunkError | undefined)[]> {
  return decodeFileBatch(batch, schemas().doneRows, (rows) =>
    rows.map((row) => (row === null ? undefined : failureOf(row))),
  )
}

/** The files that a `readMany` asks for. */
export function encodePaths(paths: readonly Uint8Array[]): Uint8Array {
  return encodeFileBatch(paths, [])
}

/** What {@link encodePaths} made. */
export function decodePaths(batch: Uint8Array): Decoded<Uint8Array[]> {
  return decodeFileBatch(batch, schemas().pathRows, (rows) => rows)
}

/** The answer to a `readMany`. */
export function encodeReads(results: readonly SmallRead[]): Uint8Array {
  return encodeFileBatch(
    results.map((result) =>
      result === 'unbatched' ? null : result instanceof TrunkError ? failureRow(result) : result.byteLength,
    ),
    results.filter((result) => result instanceof Uint8Array),
  )
}

/**
 * What {@link encodeReads} made. The contents are copies: one that is kept must not hold on to the
 * others.
 */
export function decodeReads(batch: Uint8Array): Decoded<SmallRead[]> {
  return decodeFileBatch(batch, schemas().readRows, (rows, take) =>
    rows.map((row) => {
      if (row === null) return 'unbatched'
      return typeof row === 'number' ? new Uint8Array(take(row)) : failureOf(row)
    }),
  )
}

/**
 * Everything that a pipe carries, as one batch. Copied as it comes, so that many small pieces cost
 * no more than their bytes.
 */
export async function receiveFileBatch(source: AsyncIterable<Uint8ArrayList>): Promise<Uint8Array> {
  let held = new Uint8Array(0)
  let length = 0
  for await (const data of source) {
    const end = length + data.byteLength
    if (end > MAX_FILE_BATCH_BYTES) {
      throw new TrunkError('ERR_MESSAGE_INVALID', `a batch of files has at most ${MAX_FILE_BATCH_BYTES} bytes`)
    }
    if (end > held.byteLength) {
      const larger = new Uint8Array(length === 0 ? end : MAX_FILE_BATCH_BYTES)
      larger.set(held.subarray(0, length))
      held = larger
    }
    for (const chunk of data) {
      held.set(chunk, length)
      length += chunk.byteLength
    }
  }
  return held.subarray(0, length)
}

function encodeFileBatch(rows: readonly unknown[], contents: readonly Uint8Array[]): Uint8Array {
  const head = encodeCbor(rows, MAX_FILE_BATCH_BYTES, 'the rows of a batch of files')
  const contentBytes = contents.reduce((sum, { byteLength }) => sum + byteLength, 0)
  const batch = Buffer.allocUnsafeSlow(LENGTH_BYTES + head.byteLength + contentBytes)
  batch.writeUInt32BE(head.byteLength)
  batch.set(head, LENGTH_BYTES)
  let at = LENGTH_BYTES + head.byteLength
  for (const content of contents) {
    batch.set(content, at)
    at += content.byteLength
  }
  return batch
}

/**
 * Gives `read` the rows and a function that takes the next so many bytes of content; all of the
 * content has to be taken.
 */
function decodeFileBatch<Row, Result>(
  batch: Uint8Array,
  schema: v.GenericSchema<unknown, Row[]>,
  read: (rows: Row[], take: (bytes: number) => Uint8Array) => Result[],
): Decoded<Result[]> {
  const { buffer, byteOffset, byteLength } = batch
  if (byteLength < LENGTH_BYTES) return unreadable()
  let at = LENGTH_BYTES + new DataView(buffer, byteOffset).getUint32(0)
  if (at > byteLength) return unreadable()
  let rows: unknown
  try {
    rows = decodeCbor(batch.subarray(LENGTH_BYTES, at), 'ERR_MESSAGE_INVALID', 'the rows of a batch of files')
  } catch {
    // decodeCbor throws for nothing but bytes that are not CBOR
    return unreadable()
  }
  const parsed = v.safeParse(schema, rows, { abortEarly: true })
  if (!parsed.success) return unreadable()
  const value = read(parsed.output, (bytes) => batch.subarray(at, (at += bytes)))
  // sizes that say more, or less, than there is
  return at === byteLength ? { ok: true, value } : unreadable()
}

function unreadable(): Decoded<never> {
  return { ok: false, error: new TrunkError('ERR_MESSAGE_INVALID', 'a batch of files that cannot be read') }
}

function failureRow({ code, message }: TrunkError): [string, string] {
  return [code, message.slice(0, MAX_WHY)]
}

function failureOf([code, why]: [string, string]): TrunkError {
  return new TrunkError(code, withoutControls(why), { origin: 'remote', scope: 'pipe' })
}
