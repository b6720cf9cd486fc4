/**
 * What a command is given of the world, so that nothing in it is global: the environment, where results and lines go, the
 * clock, the signal of the first Ctrl-C, and a place for what must not be left behind when the second one ends us at once.
 */
import pc from 'picocolors'
import { pause as pauseOf, systemClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import { TrunkError } from '../errors.ts'
import { rawEnvironment } from './byte-string.ts'
import { asFailure, errorLine } from './failure.ts'
import { standardOutput } from './output.ts'
import type { Output } from './output.ts'

/** Colours and weights of text; each leaves it as it is where colours are off. */
export type Colors = ReturnType<typeof pc.createColors>

/** Standard error, for lines and the progress bar. */
export type ErrorOutput = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number }

/** See the head of this file. */
export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: NodeJS.ReadStream
  readonly stdout: Output
  readonly stderr: ErrorOutput
  readonly colors: Colors
  readonly clock: Clock
  /** Aborts at the first SIGINT or SIGTERM, with a `TrunkError` as reason. */
  readonly signal: AbortSignal
  /** Local files and directories to remove when the process is ended at once. Whoever adds one takes it out again. */
  readonly temporaries: Set<Buffer>
}

/** The context of the real process. `signal` is from {@link handleSignals}. */
export function processContext(signal: AbortSignal, temporaries: Set<Buffer>): Context {
  const { stdout, stderr } = process
  const env = rawEnvironment(process.env)
  const plain = env['NO_COLOR'] !== undefined || env['TERM'] === 'dumb' || !stdout.isTTY
  // Whoever read our error lines may have gone: that is no reason to end.
  stderr.on('error', () => undefined)
  return {
    env,
    // Opened when it is first asked for: to look at standard input is to read from it.
    get stdin() {
      return process.stdin
    },
    stdout: standardOutput(stdout),
    stderr,
    colors: pc.createColors(!plain),
    clock: systemClock,
    signal,
    temporaries,
  }
}

/** Says `text` in one line on stderr. */
export function say(context: Context, text: string): void {
  context.stderr.write(`${text}\n`)
}

/** Says the one line of `thrown` on stderr; `subject` is what it is about. */
export function sayError(context: Context, thrown: unknown, subject?: string): void {
  const failure = asFailure(thrown, subject)
  if (!failure.silent) say(context, errorLine(failure.code, failure.message))
}

/** Waits, unless the user interrupts: then it rejects with the signal's reason. The process lives meanwhile, whatever becomes of the session. */
export async function pause(context: Context, delayMs: number): Promise<void> {
  await pauseOf(context.clock, delayMs, context.signal)
}

/** Resolves when the user interrupts. */
export function interrupted(context: Context): Promise<void> {
  const { signal } = context
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** A signal's reason as what it is: an error. */
export function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new TrunkError('ERR_ABORTED', 'interrupted', { cause: reason })
}
