/**
 * One run of the command line: arguments in, exit status out. Every error ends here, as one line on stderr.
 */
import { CommanderError } from 'commander'
import { rawArguments } from './byte-string.ts'
import { sayError } from './context.ts'
import type { Context } from './context.ts'
import { asFailure, EXIT, usageError } from './failure.ts'
import type { ExitStatus, Failure } from './failure.ts'
import { withBareWait } from './peer.ts'
import { createProgram } from './program.ts'

/** Help and version were asked for and have been printed: not a failure, though commander throws for them. */
const PRINTED: ReadonlySet<string> = new Set(['commander.helpDisplayed', 'commander.version'])

function failureOf(thrown: unknown): Failure {
  if (!(thrown instanceof CommanderError)) return asFailure(thrown)
  if (thrown.code === 'commander.help') return usageError('no command given; trunkline --help lists them')
  return usageError(thrown.message.replace(/^error: /, '').replace(/\.?$/, '; see --help'))
}

/** Runs the command that `args` (without the interpreter and the script) ask for. Never rejects. */
export async function run(args: readonly string[], context: Context): Promise<ExitStatus> {
  try {
    await parse(args, context)
    return EXIT.done
  } catch (thrown) {
    const failure = failureOf(thrown)
    sayError(context, failure)
    return failure.status
  }
}

async function parse(args: readonly string[], context: Context): Promise<void> {
  const printed: string[] = []
  const program = createProgram(context, (text) => printed.push(text))
  try {
    await program.parseAsync(withBareWait(rawArguments(args)), { from: 'user' })
  } catch (thrown) {
    if (!(thrown instanceof CommanderError && PRINTED.has(thrown.code))) throw thrown
  }
  if (printed.length > 0) await context.stdout.write(printed.join(''))
}
