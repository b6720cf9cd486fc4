/**
 * What could not be copied: told, or thrown where going on makes no sense. Errors that are thrown
 * name the path.
 */
import { TrunkError } from '../../../src/contracts/errors.ts'
import { toBytes, type ByteString } from '../../../src/runtime/byte-string.ts'
import { notify } from '../../../src/runtime/notify.ts'
import { printable } from '../../../src/runtime/printable.ts'
import { localError } from '../../../src/runtime/system-errors.ts'
import type { CopyFailure } from './types.ts'

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

/** See the top of the file. */
export class CopyErrors {
  readonly #onFailure: ((failure: CopyFailure) => void) | undefined
  /** Errors that name their path. */
  readonly #named = new WeakSet<TrunkError>()
  #count = 0

  constructor(onFailure: ((failure: CopyFailure) => void) | undefined) {
    this.#onFailure = onFailure
  }

  get count(): number {
    return this.#count
  }

  /** Tells what went wrong with one entry, or throws. */
  report(side: Side, path: ByteString, thrown: unknown): void {
    const error = localError(thrown)
    if (this.#onFailure === undefined || isOfSession(error) || FATAL.has(error.code))
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
   * The error with the path in front of its sentence, the peer's with a colon. One of the whole
   * session stays as it is.
   */
  named(side: Side, path: ByteString, thrown: unknown): TrunkError {
    const error = localError(thrown)
    if (this.#named.has(error) || isOfSession(error) || error.code === 'ERR_ABORTED') return error
    const { code, message, scope, origin } = error
    const shown = `${side === 'remote' ? ':' : ''}${printable(path)}`
    const named = new TrunkError(code, `${shown}: ${message}`, { cause: thrown, scope, origin })
    this.#named.add(named)
    return named
  }
}

/** The peer's errors come with codes, this machine's with the system's own. */
export function sideOf(error: unknown): Side {
  return error instanceof TrunkError ? 'remote' : 'local'
}

function isOfSession({ scope }: TrunkError): boolean {
  return scope === 'session' || scope === 'link'
}
