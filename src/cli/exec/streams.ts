/** Our standard streams as those of a command of the peer's. */
import type { Bytes, Pipe } from '../../index.ts'
import type { CommandOutput, Exit, RunningCommand } from '../../../protocols/exec.ts'
import type { Context } from '../context.ts'
import { readDescriptor } from '../descriptor/input.ts'
import { asFailure, Failure, isOutputClosed } from '../failure.ts'
import { Leaving } from './leaving.ts'

/**
 * Joins our standard streams to the command's; the command's end ends all, whatever our input does.
 */
export async function carried(context: Context, command: RunningCommand, watches = false): Promise<Exit> {
  const source = command.stdin && readDescriptor(context, { fd: context.stdin, name: 'standard input' })
  const leaving = new Leaving(context, command, { watches, interrupts: 'group' })
  if (source !== undefined) void feed(context, command, command.stdin, source)
  try {
    const all = Promise.all([
      command.exit,
      printed(command.stdout, (bytes) => context.stdout.write(bytes)),
      printed(command.stderr, (bytes) => toStandardError(context, bytes)),
    ])
    const [exit] = await Promise.race([all, leaving.promise])
    return exit
  } catch (error) {
    if (leaving.outcome !== undefined) throw await leaving.outcome
    // one that is kept outlives the session, and whatever has become of us
    if (command.name === undefined) command.kill(asFailure(error))
    throw error
  } finally {
    leaving.over()
    void source?.return?.()
  }
}

/**
 * A command need not read all of its input. What cannot be read here ends the command: half of its
 * input would look like all of it.
 */
async function feed(
  context: Context,
  command: RunningCommand,
  pipe: Pipe | undefined,
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  try {
    await pipe?.sink(untilInterrupted(context, command, source))
  } catch (error) {
    // what the pipe says is the command's own affair: it need not read
    if (error instanceof Failure) command.kill(error)
  }
}

/**
 * What `source` brings. An interrupt is no end of the input and no reason to cut it, which would
 * end the command: the input stays open until the command has ended, as a terminal's does.
 */
async function* untilInterrupted(
  context: Context,
  command: RunningCommand,
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* source
  } catch (error) {
    if (!context.signal.aborted) throw error
    await command.exit
  }
}

/** Our reader may go, as before `| head`: then the command is to meet the same. */
export async function printed(output: CommandOutput | undefined, put: (bytes: Bytes) => Promise<void>): Promise<void> {
  try {
    for await (const bytes of output?.borrowed ?? []) await put(bytes)
  } catch (error) {
    if (!isOutputClosed(error)) throw error
  }
}

/** To our standard error, as it is. */
export async function toStandardError(context: Context, bytes: Bytes): Promise<void> {
  await context.stderr.bytes(bytes)
}
