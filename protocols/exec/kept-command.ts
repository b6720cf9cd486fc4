/**
 * A command that outlives its session. Its outputs go into rings, from which whoever is attached
 * reads by offsets; one controller steers it and writes its input, others look on. It ends with the
 * server, or some time after its last controller has left.
 */
import type { Timer } from '../../src/runtime/clock.ts'
import { abortError, TrunkError } from '../../src/contracts/errors.ts'
import type { Pipe, PipeRequest, Trunk } from '../../src/contracts/types.ts'
import { exitMessage, noStream, tellClient, type Outcome } from './command.ts'
import { controlOfClient, type ToClient } from './control.ts'
import { Deferred } from '../../src/runtime/deferred.ts'
import { KeptInput } from './kept-input.ts'
import type { Launched, SignalScope } from './launch.ts'
import type { OutputName, Offsets, StartRequest, StreamName, StreamRequest } from './messages.ts'
import { Ring } from './ring.ts'
import { outputsOf, Running, type CommandOptions } from './running.ts'
import { carryOutput, isTaken } from './streams.ts'

/** Who looks on, at most. */
const MAX_WATCHERS = 16
const NEVER = new AbortController().signal

/** What a kept command is told of its server. */
export interface KeptOptions extends CommandOptions {
  readonly ringBytes: number
  readonly forMs: number
  /** It is over, and its time has come. */
  readonly expired: () => void
}

/** Whose control pipe it is. */
export type Role = 'controller' | 'watcher'

interface Seat {
  readonly role: Role
  readonly trunk: Trunk
  readonly pipe: Pipe
  /** Of the controller: its own streams, one of each name. Any other only looks on. */
  readonly streams: Map<StreamName, Pipe>
}

export class KeptCommand {
  readonly #request: StartRequest
  readonly #options: KeptOptions
  readonly #blocks: boolean
  readonly #started = new Deferred<Running>()
  readonly #rings: ReadonlyMap<OutputName, Ring>
  readonly #seats = new Set<Seat>()
  readonly #input = new KeptInput()
  /** What was told so far, for those who come later. */
  readonly #told: ToClient[] = []
  #running: Running | undefined
  #controller: Seat | undefined
  readonly #over = new Deferred<undefined>()
  #isOver = false
  /** It is to end, and waits for no reader any more. */
  #isEnding = false
  #expiry: Timer | undefined

  constructor(request: StartRequest, options: KeptOptions) {
    this.#request = request
    this.#options = options
    this.#blocks = request.keep?.whenFull === 'block'
    this.#rings = new Map(
      outputsOf(request).map((name) => {
        const ring = new Ring(options.ringBytes)
        if (this.#blocks) ring.hold = 0
        return [name, ring]
      }),
    )
  }

  /** All of it has been told, and nothing more will be. */
  get isOver(): boolean {
    return this.#isOver
  }

  get isControlled(): boolean {
    return this.#controller !== undefined
  }

  get watchers(): number {
    return this.#seats.size - (this.isControlled ? 1 : 0)
  }

