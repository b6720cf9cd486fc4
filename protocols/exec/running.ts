/**
 * A program that runs, as its owner steers it: signals, the time limit, the size of its terminal,
 * and the end of all of its tree.
 */
import type { Clock, Timer } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { ToServer } from './control.ts'
import type { Launched, ProgramInput, ProgramOutput, SignalScope } from './launch.ts'
import { MAX_GRACE_MS, type OutputName, type StartRequest } from './messages.ts'

/** What a command is told of its server. */
export interface CommandOptions {
  readonly clock: Clock
  readonly killGraceMs: number
  readonly maxTimeoutMs: number | undefined
  /** False: that signal may not be sent. */
  readonly maySignal: (name: string) => boolean
}

/** The outputs that a command has. */
export function outputsOf({ tty, stdout, stderr }: StartRequest): OutputName[] {
  if (tty !== undefined) return ['tty']
  const names: OutputName[] = stdout === 'pipe' ? ['stdout'] : []
  return stderr === 'pipe' ? [...names, 'stderr'] : names
}

export class Running {
  readonly launched: Launched
  readonly #request: StartRequest
  readonly #options: CommandOptions
  /** When the server's own limit is over, whatever the peer asks for. */
  readonly #ceiling: number
  #limit: Timer | undefined
  timedOut = false
  /** Its tree is ended by us. */
  killed = false
  #hasEnded = false

  constructor(launched: Launched, request: StartRequest, options: CommandOptions) {
    this.launched = launched
    this.#request = request
    this.#options = options
    this.#ceiling = options.clock.now() + (options.maxTimeoutMs ?? Infinity)
    this.limitTime(request.timeoutMs ?? null)
  }

  /** Its leader. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  output(name: OutputName): ProgramOutput | undefined {
    return name === 'tty' ? this.launched.terminal?.output : this.launched[name]
  }

  /** What it reads, of whatever kind. */
  get input(): ProgramInput | undefined {
    return this.launched.terminal?.input ?? this.launched.stdin
  }

  /** To be called when its leader has ended. */
  ended(): void {
    this.#hasEnded = true
    this.#limit?.cancel()
    this.input?.close()
  }

  over(): void {
    this.#limit?.cancel()
  }

  /** Ends the tree. */
  kill(): void {
    this.killed = true
    this.launched.kill(Math.min(this.#request.killGraceMs ?? this.#options.killGraceMs, MAX_GRACE_MS))
  }

  /** Sends a signal; false where there is nobody to get it. Throws ERR_DENIED. */
  signal(name: string, scope: SignalScope): boolean {
    if (!this.#options.maySignal(name))
      throw new TrunkError('ERR_DENIED', `the signal ${name} may not be sent to commands`)
    if (name === 'KILL' && scope === 'tree' && !this.#hasEnded) {
      this.killed = true
      this.launched.kill(0)
    }
    return this.launched.signal(name, scope)
  }

  /** Does what its client says. */
  obey(message: ToServer): void {
    switch (message[0]) {
      case 'timeout':
        this.limitTime(message[1])
        break
      case 'signal':
        this.signal(message[1], message[2])
        break
      case 'resize': {
        const [, columns, rows, x, y] = message
        if (!this.#hasEnded) this.launched.resize({ columns, rows, x, y })
        break
      }
      default:
    }
  }

  /** From now on; within what the server allows at most. */
  limitTime(ms: number | null): void {
    this.#limit?.cancel()
    const { clock } = this.#options
    const limit = Math.min(ms ?? Infinity, Math.max(0, this.#ceiling - clock.now()))
    if (limit === Infinity || this.#hasEnded) return
    const over = (): void => {
      this.timedOut = true
      this.kill()
    }
    // at once: a timer would be put off by the next message
    if (limit === 0) over()
    else this.#limit = clock.after(limit, over, true)
  }
}
