/** Batches of small files as no client of ours makes them. */
import { encodeCbor } from '../../../src/core/cbor.ts'

/** A batch made by hand: any rows, any length in front, any content behind. */
export function rawFileBatch(rows: unknown, content: Uint8Array = Buffer.alloc(0), length?: number): Buffer {
  const head = encodeCbor(rows, 10_000_000, 'rows')
  const front = Buffer.alloc(4)
  front.writeUInt32BE(length ?? head.byteLength)
  return Buffer.concat([front, head, content])
}
