/**
 * One command of a trunk, from the request for it to the end of its tree. It is known under its id
 * before it runs, so that the opens of its streams, which come in the same batch, find it and wait.
 * It ends with its session; kept-command.ts has those that do not.
 */
import { onAbort } from '../../src/runtime/on-abort.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe, PipeRequest } from '../../src/contracts/types.ts'
import { controlOfClient, encodeControl, type ToClient } from './control.ts'
import { Deferred } from '../../src/runtime/deferred.ts'
import type { Ended, Launched, ProgramInput, ProgramOutput, SignalScope } from './launch.ts'
import type { OutputName, StartRequest, StreamName, StreamRequest } from './messages.ts'
import { outputsOf, Running, type CommandOptions } from './running.ts'
import { carryInput, carryOutput, type Drained } from './streams.ts'

/** How it went, for whoever keeps the books. */
export interface Outcome extends Ended {
  readonly timedOut: boolean
  /** The tree was ended by us: for a reset, a lost session, the time limit. */
  readonly killed: boolean
}

export class Command {
  readonly #request: StartRequest
  readonly #options: CommandOptions
  readonly #outputs: readonly OutputName[]
  readonly #started = new Deferred<Running>()
  readonly #claimed = new Set<StreamName>()
  readonly #bytes: Record<OutputName, number> = { stdout: 0, stderr: 0, tty: 0 }
  readonly #drained: Readonly<Record<OutputName, Deferred<Drained>>> = {
    stdout: new Deferred<Drained>(),
    stderr: new Deferred<Drained>(),
    tty: new Deferred<Drained>(),
  }
  #running: Running | undefined
  #control: Pipe | undefined

  constructor(request: StartRequest, options: CommandOptions) {
    this.#request = request
    this.#options = options
    this.#outputs = outputsOf(request)
  }

  /** It does not run: its streams are told the same. */
  failed(error: Error): void {
    this.#started.reject(error)
  }

  /** Bytes that it has written so far. */
  written(name: OutputName): number {
    return this.#bytes[name]
  }

  /** Carries one of its streams, to the end of it. */
  async stream(request: PipeRequest, { stream, from, watch }: StreamRequest): Promise<void> {
    if (watch === true)
      throw new TrunkError('ERR_PARAMS_INVALID', 'a command that is not kept has nobody who only looks on')
    if (from !== undefined)
      throw new TrunkError('ERR_PARAMS_INVALID', 'the output of a command that is not kept begins at its first byte')
    if (this.#claimed.has(stream)) throw new TrunkError('ERR_COMMAND_EXISTS', `${stream} of that command is taken`)
    this.#claimed.add(stream)
    const running = await this.#started.promise
    if (request.signal.aborted) {
      this.#gone(stream)
      throw request.signal.reason
    }
    const input = stream === 'stdin' ? running.launched.stdin : stream === 'tty' ? running.input : undefined
    const output = stream === 'stdin' ? undefined : running.output(stream)
    if (input === undefined && output === undefined) throw noStream(stream)
    const pipe = request.accept(FROM_START)
    await Promise.all([
      input && this.#input(pipe, running, input),
      output && stream !== 'stdin' && this.#output(pipe, running, output, stream),
    ])
  }

  /** Sends a signal; false where there is nobody to get it. Throws ERR_DENIED. */
  signal(name: string, scope: SignalScope): boolean {
    if (this.#running !== undefined) return this.#running.signal(name, scope)
    if (this.#options.maySignal(name)) return false
    throw new TrunkError('ERR_DENIED', `the signal ${name} may not be sent to commands`)
  }

  /**
   * Accepts, and owns the tree until its leader's end was told. Resolves when its streams are over,
   * and where the tree was ended, when nothing of it is left.
   */
  async run(request: PipeRequest, launched: Launched, reply: unknown): Promise<Outcome> {
    const running = (this.#running = new Running(launched, this.#request, this.#options))
    const pipe = (this.#control = request.accept(reply))
    launched.onStopped = (signal) => this.#tell(signal === undefined ? ['continued'] : ['stopped', signal])
    this.#started.resolve(running)
    const unsubscribe = onAbort(request.signal, () => {
      if (!running.hasEnded) running.kill()
      for (const name of this.#outputs) if (!this.#claimed.has(name)) this.#gone(name)
    })
    const listening = this.#listen(pipe, running)
    try {
      const ended = await launched.ended
      running.ended()
      const { leftovers } = ended
      if (this.#request.leftovers === 'kill' && leftovers > 0) running.kill()
      this.#tell(exitMessage(ended, running.timedOut, (name) => this.#bytes[name]))
      await Promise.all(this.#outputs.map((name) => this.#tellDrained(name)))
      if (running.killed || leftovers === 0) {
        await launched.empty()
        this.#tell(['empty'])
      }
      pipe.stopReading()
      await listening
      return { ...ended, timedOut: running.timedOut, killed: running.killed }
    } finally {
      running.over()
      unsubscribe()
    }
  }

  /** Nobody will read it, or write it. */
  #gone(stream: StreamName): void {
    if (stream === 'stdin') this.#running?.kill()
    else {
      this.#running?.output(stream)?.close()
      this.#drained[stream].resolve({ bytes: this.#bytes[stream], lingering: false })
    }
  }

  async #input(pipe: Pipe, running: Running, input: ProgramInput): Promise<void> {
    // half of its input would look like all of it: the input stays open until the program has been
    // ended
    const unsubscribe = onAbort(pipe.signal, () => {
      if (!running.hasEnded) running.kill()
    })
    try {
      await carryInput(input, pipe, running.launched.ended)
    } finally {
      unsubscribe()
    }
  }

  async #output(pipe: Pipe, running: Running, output: ProgramOutput, name: OutputName): Promise<void> {
    let lingering = false
    try {
      const drained = await carryOutput(output, pipe, {
        clock: this.#options.clock,
        ended: running.launched.ended,
        onBytes: (bytes) => {
          this.#bytes[name] += bytes
        },
      })
      lingering = drained.lingering
    } finally {
      this.#drained[name].resolve({ bytes: this.#bytes[name], lingering })
    }
  }

  async #tellDrained(name: OutputName): Promise<void> {
    const { bytes, lingering } = await this.#drained[name].promise
    this.#tell(['drained', name, bytes, lingering])
  }

  #tell(message: ToClient): void {
    if (this.#control !== undefined) tellClient(this.#control, message)
  }

  /**
   * Does what the client says. A message that is none ends the command: who sent it is not to be
   * trusted with a tree. Never rejects.
   */
  async #listen(pipe: Pipe, running: Running): Promise<void> {
    try {
      for await (const message of controlOfClient(pipe)) running.obey(message)
    } catch (error) {
      // the end of the command stops the reading, perhaps in the middle of a message
      if (!running.hasEnded && !pipe.signal.aborted) pipe.abort(error as Error)
    }
  }
}

const FROM_START = { from: 0, dropped: 0 }
/** What is left to messages that have to be told. */
const ROOM_BYTES = 16 * 1024

/**
 * What is said of a command is little and bounded; what a flood of stops and continues would add to
 * a peer that reads nothing is left out.
 */
export function tellClient(pipe: Pipe, message: ToClient): void {
  const isNews = message[0] === 'stopped' || message[0] === 'continued'
  if (isNews && pipe.writableLength < ROOM_BYTES) return
  // a pipe that is over has told its handler by its signal
  pipe.write(encodeControl(message)).catch(() => undefined)
}

/** What is said of a command's end. */
export function exitMessage(
  { code, signal, core, leftovers, usage }: Ended,
  timedOut: boolean,
  bytes: (name: OutputName) => number,
): ToClient {
  const [stdout, stderr, tty] = [bytes('stdout'), bytes('stderr'), bytes('tty')]
  return ['exit', code, signal, { core, timedOut, stdout, stderr, tty, leftovers, ...usage }]
}

/** Asked for, and not there. */
export function noStream(name: StreamName): TrunkError {
  return new TrunkError('ERR_PARAMS_INVALID', `the command was started without ${name}`)
}
