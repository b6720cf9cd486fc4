/**
 * A command of the peer's, as whoever started it holds it. What the peer says of it is checked like
 * anything else that a peer sends: one exit, offsets that begin at 0, counts that match what came.
 */
import type { Uint8ArrayList } from 'uint8arraylist'
import { onAbort } from '../../src/runtime/on-abort.ts'
import { requireInteger } from '../../src/contracts/limits.ts'
import { toTrunkError, TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import { controlOfServer, encodeControl, type ToClient, type ToServer } from './control.ts'
import { Deferred } from '../../src/runtime/deferred.ts'
import { decodeStreamReply, MAX_SIZE, type OutputName, type StartReply } from './messages.ts'

/** How a command has ended: one of `code` and `signal`. */
export interface Exit {
  /** The exit status, 0 to 255; null where a signal ended it. */
  readonly code: number | null
  /** `TERM`: the signal that ended it. */
  readonly signal: string | null
  /** A memory image was written. */
  readonly core: boolean
  /** The time limit ended it. */
  readonly timedOut: boolean
  /** Processes that it left behind, and that live on. */
  readonly leftovers: number
  /** Of the command and of what it has waited for, where the peer counts. */
  readonly userMs?: number | undefined
  /** Processor time in the kernel, in milliseconds, counted as `userMs` is. */
  readonly systemMs?: number | undefined
  /** Largest resident memory, in KiB, counted as `userMs` is. */
  readonly maxRssKiB?: number | undefined
}

/** What a command writes. To be iterated once, through one of both. */
export interface CommandOutput extends AsyncIterable<Uint8ArrayList> {
  /**
   * The same, for a reader that is done with each item before it asks for the next:
   * `Pipe.borrowed`.
   */
  readonly borrowed: AsyncIterable<Uint8ArrayList>
  /** The offset of its first byte: 0, but for a kept command that was attached to. */
  readonly from: number
  /** Bytes that were asked for and are gone. */
  readonly dropped: number
  /** Nobody wants more: the command meets SIGPIPE, as before `| head`. */
  stopReading(): void
}

/** Whom a signal is for: `foreground` is the terminal's process group. */
export type CommandScope = 'leader' | 'group' | 'tree' | 'foreground'

/** A command that was executed. */
export interface RunningCommand extends AsyncDisposable {
  /** Unique on the trunk, in hex. */
  readonly id: string
  /** Its process id at the peer. */
  readonly pid: number
  /** As whom it runs. */
  readonly user: string
  /** How the peer keeps its processes together. */
  readonly tree: 'cgroup' | 'keeper' | 'group'
  /** Of a command that is kept: by which it is attached to. */
  readonly name?: string
  /**
   * There with `stdin: 'pipe'`, and with a terminal: `write`, `sink` and `closeWrite` of it.
   * Writing rejects with ERR_STDIN_CLOSED where the command reads no more.
   */
  readonly stdin?: Pipe
  /** Of a command with a terminal, what that shows. */
  readonly stdout?: CommandOutput
  /** What it writes to its standard error; left out with `merge`, `none` and a terminal. */
  readonly stderr?: CommandOutput
  /**
   * Resolves when it has ended, whatever its output does; rejects where that was not told:
   * ERR_ABORTED, ERR_COMMAND_ATTACHED (another has taken it), or what ended the session. Safe to
   * ignore.
   */
  readonly exit: Promise<Exit>
  /**
   * Resolves when no process of it is left; rejects with ERR_UNSUPPORTED where some live on after
   * its exit, of which nobody tells. Safe to ignore.
   */
  readonly empty: Promise<void>
  /**
   * Sends a signal: `TERM` or `SIGTERM`. Rejects where the command cannot be told; ERR_DENIED where
   * we only watch it.
   */
  signal(name: string, scope?: CommandScope): Promise<void>
  /** Tells its terminal a new size. */
  resize(columns: number, rows: number): Promise<void>
  /** A new time limit from now on; undefined: none but the peer's own. */
  limitTime(ms: number | undefined): Promise<void>
  /** Leaves a command that is kept, which goes on. Rejects with ERR_UNSUPPORTED for any other. */
  detach(): Promise<void>
  /**
   * Ends it with all of its processes, unless it has ended. Leaving a block with `await using` does
   * it; one that is kept is left there. Who only watches ends nothing.
   */
  kill(reason?: Error): void
}

/** The pipes of a command that has been accepted. */
export interface CommandPipes {
  readonly control: Pipe
  readonly stdin: Pipe | undefined
  readonly stdout: Pipe | undefined
  readonly stderr: Pipe | undefined
  readonly tty?: Pipe | undefined
  /** We only look on: whoever says anything to the peer then is thrown out. */
  readonly watches?: boolean
  /** Each output is read to this offset only. */
  readonly until?: { readonly [Name in OutputName]?: number | undefined }
}

export class ClientCommand implements RunningCommand {
  readonly id: string
  readonly pid: number
  readonly user: string
  readonly tree: StartReply['tree']
  readonly name?: string
  readonly stdin?: Pipe
  readonly stdout?: CommandOutput
  readonly stderr?: CommandOutput
  readonly #control: Pipe
  readonly #pipes: CommandPipes
  readonly #reply: StartReply
  readonly #exit = new Deferred<Exit>()
  readonly #empty = new Deferred<undefined>()
  readonly #drained = new Map<OutputName, Deferred<number>>()
  #hasExited = false
  /** We have left it, for this reason. */
  #left: Error | undefined
  #isTaken = false

  constructor(reply: StartReply, pipes: CommandPipes, signal: AbortSignal | undefined) {
    this.id = Buffer.from(reply.id).toString('hex')
    this.pid = reply.pid
    this.user = reply.user
    this.tree = reply.tree
    if (reply.name !== undefined) this.name = reply.name
    this.#reply = reply
    this.#pipes = pipes
    this.#control = pipes.control
    const { tty, stdin = tty, stdout, stderr } = pipes
    if (stdin !== undefined) this.stdin = stdin
    if (tty !== undefined) this.stdout = this.#output('tty', tty)
    else if (stdout !== undefined) this.stdout = this.#output('stdout', stdout)
    if (stderr !== undefined) this.stderr = this.#output('stderr', stderr)
    const unsubscribe = signal && onAbort(signal, () => this.kill(signal.reason as Error))
    void this.#listen().finally(() => unsubscribe?.())
  }

  get exit(): Promise<Exit> {
    return this.#exit.promise
  }

  get empty(): Promise<void> {
    return this.#empty.promise
  }

  async signal(name: string, scope: CommandScope = 'group'): Promise<void> {
    await this.#say(['signal', name.replace(/^SIG/, ''), scope])
  }

  async limitTime(ms: number | undefined): Promise<void> {
    await this.#say(['timeout', ms ?? null])
  }

  async resize(columns: number, rows: number): Promise<void> {
    requireInteger('columns', columns, 1, MAX_SIZE)
    requireInteger('rows', rows, 1, MAX_SIZE)
    await this.#say(['resize', columns, rows, 0, 0])
  }

  async detach(): Promise<void> {
    if (this.name === undefined)
      throw new TrunkError('ERR_UNSUPPORTED', 'only a command that is kept can be left: start it with keep')
    // its place is free when the peer has said so; a session that is lost has freed it as well
    this.#left = detached()
    await this.#control.close().catch(() => undefined)
    this.leave(this.#left)
  }

  /** Gives its place back, and reads its outputs all the same. */
  letGo(): void {
    this.#left = detached()
    this.#control.closeWrite().catch(() => undefined)
  }

  /** Leaves it at once. */
  leave(reason: Error): void {
    this.#left = reason
    this.#control.close().catch(() => undefined)
    this.#failed(toTrunkError(reason, 'ERR_ABORTED', 'the command was left'))
    this.#abortStreams(reason)
  }

  kill(reason: Error = new TrunkError('ERR_ABORTED', 'the command was killed')): void {
    // the reset of the control pipe ends the tree; after the exit it owns nothing, and only the
    // streams are given up
    this.#control.abort(reason)
    this.#abortStreams(reason)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.name === undefined) this.kill()
    else await this.detach()
  }

  async #say(message: ToServer): Promise<void> {
    if (this.#pipes.watches === true) throw new TrunkError('ERR_DENIED', 'who looks on steers nothing')
    await this.#control.write(encodeControl(message))
  }

  #abortStreams(reason: Error): void {
    const { stdin, stdout, stderr, tty } = this.#pipes
    for (const pipe of [stdin, stdout, stderr, tty]) pipe?.abort(reason)
  }

  async #listen(): Promise<void> {
    try {
      for await (const message of controlOfServer(this.#control)) this.#told(message)
      if (this.#isTaken) throw new TrunkError('ERR_COMMAND_ATTACHED', 'another has taken the command')
      if (this.#left !== undefined) throw this.#left
      if (!this.#hasExited) throw new TrunkError('ERR_MESSAGE_INVALID', 'the peer has not told how the command ended')
      const untold = new TrunkError('ERR_MESSAGE_INVALID', 'the peer has not told how much the command wrote')
      for (const name of OUTPUTS) this.#drainedOf(name).reject(untold)
      this.#empty.reject(
        new TrunkError('ERR_UNSUPPORTED', 'the peer tells no more of the processes that the command left'),
      )
      await this.#control.close()
    } catch (thrown) {
      const error = toTrunkError(thrown, 'ERR_ABORTED', 'the command was given up')
      if (error.code === 'ERR_MESSAGE_INVALID') this.kill(error)
      this.#failed(error)
    }
  }

  /** Harmless for what has been told before. */
  #failed(error: Error): void {
    this.#exit.reject(error)
    this.#empty.reject(error)
    for (const name of OUTPUTS) this.#drainedOf(name).reject(error)
  }

  #told(message: ToClient): void {
    switch (message[0]) {
      case 'exit': {
        const [, code, signal, details] = message
        if (this.#hasExited || (code === null) === (signal === null))
          throw new TrunkError('ERR_MESSAGE_INVALID', 'the peer tells of an end that cannot be')
        this.#hasExited = true
        const { core, timedOut, leftovers, userMs, systemMs, maxRssKiB } = details
        this.#exit.resolve({ code, signal, core, timedOut, leftovers, userMs, systemMs, maxRssKiB })
        break
      }
      case 'drained':
        this.#drainedOf(message[1]).resolve(message[2])
        break
      case 'taken':
        this.#isTaken = true
        break
      case 'empty':
        this.#empty.resolve(undefined)
        break
      default:
    }
  }

  #drainedOf(name: OutputName): Deferred<number> {
    const known = this.#drained.get(name)
    if (known !== undefined) return known
    const made = new Deferred<number>()
    this.#drained.set(name, made)
    return made
  }

  #output(name: OutputName, pipe: Pipe): CommandOutput {
    const { from, dropped } = unwrap(decodeStreamReply(pipe.reply))
    if (this.name === undefined && (from !== 0 || dropped !== 0))
      throw new TrunkError('ERR_MESSAGE_INVALID', `the peer begins ${name} at ${from}, not at 0`)
    const { [name]: until = Infinity } = this.#pipes.until ?? {}
    // there is nothing to read, and perhaps nobody asks
    if (from >= until) pipe.abort(detached())
    const checked = (source: AsyncIterable<Uint8ArrayList>) => this.#checked(name, pipe, source, from, until)
    return {
      [Symbol.asyncIterator]: () => checked(pipe.source)[Symbol.asyncIterator](),
      get borrowed() {
        return checked(pipe.borrowed)
      },
      from,
      dropped,
      stopReading: () => pipe.stopReading(),
    }
  }

  async *#checked(
    name: OutputName,
    pipe: Pipe,
    source: AsyncIterable<Uint8ArrayList>,
    from: number,
    until: number,
  ): AsyncGenerator<Uint8ArrayList> {
    let at = from
    if (at >= until) return
    const acknowledge = this.#acknowledger(name)
    try {
      for await (const data of source) {
        if (at + data.byteLength >= until) {
          yield data.sublist(0, until - at)
          return
        }
        at += data.byteLength
        yield data
        await acknowledge(at)
      }
    } finally {
      // a peer that has nothing to write would not notice a reader that only stops
      if (until < Infinity) pipe.abort(detached())
    }
    const said = await this.#drainedOf(name).promise
    if (said !== at)
      throw new TrunkError('ERR_MESSAGE_INVALID', `${name} came to its byte ${at}, and the peer has sent ${said}`)
  }

  /** Where the command waits for its reader, it is told how far that is: not for each byte. */
  #acknowledger(name: OutputName): (at: number) => Promise<void> {
    const { ringBytes = 0, whenFull } = this.#reply
    let told = 0
    return async (at) => {
      if (whenFull !== 'block' || at - told < ringBytes / 4) return
      told = at
      // one that has ended is told no more, and by who looks on nothing
      await this.#say(['read', name, at]).catch(() => undefined)
    }
  }
}

function detached(): TrunkError {
  return new TrunkError('ERR_ABORTED', 'the command was left; it goes on')
}

const OUTPUTS = ['stdout', 'stderr', 'tty'] as const
