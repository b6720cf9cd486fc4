/**
 * Runs a command to its end and keeps what it said; one that takes too long is killed, and the
 * output says so.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

/** How a command ended, and what it said on both outputs. */
export interface CommandResult {
  /** Null where it was killed. */
  readonly status: number | null
  readonly output: string
}

/** What to run, and where. */
export interface Command {
  readonly cwd: string
  /** Longest time in milliseconds. */
  readonly timeoutMs: number
}

/** Runs `command` with `args`; nothing is on its stdin. */
export async function runCommand(
  { cwd, timeoutMs }: Command,
  command: string,
  args: readonly string[],
): Promise<CommandResult> {
  const child = spawn(command, args, {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>
  const [[status, signal], out, err] = await Promise.all([exit, text(child.stdout), text(child.stderr)])
  const end = signal === null ? '' : `(ended by ${signal}; it had ${timeoutMs} ms)\n`
  return { status, output: out + err + end }
}
