/**
 * How a command ends: the exit status of each error, and the one line that says it.
 * docs/guide/command-line.md has the table.
 *
 * 0 done · 1 the operation failed · 2 wrong usage · 3 no session with the peer · 4 refused by
 * policy
 */
import { TrunkError, type ErrorCode } from '../index.ts'
import { isKnownCode } from '../contracts/errors.ts'
import { printable } from '../runtime/printable.ts'
import { localError } from '../runtime/file-errors.ts'

/** What the process exits with. */
export const EXIT = { done: 0, failed: 1, usage: 2, noSession: 3, denied: 4 } as const

/** What `exec` exits with where that is not the program's own status. */
export const EXEC_EXIT = { timedOut: 124, ours: 125, notExecutable: 126, notFound: 127, signalled: 128 } as const

/** One of {@link EXIT}, or what a command of the peer's ended with. */
export type ExitStatus = number

/** Codes that mean: somebody decided that this is not allowed, so trying again is no use. */
const DENIED: ReadonlySet<string> = new Set([
  'ERR_DENIED',
  'ERR_AUTH_REQUIRED',
  'ERR_AUTH_FAILED',
  'ERR_READ_ONLY',
  'ERR_SYMLINK',
  'ERR_PROTOCOL_UNKNOWN',
])

/** Codes that mean: the command was written wrongly. */
const USAGE: ReadonlySet<string> = new Set([
  'ERR_BAD_ARGUMENT',
  'ERR_ADDRESS_INVALID',
  'ERR_TRANSPORT_UNKNOWN',
  'ERR_CONFIG_INVALID',
  'ERR_NOT_CONFIGURED',
])

/** The error that ends a command: code, sentence, and the status that the process exits with. */
export class Failure extends Error {
  readonly code: ErrorCode
  readonly status: ExitStatus
  /** True: its line has been printed, or there is nothing to say. */
  readonly silent: boolean

  constructor(
    code: ErrorCode,
    message: string,
    status: ExitStatus,
    options: { cause?: unknown; silent?: boolean } = {},
  ) {
    super(message, { cause: options.cause })
    this.code = code
    this.status = status
    this.silent = options.silent ?? false
  }
}

/** A command of the peer's has ended: its status is ours, and there is nothing to say. */
export class CommandEnded extends Failure {
  constructor(status: ExitStatus) {
    super('ERR_COMMAND_FAILED', 'the command has ended', status, { silent: true })
  }
}

/** The status of `exec` for an error. */
export function execStatus(failure: Failure): ExitStatus {
  if (failure instanceof CommandEnded) return failure.status
  if (failure.code === 'ERR_COMMAND_NOT_FOUND') return EXEC_EXIT.notFound
  return failure.code === 'ERR_NOT_EXECUTABLE' ? EXEC_EXIT.notExecutable : EXEC_EXIT.ours
}

/** True for {@link outputClosed}. */
export function isOutputClosed(error: unknown): boolean {
  return error instanceof Failure && error.code === 'ERR_PIPE_CLOSED' && error.silent
}

/** Wrong usage: exit status 2. */
export function usageError(message: string): Failure {
  return new Failure('ERR_BAD_ARGUMENT', message, EXIT.usage)
}

/** The reader of our output has gone (`| head`): a quiet end, not an error. */
export function outputClosed(cause: unknown): Failure {
  return new Failure('ERR_PIPE_CLOSED', 'nobody reads the output any more', EXIT.done, { cause, silent: true })
}

/** Ends with `status` after lines that were printed already. */
export function reportedFailure(status: ExitStatus): Failure {
  return new Failure('ERR_IO', 'not everything was done', status, { silent: true })
}

function statusOf(error: TrunkError): ExitStatus {
  if (DENIED.has(error.code)) return EXIT.denied
  if (USAGE.has(error.code)) return EXIT.usage
  return error.scope === 'session' || error.scope === 'link' ? EXIT.noSession : EXIT.failed
}

/**
 * Any thrown thing as a {@link Failure}. `subject`, where given, is what the sentence is about: a
 * path, a forward.
 */
export function asFailure(thrown: unknown, subject?: string): Failure {
  if (thrown instanceof Failure) return thrown
  const about = (sentence: string): string => (subject === undefined ? sentence : `${subject}: ${sentence}`)
  if (thrown instanceof TrunkError) {
    return new Failure(thrown.code, about(thrown.message), statusOf(thrown), { cause: thrown })
  }
  const local = localError(thrown)
  return new Failure(local.code, about(local.message), statusOf(local), { cause: thrown })
}

/**
 * The error with what it is about in front of its sentence. An error of the whole session is left
 * as it is.
 */
export function about(subject: string, thrown: unknown): Failure {
  const failure = asFailure(thrown)
  if (thrown instanceof Failure || failure.status === EXIT.noSession || failure.code === 'ERR_ABORTED') return failure
  return asFailure(thrown, subject)
}

/** The line on stderr: `trunkline: CODE: sentence`, without its line end. */
export function errorLine(code: ErrorCode, sentence: string): string {
  const shown = isKnownCode(code) ? code : printable(code)
  return `trunkline: ${shown}: ${printable(sentence.trim().replaceAll(/\s*\n\s*/g, ' '))}`
}
