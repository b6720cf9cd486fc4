/**
 * A directory listing on the wire: batches, each a 32-bit length in network byte order and that
 * many bytes of CBOR, an array of `[name, type, size, mode, modifiedMs]`. The pipe's credit is the
 * paging: neither side holds more than one batch. The reader trusts nothing: a name that is no
 * single name would let a hostile server choose where a client writes (CVE-2019-6111).
 */
import * as v from 'valibot'
import { decodeCbor, encodeCbor } from '../../src/core/cbor.ts'
import type { KnownCode } from '../../src/contracts/errors.ts'
import type { FileType } from './messages.ts'
import { nameFlaw } from './path.ts'

/** Entries in one batch, at most. */
export const MAX_BATCH_ENTRIES = 128
/** Bytes of CBOR in one batch, at most: every entry with the longest name, and its numbers. */
export const MAX_BATCH_BYTES: number = MAX_BATCH_ENTRIES * 320
const LENGTH_BYTES = 4

/** An entry as it travels. */
export interface WireEntry {
  readonly nameBytes: Uint8Array
  readonly type: FileType
  readonly size: number
  readonly mode: number
  readonly modifiedMs: number
}

const batchSchema = v.pipe(
  v.array(
    v.strictTuple([
      v.custom<Uint8Array>((value) => value instanceof Uint8Array),
      v.picklist(['file', 'directory', 'symlink', 'other']),
      v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
      v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0o7777)),
      v.pipe(v.number(), v.finite()),
    ]),
  ),
  v.minLength(1),
  v.maxLength(MAX_BATCH_ENTRIES),
)

/** A batch with its length in front. */
export function encodeBatch(entries: readonly WireEntry[]): Uint8Array {
  const rows = entries.map((entry) => [entry.nameBytes, entry.type, entry.size, entry.mode, entry.modifiedMs])
  const body = encodeCbor(rows, MAX_BATCH_BYTES, 'a batch of directory entries')
  const batch = new Uint8Array(LENGTH_BYTES + body.byteLength)
  new DataView(batch.buffer).setUint32(0, body.byteLength)
  batch.set(body, LENGTH_BYTES)
  return batch
}

/**
 * What {@link BatchReader.next} found: entries, a wish for more bytes, or why the listing is
 * refused.
 */
export type BatchResult =
  | { readonly type: 'batch'; readonly entries: readonly WireEntry[] }
  | { readonly type: 'more' }
  | { readonly type: 'bad'; readonly code: KnownCode; readonly why: string }

/**
 * Takes a listing's bytes in any portions and gives its batches, one decoded at a time. Never
 * throws on hostile bytes.
 */
export class BatchReader {
  #bytes: Uint8Array = new Uint8Array(0)

  /** Adds bytes. They must not change until `next` has asked for more. */
  append(chunk: Uint8Array): void {
    if (this.#bytes.byteLength === 0) {
      this.#bytes = chunk
      return
    }
    const joined = new Uint8Array(this.#bytes.byteLength + chunk.byteLength)
    joined.set(this.#bytes)
    joined.set(chunk, this.#bytes.byteLength)
    this.#bytes = joined
  }

  /** The next batch. After `more`, what is left is a copy of less than one batch. */
  next(): BatchResult {
    const { buffer, byteOffset, byteLength } = this.#bytes
    if (byteLength < LENGTH_BYTES) return this.#more()
    const length = new DataView(buffer, byteOffset).getUint32(0)
    // Checked before anything waits for that many bytes.
    if (length === 0 || length > MAX_BATCH_BYTES) return UNREADABLE
    if (byteLength < LENGTH_BYTES + length) return this.#more()
    const result = decodeBatch(this.#bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length))
    this.#bytes = this.#bytes.subarray(LENGTH_BYTES + length)
    return result
  }

  /** Bytes of a batch that is not complete: at a listing's end there must be none. */
  get pendingBytes(): number {
    return this.#bytes.byteLength
  }

  #more(): BatchResult {
    // not slice(): of a Buffer that would be a view
    this.#bytes = new Uint8Array(this.#bytes)
    return { type: 'more' }
  }
}

const UNREADABLE: BatchResult = {
  type: 'bad',
  code: 'ERR_MESSAGE_INVALID',
  why: 'the peer sent a listing that cannot be read',
}

function decodeBatch(body: Uint8Array): BatchResult {
  let rows: unknown
  try {
    rows = decodeCbor(body, 'ERR_MESSAGE_INVALID', 'a batch of directory entries')
  } catch {
    // decodeCbor throws for nothing but bytes that are not CBOR.
    return UNREADABLE
  }
  const parsed = v.safeParse(batchSchema, rows)
  if (!parsed.success) return UNREADABLE
  const entries: WireEntry[] = []
  for (const [nameBytes, type, size, mode, modifiedMs] of parsed.output) {
    const flaw = nameFlaw(nameBytes)
    if (flaw !== undefined) return { type: 'bad', code: 'ERR_NAME_INVALID', why: `the peer listed a name with ${flaw}` }
    // a copy: the name must not hold on to the batch, nor show what becomes of its memory
    entries.push({ nameBytes: new Uint8Array(nameBytes), type, size, mode, modifiedMs })
  }
  return { type: 'batch', entries }
}
