/**
 * The serving side of `exec`. A start is decided (policy.ts), launched, and only then accepted: accepted means executed. The pipe of the start owns the command until its end was told; a
 * slot is free again when the tree is gone.
 *
 * Enforces: the policy; `maxCommands` of a trunk, `maxLeftovers` of the server, `startsPerSecond`; a descriptor for each stream of those that all trunks share.
 */
import { userInfo } from 'node:os'
import { accountOf, inPool, NO_DESCRIPTOR } from '../../src/runtime/budgets.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { badArgument, toTrunkError, TrunkError } from '../../src/contracts/errors.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { defineProtocol } from '../../src/contracts/protocol.ts'
import { notify } from '../../src/runtime/notify.ts'
import { TokenBucket } from '../../src/runtime/token-bucket.ts'
import type { PipeRequest, Protocol, Trunk } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import { perTrunk } from '../internal/per-trunk.ts'
import { Command, type Outcome } from './command.ts'
import { baseOf } from './environment.ts'
import type { Launched, Launcher } from './launch.ts'
import { launcherHere } from './launcher-here.ts'
import { Leftovers } from './leftovers.ts'
import {
  decodeRequest,
  EXEC,
  MAX_MS,
  type ExecRequest,
  type SignalRequest,
  type Spec,
  type StartRequest,
} from './messages.ts'
import { CommandPolicy, type CommandRule } from './policy.ts'
import { Specs } from './specs.ts'

/** What `onCommand` is told. */
export interface CommandEvent {
  readonly what: 'started' | 'exited' | 'refused'
  readonly peer: string
  /** As it was asked for; its first 1,024 bytes. */
  readonly argv: readonly string[]
  readonly pid?: number
  /** Of `exited`. */
  readonly code?: number | null
  readonly signal?: string | null
  readonly timedOut?: boolean
  readonly leftovers?: number
  /** Of `refused`. */
  readonly error?: TrunkError
}

/** Options of {@link exec}. */
export interface ExecOptions {
  /**
   * What peers may run: `any`, which is all that this user may do on this machine, or rules. A rule is a list of arguments in which `*` stands for any one and `**`, at the end, for any
   * further ones: `['/usr/bin/git', '**']`. Programs are followed to the real file, with the server's PATH.
   */
  allow: 'any' | readonly CommandRule[]
  /** What peers may run as `@name`: these arguments and, where `**` is the last of them, their own behind. @default none */
  named?: Readonly<Record<string, CommandRule>>
  /**
   * Environment variables that peers may set: names and `PREFIX_*`. With rules never those that make a program run other code (`LD_*`, `PATH`, `NODE_OPTIONS` …).
   * @default any with `allow: 'any'`, else TERM, LANG, LC_*, TZ, COLORTERM and NO_COLOR
   */
  env?: 'any' | readonly string[]
  /** What every command has set. @default PATH and LANG of this process, HOME, USER, LOGNAME and SHELL of its user; nothing else of its environment */
  baseEnv?: Readonly<Record<string, string>>
  /** Where commands start. @default the home of this process's user */
  directory?: string
  /** True: a peer's `cwd` must lie in `directory`. Says where a command starts, not where it goes. @default false */
  within?: boolean
  /** Signals that peers may send. @default HUP, INT, QUIT, TERM, KILL, USR1, USR2, WINCH, CONT, TSTP and STOP */
  signals?: readonly string[]
  /** Commands of one trunk at a time, those included whose tree is being ended. @default 64 */
  maxCommands?: number
  /** Trees with processes that commands have left behind, of all trunks together. @default 64 */
  maxLeftovers?: number
  /** Starts of one trunk in a burst, and each second after it; above it ERR_PROCESS_LIMIT. @default as many as there is room for */
  startBurst?: number
  startsPerSecond?: number
  /** Ceiling of every time limit, and what holds where none is asked for. @default none */
  maxTimeoutMs?: number
  /** Between the signal that asks a tree to end and the one that ends it, where the peer says nothing. @default 2000 */
  killGraceMs?: number
  /** Told of each start, exit and refusal. Must not throw. */
  onCommand?: (event: CommandEvent) => void
  /** @default the machine's monotonic clock */
  clock?: Clock
}

const SIGNALS = ['HUP', 'INT', 'QUIT', 'TERM', 'KILL', 'USR1', 'USR2', 'WINCH', 'CONT', 'TSTP', 'STOP']
/** Of a command's arguments, in `onCommand`. */
const SHOWN_BYTES = 1024

/** The commands of one trunk. */
interface State {
  readonly commands: Map<string, Command>
  readonly specs: Specs
  readonly starts: TokenBucket | undefined
}

