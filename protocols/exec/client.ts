/**
 * The asking side of `exec`: arguments stay arguments, and nothing is given to a shell that was not
 * called.
 */
import type { Uint8ArrayList } from 'uint8arraylist'
import { encodeCbor } from '../../src/core/cbor.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import { freshBytes } from '../../src/runtime/fresh-bytes.ts'
import { requireSignal } from '../../src/runtime/on-abort.ts'
import type { Bytes, Pipe, Trunk } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import {
  attach,
  forget,
  kill,
  list,
  logs,
  wait,
  type AttachedCommand,
  type AttachOptions,
  type CommandInfo,
  type LogsOptions,
} from './client-attach.ts'
import { ClientCommand, type CommandScope, type Exit, type RunningCommand } from './client-command.ts'
import type { LaunchLimits } from './launch.ts'
import { KeptOutput } from './kept-output.ts'
import {
  decodeRequest,
  decodeStartReply,
  EXEC,
  MAX_ARGUMENTS,
  MAX_MS,
  MAX_SPEC_BYTES,
  type StartInput,
  type StreamName,
  type TerminalRequest,
} from './messages.ts'

/** Options of both ways to run a command. */
export interface CommandOptions {
  /** Where it starts: absolute, or from the peer's own directory on. */
  cwd?: string | Uint8Array
  /** Further environment variables. */
  env?: Readonly<Record<string, string | Uint8Array>>
  /** True: `env` is all that is set. @default false */
  clearEnv?: boolean
  /** As whom it runs, where the peer offers that. @default the peer's own */
  user?: string
  /** After this long all of it is ended, by the peer's clock. @default none */
  timeoutMs?: number
  /** Between the signal that asks it to end and the one that ends it. @default the peer's, 2000 */
  killGraceMs?: number
  /** What becomes of processes that it leaves behind after a normal end. @default 'keep' */
  leftovers?: 'keep' | 'kill'
  /**
   * Ceilings of resources for each of its processes, where they are less than the peer's own; in
   * the kernel's units. @default the peer's
   */
  limits?: LaunchLimits
  /** Kills the command when it aborts. */
  signal?: AbortSignal
}

/** Options of {@link ExecClient.start}. */
export interface StartOptions extends CommandOptions {
  /** Whether we write its standard input; `none` is an input that has ended. @default 'none' */
  stdin?: 'pipe' | 'none'
  /** Whether we read its standard output; `none` drops it at the peer. @default 'pipe' */
  stdout?: 'pipe' | 'none'
  /** `merge`: into `stdout`, in the order in which it was written. @default 'pipe' */
  stderr?: 'pipe' | 'merge' | 'none'
  /** A terminal in place of the three: `stdin` writes to it, and `stdout` is what it shows. */
  tty?: TerminalOptions
  /** It outlives its session: whoever asks by its name can attach to it. */
  keep?: KeepOptions
}

/** A command's terminal. */
export interface TerminalOptions {
  /** Width in characters. @default 80 */
  columns?: number
  /** Height in lines. @default 24 */
  rows?: number
  /** The variable TERM: the kind of the terminal. @default 'xterm-256color' */
  term?: string
  /**
   * By stty's names: flags (iutf8, echo, icanon, isig, ixon, icrnl, onlcr, opost) and the numbers
   * of characters (intr, quit, erase, kill, eof, susp).
   */
  modes?: Readonly<Record<string, boolean | number>>
}

/** How a command outlives its session. */
export interface KeepOptions {
  /** Letters, digits, `.`, `_` and `-`. @default the first 8 digits of its id */
  name?: string
  /**
   * How long it runs, and is known after its end, while nobody controls it; at most what the peer
   * allows. @default 3600000, an hour
   */
  forMs?: number
  /** Of each output, how much is kept; at most what the peer allows. @default that, 1 MiB */
  ringBytes?: number
  /**
   * What happens to output above that which nobody has read: the oldest is dropped, or the command
   * waits. @default 'drop'
   */
  whenFull?: 'drop' | 'block'
}

/** Options of {@link ExecClient.run}. */
export interface RunOptions extends CommandOptions {
  /** What it reads. @default nothing */
  stdin?: string | Uint8Array | AsyncIterable<Bytes> | Iterable<Bytes>
  /** `merge`: into `stdout`. @default 'pipe' */
  stderr?: 'pipe' | 'merge' | 'none'
  /** Of each output, the first half and the last half of so many bytes are kept. @default 1 MiB */
  maxOutputBytes?: number
  /**
   * What an output above that brings: `drop` what is between, or `kill` with ERR_OUTPUT_LIMIT.
   * @default 'drop'
   */
  overflow?: 'drop' | 'kill'
  /**
   * True: any end but code 0 rejects, with ERR_COMMAND_FAILED or ERR_COMMAND_TIMEOUT, whose `cause`
   * is the result. @default false
   */
  check?: boolean
}

