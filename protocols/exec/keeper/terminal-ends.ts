/**
 * A terminal's streams: both are the master, which is read to EIO, whatever has ended before, so
 * that nothing of the last output is lost.
 */
import { loadNative, READABLE, WRITABLE, type NativeAddon, type NativeWatch } from '../../../src/native/load.ts'
import { TrunkError } from '../../../src/contracts/errors.ts'
import { errnoOf } from '../../../src/runtime/system-errors.ts'
import { launchFailure } from '../failures.ts'
import type { Launched, LaunchPlan, ProgramInput, ProgramOutput, TerminalSize } from '../launch.ts'

/** At most so much is read at a time: the kernel holds no more of a terminal's output. */
const READ_BYTES = 64 * 1024
/**
 * Reads in one turn of the event loop into nothing: a program that writes without end lets others
 * have theirs.
 */
const DISCARDS = 4

/** A terminal before and while a program has it. */
export interface Terminal extends NonNullable<Launched['terminal']> {
  /** The program's end, open until `started`. */
  readonly slave: number
  /** The program has it: our copy of its end is closed, so that its last one ends the output. */
  started(): void
  resize(size: TerminalSize): void
  /** The process group in its foreground; 0 where there is none. */
  foreground(): number
  /** Hangs up. */
  close(): void
}

/** Makes one as a plan wants it. Throws what a launch that fails at its terminal throws. */
export function makeTerminal({ columns, rows, x, y, modes }: NonNullable<LaunchPlan['terminal']>): Terminal {
  const native = loadNative()
  if (native === undefined) throw launchFailure('terminal', 'ENOSYS')
  let ends: { readonly master: number; readonly slave: number }
  try {
    ends = native.openTerminal(columns, rows, x, y)
  } catch (error) {
    throw launchFailure('terminal', (error as NodeJS.ErrnoException).code ?? '', error)
  }
  try {
    for (const [name, value] of Object.entries(modes)) native.setMode(ends.slave, name as 'echo', Number(value))
  } catch (error) {
    native.close(ends.slave)
    native.close(ends.master)
    throw launchFailure('terminal', (error as NodeJS.ErrnoException).code ?? '', error)
  }
  return new Master(native, ends.master, ends.slave)
}

class Master implements Terminal {
  readonly slave: number
  readonly input: ProgramInput
  readonly output: ProgramOutput
  readonly #native: NativeAddon
  readonly #fd: number
  readonly #watch: NativeWatch
  readonly #room = new Uint8Array(READ_BYTES)
  #hasSlave = true
  /** Hung up by us: there is no descriptor any more. */
  #isClosed = false
  /** Nobody has the other end any more. */
  #isOver = false
  #discards = false
  #inputIsOver = false
  #failure: TrunkError | undefined
  #closed: () => void = () => undefined
  #reader: (() => void) | undefined
  #writer: (() => void) | undefined

  constructor(native: NativeAddon, master: number, slave: number) {
    this.#native = native
    this.#fd = master
    this.slave = slave
    this.#watch = native.watch(master, () => {
      this.#woken()
    })
    const closed = new Promise<void>((resolve) => {
      this.#closed = resolve
    })
    this.output = {
      closed,
      read: () => this.#read(),
      close: () => {
        this.close()
      },
      discard: () => {
        this.#discards = true
        this.#watch.unref()
        this.#woken()
      },
    }
    this.input = {
      write: (chunk) => this.#write(chunk),
      end: () => {
        this.#end()
      },
      close: () => {
        this.#inputIsOver = true
        this.#woken()
      },
    }
  }

  started(): void {
    if (this.#hasSlave) this.#native.close(this.slave)
    this.#hasSlave = false
  }

  resize({ columns, rows, x, y }: TerminalSize): void {
    if (!this.#isClosed) this.#native.resize(this.#fd, columns, rows, x, y)
  }

  foreground(): number {
    return this.#isClosed ? 0 : this.#native.foreground(this.#fd)
  }

  close(): void {
    this.started()
    if (this.#isClosed) return
    this.#isClosed = true
    this.#isOver = true
    this.#watch.close()
    this.#native.close(this.#fd)
    this.#closed()
    this.#woken()
  }

  /** Whoever waits looks again; watches on for what nobody has got yet. */
  #woken(): void {
    const [reader, writer] = [this.#reader, this.#writer]
    this.#reader = this.#writer = undefined
    reader?.()
    writer?.()
    if (this.#discards) this.#drain()
    this.#rewatch()
  }

  /** Reads into nothing what is there; at the end nobody asks for it any more. */
  #drain(): void {
    for (let turn = 0; turn < DISCARDS && !this.#isOver; turn++) if (this.#take() === undefined) return
    if (this.#isOver) this.close()
  }

  #rewatch(): void {
    if (this.#isClosed) return
    const reads = this.#reader !== undefined || (this.#discards && !this.#isOver)
    const events = (reads ? READABLE : 0) | (this.#writer !== undefined ? WRITABLE : 0)
    if (events === 0) this.#watch.stop()
    else this.#watch.start(events)
  }

  /**
   * What is there: undefined where nothing is now, 0 bytes at the end. Never throws: a failure is
   * an end that the reader is told of.
   */
  #take(): Uint8Array | undefined {
    if (this.#isOver) return new Uint8Array(0)
    try {
      const length = this.#native.read(this.#fd, this.#room)
      if (length === undefined) return undefined
      if (length > 0) return this.#room.subarray(0, length)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EIO')
        this.#failure = new TrunkError('ERR_IO', 'the terminal could not be read', { cause: error })
    }
    this.#isOver = true
    return new Uint8Array(0)
  }

  async #read(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#discards || this.#isClosed) return undefined
      const taken = this.#take()
      if (this.#failure !== undefined) throw this.#failure
      if (taken !== undefined) return taken.byteLength > 0 ? taken : undefined
      await new Promise<void>((resolve) => {
        this.#reader = resolve
        this.#rewatch()
      })
    }
  }

  async #write(chunk: Uint8Array): Promise<boolean> {
    let rest = chunk
    while (rest.byteLength > 0) {
      if (this.#inputIsOver || this.#isOver) return false
      try {
        rest = rest.subarray(this.#native.write(this.#fd, [rest]))
      } catch (error) {
        if (errnoOf(error) === 'EIO') return false
        throw new TrunkError('ERR_IO', 'the terminal could not be written', { cause: error })
      }
      if (rest.byteLength === 0) break
      await new Promise<void>((resolve) => {
        this.#writer = resolve
        this.#rewatch()
      })
    }
    return !this.#inputIsOver && !this.#isOver
  }

  /** The terminal stays: whoever attaches next writes on. */
  #end(): void {
    if (this.#inputIsOver || this.#isOver) return
    const character = this.#native.endOfFile(this.#fd)
    // one that does not fit is behind 4 KiB that the program has not read, and is as lost there as
    // any key
    if (character !== undefined) this.#native.write(this.#fd, [Uint8Array.of(character)])
  }
}
