/**
 * The serving side of `exec`. A start is decided (policy.ts), launched, and only then accepted:
 * accepted means executed. The pipe of the start owns the command until its end was told; a slot is
 * free again when the tree is gone.
 *
 * Enforces: the policy; `maxCommands` of a trunk, `maxLeftovers` of the server, `startsPerSecond`;
 * a descriptor for each stream of those that all trunks share.
 */
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
import { Bounds, type ControlGroupOptions } from './bounds.ts'
import { Command, type Outcome } from './command.ts'
import { encodeControl } from './control.ts'
import { within } from '../../src/runtime/deadline.ts'
import { baseOf } from './environment.ts'
import { KeptCommand } from './kept-command.ts'
import { keyOf, KeptCommands, type Kept } from './kept-commands.ts'
import { cut, factsOf, type Known } from './known.ts'
import type { Ended, Launched, Launcher, LaunchLimits, LaunchPlan } from './launch.ts'
import { launcherHere } from './launcher-here.ts'
import { Leftovers } from './leftovers.ts'
import {
  decodeRequest,
  EXEC,
  MAX_GRACE_MS,
  MAX_MS,
  RING_BYTES,
  type AttachRequest,
  type CommandFacts,
  type CommandReference,
  type ExecRequest,
  type SignalRequest,
  type Spec,
  type StartReply,
  type StartRequest,
} from './messages.ts'
import { CommandPolicy, type CommandRule } from './policy.ts'
import { Specs } from './specs.ts'
import { Users } from './users.ts'

/** What `onCommand` is told. */
export interface CommandEvent {
  /** What has happened to the command. */
  readonly what: 'started' | 'exited' | 'refused'
  /** The address of the peer that asked for it. */
  readonly peer: string
  /** As it was asked for; its first 1,024 bytes. */
  readonly argv: readonly string[]
  /** Its process id; left out where it was refused. */
  readonly pid?: number
  /** Of `exited`. */
  readonly code?: number | null
  /** Of `exited`: the signal that ended it, `TERM`; null where it ended by itself. */
  readonly signal?: string | null
  /** Of `exited`: true where the time limit ended it. */
  readonly timedOut?: boolean
  /** Of `exited`: the number of processes that it left behind. */
  readonly leftovers?: number
  /** Of `refused`. */
  readonly error?: TrunkError
}

/** Options of {@link exec}. */
export interface ExecOptions {
  /**
   * What peers may run: `any`, which is all that this user may do on this machine, or rules. A rule
   * is a list of arguments in which `*` stands for any one and `**`, at the end, for any further
   * ones: `['/usr/bin/git', '**']`. Programs are followed to the real file, with the server's PATH.
   */
  allow: 'any' | readonly CommandRule[]
  /**
   * What peers may run as `@name`: these arguments and, where `**` is the last of them, their own
   * behind. @default none
   */
  named?: Readonly<Record<string, CommandRule>>
  /**
   * Environment variables that peers may set: names and `PREFIX_*`. With rules never those that
   * make a program run other code (`LD_*`, `PATH`, `NODE_OPTIONS` …).
   * @default any with `allow: 'any'`, else TERM, LANG, LC_*, TZ, COLORTERM and NO_COLOR
   */
  env?: 'any' | readonly string[]
  /**
   * What every command has set. @default PATH and LANG of this process, HOME, USER, LOGNAME and
   * SHELL of the user; nothing else of its environment
   */
  baseEnv?: Readonly<Record<string, string>>
  /**
   * Names of the system's users as whom peers may run commands; the first is taken where a peer
   * names none. Others than this process's own need root and the keeper. Home, groups and shell are
   * the system's; there is no login (PAM, utmp).
   * @default this process's own
   */
  users?: readonly string[]
  /**
   * Ceilings of resources for each process (`nofile`, `nproc`, `as`, `cpu`, `fsize`, `core`, in the
   * kernel's units), and what holds where a peer asks for less or nothing. @default none
   */
  limits?: LaunchLimits
  /** Niceness of commands, -20 to 19. @default this process's */
  nice?: number
  /** Bits that the files of commands are made without, `0o077`. @default this process's */
  umask?: number
  /**
   * A control group (v2) that is this process's to divide: each command gets one of its own in it,
   * with these maxima, and is ended by it. @default none
   */
  cgroup?: ControlGroupOptions
  /**
   * True: no program gains rights by a set-user-id bit (sudo). @default true, unless commands may
   * be root's; false without the keeper
   */
  noNewPrivileges?: boolean
  /** Where commands start. @default the home of the user */
  directory?: string
  /**
   * True: a peer's `cwd` must lie in `directory`. Says where a command starts, not where it goes.
   * @default false
   */
  within?: boolean
  /**
   * Signals that peers may send. @default HUP, INT, QUIT, TERM, KILL, USR1, USR2, WINCH, CONT, TSTP
   * and STOP
   */
  signals?: readonly string[]
  /** Commands of one trunk at a time, those included whose tree is being ended. @default 64 */
  maxCommands?: number
  /** Trees with processes that commands have left behind, of all trunks together. @default 64 */
  maxLeftovers?: number
  /**
   * Starts of one trunk in a burst, and each second after it; above it ERR_PROCESS_LIMIT. @default
   * as many as there is room for
   */
  startBurst?: number
  /** Starts a second that one trunk regains after its burst. */
  startsPerSecond?: number
  /** Ceiling of every time limit, and what holds where none is asked for. @default none */
  maxTimeoutMs?: number
  /**
   * Between the signal that asks a tree to end and the one that ends it, where the peer says
   * nothing. @default 2000
   */
  killGraceMs?: number
  /** False: no command gets a terminal. @default true */
  tty?: boolean
  /**
   * Commands that outlive their sessions, of all trunks together, those included that have ended
   * and are known. One that has ended gives way to a new one; 0 offers none. @default 16
   */
  maxKept?: number
  /**
   * Ceiling of the time for which such a command runs, and is known after its end, without a
   * controller. @default 86400000, a day
   */
  maxKeepMs?: number
  /** Of each output of such a command, how much is kept at most. @default 1 MiB */
  ringBytes?: number
  /** Of all their outputs together. @default 64 MiB */
  maxRingBytes?: number
  /** Told of each start, exit and refusal. Must not throw. */
  onCommand?: (event: CommandEvent) => void
  /** The clock of all time limits. @default the machine's monotonic clock */
  clock?: Clock
}