/** What came of {@link ExecClient.run}. */
export interface RunResult extends Exit {
  /** As UTF-8; what is none of it is replaced. */
  readonly stdout: string
  /** The standard error, as `stdout` is. */
  readonly stderr: string
  /** The standard output as it was written. */
  readonly stdoutBytes: Uint8Array
  /** The standard error as it was written. */
  readonly stderrBytes: Uint8Array
  /** Bytes that were dropped in the middle. */
  readonly stdoutDropped: number
  /** Bytes of the standard error that were dropped in the middle. */
  readonly stderrDropped: number
}

/** Runs commands at the peer. */
export interface ExecClient {
  /**
   * Runs a command to its end and gives what it wrote. Resolves whatever its exit status is;
   * rejects where it could not be executed (ERR_COMMAND_NOT_FOUND, ERR_NOT_EXECUTABLE,
   * ERR_DIRECTORY_UNUSABLE, ERR_DENIED …) or the session was lost meanwhile.
   */
  run(program: string | Uint8Array, args?: readonly (string | Uint8Array)[], options?: RunOptions): Promise<RunResult>
  /** Starts a command; resolves when it has been executed. */
  start(
    program: string | Uint8Array,
    args?: readonly (string | Uint8Array)[],
    options?: StartOptions,
  ): Promise<RunningCommand>
  /** The commands of this trunk, and those that the peer keeps. */
  list(): Promise<CommandInfo[]>
  /**
   * Takes the place of whoever started a kept command and has left. ERR_COMMAND_ATTACHED where
   * somebody controls it, unless you `take` it or `watch`; ERR_COMMAND_UNKNOWN where there is none.
   */
  attach(name: string, options?: AttachOptions): Promise<AttachedCommand>
  /** What a kept command has written, as `stdout` and `stderr`. */
  logs(name: string, options?: LogsOptions): Promise<AttachedCommand>
  /** How a kept command ends, or has ended. */
  wait(name: string, options?: { signal?: AbortSignal }): Promise<Exit>
  /**
   * Sends a signal to a kept command, or to one of this trunk by its id. @default TERM, to its
   * group
   */
  kill(name: string, options?: { signal?: string; scope?: CommandScope }): Promise<void>
  /** Has a kept command known no more; one that runs is ended first. */
  forget(name: string): Promise<void>
}

/** What an open carries besides the parameters; more goes in a spec. */
const MAX_INLINE_BYTES = 3 * 1024

/**
 * A client over a trunk.
 *
 * @example
 * ```ts
 * const client = execClient(trunk)
 * const command = await client.start('uname', ['-a'])
 * ```
 */
export function execClient(trunk: Trunk): ExecClient {
  const client: ExecClient = {
    start: (program, args = [], options = {}) => start(trunk, [program, ...args], options),
    run: (program, args = [], options = {}) => run(client, program, args, options),
    list: () => list(trunk),
    attach: (name, options = {}) => attach(trunk, name, options),
    logs: (name, options = {}) => logs(trunk, name, options),
    wait: (name, { signal } = {}) => wait(trunk, name, signal),
    kill: (name, { signal = 'TERM', scope = 'group' } = {}) => kill(trunk, name, signal, scope),
    forget: (name) => forget(trunk, name),
  }
  return client
}

async function start(trunk: Trunk, argv: (string | Uint8Array)[], options: StartOptions): Promise<RunningCommand> {
  const { signal, env, tty, keep, ...rest } = options
  const { stdin = 'none', stdout = 'pipe', stderr = 'pipe' } = tty === undefined ? options : WITHOUT_STREAMS
  if (signal !== undefined) requireSignal(signal)
  signal?.throwIfAborted()
  const id = freshBytes(16)
  const whole: StartInput = {
    op: 'start',
    id,
    argv,
    ...(env && { env }),
    ...rest,
    stdin,
    stdout,
    stderr,
    ...(tty && { tty: terminalOf(tty) }),
    ...(keep && { keep }),
  }
  const request = requireRequest(whole)
  if (encodeCbor(request, 2 * MAX_SPEC_BYTES, 'a command').byteLength > MAX_INLINE_BYTES) {
    await sendSpec(trunk, id, { argv, env }, signal)
    delete request.argv
    delete request.env
  }
  const opening = signal === undefined ? {} : { signal }
  // in one batch, the start before its streams
  const control = trunk.open(EXEC, request, { ...opening, readBeforeReset: true })
  const open = (stream: StreamName, wanted: boolean): Promise<Pipe> | undefined => {
    if (!wanted) return undefined
    const pipe = trunk.open(EXEC, { op: 'stream', id, stream }, { ...opening, readBeforeReset: stream !== 'stdin' })
    // where the start is refused, so are they
    pipe.catch(() => undefined)
    return pipe
  }
  const input = open('stdin', stdin === 'pipe')?.catch((error: unknown) => {
    // it was over before its input was asked for
    if (error instanceof TrunkError && error.code === 'ERR_COMMAND_UNKNOWN') return undefined
    throw error
  })
  input?.catch(() => undefined)
  const output = open('stdout', stdout === 'pipe')
  const errors = open('stderr', stderr === 'pipe')
  const terminal = open('tty', tty !== undefined)
  const pipe = await control
  try {
    const reply = unwrap(decodeStartReply(pipe.reply))
    const pipes = { control: pipe, stdin: await input, stdout: await output, stderr: await errors, tty: await terminal }
    return new ClientCommand(reply, pipes, signal)
  } catch (error) {
    for (const stream of [control, input, output, errors, terminal])
      void stream?.then(
        (opened) => opened?.abort(error as Error),
        () => undefined,
      )
    throw error
  }
}