  offsets(): { [Name in OutputName]?: Offsets } {
    return Object.fromEntries([...this.#rings].map(([name, { first, next }]) => [name, [first, next]]))
  }

  /** It does not run: its streams are told the same. */
  failed(error: Error): void {
    this.#started.reject(error)
    this.#over.resolve(undefined)
  }

  /** Sends a signal; false where there is nobody to get it. Throws ERR_DENIED. */
  signal(name: string, scope: SignalScope): boolean {
    return this.#running?.signal(name, scope) ?? false
  }

  /** Reads it to its end, whoever is attached. */
  async run(launched: Launched): Promise<Outcome> {
    try {
      return await this.#run(launched)
    } finally {
      this.#isOver = true
      this.#over.resolve(undefined)
      for (const seat of this.#seats) seat.pipe.stopReading()
      this.#awaitExpiry()
    }
  }

  /**
   * Reads it to its end, whoever is attached. Resolves when its outputs are over and, where the
   * tree was ended, nothing of it is left.
   */
  async #run(launched: Launched): Promise<Outcome> {
    const running = (this.#running = new Running(launched, this.#request, this.#options))
    launched.onStopped = (signal) => this.#tell(signal === undefined ? ['continued'] : ['stopped', signal])
    this.#started.resolve(running)
    // whoever started it may be gone by now
    this.#awaitExpiry()
    if (this.#isEnding) running.kill()
    const pumps = [...this.#rings].map(([name, ring]) => this.#pump(running, name, ring))
    const ended = await launched.ended
    running.ended()
    this.#input.over()
    const { leftovers } = ended
    if (this.#request.leftovers === 'kill' && leftovers > 0) running.kill()
    this.#tell(exitMessage(ended, running.timedOut, (name) => this.#rings.get(name)?.next ?? 0))
    await Promise.all(pumps)
    if (running.killed || leftovers === 0) {
      await launched.empty()
      this.#tell(['empty'])
    }
    return { ...ended, timedOut: running.timedOut, killed: running.killed }
  }

  /** Resolves when it is over. */
  get over(): Promise<undefined> {
    return this.#over.promise
  }

  /** Of each output, so much is kept. */
  get ringBytes(): number {
    return this.#options.ringBytes
  }

  /** Ends it where it runs, or as soon as it does; then it may be forgotten. */
  end(): void {
    this.#isEnding = true
    if (this.#running?.hasEnded === false) this.#running.kill()
    // what waits for a reader waits no more
    for (const ring of this.#rings.values()) ring.hold = undefined
  }

  /** It is known no more: nobody waits for it. */
  forgotten(): void {
    this.#expiry?.cancel()
  }

  /** Throws where there is no place in that role. `take`: also where another has it. */
  requirePlace(role: Role, take: boolean): void {
    if (role === 'watcher' && this.watchers >= MAX_WATCHERS)
      throw new TrunkError('ERR_PROCESS_LIMIT', `that command has its ${MAX_WATCHERS} watchers`)
    if (role === 'controller' && this.#controller !== undefined && !take)
      throw new TrunkError('ERR_COMMAND_ATTACHED', 'that command has a controller: take it, or watch')
  }

  /** Accepts, and serves a control pipe until it leaves, or the command is over. */
  async attend(request: PipeRequest, role: Role, reply: unknown): Promise<void> {
    const pipe = request.accept(reply)
    const seat: Seat = { role, trunk: request.trunk, pipe, streams: new Map() }
    if (role === 'controller') {
      this.#takeOver()
      this.#controller = seat
      this.#expiry?.cancel()
    }
    this.#seats.add(seat)
    for (const message of this.#told) tellClient(pipe, message)
    if (this.#isOver) pipe.stopReading()
    try {
      for await (const message of controlOfClient(pipe)) {
        if (role === 'watcher') throw new TrunkError('ERR_DENIED', 'who looks on steers nothing')
        if (message[0] === 'read') this.#hasRead(message[1], message[2])
        else this.#running?.obey(message)
      }
    } catch (error) {
      // its end stops the reading, perhaps in the middle of a message
      if (!this.#isOver && this.#seats.has(seat)) throw error
    } finally {
      this.#leave(seat, request.signal)
    }
  }

  /** Carries one of its streams for a peer. */
  async stream(request: PipeRequest, { stream, from, watch = false }: StreamRequest): Promise<void> {
    const running = await this.#started.promise
    request.signal.throwIfAborted()
    const seat = watch ? undefined : this.#seatOf(request.trunk)
    // a second one of the same name is for looking on
    const own = seat?.streams.has(stream) === false ? seat : undefined
    if (stream === 'stdin') {
      const { stdin } = running.launched
      if (stdin === undefined) throw noStream(stream)
      if (seat === undefined) throw new TrunkError('ERR_DENIED', 'the input of a command is its controller’s')
      if (own === undefined) throw new TrunkError('ERR_COMMAND_EXISTS', 'stdin of that command is taken')
      const pipe = request.accept({ from: 0, dropped: 0 })
      await asOwn(seat, stream, pipe, this.#input.carry(pipe, stdin, this.#isHeldBy(seat)))
      return
    }
    const ring = this.#rings.get(stream)
    if (ring === undefined) throw noStream(stream)
    const asked = from === 'tail' ? ring.next : (from ?? 0)
    if (asked > ring.next) throw new TrunkError('ERR_PARAMS_INVALID', `${stream} has ${ring.next} bytes so far`)
    const first = Math.max(asked, ring.first)
    // whoever begins there has what is before it
    if (own !== undefined && from !== 'tail') this.#hasRead(stream, asked)
    const pipe = request.accept({ from: first, dropped: first - asked })
    const terminal = stream === 'tty' ? running.launched.terminal : undefined
    if (own === undefined) {
      if (terminal !== undefined) pipe.stopReading('ERR_STDIN_CLOSED')
      await this.#output(pipe, ring, first, NOBODY)
      return
    }
    const holds = this.#isHeldBy(own)
    const keys = terminal && this.#input.carry(pipe, terminal.input, holds)
    await asOwn(own, stream, pipe, Promise.all([this.#output(pipe, ring, first, holds), keys]))
  }

  #isHeldBy(seat: Seat): () => boolean {
    return () => this.#controller === seat
  }

  async #output(pipe: Pipe, ring: Ring, first: number, isHeld: () => boolean): Promise<void> {
    const holds = (): boolean => !this.#blocks && !this.#isEnding && isHeld()
    let at = first
    try {
      for (;;) {
        if (holds()) ring.hold = at
        const chunk = await ring.read(at, pipe.signal)
        if (chunk === undefined) break
        // a reader that wants no more has ended nothing but itself
        if (!(await isTaken(pipe, chunk))) return
        at += chunk.byteLength
      }
    } finally {
      if (holds()) ring.hold = undefined
    }
    if (ring.failure === undefined) return
    // behind what there is
    await pipe.abortWhenWritten(ring.failure)
    throw ring.failure
  }

  /** Never rejects. */
  async #pump(running: Running, name: OutputName, ring: Ring): Promise<void> {
    const output = running.output(name)
    if (output === undefined) return
    let lingering = false
    try {
      const drained = await carryOutput(
        output,
        { signal: NEVER, write: (chunk) => ring.write(chunk) },
        { clock: this.#options.clock, ended: running.launched.ended, onBytes: () => undefined },
      )
      lingering = drained.lingering
      ring.end()
    } catch (error) {
      // who reads it is told, behind the last byte that there is; the command goes on
      ring.end(error as Error)
    }
    this.#tell(['drained', name, ring.next, lingering])
  }

  #seatOf(trunk: Trunk): Seat | undefined {
    return this.#controller?.trunk === trunk ? this.#controller : undefined
  }

  #hasRead(name: OutputName, offset: number): void {
    const ring = this.#rings.get(name)
    if (ring === undefined || offset > ring.next)
      throw new TrunkError('ERR_MESSAGE_INVALID', 'read what was not written')
    if (this.#blocks && !this.#isEnding) ring.hold = Math.max(ring.hold ?? 0, offset)
  }

  /** The controller, where there is one, is told and has it no more. */
  #takeOver(): void {
    const seat = this.#controller
    if (seat === undefined) return
    this.#controller = undefined
    this.#seats.delete(seat)
    this.#letGo()
    tellClient(seat.pipe, ['taken'])
    for (const name of INPUTS) seat.streams.get(name)?.stopReading('ERR_COMMAND_ATTACHED')
    seat.pipe.stopReading()
  }

  /** Nobody reads for the command: it does not wait for a reader, unless it always does. */
  #letGo(): void {
    if (!this.#blocks) for (const ring of this.#rings.values()) ring.hold = undefined
  }

  #leave(seat: Seat, signal: AbortSignal): void {
    this.#seats.delete(seat)
    if (this.#controller !== seat) return
    this.#controller = undefined
    this.#letGo()
    // a reset is meant for the command; a session that is lost is not
    if (signal.aborted && abortError(signal).scope === 'pipe' && this.#running?.hasEnded === false) this.#running.kill()
    this.#awaitExpiry()
  }

  #awaitExpiry(): void {
    this.#expiry?.cancel()
    if (this.isControlled) return
    // a server that ends need not wait for it
    this.#expiry = this.#options.clock.after(this.#options.forMs, this.#options.expired, false)
  }

  #tell(message: ToClient): void {
    if (message[0] !== 'stopped' && message[0] !== 'continued') this.#told.push(message)
    for (const seat of this.#seats) tellClient(seat.pipe, message)
  }
}

const INPUTS = ['stdin', 'tty'] as const
const NOBODY = (): boolean => false

/** A stream is its controller's while it is carried. */
async function asOwn(seat: Seat, name: StreamName, pipe: Pipe, work: Promise<unknown>): Promise<void> {
  seat.streams.set(name, pipe)
  try {
    await work
  } finally {
    seat.streams.delete(name)
  }
}
