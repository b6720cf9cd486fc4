/**
 * `trunkline exec`: runs a program at the peer, with our standard streams for its own and its exit
 * status for ours. What is wrong with us, and not with the program, is 125 and a line on stderr;
 * docs/guide/command-line.md has the table.
 */
import { closeSync, fstatSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { execClient } from '../../../protocols/exec.ts'
import type { CommandOutput, Exit, RunningCommand } from '../../../protocols/exec.ts'
import type { Bytes, Pipe } from '../../contracts/types.ts'
import { onAbort } from '../../runtime/on-abort.ts'
import { byteString, toBytes } from '../../runtime/byte-string.ts'
import { say } from '../context.ts'
import type { Context } from '../context.ts'
import { readDescriptor } from '../descriptor/input.ts'
import { standsForClosed } from '../descriptor/polled.ts'
import { asFailure, CommandEnded, EXEC_EXIT, Failure, isOutputClosed, usageError } from '../failure.ts'
import { addPeerOptions, withTrunk } from '../peer.ts'
import type { PeerOptions } from '../peer.ts'

interface ExecOptions extends PeerOptions {
  input?: boolean
  env?: string[]
  directory?: string
  user?: string
  timeout?: number
  merge?: boolean
  killLeftovers?: boolean
  statusFd?: number
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, '': 1_000, m: 60_000, h: 3_600_000 }

function duration(text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? []
  const ms = Math.round(Number(number) * (UNITS[unit] ?? NaN))
  if (number !== '' && ms >= 1 && ms <= 2 ** 31 - 1) return ms
  throw new InvalidArgumentError('It is a time: 30s, 500ms, 5m, 1h.')
}

function descriptor(text: string): number {
  const fd = Number(text)
  if (/^\d{1,4}$/.test(text) && fd >= 3) return fd
  throw new InvalidArgumentError('It is the number of a descriptor from 3 up, open for writing.')
}

/** Adds the command. */
export function addExec(program: Command, context: Context): void {
  // options behind the program's name are the program's
  program.enablePositionalOptions()
  const command = program
    .command('exec')
    .summary('run a program at the peer')
    .description('Run a program, or @NAME, at the peer. Its exit status is ours; 125 is a failure of our own.')
    .argument('<program>')
    .argument('[arguments...]')
    .passThroughOptions()
    .option('-n, --no-input', 'give it no standard input')
    .addOption(new Option('-i', 'pass standard input on, as without it').hideHelp())
    .option('-e, --env <name[=value]>', 'set a variable; without a value as it is here; repeatable', append)
    .option('-w, --directory <dir>', 'where it starts')
    .option('-u, --user <name>', 'as whom it runs')
    .option('--timeout <time>', 'end it after so long (30s, 5m), with exit status 124', duration)
    .option('--merge', 'its standard error into its standard output, in order')
    .option('--kill-leftovers', 'end what it leaves running in the background')
    .option('--status-fd <n>', 'write how it ended to this descriptor, as a line of JSON', descriptor)
    .addHelpText('after', '\nExample:\n  $ trunkline exec make -C /src all')
  addPeerOptions(command).action((name: string, args: string[], options: ExecOptions) =>
    withStatus(options.statusFd, () => execute(context, [name, ...args], options)),
  )
}

function append(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value]
}

/**
 * Tells a program apart whose status is one of ours: `{"exit":125}` is the command's,
 * `{"error":"ERR_LINK_LOST"}` is about us.
 */
async function withStatus(fd: number | undefined, work: () => Promise<Exit>): Promise<void> {
  const tell = (status: object): void => {
    if (fd === undefined) return
    writeSync(fd, `${JSON.stringify(status)}\n`)
    closeSync(fd)
  }
  if (fd !== undefined) requireOpen(fd)
  let exit: Exit
  try {
    exit = await work()
  } catch (error) {
    const { code } = asFailure(error)
    tell({ error: code })
    throw error
  }
  const { code, signal, timedOut, leftovers } = exit
  tell({
    ...(code === null ? { signal } : { exit: code }),
    ...(timedOut && { timedOut }),
    ...(leftovers > 0 && { leftovers }),
  })
  throw new CommandEnded(statusOf(exit))
}

