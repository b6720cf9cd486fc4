/**
 * A command of the peer's, as whoever started it holds it. What the peer says of it is checked like anything else that a peer sends: one exit, offsets that begin at 0, counts that match
 * what came.
 */
import type { Uint8ArrayList } from 'uint8arraylist'
import { onAbort } from '../../src/runtime/on-abort.ts'
import { toTrunkError, TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe } from '../../src/contracts/types.ts'
import { unwrap } from '../internal/decoded.ts'
import { controlOfServer, encodeControl, type ToClient } from './control.ts'
import { decodeStreamReply, type StartReply, type StreamName } from './messages.ts'

/** How a command has ended: one of `code` and `signal`. */
export interface Exit {
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
  readonly systemMs?: number | undefined
  readonly maxRssKiB?: number | undefined
}

/** What a command writes. To be iterated once, through one of both. */
export interface CommandOutput extends AsyncIterable<Uint8ArrayList> {
  /** The same, for a reader that is done with each item before it asks for the next: `Pipe.borrowed`. */
  readonly borrowed: AsyncIterable<Uint8ArrayList>
  /** Nobody wants more: the command meets SIGPIPE, as before `| head`. */
  stopReading(): void
}

/** A command that was executed. */
export interface RunningCommand extends AsyncDisposable {
  /** Unique on the trunk, in hex. */
  readonly id: string
  readonly pid: number
  /** As whom it runs. */
  readonly user: string
  /** How the peer keeps its processes together. */
  readonly tree: 'cgroup' | 'keeper' | 'group'
  /** There with `stdin: 'pipe'`: `write`, `sink` and `closeWrite` of it. Writing rejects with ERR_STDIN_CLOSED where the command reads no more. */
  readonly stdin?: Pipe
  readonly stdout?: CommandOutput
  readonly stderr?: CommandOutput
  /** Resolves when it has ended, whatever its output does; rejects where that was not told: ERR_ABORTED, or what ended the session. Safe to ignore. */
  readonly exit: Promise<Exit>
  /** Resolves when no process of it is left; rejects with ERR_UNSUPPORTED where some live on after its exit, of which nobody tells. Safe to ignore. */
  readonly empty: Promise<void>
  /** Sends a signal: `TERM` or `SIGTERM`. Rejects where the command cannot be told. */
  signal(name: string, scope?: 'leader' | 'group' | 'tree'): Promise<void>
  /** A new time limit from now on; undefined: none but the peer's own. */
  limitTime(ms: number | undefined): Promise<void>
  /** Ends it with all of its processes, unless it has ended. Leaving a block with `await using` does it. */
  kill(reason?: Error): void
}

/** The pipes of a command that has been accepted. */
export interface CommandPipes {
  readonly control: Pipe
  readonly stdin: Pipe | undefined
  readonly stdout: Pipe | undefined
  readonly stderr: Pipe | undefined
}

interface Settled<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (error: Error) => void
}

export class ClientCommand implements RunningCommand {
  readonly id: string
  readonly pid: number
  readonly user: string
  readonly tree: StartReply['tree']
  readonly stdin?: Pipe
  readonly stdout?: CommandOutput
  readonly stderr?: CommandOutput
  readonly #control: Pipe
  readonly #pipes: CommandPipes
  readonly #exit = settled<Exit>()
  readonly #empty = settled<undefined>()
  readonly #drained = new Map<StreamName, Settled<number>>()
  #hasExited = false

  constructor(reply: StartReply, pipes: CommandPipes, signal: AbortSignal | undefined) {
    this.id = Buffer.from(reply.id).toString('hex')
    this.pid = reply.pid
    this.user = reply.user
    this.tree = reply.tree
    this.#pipes = pipes
    this.#control = pipes.control
    if (pipes.stdin !== undefined) this.stdin = pipes.stdin
    if (pipes.stdout !== undefined) this.stdout = this.#output('stdout', pipes.stdout)
    if (pipes.stderr !== undefined) this.stderr = this.#output('stderr', pipes.stderr)
    const unsubscribe = signal && onAbort(signal, () => this.kill(signal.reason as Error))
    void this.#listen().finally(() => unsubscribe?.())
  }

  get exit(): Promise<Exit> {
    return this.#exit.promise
  }

  get empty(): Promise<void> {
    return this.#empty.promise
  }

  async signal(name: string, scope: 'leader' | 'group' | 'tree' = 'group'): Promise<void> {
    await this.#control.write(encodeControl(['signal', name.replace(/^SIG/, ''), scope]))
  }

  async limitTime(ms: number | undefined): Promise<void> {
    await this.#control.write(encodeControl(['timeout', ms ?? null]))
  }

  kill(reason: Error = new TrunkError('ERR_ABORTED', 'the command was killed')): void {
    const { stdin, stdout, stderr } = this.#pipes
    // the reset of the control pipe ends the tree; after the exit it owns nothing, and only the streams are given up
    for (const pipe of [this.#control, stdin, stdout, stderr]) pipe?.abort(reason)
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.kill()
    return Promise.resolve()
  }

  async #listen(): Promise<void> {
    try {
      for await (const message of controlOfServer(this.#control)) this.#told(message)
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
      case 'empty':
        this.#empty.resolve(undefined)
        break
      default:
    }
  }

  #drainedOf(name: StreamName): Settled<number> {
    const known = this.#drained.get(name)
    if (known !== undefined) return known
    const made = settled<number>()
    this.#drained.set(name, made)
    return made
  }

  #output(name: StreamName, pipe: Pipe): CommandOutput {
    const { from, dropped } = unwrap(decodeStreamReply(pipe.reply))
    if (from !== 0 || dropped !== 0)
      throw new TrunkError('ERR_MESSAGE_INVALID', `the peer begins ${name} at ${from}, not at 0`)
    const drained = this.#drainedOf(name)
    const checked = async function* (source: AsyncIterable<Uint8ArrayList>): AsyncGenerator<Uint8ArrayList> {
      let bytes = 0
      for await (const data of source) {
        bytes += data.byteLength
        yield data
      }
      const said = await drained.promise
      if (said !== bytes)
        throw new TrunkError('ERR_MESSAGE_INVALID', `${bytes} bytes of ${name} came, and the peer has sent ${said}`)
    }
    return {
      [Symbol.asyncIterator]: () => checked(pipe.source)[Symbol.asyncIterator](),
      get borrowed() {
        return checked(pipe.borrowed)
      },
      stopReading: () => pipe.stopReading(),
    }
  }
}

const OUTPUTS = ['stdout', 'stderr'] as const

/** Its failure ends no process where nobody waits. */
function settled<T>(): Settled<T> {
  let resolve!: (value: T) => void
  let reject!: (error: Error) => void
  const promise = new Promise<T>((settle, fail) => {
    resolve = settle
    reject = fail
  })
  promise.catch(() => undefined)
  return { promise, resolve, reject }
}
