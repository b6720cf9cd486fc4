/**
 * One command of a trunk, from the request for it to the end of its tree. It is known under its id before it runs, so that the opens of its streams, which come in the same batch, find it and
 * wait.
 */
import type { Clock, Timer } from '../../src/runtime/clock.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe, PipeRequest } from '../../src/contracts/types.ts'
import { controlOfClient, encodeControl, type ToClient, type ToServer } from './control.ts'
import type { Ended, Launched } from './launch.ts'
import type { StartRequest, StreamName, StreamRequest } from './messages.ts'
import { carryInput, carryOutput, type Drained } from './streams.ts'

/** What a command is told of its server. */
export interface CommandOptions {
  readonly clock: Clock
  readonly killGraceMs: number
  readonly maxTimeoutMs: number | undefined
  /** False: that signal may not be sent. */
  readonly maySignal: (name: string) => boolean
}

/** How it went, for whoever keeps the books. */
export interface Outcome extends Ended {
  readonly timedOut: boolean
  /** The tree was ended by us: for a reset, a lost session, the time limit. */
  readonly killed: boolean
}

type OutputName = 'stdout' | 'stderr'

export class Command {
  readonly #request: StartRequest
  readonly #options: CommandOptions
  readonly #running: Promise<Launched>
  #runs!: (launched: Launched) => void
  #fails!: (error: unknown) => void
  readonly #claimed = new Set<StreamName>()
  readonly #bytes: Record<OutputName, number> = { stdout: 0, stderr: 0 }
  readonly #drained: Readonly<Record<OutputName, Deferred<Drained>>> = { stdout: deferred(), stderr: deferred() }
  #launched: Launched | undefined
  #hasEnded = false
  #timedOut = false
  #killed = false
  #limit: Timer | undefined
  /** When the server's own limit is over, whatever the peer asks for. */
  #ceiling = Infinity
  #control: Pipe | undefined

