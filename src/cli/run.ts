/**
 * One run of the command line: arguments in, exit status out. Every error ends here, as one line on
 * stderr, and so does everything that the command has started. After the user's interrupt a run
 * lasts UNWIND_MS at the longest.
 */
import { CommanderError } from 'commander'
import { DEFAULT_LIMITS, type Timer } from '../index.ts'
import { onAbort } from '../runtime/on-abort.ts'
import { preparedArguments } from './arguments.ts'
import { rawArguments } from './byte-string.ts'
import { sayError } from './context.ts'
import type { Context } from './context.ts'
import { asFailure, execStatus, EXIT, usageError } from './failure.ts'
import type { ExitStatus, Failure } from './failure.ts'
import { createProgram } from './program.ts'

/**
 * Help and version were asked for and have been printed: not a failure, though commander throws for
 * them.
 */
const PRINTED: ReadonlySet<string> = new Set(['commander.helpDisplayed', 'commander.version'])

/**
 * A server or a forward drains for `closeTimeoutMs`; saying goodbye and closing what is left come
 * after that.
 */
const UNWIND_MS = DEFAULT_LIMITS.closeTimeoutMs + 3_000

function failureOf(thrown: unknown): Failure {
  if (!(thrown instanceof CommanderError)) return asFailure(thrown)
  if (thrown.code === 'commander.help') return usageError('no command given; trunkline --help lists them')
  return usageError(thrown.message.replace(/^error: /, '').replace(/\.?$/, '; see --help'))
}

/** Runs the command that `args` (without the interpreter and the script) ask for. Never rejects. */
export function run(args: readonly string[], context: Context): Promise<ExitStatus> {
  const { clock, signal } = context
  return new Promise((resolve) => {
    let overdue: Timer | undefined
    const unsubscribe = onAbort(signal, () => {
      overdue = clock.after(
        UNWIND_MS,
        () => {
          sayError(context, signal.reason)
          resolve(endsAsItsProgram(args) ? execStatus(asFailure(signal.reason)) : EXIT.failed)
        },
        true,
      )
    })
    void toItsEnd(args, context).then((status) => {
      unsubscribe()
      overdue?.cancel()
      resolve(status)
    })
  })
}

/** Commands whose status is that of a program at the peer. */
const PROGRAMS: ReadonlySet<string> = new Set(['exec', 'shell', 'attach', 'wait'])

function endsAsItsProgram([word = '']: readonly string[]): boolean {
  return PROGRAMS.has(word)
}

async function toItsEnd(args: readonly string[], context: Context): Promise<ExitStatus> {
  let status: ExitStatus = EXIT.done
  try {
    await parse(args, context)
  } catch (thrown) {
    const failure = failureOf(thrown)
    sayError(context, failure)
    status = endsAsItsProgram(args) ? execStatus(failure) : failure.status
  }
  await context.owner.end()
  return status
}

async function parse(args: readonly string[], context: Context): Promise<void> {
  const printed: string[] = []
  const program = await createProgram(context, (text) => printed.push(text), args[0])
  try {
    await program.parseAsync(preparedArguments(rawArguments(args), program), { from: 'user' })
  } catch (thrown) {
    if (!(thrown instanceof CommanderError && PRINTED.has(thrown.code))) throw thrown
  }
  if (printed.length > 0) await context.stdout.write(printed.join(''))
}
