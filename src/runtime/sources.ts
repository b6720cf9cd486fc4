/** What a pipe's `sink` is given: somebody else's iterables. */
import { Uint8ArrayList } from 'uint8arraylist'
import type { Bytes } from '../contracts/types.ts'

/** True for what a source is to give. */
export function isBytes(value: unknown): value is Bytes {
  return value instanceof Uint8Array || value instanceof Uint8ArrayList
}

/** True for what can be iterated, other than bytes. */
export function isSource(source: unknown): boolean {
  if (typeof source !== 'object' || source === null || source instanceof Uint8Array) return false
  return Symbol.asyncIterator in source || Symbol.iterator in source
}

/**
 * The owner of the lifetime closes the source: it-pipe leaves it suspended. It may be waiting
 * still, so it is not waited for. Never rejects.
 */
export async function closeIterator(iterator: AsyncIterator<Bytes> | Iterator<Bytes>): Promise<void> {
  try {
    await iterator.return?.()
  } catch {
    // what became of the pipe has been said; a source that cannot even be closed changes nothing of
    // it
  }
}
