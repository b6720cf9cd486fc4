/** What the client of `filesystem` takes and gives. Types only. */
import type { Source } from 'it-stream-types'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Bytes } from '../../src/contracts/types.ts'
import type { FileType } from './messages.ts'
import type { FilePath } from './path.ts'

/**
 * Every call can be aborted. An aborted change may or may not have happened, but never by half
 * where it is atomic.
 */
export interface CallOptions {
  /** Gives the call up when it aborts; it then rejects with the reason of the signal. */
  signal?: AbortSignal
}

/** Options of {@link filesystemClient}. */
export interface ClientOptions {
  /**
   * How long the peer may do nothing for a call that waits for it, in milliseconds;
   * ERR_PIPE_STALLED above it. `sha256`, `remove` and writes that wait for the disk, which are
   * answered when all is done, have an hour, or this where it is more. @default 60,000
   */
  progressTimeoutMs?: number
  /** The clock that bounds the waiting. @default the machine's */
  clock?: Clock
}

/** Which part of a file; the file's end cuts it. */
export interface RangeOptions extends CallOptions {
  /**
   * The bytes of an item are borrowed until the next one is asked for, as `Pipe.borrowed`
   * says. @default false
   */
  borrowed?: boolean
  /** First byte. @default 0 */
  offset?: number
  /** Number of bytes. @default up to the end */
  length?: number
}

/** How {@link FilesystemClient.readSmall} reads. */
export interface SmallOptions extends CallOptions {
  /**
   * What the file is believed to have, as a listing says it; a better guess fills pipes better.
   * @default 0
   */
  size?: number
}

/** How {@link FilesystemClient.write} writes. */
export interface WriteOptions extends CallOptions {
  /** Adds to the file's end, in place. Not together with `offset`. @default false */
  append?: boolean
  /** Writes from this byte on, in place; what lies around it stays. */
  offset?: number
  /** Fails with ERR_EXISTS if there is something of that name. @default false */
  exclusive?: boolean
  /**
   * Permission bits, 0 to 0o777; others are dropped by the server. @default those of the file that
   * is replaced, or the server's umask
   */
  mode?: number
  /** Modification time to set, in milliseconds since 1970. @default now */
  modifiedMs?: number
  /**
   * Waits until the disk has the data. Without it a power cut may leave a new file empty.
   * @default true
   */
  durable?: boolean
}

/** Attributes to set; what is left out stays. */
export interface AttributeOptions extends CallOptions {
  /** Permission bits; setuid, setgid and sticky are dropped by the server. */
  mode?: number
  /** Time of the last change of the content, in milliseconds since 1970, with fractions. */
  modifiedMs?: number
  /** Time of the last access, in milliseconds since 1970, with fractions. */
  accessedMs?: number
}

/** What an entry is and how it looks. Links are described themselves, not what they point to. */
export interface FileStat {
  /** Whether it is a file, a directory, a link or something else. */
  type: FileType
  /** Length of the content in bytes. */
  size: number
  /** Permission bits and setuid, setgid, sticky: 0 to 0o7777. */
  mode: number
  /** Milliseconds since 1970, with fractions. */
  modifiedMs: number
  /** Time of the last access, in milliseconds since 1970, with fractions. */
  accessedMs: number
  /** Names that the file has. */
  links: number
}

/** An entry of a listing. */
export interface FileEntry {
  /**
   * The name as text: bytes that are no UTF-8 read as U+FFFD. For use in a path take
   * {@link nameBytes}.
   */
  name: string
  /** The name as the disk has it, without a slash and never empty. */
  nameBytes: Uint8Array
  /** Whether it is a file, a directory, a link or something else. */
  type: FileType
  /** Length of the content in bytes. */
  size: number
  /** Permission bits and setuid, setgid, sticky: 0 to 0o7777. */
  mode: number
  /** Time of the last change of the content, in milliseconds since 1970, with fractions. */
  modifiedMs: number
}

/** What can be written: bytes at once, or a source of them. */
export type WriteSource = Bytes | Source<Bytes>

/**
 * The files below a peer's root. Paths are `a/b` (one leading `/` changes nothing; `''` is the
 * root), as text or as bytes; `a/` is a directory, or ERR_NOT_DIRECTORY. Calls fail with a
 * `TrunkError`: ERR_PATH_INVALID before anything is sent, ERR_NOT_FOUND, ERR_ACCESS and so on from
 * the peer. Nothing that the peer answers is trusted: replies and names are checked,
 * ERR_MESSAGE_INVALID and ERR_NAME_INVALID otherwise.
 */
export interface FilesystemClient {
  /** What one entry is. Rejects with ERR_NOT_FOUND where there is none. */
  stat(path: FilePath, options?: CallOptions): Promise<FileStat>
  /**
   * The entries of a directory, in the disk's order, unbounded in number and bounded in memory.
   * Leaving the loop ends it.
   */
  list(path: FilePath, options?: CallOptions): AsyncGenerator<FileEntry, void, undefined>
  /**
   * The bytes of a file. An ended source is the whole range; a file that became shorter meanwhile
   * throws ERR_FILE_CHANGED. Starts when it is iterated, and holds a turn of the client until it
   * ends or is left.
   */
  read(path: FilePath, options?: RangeOptions): AsyncGenerator<Uint8ArrayList, void, undefined>
  /**
   * All of a small file, of up to 32 KiB; undefined for a larger one, which {@link read} gives.
   * Calls that are made at once share pipes, so that many small files cost little more than their
   * bytes.
   */
  readSmall(path: FilePath, options?: SmallOptions): Promise<Uint8Array | undefined>
  /**
   * Writes a file: atomically unless `append` or `offset` is given, so that the target has all of
   * it or is what it was. Resolves when the peer has finished; `bytes` is how many were written.
   * Bytes at once must not change until then. Small ones (up to 32 KiB at once) that are not to
   * wait for the disk share pipes, as those of {@link readSmall} do.
   */
  write(path: FilePath, source: WriteSource, options?: WriteOptions): Promise<{ bytes: number }>
  /** Makes a directory; with `recursive` also those above it, and one that is there is no error. */
  mkdir(path: FilePath, options?: CallOptions & { recursive?: boolean; mode?: number }): Promise<void>
  /**
   * Removes a file, a link itself, or a directory: an empty one, or with `recursive` all that is in
   * it.
   */
  remove(path: FilePath, options?: CallOptions & { recursive?: boolean }): Promise<void>
  /** ERR_EXISTS if `to` exists, unless `replace`. */
  rename(from: FilePath, to: FilePath, options?: CallOptions & { replace?: boolean }): Promise<void>
  /** Sets permission bits and times of a file or directory. */
  setAttributes(path: FilePath, options: AttributeOptions): Promise<void>
  /** The SHA-256 of a range, 32 bytes, made by the peer. */
  sha256(path: FilePath, options?: RangeOptions): Promise<Uint8Array>
}
