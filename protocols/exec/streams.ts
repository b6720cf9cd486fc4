/**
 * The bytes between a program's streams and the pipes of their own that carry them. Each side waits
 * for the other: at most a chunk is held here.
 */
import type { Clock } from '../../src/runtime/clock.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import type { Pipe } from '../../src/contracts/types.ts'
import type { ProgramInput, ProgramOutput } from './launch.ts'

/**
 * How long an output is silent after the leader's end before it is given up: somebody in the
 * background holds it.
 */
export const LINGER_MS = 250

/** What became of an output. */
export interface Drained {
  readonly bytes: number
  /** It was given up while a process still held it. */
  readonly lingering: boolean
}

/** What the carrying of an output is told of its command. */
export interface OutputOptions {
  readonly clock: Clock
  /** Resolves when the leader has ended. */
  readonly ended: Promise<unknown>
  /** Told of each piece that was read. */
  readonly onBytes: (bytes: number) => void
}

/** Where an output goes: a pipe, or what is kept of it. */
export interface OutputSink {
  readonly signal: AbortSignal
  write(chunk: Uint8Array): Promise<void>
}

/**
 * Carries an output to its end, or to that of the pipe. A peer that wants no more makes the program
 * meet SIGPIPE.
 */
export async function carryOutput(output: ProgramOutput, pipe: OutputSink, options: OutputOptions): Promise<Drained> {
  const { clock, ended, onBytes } = options
  const silence = new Silence(clock, () => output.discard())
  void ended.then(() => silence.begin())
  const unsubscribe = onAbort(pipe.signal, () => output.close())
  let bytes = 0
  try {
    for (;;) {
      silence.waits(true)
      const chunk = await output.read()
      silence.waits(false)
      if (chunk === undefined) break
      bytes += chunk.byteLength
      onBytes(chunk.byteLength)
      if (!(await isTaken(pipe, chunk))) break
    }
  } finally {
    if (!silence.wasLong) output.close()
    silence.over()
    unsubscribe()
  }
  return { bytes, lingering: silence.wasLong }
}

/** False where the peer has told us to stop, which is its wish and no failure of the handler's. */
export async function isTaken(pipe: OutputSink, chunk: Uint8Array): Promise<boolean> {
  try {
    await pipe.write(chunk)
    return true
  } catch (error) {
    if (pipe.signal.aborted) throw error
    return false
  }
}

/**
 * Calls back when nothing has been read for so long after the leader's end. Time in which the peer
 * takes nothing does not count.
 */
class Silence {
  readonly #clock: Clock
  readonly #give: () => void
  #began = false
  #isWaiting = false
  #timer: { cancel(): void } | undefined
  wasLong = false

  constructor(clock: Clock, give: () => void) {
    this.#clock = clock
    this.#give = give
  }

  begin(): void {
    this.#began = true
    if (this.#isWaiting) this.#start()
  }

  waits(isWaiting: boolean): void {
    this.#isWaiting = isWaiting
    this.#timer?.cancel()
    this.#timer = undefined
    if (isWaiting && this.#began) this.#start()
  }

  over(): void {
    this.#timer?.cancel()
    this.#began = false
    this.#isWaiting = false
  }

  #start(): void {
    this.#timer = this.#clock.after(
      LINGER_MS,
      () => {
        this.wasLong = true
        this.#give()
      },
      true,
    )
  }
}

/**
 * Carries what the peer writes to the program. Resolves when either has ended; rejects where the
 * pipe was cut: half of an input is not all of it.
 */
export async function carryInput(input: ProgramInput, pipe: Pipe, ended: Promise<unknown>): Promise<void> {
  const closed = (): void => {
    input.close()
    pipe.stopReading('ERR_STDIN_CLOSED')
  }
  void ended.then(closed)
  for await (const data of pipe.borrowed) {
    for (const chunk of data) {
      if (await input.write(chunk)) continue
      closed()
      return
    }
  }
  input.end()
}
