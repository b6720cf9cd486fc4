/** What copying takes and gives. Types only. */
import type { TrunkError } from '../../../src/contracts/errors.ts'
import type { Clock } from '../../../src/contracts/types.ts'
import type { CallOptions, FileStat } from '../client-types.ts'

/** How far a copy is. */
export interface CopyProgress {
  /** Bytes of files that were copied. */
  readonly bytes: number
  /** Files that are complete. */
  readonly files: number
  /** Directories that were made, or were there. */
  readonly directories: number
  /** Bytes that are to be copied, as far as is known; of a tree 0 without `measure`. */
  readonly totalBytes: number
  /** True when `totalBytes` is all there is: for a tree only with `measure`. */
  readonly isTotalKnown: boolean
}

/** An entry of a tree that was not copied; the others are. */
export interface CopyFailure {
  /** Which side the path is of. */
  readonly side: 'local' | 'remote'
  /** Its bytes: names need not be text. */
  readonly path: Uint8Array
  /**
   * ERR_NOT_REGULAR for what is no file and no directory: links, devices and the like are left out.
   */
  readonly error: TrunkError
}

/**
 * Options of {@link upload} and {@link download}. Its signal ends the copy; files under way are not
 * there by half.
 */
export interface CopyOptions extends CallOptions {
  /**
   * Told of each entry that could not be copied; the copy goes on with the rest. What nothing else
   * can follow (a lost session, a full disk, a peer that only reads) ends the copy all the same.
   * Must not throw.
   * @default the first failure ends the copy, which rejects with it
   */
  onFailure?: (failure: CopyFailure) => void
  /**
   * How the message of an error that ends the copy shows a path. Must not throw.
   * @default the path, the peer's with a colon before it
   */
  shown?: (side: CopyFailure['side'], path: Uint8Array) => string
  /** Told whenever something was copied, up to some thousand times a second. Must not throw. */
  onProgress?: (progress: CopyProgress) => void
  /** Looks through the tree beside the copy, so that `totalBytes` becomes known. @default false */
  measure?: boolean
  /**
   * Given each call of the system that an abort has left behind and nothing can stop, such as a
   * read of a disk that is gone: while one is under way the process does not end by itself.
   */
  onAbandoned?: (work: Promise<unknown>) => void
  /**
   * Holds the path of each temporary file while it exists, for a program that removes them when it
   * has to end at once. Only where the file system has no files without a name.
   */
  temporaries?: Set<Uint8Array>
  /** The clock of all time limits. @default the machine's monotonic clock */
  clock?: Clock
}

/** Options of {@link download}. */
export interface DownloadOptions extends CopyOptions {
  /** What {@link FilesystemClient.stat} has just said of the source: saves asking again. */
  stat?: Pick<FileStat, 'type' | 'size' | 'mode' | 'modifiedMs'>
}

/** What became of a copy. */
export interface CopyResult {
  /** Bytes of content that were copied. */
  readonly bytes: number
  /** The number of files that were copied. */
  readonly files: number
  /** The number of directories that were copied. */
  readonly directories: number
  /** Entries that were told to `onFailure`. */
  readonly failed: number
}

/** A path of this machine, as text or, where a name is not UTF-8, as bytes. */
export type LocalPath = string | Uint8Array
