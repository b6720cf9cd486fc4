/**
 * What went wrong with single things of many, each of which the user named or is in what the user
 * named: one line each, and the rest goes on, as with cp, rm and scp.
 */
import { sayError } from './context.ts'
import type { Context } from './context.ts'
import { about, EXIT, reportedFailure } from './failure.ts'
import type { ExitStatus } from './failure.ts'
import { SILENT } from './progress.ts'
import type { Progress } from './progress.ts'

/** Codes after which nothing else can be done either. */
const FATAL: ReadonlySet<string> = new Set([
  'ERR_ABORTED',
  'ERR_PROTOCOL_UNKNOWN',
  'ERR_READ_ONLY',
  'ERR_NO_SPACE',
  'ERR_QUOTA',
])

/** See the head of this file. */
export class OperandErrors {
  readonly #context: Context
  readonly #progress: Progress
  readonly #statuses = new Set<ExitStatus>()

  constructor(context: Context, progress: Progress = SILENT) {
    this.#context = context
    this.#progress = progress
  }

  /** Says what went wrong with `subject`, or throws where going on makes no sense. */
  report(subject: string, thrown: unknown): void {
    const failure = about(subject, thrown)
    if (failure.status === EXIT.noSession || failure.silent || FATAL.has(failure.code)) throw failure
    this.#statuses.add(failure.status)
    this.#progress.interrupt(() => sayError(this.#context, failure))
  }

  /**
   * To be called at the end: throws if anything went wrong. The status is that of all of it, where
   * they have the same.
   */
  finish(): void {
    const [status, ...others] = this.#statuses
    if (status !== undefined) throw reportedFailure(others.length === 0 ? status : EXIT.failed)
  }
}

/**
 * Runs `job` for each of what the user named, whatever becomes of the others; throws in the end if
 * one has failed.
 */
export async function each<T>(
  context: Context,
  named: Iterable<T>,
  shown: (one: T) => string,
  job: (one: T, errors: OperandErrors) => Promise<void>,
): Promise<void> {
  const errors = new OperandErrors(context)
  for (const one of named) {
    try {
      await job(one, errors)
    } catch (error) {
      errors.report(shown(one), error)
    }
  }
  errors.finish()
}
