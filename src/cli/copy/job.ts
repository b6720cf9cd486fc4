/** What every part of one copy shares: where it reads and writes, what it tells the user, and what could not be copied. */
import { TrunkError } from '../../errors.ts'
import { sayError } from '../context.ts'
import type { Context } from '../context.ts'
import { about, EXIT, reportedFailure } from '../failure.ts'
import type { Files } from '../files.ts'
import type { Progress } from '../progress.ts'

/** Permission bits that a copy keeps: no setuid, setgid or sticky bit crosses. */
export const MODE_BITS = 0o777
/** Bytes of one read of a file in a tree, so that many large files at once stay within tens of megabytes. */
export const TREE_CHUNK_BYTES: number = 256 * 1024

/** One run of `cp`. */
export interface CopyJob {
  readonly context: Context
  readonly files: Files
  readonly progress: Progress
}

/** What a copied file or directory is to look like. */
export interface Attributes {
  /** Permission bits. */
  readonly mode: number
  readonly modifiedMs: number
}

/** Codes after which nothing else of a tree can be copied either. */
const FATAL: ReadonlySet<string> = new Set([
  'ERR_ABORTED',
  'ERR_PROTOCOL_UNKNOWN',
  'ERR_READ_ONLY',
  'ERR_NO_SPACE',
  'ERR_QUOTA',
])

/** What went wrong with single entries of a tree: each is one line, and the rest goes on, as with cp and scp. */
export class Troubles {
  readonly #job: CopyJob
  #count = 0

  constructor(job: CopyJob) {
    this.#job = job
  }

  /** Says what went wrong with `subject`, or throws where going on makes no sense. */
  report(subject: string, thrown: unknown): void {
    const failure = about(subject, thrown)
    if (failure.status === EXIT.noSession || failure.silent || FATAL.has(failure.code)) throw failure
    this.#count += 1
    this.#job.progress.interrupt(() => sayError(this.#job.context, failure))
  }

  /** Says that `subject` is left out because of what it is. */
  skip(subject: string, type: string): void {
    const what = type === 'symlink' ? 'symbolic links are not copied' : 'neither a file nor a directory, not copied'
    this.report(subject, new TrunkError('ERR_NOT_REGULAR', what))
  }

  /** To be called at the end: throws if anything was left out. */
  finish(): void {
    if (this.#count > 0) throw reportedFailure(EXIT.failed)
  }
}

/** `chunks` as they are, counted for the progress bar. In the end it expects what there was, and no longer `said` bytes. */
export async function* counted<T extends { readonly byteLength: number }>(
  progress: Progress,
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
  progress.expect(bytes - said)
}
