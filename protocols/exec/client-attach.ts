/**
 * Commands that are there already, as a client sees them: listed, attached to, looked into,
 * signalled, forgotten.
 */
import { badArgument, TrunkError } from '../../src/contracts/errors.ts'
import { onAbort, requireSignal, unlessAborted } from '../../src/runtime/on-abort.ts'
import type { Pipe, Trunk } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import { ClientCommand, type CommandScope, type Exit, type RunningCommand } from './client-command.ts'
import { itemsOfServer } from './control.ts'
import {
  decodeFacts,
  decodeRequest,
  EXEC,
  type CommandFacts,
  type CommandReference,
  type OutputName,
  type StreamName,
} from './messages.ts'

/** A command that a peer tells of. */
export interface CommandInfo {
  /** The id of the command, in hex. */
  readonly id: string
  /** Of one that is kept. */
  readonly name?: string
  /** Its process id at the peer. */
  readonly pid: number
  /** The name of the user as whom it runs. */
  readonly user: string
  /** Its first 1,024 bytes; what is not UTF-8 is replaced. */
  readonly argv: readonly string[]
  /** Whether its first process still runs. */
  readonly state: 'running' | 'exited'
  /** It outlives its session. */
  readonly kept: boolean
  /** True where it has a terminal. */
  readonly tty: boolean
  /** Since its start, and since its end. */
  readonly ageMs: number
  /** Milliseconds since its end; left out while it runs. */
  readonly endedMs?: number
  /** How it has ended: one of both. */
  readonly exit?: { readonly code: number | null; readonly signal: string | null }
  /** Somebody steers it. */
  readonly controlled: boolean
  /** The number of sessions that look on without steering it. */
  readonly watchers: number
  /** Of each output, the offset of the first byte that is there, and of the one behind the last. */
  readonly offsets: { readonly [Name in OutputName]?: readonly [first: number, next: number] }
}

/** Where to begin with outputs. */
export interface OutputOffsets {
  /** Or of what a terminal shows. */
  stdout?: number
  /** Offset in what it writes to its standard error, in bytes. */
  stderr?: number
}

/** Options of `attach`. */
export interface AttachOptions {
  /**
   * The outputs from these offsets on (a number: `stdout`), or what comes from now on. @default all
   * that is kept
   */
  from?: number | 'tail' | OutputOffsets
  /** Look on: nothing is steered, and nothing written to it. @default false */
  watch?: boolean
  /** Also where another controls it, who then does no more. @default false */
  take?: boolean
  /** Leaves it. */
  signal?: AbortSignal
}

/** Options of `logs`. */
export interface LogsOptions {
  /**
   * Goes on with what comes, as one of its 16 watchers until it is left (`await using`, `detach`,
   * `signal`). @default false, to what there is by now: `exit` of a command that runs rejects then
   */
  follow?: boolean
  /** From these offsets on; a number: of `stdout`. @default all that is kept */
  from?: number | OutputOffsets
  /** The last so many bytes of each output, in place of `from`. */
  tailBytes?: number
  /** Ends the reading; it then rejects with the reason of the signal. */
  signal?: AbortSignal
}

/** A kept command that was attached to. */
export interface AttachedCommand extends RunningCommand {
  /** As it was then. */
  readonly info: CommandInfo
}

const ID = /^[0-9a-f]{32}$/

/** A command by its name, or by its id in hex. */
export function referenceOf(which: string): CommandReference {
  return ID.test(which) ? { id: Buffer.from(which, 'hex') } : { name: which }
}

/** What is told of it, for a program. */
export function infoOf({ id, argv, exit, endedMs, name, offsets, ...rest }: CommandFacts): CommandInfo {
  const { pid, user, state, kept, tty, ageMs, controlled, watchers } = rest
  return {
    id: Buffer.from(id).toString('hex'),
    ...(name !== undefined && { name }),
    pid,
    user,
    argv: argv.map((argument) => Buffer.from(argument).toString()),
    state,
    kept,
    tty,
    ageMs,
    ...(endedMs !== undefined && { endedMs }),
    ...(exit !== undefined && { exit }),
    controlled,
    watchers,
    offsets: Object.fromEntries(Object.entries(offsets).filter(([, pair]) => pair !== undefined)),
  }
}

/** The commands of this trunk, and those that the peer keeps. */
export async function list(trunk: Trunk): Promise<CommandInfo[]> {
  const pipe = await trunk.open(EXEC, { op: 'list' })
  const all: CommandInfo[] = []
  for await (const [, facts] of itemsOfServer(pipe)) {
    if (all.length >= MAX_LISTED)
      throw new TrunkError('ERR_MESSAGE_INVALID', `the peer lists more than ${MAX_LISTED} commands`)
    all.push(infoOf(facts))
  }
  await pipe.close()
  return all
}

/** More than a server ever has. */
const MAX_LISTED = 20_100

/** Attaches to a kept command. */
export async function attach(trunk: Trunk, which: string, options: AttachOptions): Promise<AttachedCommand> {
  const { from, watch = false, take = false, signal } = options
  return await attached(trunk, which, { watch, take }, signal, (facts) => ({
    from: (name) => fromOf(from, name),
    input: !watch && facts.stdin && facts.state === 'running',
  }))
}