  constructor(request: StartRequest, options: CommandOptions) {
    this.#request = request
    this.#options = options
    this.#running = new Promise((resolve, reject) => {
      this.#runs = resolve
      this.#fails = reject
    })
    // nobody may have asked for a stream
    this.#running.catch(() => undefined)
  }

  /** It does not run: its streams are told the same. */
  failed(error: unknown): void {
    this.#fails(error)
  }

  /** Carries one of its streams, to the end of it. */
  async stream(request: PipeRequest, { stream }: StreamRequest): Promise<void> {
    if (this.#claimed.has(stream)) throw new TrunkError('ERR_COMMAND_EXISTS', `${stream} of that command is taken`)
    this.#claimed.add(stream)
    const launched = await this.#running
    if (request.signal.aborted) {
      this.#gone(stream)
      throw request.signal.reason
    }
    if (stream === 'stdin') await this.#input(request, launched)
    else await this.#output(request, launched, stream)
  }

  /** Sends a signal; false where there is nobody to get it. Throws ERR_DENIED. */
  signal(name: string, scope: 'leader' | 'group' | 'tree' | 'foreground'): boolean {
    if (!this.#options.maySignal(name))
      throw new TrunkError('ERR_DENIED', `the signal ${name} may not be sent to commands`)
    if (name === 'KILL' && scope === 'tree' && !this.#hasEnded) {
      this.#killed = true
      this.#launched?.kill(0)
    }
    return this.#launched?.signal(name, scope) ?? false
  }

  /** Accepts, and owns the tree until its leader's end was told. Resolves when its streams are over, and where the tree was ended, when nothing of it is left. */
  async run(request: PipeRequest, launched: Launched, reply: unknown): Promise<Outcome> {
    this.#launched = launched
    const pipe = (this.#control = request.accept(reply))
    launched.onStopped = (signal) => this.#tell(signal === undefined ? ['continued'] : ['stopped', signal])
    this.#runs(launched)
    this.#ceiling = this.#options.clock.now() + (this.#options.maxTimeoutMs ?? Infinity)
    this.#limitTime(this.#request.timeoutMs ?? null)
    const unsubscribe = onAbort(request.signal, () => {
      if (!this.#hasEnded) this.#kill()
      for (const name of OUTPUTS) if (!this.#claimed.has(name)) this.#gone(name)
    })
    const listening = this.#listen(pipe)
    try {
      const ended = await launched.ended
      this.#hasEnded = true
      const { leftovers } = ended
      this.#limit?.cancel()
      launched.stdin?.close()
      if (this.#request.leftovers === 'kill' && leftovers > 0) this.#kill()
      this.#tellExit(ended)
      await Promise.all(OUTPUTS.map((name) => this.#tellDrained(launched, name)))
      if (this.#killed || leftovers === 0) {
        await launched.empty()
        this.#tell(['empty'])
      }
      pipe.stopReading()
      await listening
      return { ...ended, timedOut: this.#timedOut, killed: this.#killed }
    } finally {
      this.#limit?.cancel()
      unsubscribe()
    }
  }

  #kill(): void {
    this.#killed = true
    this.#launched?.kill(Math.min(this.#request.killGraceMs ?? this.#options.killGraceMs, MAX_GRACE_MS))
  }

  /** Nobody will read it, or write it. */
  #gone(stream: StreamName): void {
    const launched = this.#launched
    if (stream === 'stdin') launched?.stdin?.close()
    else {
      launched?.[stream]?.close()
      this.#drained[stream].resolve({ bytes: this.#bytes[stream], lingering: false })
    }
  }

  async #input(request: PipeRequest, launched: Launched): Promise<void> {
    const { stdin } = launched
    if (stdin === undefined) throw noStream('stdin')
    const pipe = request.accept(FROM_START)
    // to the program, half of its input would look like all of it
    const unsubscribe = onAbort(request.signal, () => {
      if (!this.#hasEnded) this.#kill()
      stdin.close()
    })
    try {
      await carryInput(stdin, pipe, launched.ended)
    } finally {
      unsubscribe()
    }
  }

  async #output(request: PipeRequest, launched: Launched, name: OutputName): Promise<void> {
    const output = launched[name]
    if (output === undefined) throw noStream(name)
    const pipe = request.accept(FROM_START)
    let lingering = false
    try {
      const drained = await carryOutput(output, pipe, {
        clock: this.#options.clock,
        ended: launched.ended,
        onBytes: (bytes) => {
          this.#bytes[name] += bytes
        },
      })
      lingering = drained.lingering
    } finally {
      this.#drained[name].resolve({ bytes: this.#bytes[name], lingering })
    }
  }

  async #tellDrained(launched: Launched, name: OutputName): Promise<void> {
    if (launched[name] === undefined) return
    const { bytes, lingering } = await this.#drained[name].promise
    this.#tell(['drained', name, bytes, lingering])
  }

  #tellExit({ code, signal, core, leftovers, usage }: Ended): void {
    const { stdout, stderr } = this.#bytes
    this.#tell(['exit', code, signal, { core, timedOut: this.#timedOut, stdout, stderr, leftovers, ...usage }])
  }

  /** What is said of a command is little and bounded; what a flood of stops and continues would add to a peer that reads nothing is left out. */
  #tell(message: ToClient): void {
    const pipe = this.#control
    const isNews = message[0] === 'stopped' || message[0] === 'continued'
    if (pipe === undefined || (isNews && pipe.writableLength < ROOM_BYTES)) return
    // a pipe that is over has told its handler by its signal
    pipe.write(encodeControl(message)).catch(() => undefined)
  }

  /** Does what the client says. A message that is none ends the command: who sent it is not to be trusted with a tree. Never rejects. */
  async #listen(pipe: Pipe): Promise<void> {
    try {
      for await (const message of controlOfClient(pipe)) this.#obey(message)
    } catch (error) {
      // the end of the command stops the reading, perhaps in the middle of a message
      if (!this.#hasEnded && !pipe.signal.aborted) pipe.abort(error as Error)
    }
  }

  #obey(message: ToServer): void {
    if (message[0] === 'timeout') this.#limitTime(message[1])
    else this.signal(message[1], message[2])
  }

  /** From now on; within what the server allows at most. */
  #limitTime(ms: number | null): void {
    this.#limit?.cancel()
    const { clock } = this.#options
    const limit = Math.min(ms ?? Infinity, Math.max(0, this.#ceiling - clock.now()))
    if (limit === Infinity || this.#hasEnded) return
    const over = (): void => {
      this.#timedOut = true
      this.#kill()
    }
    // at once: a timer would be put off by the next message
    if (limit === 0) over()
    else this.#limit = clock.after(limit, over, true)
  }
}

const OUTPUTS = ['stdout', 'stderr'] as const
const FROM_START = { from: 0, dropped: 0 }
/** Longest time between TERM and KILL. */
const MAX_GRACE_MS = 60_000
/** What is left to messages that have to be told. */
const ROOM_BYTES = 16 * 1024

function noStream(name: StreamName): TrunkError {
  return new TrunkError('ERR_PARAMS_INVALID', `the command was started without ${name}`)
}

interface Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
}

function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
