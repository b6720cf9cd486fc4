/**
 * What a command is given of the world, so that nothing in it is global: the environment, where
 * results and lines go, the clock, the signal of the first Ctrl-C, and a place for what must not be
 * left behind when the second one ends us at once.
 */
import { TrunkError, systemClock, type Clock } from '../index.ts'
import { pause as pauseOf } from '../runtime/clock.ts'
import { rawEnvironment } from './byte-string.ts'
import { printableLines } from '../runtime/printable.ts'
import { colorsOf, type Colors } from './colors.ts'
import { raced as racedOf, type Waiter } from '../runtime/abandon.ts'
import { asFailure, errorLine } from './failure.ts'
import { standardError, standardOutput } from './output.ts'
import type { ErrorOutput, Output } from './output.ts'
import { Owner } from './owner.ts'

const [STDIN, STDOUT, STDERR] = [0, 1, 2] as const

/** See the head of this file. */
export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The descriptor of standard input. */
  readonly stdin: number
  readonly stdout: Output
  readonly stderr: ErrorOutput
  readonly colors: Colors
  readonly clock: Clock
  /** Aborts at the first SIGINT or SIGTERM, with a `TrunkError` as reason. */
  readonly signal: AbortSignal
  /**
   * Local files and directories to remove when the process is ended at once. Whoever adds one takes
   * it out again.
   */
  readonly temporaries: Set<Buffer>
  /** Ends what the command has started. */
  readonly owner: Owner
}

/** The context of the real process. `signal` is from {@link handleSignals}. */
export function processContext(signal: AbortSignal, temporaries: Set<Buffer>): Context {
  const env = rawEnvironment(process.env)
  const owner = new Owner()
  const clock = systemClock
  const stderr = standardError(STDERR, { signal, owner, clock })
  const stdout = standardOutput(STDOUT, { signal, owner, clock }, () => stderr.flushed())
  const isPlain = (): boolean => env['NO_COLOR'] !== undefined || env['TERM'] === 'dumb' || !stdout.isTerminal
  let colors: Colors | undefined
  return {
    env,
    stdin: STDIN,
    stdout,
    stderr,
    // asked for by few, and whether it is a terminal tells a module that brings the network with it
    get colors() {
      return (colors ??= colorsOf(!isPlain()))
    },
    clock,
    signal,
    temporaries,
    owner,
  }
}

/** Says `text` in one line on stderr. */
export function say(context: Context, text: string): void {
  context.stderr.write(`${printableLines(text)}\n`)
}

/** Says the one line of `thrown` on stderr; `subject` is what it is about. */
export function sayError(context: Context, thrown: unknown, subject?: string): void {
  const failure = asFailure(thrown, subject)
  if (!failure.silent) say(context, errorLine(failure.code, failure.message))
}

/**
 * Waits, unless the user interrupts: then it rejects with the signal's reason. The process lives
 * meanwhile, whatever becomes of the session.
 */
export async function pause(context: Context, delayMs: number): Promise<void> {
  await pauseOf(context.clock, delayMs, context.signal)
}

/** {@link racedOf}, with what is left being the owner's. */
export function raced<T>(context: Context, work: Promise<T>, discard?: (outcome: T) => void): Promise<T> {
  return racedOf(waiterOf(context), work, discard)
}

function waiterOf({ signal, clock, owner }: Context): Waiter {
  return { signal, clock, abandon: (work) => owner.leave(work) }
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