const SIGNALS = ['HUP', 'INT', 'QUIT', 'TERM', 'KILL', 'USR1', 'USR2', 'WINCH', 'CONT', 'TSTP', 'STOP']
/** How long a command is kept where its client says nothing. */
const KEEP_MS = 3_600_000
/** Longest time for which one may be kept. */
const MAX_KEEP_MS = 86_400_000
/** How long the end of a server waits for kept commands to end. */
const CLOSE_MS = 5_000

/** `exec` as it is served. */
export interface ExecProtocol extends Protocol {
  /**
   * Ends the commands that outlive their sessions, which end with this process otherwise. Resolves
   * when they are over, after 5 seconds in any case; from then on it keeps none.
   */
  close(): Promise<void>
}

/** The commands of one trunk. */
interface State {
  readonly commands: Map<string, Known>
  readonly specs: Specs
  readonly starts: TokenBucket | undefined
}

/**
 * Lets peers run commands here. Throws ERR_BAD_ARGUMENT at once for options that make no sense,
 * ERR_UNSUPPORTED on Windows.
 *
 * It refuses with ERR_PARAMS_INVALID, ERR_DENIED, ERR_PROCESS_LIMIT, ERR_COMMAND_NOT_FOUND,
 * ERR_NOT_EXECUTABLE, ERR_DIRECTORY_UNUSABLE, ERR_USER_UNKNOWN, ERR_ARGUMENTS_TOO_LARGE,
 * ERR_COMMAND_UNKNOWN, ERR_COMMAND_EXISTS and ERR_UNSUPPORTED.
 *
 * @example
 * ```ts
 * const server = await serve(address, { protocols: [exec({ allow: [['uname', '-a']] })] })
 * ```
 */
export function exec(options: ExecOptions): ExecProtocol {
  if (process.platform === 'win32')
    throw new TrunkError('ERR_UNSUPPORTED', 'commands are served on Linux and macOS only')
  return execOver(options, launcherHere(options.clock))
}

/** {@link exec} by a chosen way to start programs. */
export function execOver(options: ExecOptions, launcher: Launcher): ExecProtocol {
  const server = new ExecServer(options, launcher)
  const protocol = defineProtocol<ExecRequest>({
    name: EXEC,
    parse: (params) => unwrap(decodeRequest(params)),
    handle: (request) => server.handle(request),
  })
  return { ...protocol, close: () => server.close() }
}

