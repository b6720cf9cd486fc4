/**
 * `trunkline exec`: runs a program at the peer, with our standard streams for its own and its exit
 * status for ours. What is wrong with us, and not with the program, is 125 and a line on stderr;
 * docs/guide/command-line.md has the table.
 */
import { InvalidArgumentError, Option, type Command } from 'commander'
import { execClient } from '../../../protocols/exec.ts'
import type { Exit, StartOptions } from '../../../protocols/exec.ts'
import { byteString, toBytes } from '../../runtime/byte-string.ts'
import { say } from '../context.ts'
import type { Context } from '../context.ts'
import { standsForClosed } from '../descriptor/polled.ts'
import { carried } from '../exec/streams.ts'
import { withStatus } from '../exec/status.ts'
import { localSize, onTerminal } from '../exec/terminal.ts'
import { CommandEnded, usageError } from '../failure.ts'
import { addPeerOptions, resolvePeer, withTrunk } from '../peer.ts'
import type { Peer, PeerOptions } from '../peer.ts'
import { repeated } from '../repeated.ts'

/** Options of `exec`, and of those that run what it runs. */
export interface ExecOptions extends PeerOptions {
  tty?: boolean
  input?: boolean
  env?: string[]
  directory?: string
  user?: string
  timeout?: number
  merge?: boolean
  killLeftovers?: boolean
  statusFd?: number
  detach?: boolean
  name?: string
  keep?: number | true
  escape?: number | false
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, '': 1_000, m: 60_000, h: 3_600_000 }
/** What `--keep` stands for without a time: arguments.ts gives it one. */
export const DEFAULT_KEEP = 'default'

/** A time as a user writes it. */
export function duration(text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? []
  const ms = Math.round(Number(number) * (UNITS[unit] ?? NaN))
  if (number !== '' && ms >= 1 && ms <= 2 ** 31 - 1) return ms
  throw new InvalidArgumentError('It is a time: 30s, 500ms, 5m, 1h.')
}

function keepTime(text: string): number | true {
  return text === DEFAULT_KEEP ? true : duration(text)
}

/** The character of `--escape`; false for none. */
export function escapeCharacter(text: string): number | false {
  if (text === 'none') return false
  if (/^[!-~]$/.test(text)) return text.charCodeAt(0)
  throw new InvalidArgumentError('It is one character of ASCII, or none.')
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
    .usage('[options] [@peer --] <program> [arguments...]')
    .argument('<program>')
    .argument('[arguments...]')
    .passThroughOptions()
    .option('-t, --tty', 'give it a terminal, shown on ours; ~. leaves it')
    .addOption(new Option('-T', 'give it none, as without it').hideHelp())
    .option('-n, --no-input', 'give it no standard input')
    .addOption(new Option('-i', 'pass standard input on, as without it').hideHelp())
    .option('-e, --env <name[=value]>', 'set a variable; without a value as it is here; repeatable', repeated(String))
    .option('-w, --directory <dir>', 'where it starts')
    .option('-u, --user <name>', 'as whom it runs')
    .option('--timeout <time>', 'end it after so long (30s, 5m), with exit status 124', duration)
    .option('--merge', 'its standard error into its standard output, in order')
    .addOption(new Option('--kill-leftovers', 'end what it leaves running in the background').hideHelp())
    .option('-d, --detach', 'print its name and leave it: it outlives the session (ps, logs, attach)')
    .addOption(new Option('--name <name>', 'keep it under this name').hideHelp())
    .addOption(new Option('--keep <time>', 'keep it when the session is lost').argParser(keepTime).hideHelp())
    .addOption(new Option('--escape <character>', 'in place of ~; none').argParser(escapeCharacter).hideHelp())
    .option('--status-fd <n>', 'write how it ended to this descriptor, as a line of JSON', descriptor)
    .addHelpText(
      'after',
      'Also: shell; and of commands that outlive their session ps, attach, logs, wait, kill, forget',
    )
    .addHelpText('after', '\nExample:\n  $ trunkline exec make -C /src all')
  addPeerOptions(command).action((name: string, args: string[], options: ExecOptions) =>
    withStatus(options.statusFd, () => execute(context, [name, ...args], options)),
  )
}

/** Runs a program at the peer, and gives how it has ended. */
export async function execute(context: Context, words: readonly string[], options: ExecOptions): Promise<Exit> {
  const [program = Buffer.alloc(0), ...args] = words.map((word) => toBytes(byteString(word)))
  const { exec: { user, cwd: directory } = {} } = await peerOf(context, words, options)
  const start = startOptions(context, {
    ...(user !== undefined && { user }),
    ...(directory !== undefined && { directory }),
    ...options,
  })
  return await withTrunk(context, options, async (trunk) => {
    const command = await execClient(trunk).start(program, args, start)
    if (options.detach === true) {
      await command.detach()
      await context.stdout.line(command.name ?? '')
      throw new CommandEnded(0)
    }
    const escape = options.escape ?? TILDE
    const exit =
      start.tty === undefined
        ? await carried(context, command)
        : await onTerminal(context, command, { escape: escape === false ? undefined : escape, watches: false })
    sayLeftovers(context, exit)
    return exit
  })
}

/** The escape character where nobody says another. */
export const TILDE = 0x7e

function sayLeftovers(context: Context, { leftovers }: Exit): void {
  if (leftovers === 0 || context.stderr.isTTY !== true) return
  say(context, `${leftovers} ${leftovers === 1 ? 'process' : 'processes'} of the command still run`)
}

function startOptions(context: Context, options: ExecOptions): StartOptions {
  const { directory, user, timeout, merge = false, killLeftovers = false, input = true } = options
  const { detach = false, name, keep, tty = false } = options
  const isKept = detach || name !== undefined || keep !== undefined
  const reads = input && !detach && !standsForClosed(context.stdin)
  const term = context.env['TERM']
  return {
    ...(directory !== undefined && { cwd: toBytes(byteString(directory)) }),
    ...(user !== undefined && { user }),
    ...(timeout !== undefined && { timeoutMs: timeout }),
    env: variables(context, options.env ?? []),
    leftovers: killLeftovers ? 'kill' : 'keep',
    ...(isKept && { keep: { ...(name !== undefined && { name }), ...(typeof keep === 'number' && { forMs: keep }) } }),
    ...(tty
      ? { tty: { ...localSize(), ...(term !== undefined && term !== '' && { term }) } }
      : { stdin: reads ? 'pipe' : 'none', stderr: merge ? 'merge' : 'pipe' }),
  }
}

/** The peer, with what the configuration says of commands there. */
async function peerOf(context: Context, [name = '', program]: readonly string[], options: ExecOptions): Promise<Peer> {
  const none = (options.to ?? context.env['TRUNKLINE_TO'] ?? '') === ''
  if (none && name.startsWith('@') && program !== undefined)
    throw usageError(
      `which peer? ${name} is a command of the peer's; as the peer it is written exec ${name} -- ${program}`,
    )
  return await resolvePeer(context, options)
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