/**
 * Lets peers run commands here. Throws ERR_BAD_ARGUMENT at once for options that make no sense, ERR_UNSUPPORTED on Windows.
 *
 * It refuses with ERR_PARAMS_INVALID, ERR_DENIED, ERR_PROCESS_LIMIT, ERR_COMMAND_NOT_FOUND, ERR_NOT_EXECUTABLE, ERR_DIRECTORY_UNUSABLE, ERR_USER_UNKNOWN, ERR_ARGUMENTS_TOO_LARGE,
 * ERR_COMMAND_UNKNOWN, ERR_COMMAND_EXISTS and ERR_UNSUPPORTED.
 *
 * @example
 * ```ts
 * const server = await serve(address, { protocols: [exec({ allow: [['uname', '-a']] })] })
 * ```
 */
export function exec(options: ExecOptions): Protocol {
  if (process.platform === 'win32')
    throw new TrunkError('ERR_UNSUPPORTED', 'commands are served on Linux and macOS only')
  return execOver(options, launcherHere(options.clock))
}

/** {@link exec} by a chosen way to start programs. */
export function execOver(options: ExecOptions, launcher: Launcher): Protocol {
  const server = new ExecServer(options, launcher)
  return defineProtocol<ExecRequest>({
    name: EXEC,
    parse: (params) => unwrap(decodeRequest(params)),
    handle: (request) => server.handle(request),
  })
}

class ExecServer {
  readonly #options: ExecOptions
  readonly #launcher: Launcher
  readonly #clock: Clock
  readonly #policy: CommandPolicy
  readonly #user = userInfo()
  readonly #signals: ReadonlySet<string>
  readonly #leftovers: Leftovers
  readonly #maxCommands: number
  readonly #killGraceMs: number
  readonly #stateOf: (trunk: Trunk) => State