/** What it has written, and with `follow` what it writes. */
export async function logs(trunk: Trunk, which: string, options: LogsOptions): Promise<AttachedCommand> {
  const { follow = false, from, tailBytes, signal } = options
  if (from !== undefined && tailBytes !== undefined)
    throw badArgument('logs begin at from, or tailBytes before the end')
  return await attached(trunk, which, { watch: true, take: false }, signal, ({ offsets }) => ({
    from(name) {
      const [first, next] = offsets[name] ?? [0, 0]
      return tailBytes === undefined ? fromOf(from, name) : Math.max(first, next - tailBytes)
    },
    input: false,
    ...(!follow && { until: mapped(offsets, ([, next]) => next) }),
  }))
}

/** How a kept command ends, or has ended. */
export async function wait(trunk: Trunk, which: string, signal: AbortSignal | undefined): Promise<Exit> {
  const command = await attached(trunk, which, { watch: true, take: false }, signal, () => ({ input: false }))
  return await command.exit
}

/** Sends a signal. */
export async function kill(trunk: Trunk, which: string, signal: string, scope: CommandScope): Promise<void> {
  await asked(trunk, { op: 'signal', ...referenceOf(which), signal: signal.replace(/^SIG/, ''), scope })
}

/** Has it known no more; one that runs is ended first. */
export async function forget(trunk: Trunk, which: string): Promise<void> {
  await asked(trunk, { op: 'forget', ...referenceOf(which) })
}

async function asked(trunk: Trunk, request: object): Promise<void> {
  const pipe = await trunk.open(EXEC, requireValid(request))
  await pipe.close()
}

function requireValid(request: object): object {
  const checked = decodeRequest(request)
  if (!checked.ok) throw badArgument(checked.error.message)
  return request
}

/** Which streams are opened, and from where. Without `from` no output is. */
interface Streams {
  readonly from?: (name: OutputName) => number | 'tail' | undefined
  readonly input: boolean
  readonly until?: { readonly [Name in OutputName]?: number | undefined }
}

async function attached(
  trunk: Trunk,
  which: string,
  role: { watch: boolean; take: boolean },
  signal: AbortSignal | undefined,
  choose: (facts: CommandFacts) => Streams,
): Promise<AttachedCommand> {
  if (signal === undefined) return await attachedNow(trunk, which, role, choose)
  requireSignal(signal).throwIfAborted()
  // the pipes do not have the signal: a reset of the control pipe is meant for the command
  const attaching = attachedNow(trunk, which, role, choose)
  attaching.then(
    (command) => {
      const unsubscribe = onAbort(signal, () => command.leave(signal.reason as Error))
      command.exit.then(unsubscribe, unsubscribe)
    },
    () => undefined,
  )
  try {
    return await unlessAborted(attaching, signal)
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
}

async function attachedNow(
  trunk: Trunk,
  which: string,
  role: { watch: boolean; take: boolean },
  choose: (facts: CommandFacts) => Streams,
): Promise<ClientCommand & AttachedCommand> {
  const options = { readBeforeReset: true }
  const control = await trunk.open(EXEC, requireValid({ op: 'attach', ...referenceOf(which), ...role }), options)
  const opened: Promise<Pipe>[] = []
  try {
    const facts = unwrap(decodeFacts(control.reply))
    const { from, input, until } = choose(facts)
    const { id } = facts
    const open = (stream: StreamName): Promise<Pipe> | undefined => {
      const isThere = stream === 'stdin' ? input : from !== undefined && facts.offsets[stream] !== undefined
      if (!isThere) return undefined
      const at = stream === 'stdin' ? undefined : from?.(stream)
      const pipe = trunk.open(
        EXEC,
        { op: 'stream', id, stream, ...(at !== undefined && { from: at }), ...(role.watch && { watch: true }) },
        options,
      )
      pipe.catch(() => undefined)
      opened.push(pipe)
      return pipe
    }
    const [stdin, stdout, stderr, tty] = [open('stdin'), open('stdout'), open('stderr'), open('tty')]
    const pipes = { control, stdin: await stdin, stdout: await stdout, stderr: await stderr, tty: await tty }
    const command = new ClientCommand(facts, { ...pipes, watches: role.watch, ...(until && { until }) }, undefined)
    // it wants no more than there is, and what has been told by now
    if (until !== undefined) command.letGo()
    return Object.assign(command, { info: infoOf(facts) })
  } catch (error) {
    control.close().catch(() => undefined)
    for (const pipe of opened)
      void pipe.then(
        (stream) => stream.abort(error as Error),
        () => undefined,
      )
    throw error
  }
}

function fromOf(from: AttachOptions['from'], name: OutputName): number | 'tail' | undefined {
  if (from === undefined || from === 'tail') return from
  const offsets = typeof from === 'number' ? { stdout: from } : from
  return name === 'stderr' ? offsets.stderr : offsets.stdout
}

function mapped(
  offsets: CommandFacts['offsets'],
  map: (pair: readonly [number, number]) => number,
): { [Name in OutputName]?: number | undefined } {
  return Object.fromEntries(Object.entries(offsets).map(([name, pair]) => [name, pair && map(pair)]))
}
