/**
 * What every part of one copy shares: where it reads and writes, what it tells the user, and what
 * could not be copied.
 */
import type { Waiter } from '../../../src/runtime/abandon.ts'
import type { FilesystemClient } from '../client-types.ts'
import type { CopyErrors } from './errors.ts'
import type { ProgressCount } from './progress.ts'

/** Permission bits that a copy keeps: no setuid, setgid or sticky bit crosses. */
export const MODE_BITS = 0o777
/**
 * Bytes of one read of a file in a tree, so that many large files at once stay within tens of
 * megabytes.
 */
export const TREE_CHUNK_BYTES: number = 256 * 1024

/** One copy. */
export interface CopyJob extends Waiter {
  readonly files: FilesystemClient
  readonly progress: ProgressCount
  readonly errors: CopyErrors
  /** Paths of files that are to be removed where the process ends at once. */
  readonly temporaries: Set<Uint8Array>
}

/** What a copied file or directory is to look like. */
export interface Attributes {
  /** Permission bits. */
  readonly mode: number
  readonly modifiedMs: number
}

/**
 * `chunks` as they are, counted. In the end what there was is expected, and no longer `said` bytes.
 */
export async function* counted<T extends { readonly byteLength: number }>(
  progress: ProgressCount,
  chunks: AsyncIterable<T>,
  said = 0,
): AsyncGenerator<T, void, undefined> {
  let bytes = 0
  for await (const chunk of chunks) {
    const { byteLength } = chunk
    yield chunk
    bytes += byteLength
    progress.add(byteLength)
  }
  progress.correct(bytes - said)
}