  constructor(options: ExecOptions, launcher: Launcher) {
    const { startBurst, startsPerSecond, maxTimeoutMs, signals = SIGNALS, clock = systemClock } = options
    this.#options = options
    this.#launcher = launcher
    this.#clock = clock
    const { username: name, homedir: home, shell } = this.#user
    const base = options.baseEnv ?? baseOf({ name, home, shell: shell ?? '/bin/sh' }, process.env)
    const directory = options.directory ?? home
    if (!directory.startsWith('/')) throw badArgument(`directory must be an absolute path, not ${directory}`)
    this.#policy = new CommandPolicy(options, {
      directory: Buffer.from(directory),
      confined: options.within ?? false,
      base,
      noNewPrivileges: launcher.can.noNewPrivileges,
    })
    this.#signals = new Set(signals)
    this.#leftovers = new Leftovers(requireInteger('maxLeftovers', options.maxLeftovers ?? 64, 0, 10_000))
    this.#maxCommands = requireInteger('maxCommands', options.maxCommands ?? 64, 1, 10_000)
    this.#killGraceMs = requireInteger('killGraceMs', options.killGraceMs ?? 2_000, 0, 60_000)
    if (maxTimeoutMs !== undefined) requireInteger('maxTimeoutMs', maxTimeoutMs, 1, MAX_MS)
    if (startsPerSecond !== undefined) requireInteger('startsPerSecond', startsPerSecond, 1, 1_000_000)
    const burst = requireInteger('startBurst', startBurst ?? 64, 1, 1_000_000)
    this.#stateOf = perTrunk<State>(() => ({
      commands: new Map(),
      specs: new Specs(clock),
      starts: startsPerSecond === undefined ? undefined : new TokenBucket(burst, startsPerSecond, clock.now()),
    }))
  }

  async handle(request: PipeRequest<ExecRequest>): Promise<void> {
    const { params, trunk } = request
    const state = this.#stateOf(trunk)
    const id = Buffer.from(params.id).toString('latin1')
    switch (params.op) {
      case 'spec':
        await state.specs.keep(request, id)
        return
      case 'start':
        await this.#start(request, params, state, id)
        return
      case 'stream':
        await known(state, id).stream(request, params)
        return
      case 'signal':
        signal(request, params, known(state, id))
    }
  }

  /** All that is done before the first wait is done before the streams of the command, which come behind it, are looked at. */
  async #start(request: PipeRequest, params: StartRequest, state: State, id: string): Promise<void> {
    const told: { argv: (Uint8Array | string)[] } = { argv: params.argv ?? [] }
    try {
      this.#room(state, id)
    } catch (error) {
      this.#refused(request.trunk, told.argv, error)
      throw error
    }
    const { maxTimeoutMs } = this.#options
    const command = new Command(params, {
      clock: this.#clock,
      killGraceMs: this.#killGraceMs,
      maxTimeoutMs,
      maySignal: (name) => this.#signals.has(name),
    })
    state.commands.set(id, command)
    const { descriptors } = accountOf(request.trunk)
    const needed = descriptorsOf(params)
    let taken = 0
    try {
      if (!descriptors.takeOrRefuse(needed)) throw new TrunkError('ERR_PROCESS_LIMIT', NO_DESCRIPTOR)
      taken = needed
      const spec: Spec = params.argv === undefined ? await state.specs.take(id) : { argv: params.argv, env: params.env }
      told.argv = spec.argv
      const launched = await this.#run(request, params, spec, command)
      // what was left behind may hold outputs, which are read into nothing
      const held = taken
      taken = 0
      void launched.freed.then(() => {
        descriptors.give(held)
      })
    } catch (thrown) {
      const error = toTrunkError(thrown, 'ERR_HANDLER_FAILED', 'the command could not be started')
      command.failed(error)
      this.#refused(request.trunk, told.argv, error)
      throw error
    } finally {
      descriptors.give(taken)
      state.commands.delete(id)
    }
  }

  #room(state: State, id: string): void {
    if (state.commands.has(id)) throw new TrunkError('ERR_COMMAND_EXISTS', 'there is a command of that id')
    if (state.commands.size >= this.#maxCommands)
      throw new TrunkError('ERR_PROCESS_LIMIT', `this trunk has its ${this.#maxCommands} commands`)
    if (state.starts?.take(this.#clock.now()) === false)
      throw new TrunkError('ERR_PROCESS_LIMIT', 'this trunk has started too many commands in a short time')
    // last: it looks at processes
    if (this.#leftovers.isFull)
      throw new TrunkError('ERR_PROCESS_LIMIT', 'commands have left as many processes behind as the server allows')
  }

  async #run(request: PipeRequest, params: StartRequest, spec: Spec, command: Command): Promise<Launched> {
    if (params.user !== undefined && params.user !== this.#user.username)
      throw new TrunkError('ERR_DENIED', 'user: this server runs commands as its own user')
    if (params.stderr === 'merge' && !this.#launcher.can.merge)
      throw new TrunkError('ERR_UNSUPPORTED', 'this server cannot merge standard error into standard output')
    const plan = await inPool(accountOf(request.trunk).jobs, request, () => this.#policy.plan(params, spec))
    const launched = await this.#launcher.launch(plan, request.signal)
    const { pid, tree } = launched
    const told = { peer: peerOf(request.trunk), argv: shown(spec.argv), pid }
    notify(this.#options.onCommand, { what: 'started', ...told })
    const outcome = await this.#carry(request, command, launched, {
      id: params.id,
      pid,
      user: this.#user.username,
      tree,
    })
    const { code, signal, timedOut, leftovers, killed } = outcome
    if (leftovers > 0 && !killed) this.#leftovers.add(launched)
    notify(this.#options.onCommand, { what: 'exited', ...told, code, signal, timedOut, leftovers })
    return launched
  }

  /** Whatever goes wrong from here on, the tree is not left behind. */
  async #carry(request: PipeRequest, command: Command, launched: Launched, reply: unknown): Promise<Outcome> {
    try {
      return await command.run(request, launched, reply)
    } catch (error) {
      launched.stdout?.close()
      launched.stderr?.close()
      launched.kill(this.#killGraceMs)
      await launched.empty()
      throw error
    }
  }

  #refused(trunk: Trunk, argv: readonly (Uint8Array | string)[], thrown: unknown): void {
    const error = toTrunkError(thrown, 'ERR_HANDLER_FAILED', 'the command could not be started')
    notify(this.#options.onCommand, { what: 'refused', peer: peerOf(trunk), argv: shown(argv), error })
  }
}

function known(state: State, id: string): Command {
  const command = state.commands.get(id)
  if (command === undefined) throw new TrunkError('ERR_COMMAND_UNKNOWN', 'there is no command of that id')
  return command
}

function signal(request: PipeRequest, { signal: name, scope }: SignalRequest, command: Command): void {
  if (!command.signal(name, scope))
    throw new TrunkError('ERR_COMMAND_UNKNOWN', 'there is nobody left to get the signal')
  request.accept()
}

/** Both ends of each pipe, for the moment of the launch. */
function descriptorsOf({ stdin, stdout, stderr }: StartRequest): number {
  return 2 * [stdin, stdout, stderr].filter((what) => what === 'pipe').length + 1
}

function peerOf(trunk: Trunk): string {
  return trunk.status().peer.address
}

function shown(argv: readonly (Uint8Array | string)[]): string[] {
  let left = SHOWN_BYTES
  const texts: string[] = []
  for (const argument of argv) {
    const bytes = Buffer.from(argument)
    texts.push(bytes.subarray(0, left).toString())
    left -= bytes.byteLength
    if (left <= 0) break
  }
  return texts
}
