/**
 * The operating system's errors about files as codes, decided by `error.code`, never by a message;
 * system-errors.ts has the table. The original stays as `cause`.
 */
import { TrunkError } from '../contracts/errors.ts'
import { errnoOf, meaningOf } from './system-errors.ts'

/** An error of Node or of this machine as a {@link TrunkError}; itself if it is one. */
export function localError(thrown: unknown): TrunkError {
  if (thrown instanceof TrunkError) return thrown
  const known = meaningOf(thrown, 'local')
  if (known !== undefined) return new TrunkError(known[0], known[1], { cause: thrown })
  if (errnoOf(thrown) === 'ABORT_ERR') return new TrunkError('ERR_ABORTED', 'interrupted', { cause: thrown })
  return new TrunkError('ERR_IO', thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown })
}

/**
 * Anything thrown about a served file, as what the peer may see: the original message holds
 * absolute local paths, so the sentence is ours.
 */
export function toFailure(thrown: unknown): TrunkError {
  if (thrown instanceof TrunkError) return thrown
  const [code, message] = meaningOf(thrown, 'served') ?? ['ERR_IO', 'the operation failed']
  return new TrunkError(code, message, { cause: thrown })
}