/** Before the command runs: its status would have nowhere to go. */
function requireOpen(fd: number): void {
  try {
    fstatSync(fd)
  } catch {
    throw usageError(`--status-fd ${fd}: no such descriptor is open`)
  }
}

function statusOf({ code, signal, timedOut }: Exit): number {
  if (timedOut) return EXEC_EXIT.timedOut
  if (code !== null) return code
  const numbers: Readonly<Record<string, number>> = constants.signals
  return EXEC_EXIT.signalled + (numbers[`SIG${signal ?? ''}`] ?? 0)
}

async function execute(context: Context, words: readonly string[], options: ExecOptions): Promise<Exit> {
  const [program = Buffer.alloc(0), ...args] = words.map((word) => toBytes(byteString(word)))
  const { directory, user, timeout, merge = false, killLeftovers = false, input = true } = options
  const reads = input && !standsForClosed(context.stdin)
  const env = variables(context, options.env ?? [])
  return await withTrunk(context, options, async (trunk) => {
    const command = await execClient(trunk).start(program, args, {
      ...(directory !== undefined && { cwd: toBytes(byteString(directory)) }),
      ...(user !== undefined && { user }),
      ...(timeout !== undefined && { timeoutMs: timeout }),
      env,
      stdin: reads ? 'pipe' : 'none',
      stderr: merge ? 'merge' : 'pipe',
      leftovers: killLeftovers ? 'kill' : 'keep',
    })
    const exit = await carried(context, command)
    if (exit.leftovers > 0 && !killLeftovers && context.stderr.isTTY === true)
      say(context, `${exit.leftovers} ${exit.leftovers === 1 ? 'process' : 'processes'} of the command still run`)
    return exit
  })
}

function variables(context: Context, given: readonly string[]): Record<string, Uint8Array> {
  const env = new Map<string, Uint8Array>()
  for (const text of given) {
    const at = text.indexOf('=')
    const name = at < 0 ? text : text.slice(0, at)
    if (name === '') throw usageError(`-e ${text}: a variable has a name`)
    const value = at < 0 ? context.env[name] : text.slice(at + 1)
    if (value !== undefined) env.set(name, toBytes(byteString(value)))
  }
  // own properties, whatever they are called
  return Object.fromEntries(env)
}

/**
 * Joins our standard streams to the command's; the command's end ends all, whatever our input does.
 */
async function carried(context: Context, command: RunningCommand): Promise<Exit> {
  const interrupt = onAbort(context.signal, () => {
    const { cause } = context.signal.reason as { cause?: unknown }
    command.signal(cause === 'SIGTERM' ? 'TERM' : 'INT').catch(() => undefined)
  })
  const source = command.stdin && readDescriptor(context, { fd: context.stdin, name: 'standard input' })
  if (source !== undefined) void feed(context, command, command.stdin, source)
  try {
    const [exit] = await Promise.all([
      command.exit,
      printed(command.stdout, (bytes) => context.stdout.write(bytes)),
      printed(command.stderr, (bytes) => toStandardError(context, bytes)),
    ])
    return exit
  } catch (error) {
    command.kill(asFailure(error))
    throw error
  } finally {
    interrupt()
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
async function printed(output: CommandOutput | undefined, put: (bytes: Bytes) => Promise<void>): Promise<void> {
  try {
    for await (const bytes of output?.borrowed ?? []) await put(bytes)
  } catch (error) {
    if (!isOutputClosed(error)) throw error
  }
}

async function toStandardError(context: Context, bytes: Bytes): Promise<void> {
  await context.stderr.bytes(bytes)
}