class ExecServer {
  readonly #options: ExecOptions
  readonly #launcher: Launcher
  readonly #clock: Clock
  readonly #policy: CommandPolicy
  readonly #users: Users
  readonly #bounds: Bounds
  readonly #signals: ReadonlySet<string>
  readonly #leftovers: Leftovers
  readonly #maxCommands: number
  readonly #killGraceMs: number
  readonly #kept: KeptCommands
  readonly #ringBytes: number
  readonly #maxKeepMs: number
  #isClosed = false
  readonly #stateOf: (trunk: Trunk) => State

  constructor(options: ExecOptions, launcher: Launcher) {
    const { startBurst, startsPerSecond, maxTimeoutMs, signals = SIGNALS, clock = systemClock } = options
    this.#options = options
    this.#launcher = launcher
    this.#clock = clock
    const { directory = '/', users } = options
    if (!directory.startsWith('/')) throw badArgument(`directory must be an absolute path, not ${directory}`)
    this.#policy = new CommandPolicy(options)
    this.#users = new Users(users, launcher.can.user)
    this.#bounds = new Bounds(options, launcher.can, this.#users.haveRoot)
    this.#signals = new Set(signals)
    this.#leftovers = new Leftovers(requireInteger('maxLeftovers', options.maxLeftovers ?? 64, 0, 10_000))
    this.#maxCommands = requireInteger('maxCommands', options.maxCommands ?? 64, 1, 10_000)
    this.#killGraceMs = requireInteger('killGraceMs', options.killGraceMs ?? 2_000, 0, 60_000)
    this.#ringBytes = requireInteger('ringBytes', options.ringBytes ?? 2 ** 20, ...RING_BYTES)
    this.#maxKeepMs = requireInteger('maxKeepMs', options.maxKeepMs ?? MAX_KEEP_MS, 1, MAX_KEEP_MS)
    this.#kept = new KeptCommands({
      maxKept: requireInteger('maxKept', options.maxKept ?? 16, 0, 10_000),
      maxRingBytes: requireInteger('maxRingBytes', options.maxRingBytes ?? 2 ** 26, 0, 2 ** 40),
    })
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
    switch (params.op) {
      case 'spec':
        await state.specs.keep(request, keyOf(params.id))
        return
      case 'start':
        await this.#start(request, params, state)
        return
      case 'stream':
        await this.#find(state, params).command.stream(request, params)
        return
      case 'attach':
        await this.#attach(request, params)
        return
      case 'list':
        await this.#list(request, state)
        return
      case 'signal':
        signal(request, params, this.#find(state, params))
        return
      case 'forget':
        await this.#forget(request, params)
    }
  }

  /** Ends what it keeps. */
  async close(): Promise<void> {
    this.#isClosed = true
    const ends = this.#kept.all().map((kept) => this.#end(kept))
    await within(Promise.all(ends), CLOSE_MS, this.#clock, true)
  }

  /**
   * All that is done before the first wait is done before the streams of the command, which come
   * behind it, are looked at.
   */
  async #start(request: PipeRequest, params: StartRequest, state: State): Promise<void> {
    const id = keyOf(params.id)
    let name: string | undefined
    try {
      this.#room(state, id)
      if (params.keep !== undefined) name = this.#reserve(params)
    } catch (error) {
      this.#refused(request.trunk, params.argv ?? [], error)
      throw error
    }
    const known = this.#known(params, name)
    state.commands.set(id, known)
    const { descriptors } = accountOf(request.trunk)
    const needed = descriptorsOf(params)
    let taken = 0
    try {
      if (!descriptors.takeOrRefuse(needed)) throw new TrunkError('ERR_PROCESS_LIMIT', NO_DESCRIPTOR)
      taken = needed
      const spec: Spec = params.argv === undefined ? await state.specs.take(id) : { argv: params.argv, env: params.env }
      known.argv = spec.argv
      await this.#run(request, spec, known, (launched) => {
        // what was left behind may hold outputs, which are read into nothing
        const held = taken
        taken = 0
        void launched.freed.then(() => {
          descriptors.give(held)
        })
      })
    } catch (thrown) {
      const error = toTrunkError(thrown, 'ERR_HANDLER_FAILED', 'the command could not be started')
      // one that runs was told of, and its end is told where it comes
      if (known.reply === undefined) {
        if (name !== undefined) this.#kept.remove(name)
        known.command.failed(error)
        this.#refused(request.trunk, known.argv, error)
      }
      throw error
    } finally {
      descriptors.give(taken)
      state.commands.delete(id)
    }
  }

  #known(request: StartRequest, name: string | undefined): Known {
    const options = {
      clock: this.#clock,
      killGraceMs: this.#killGraceMs,
      maxTimeoutMs: this.#options.maxTimeoutMs,
      maySignal: (signal: string) => this.#signals.has(signal),
    }
    const rest = { request, argv: request.argv ?? [], startedMs: this.#clock.now() }
    if (name === undefined) return { ...rest, command: new Command(request, options), kept: undefined }
    const kept = new KeptCommand(request, {
      ...options,
      ringBytes: this.#ringBytesOf(request),
      forMs: Math.min(request.keep?.forMs ?? KEEP_MS, this.#maxKeepMs),
      expired: () => void this.#end(found),
    })
    const found: Kept = { ...rest, command: kept, kept, name }
    this.#kept.add(found)
    return found
  }

  #ringBytesOf({ keep }: StartRequest): number {
    return Math.min(keep?.ringBytes ?? this.#ringBytes, this.#ringBytes)
  }

  #reserve(params: StartRequest): string {
    if (this.#isClosed) throw new TrunkError('ERR_PROCESS_LIMIT', 'the server ends, and keeps no command')
    return this.#kept.reserve(params, this.#ringBytesOf(params))
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

  async #run(request: PipeRequest, spec: Spec, known: Known, holds: (launched: Launched) => void): Promise<void> {
    const params = known.request
    if (params.stderr === 'merge' && !this.#launcher.can.merge)
      throw new TrunkError('ERR_UNSUPPORTED', 'this server cannot merge standard error into standard output')
    const { launched, user } = await this.#launch(request, params, spec)
    holds(launched)
    const { pid, tree } = launched
    const reply: StartReply = (known.reply = { id: params.id, pid, user, tree, ...keptAs(known) })
    known.startedMs = this.#clock.now()
    const told = { peer: peerOf(request.trunk), argv: shown(spec.argv), pid }
    notify(this.#options.onCommand, { what: 'started', ...told })
    void launched.ended.then((ended) => (known.end = { ...ended, atMs: this.#clock.now() }))
    const work = async (): Promise<void> => {
      const outcome = await this.#carry(request, known, launched, reply).catch(async (error: unknown) => {
        const ended = await launched.ended
        notify(this.#options.onCommand, { what: 'exited', ...told, ...toldOf(ended), timedOut: false, leftovers: 0 })
        throw error
      })
      const { timedOut, leftovers, killed } = outcome
      if (leftovers > 0 && !killed) this.#leftovers.add(launched)
      notify(this.#options.onCommand, { what: 'exited', ...told, ...toldOf(outcome), timedOut, leftovers })
    }
    if (known.kept === undefined) await work()
    else {
      const going = work()
      // whoever waits for its end is told; nobody may
      going.catch(() => undefined)
      await known.kept.attend(request, 'controller', reply)
    }
  }

  #withTerminal(plan: LaunchPlan, { tty }: StartRequest): LaunchPlan {
    if (tty === undefined) return plan
    if (this.#options.tty === false) throw new TrunkError('ERR_DENIED', 'terminal: this server makes none')
    if (!this.#launcher.can.terminal)
      throw new TrunkError('ERR_TERMINAL_UNAVAILABLE', 'terminal: this server cannot make one; it has no keeper')
    const { columns, rows, x = 0, y = 0, term, modes = {} } = tty
    const hasTerm = plan.env.some((entry) => Buffer.from(entry).subarray(0, TERM.byteLength).equals(TERM))
    const env = hasTerm ? plan.env : [...plan.env, Buffer.concat([TERM, Buffer.from(term)])]
    return { ...plan, env, terminal: { columns, rows, x, y, modes } }
  }

  async #launch(request: PipeRequest, params: StartRequest, spec: Spec): Promise<{ launched: Launched; user: string }> {
    const { stdin, stdout, stderr, limits } = params
    const { baseEnv, directory, within = false } = this.#options
    const { user, decided } = await inPool(accountOf(request.trunk).jobs, request, async () => {
      const user = await this.#users.resolve(params.user)
      const place = {
        directory: Buffer.from(directory ?? user.home),
        confined: within,
        base: baseEnv ?? baseOf(user, process.env),
      }
      return { user, decided: await this.#policy.plan(params, spec, place) }
    })
    request.signal.throwIfAborted()
    const bounds = this.#bounds.of(limits)
    try {
      const streams = { stdin, stdout, stderr }
      const graceMs = Math.min(params.killGraceMs ?? this.#killGraceMs, MAX_GRACE_MS)
      const plan = { ...decided, ...streams, ...bounds, graceMs, ...(user.becomes && { user: user.becomes }) }
      const launched = await this.#launcher.launch(this.#withTerminal(plan, params), request.signal)
      return { launched, user: user.name }
    } catch (error) {
      this.#bounds.giveUp(bounds)
      throw error
    }
  }

  /** Whatever goes wrong from here on, the tree is not left behind. */
  async #carry(request: PipeRequest, known: Known, launched: Launched, reply: unknown): Promise<Outcome> {
    const { command } = known
    try {
      return command instanceof KeptCommand ? await command.run(launched) : await command.run(request, launched, reply)
    } catch (error) {
      launched.stdout?.close()
      launched.stderr?.close()
      launched.terminal?.output.close()
      launched.kill(0)
      await launched.empty()
      throw error
    }
  }

  async #attach(request: PipeRequest, params: AttachRequest): Promise<void> {
    const known = this.#keptOf(params)
    const role = params.watch ? 'watcher' : 'controller'
    known.kept.requirePlace(role, params.take)
    await known.kept.attend(request, role, this.#factsOf(known))
  }

  async #list(request: PipeRequest, state: State): Promise<void> {
    const pipe = request.accept()
    const all = new Set([...state.commands.values(), ...this.#kept.all()])
    for (const known of all) {
      const facts = factsOf(known, this.#clock.now())
      if (facts !== undefined) await pipe.write(encodeControl(['command', facts]))
    }
  }

  async #forget(request: PipeRequest, params: CommandReference): Promise<void> {
    await this.#end(this.#keptOf(params))
    request.accept()
  }

  /** Ends it where it runs, and knows it no more when it is over. */
  async #end(known: Kept): Promise<void> {
    known.kept.end()
    await known.kept.over
    if (this.#kept.find({ name: known.name }) === known) this.#kept.remove(known.name)
  }

  /** A command of this trunk, or a kept one. */
  #find(state: State, reference: CommandReference): Known {
    const own = reference.id && state.commands.get(keyOf(reference.id))
    return own ?? this.#keptOf(reference)
  }

  #keptOf(reference: CommandReference): Kept {
    const kept = this.#kept.find(reference)
    if (kept === undefined) throw new TrunkError('ERR_COMMAND_UNKNOWN', 'there is no such command')
    return kept
  }

  #factsOf(known: Known): CommandFacts {
    const facts = factsOf(known, this.#clock.now())
    if (facts === undefined) throw new TrunkError('ERR_COMMAND_UNKNOWN', 'that command does not run yet')
    return facts
  }

  #refused(trunk: Trunk, argv: readonly (Uint8Array | string)[], thrown: unknown): void {
    const error = toTrunkError(thrown, 'ERR_HANDLER_FAILED', 'the command could not be started')
    notify(this.#options.onCommand, { what: 'refused', peer: peerOf(trunk), argv: shown(argv), error })
  }
}

function signal(request: PipeRequest, { signal: name, scope }: SignalRequest, { command }: Known): void {
  if (!command.signal(name, scope))
    throw new TrunkError('ERR_COMMAND_UNKNOWN', 'there is nobody left to get the signal')
  request.accept()
}

function toldOf({ code, signal: name }: Ended): Pick<CommandEvent, 'code' | 'signal'> {
  return { code, signal: name }
}

const TERM = Buffer.from('TERM=')

/** What the reply says besides of a kept command. */
function keptAs(known: Known): Pick<StartReply, 'name' | 'ringBytes' | 'whenFull'> {
  if (known.kept === undefined) return {}
  const { name, kept, request } = known as Kept
  return { name, ringBytes: kept.ringBytes, whenFull: request.keep?.whenFull ?? 'drop' }
}

/** Both ends of each pipe, for the moment of the launch. */
function descriptorsOf({ stdin, stdout, stderr, tty }: StartRequest): number {
  if (tty !== undefined) return 3
  return 2 * [stdin, stdout, stderr].filter((what) => what === 'pipe').length + 1
}

function peerOf(trunk: Trunk): string {
  return trunk.status().peer.address
}

function shown(argv: readonly (Uint8Array | string)[]): string[] {
  return cut(argv).map((bytes) => bytes.toString())
}