const WITHOUT_STREAMS = { stdin: 'none', stdout: 'none', stderr: 'none' } as const

function terminalOf({ columns = 80, rows = 24, term = 'xterm-256color', modes }: TerminalOptions): TerminalRequest {
  return { columns, rows, term, ...(modes && { modes: { ...modes } }) }
}

/** Checked as the peer would, before anything is sent. */
function requireRequest(request: StartInput): StartInput {
  const { argv = [] } = request
  if (argv.length > MAX_ARGUMENTS)
    throw new TrunkError('ERR_ARGUMENTS_TOO_LARGE', `a command has at most ${MAX_ARGUMENTS} arguments`)
  const bytes = [...argv, ...Object.entries(request.env ?? {}).flat()].reduce((sum, text) => sum + text.length, 0)
  if (bytes > MAX_SPEC_BYTES) throw tooLarge(bytes)
  const plain = Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined))
  const checked = decodeRequest(plain)
  if (!checked.ok) throw badArgument(`not a command: ${checked.error.message}`)
  return plain as StartInput
}

/** Resolves when the peer has it. */
async function sendSpec(trunk: Trunk, id: Uint8Array, spec: object, signal: AbortSignal | undefined): Promise<void> {
  const bytes = encodeCbor(spec, 2 * MAX_SPEC_BYTES, 'a command')
  if (bytes.byteLength > MAX_SPEC_BYTES) throw tooLarge(bytes.byteLength)
  const pipe = await trunk.open(EXEC, { op: 'spec', id }, signal === undefined ? {} : { signal })
  await pipe.write(bytes)
  await pipe.close()
}

function tooLarge(bytes: number): TrunkError {
  const sentence = `arguments and environment have at most ${MAX_SPEC_BYTES} bytes, not ${bytes}`
  return new TrunkError('ERR_ARGUMENTS_TOO_LARGE', sentence)
}

async function run(
  client: ExecClient,
  program: string | Uint8Array,
  args: readonly (string | Uint8Array)[],
  options: RunOptions,
): Promise<RunResult> {
  const { stdin, maxOutputBytes = 1024 * 1024, overflow = 'drop', check = false, ...rest } = options
  requireInteger('maxOutputBytes', maxOutputBytes, 0, MAX_MS)
  const command = await client.start(program, args, { ...rest, stdin: stdin === undefined ? 'none' : 'pipe' })
  const stdout = new KeptOutput(maxOutputBytes)
  const stderr = new KeptOutput(maxOutputBytes)
  const keep = async (kept: KeptOutput, output: AsyncIterable<Uint8ArrayList> | undefined): Promise<void> => {
    for await (const data of output ?? []) {
      for (const chunk of data) kept.push(chunk)
      if (overflow === 'kill' && !kept.isWhole)
        throw new TrunkError('ERR_OUTPUT_LIMIT', `the command has written more than ${maxOutputBytes} bytes`)
    }
  }
  try {
    const [exit] = await Promise.all([
      command.exit,
      keep(stdout, command.stdout),
      keep(stderr, command.stderr),
      feed(command.stdin, stdin),
    ])
    const result = resultOf(exit, stdout, stderr)
    if (check) requireSuccess(result)
    return result
  } catch (error) {
    // after its exit there is nothing to kill
    command.kill(error as Error)
    throw error
  }
}

function resultOf(exit: Exit, stdout: KeptOutput, stderr: KeptOutput): RunResult {
  const [stdoutBytes, stderrBytes] = [stdout.bytes(), stderr.bytes()]
  return {
    ...exit,
    stdout: Buffer.from(stdoutBytes).toString(),
    stderr: Buffer.from(stderrBytes).toString(),
    stdoutBytes,
    stderrBytes,
    stdoutDropped: stdout.dropped,
    stderrDropped: stderr.dropped,
  }
}

function requireSuccess(result: RunResult): void {
  if (result.code === 0 && !result.timedOut) return
  if (result.timedOut)
    throw new TrunkError('ERR_COMMAND_TIMEOUT', 'the time limit has ended the command', { cause: result })
  const how = result.signal === null ? `ended with status ${String(result.code)}` : `was ended by ${result.signal}`
  throw new TrunkError('ERR_COMMAND_FAILED', `the command ${how}`, { cause: result })
}

/** A command need not read all of its input; that is no failure of it. */
async function feed(pipe: Pipe | undefined, stdin: RunOptions['stdin']): Promise<void> {
  if (pipe === undefined || stdin === undefined) return
  const isWhole = typeof stdin === 'string' || stdin instanceof Uint8Array
  try {
    await pipe.sink(isWhole ? [Buffer.from(stdin)] : stdin)
  } catch (error) {
    if (!(error instanceof TrunkError && error.code === 'ERR_STDIN_CLOSED')) throw error
  }
}
