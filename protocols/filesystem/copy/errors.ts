/**
 * What could not be copied: told, or thrown where going on makes no sense. Errors that are thrown
 * name the path.
 */
import { abortError, TrunkError } from '../../../src/contracts/errors.ts'
import { fromBytes, toBytes, type ByteString } from '../../../src/runtime/byte-string.ts'
import { notify } from '../../../src/runtime/notify.ts'
import { printable } from '../../../src/runtime/printable.ts'
import { localError } from '../../../src/runtime/file-errors.ts'
import type { CopyFailure, CopyOptions } from './types.ts'

/** Codes after which nothing else can be done either. */
const FATAL: ReadonlySet<string> = new Set([
  'ERR_ABORTED',
  'ERR_PROTOCOL_UNKNOWN',
  'ERR_READ_ONLY',
  'ERR_NO_SPACE',
  'ERR_QUOTA',
])

/** Which side an entry's path is of. */
export type Side = CopyFailure['side']

/** What the errors of one copy depend on. */
export interface ErrorsOptions extends Pick<CopyOptions, 'onFailure' | 'shown'> {
  readonly signal: AbortSignal
  /** Which side an error is of. */
  readonly sideOf: (error: unknown) => Side
}

/** See the top of the file. */
export class CopyErrors {
  readonly sideOf: (error: unknown) => Side
  readonly #signal: AbortSignal
  readonly #onFailure: CopyOptions['onFailure']
  readonly #shown: NonNullable<CopyOptions['shown']>
  /** Errors that name their path. */
  readonly #named = new WeakSet<TrunkError>()
  #count = 0

  constructor({ signal, sideOf, onFailure, shown = withColon }: ErrorsOptions) {
    this.#signal = signal
    this.sideOf = sideOf
    this.#onFailure = onFailure
    this.#shown = shown
  }

  get count(): number {
    return this.#count
  }

  /** Tells what went wrong with one entry, or throws. */
  report(side: Side, path: ByteString, thrown: unknown): void {
    const error = localError(thrown)
    if (this.#signal.aborted || this.#onFailure === undefined || isOfSession(error) || FATAL.has(error.code))
      throw this.named(side, path, error)
    this.#count += 1
    notify(this.#onFailure, { side, path: toBytes(path), error })
  }

  /** Tells that an entry is left out because of what it is. */
  skip(side: Side, path: ByteString, type: string): void {
    const what = type === 'symlink' ? 'symbolic links are not copied' : 'neither a file nor a directory, not copied'
    this.report(side, path, new TrunkError('ERR_NOT_REGULAR', what))
  }

  /**
   * The error with the path in front of its sentence. One of the whole session stays as it is;
   * after an abort it is the signal's reason, whatever has failed by it.
   */
  named(side: Side, path: ByteString, thrown: unknown): TrunkError {
    if (this.#signal.aborted) return abortError(this.#signal)
    const error = localError(thrown)
    if (this.#named.has(error) || isOfSession(error) || error.code === 'ERR_ABORTED') return error
    const { code, message, scope, origin } = error
    const sentence = `${this.#shown(side, toBytes(path))}: ${message}`
    const named = new TrunkError(code, sentence, { cause: thrown, scope, origin })
    this.#named.add(named)
    return named
  }
}

/** A path of the peer has a colon before it. */
function withColon(side: Side, path: Uint8Array): string {
  return `${side === 'remote' ? ':' : ''}${printable(fromBytes(path))}`
}

/** The peer's errors come with codes, this machine's with the system's own. */
export function sideByClass(error: unknown): Side {
  return error instanceof TrunkError ? 'remote' : 'local'
}

function isOfSession({ scope }: TrunkError): boolean {
  return scope === 'session' || scope === 'link'
}
