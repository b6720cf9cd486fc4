/**
 * Standard output and standard error, on the descriptors themselves. Output has back-pressure:
 * `write` resolves when the bytes have left, so a slow reader of it is felt by the peer and not by
 * memory. A reader that has gone away (EPIPE) is a quiet end. The user's interrupt ends a write
 * that nobody takes; what an interrupted command has to say then has a moment for it. Lines on
 * standard error wait in a queue with a bound, and come before what is written to standard output
 * after them.
 */
import type { Bytes, Clock, Timer } from '../index.ts'
import { abortError } from '../contracts/errors.ts'
import { onAbort } from '../runtime/on-abort.ts'
import { printableLines } from '../runtime/printable.ts'
import { DescriptorOutput } from './descriptor/output.ts'
import { isTerminal } from './descriptor/polled.ts'
import { errnoOf } from '../runtime/system-errors.ts'
import { about, outputClosed } from './failure.ts'
import type { Owner } from './owner.ts'

/** Where a command's results go. */
export interface Output {
  readonly isTerminal: boolean
  /** Resolves when what was given has left. */
  write(data: string | Bytes): Promise<void>
  /**
   * `write` of `text`, in which nothing is left that a terminal would obey but colours, and a line
   * end.
   */
  line(text: string): Promise<void>
}

/** Standard error, for lines and the progress bar. */
export interface ErrorOutput {
  readonly isTTY?: boolean
  readonly columns?: number
  /** Never waits, never fails. */
  write(text: string): void
  /** Bytes that are not ours, with back-pressure, behind the lines that wait. */
  bytes(data: Bytes): Promise<void>
  /** Resolves when all of it has left, or cannot leave. */
  flushed(): Promise<void>
}

/** Whose outputs they are. */
export interface OutputContext {
  readonly signal: AbortSignal
  readonly owner: Owner
  readonly clock: Clock
}

/** How long an interrupted command waits for a reader that does not take its last words. */
const LAST_WORDS_MS = 500
/** Characters that wait for a reader of standard error; lines beyond are left out. */
export const MAX_WAITING_LINES: number = 256 * 1024

/** Standard output of the process. `before` is waited for before each write. */
export function standardOutput(fd: number, context: OutputContext, before: () => Promise<void>): Output {
  const output = new DescriptorOutput(fd, context.clock, 'any')
  let stuck = false
  let terminal: boolean | undefined
  const put = async (chunks: readonly Uint8Array[]): Promise<void> => {
    await before()
    await output.write(chunks)
  }
  const write = async (data: string | Bytes): Promise<void> => {
    const chunks = typeof data === 'string' ? [Buffer.from(data)] : data instanceof Uint8Array ? [data] : [...data]
    if (stuck) throw abortError(context.signal)
    try {
      await inTime(context, put(chunks), context.signal.aborted ? LAST_WORDS_MS : 0)
    } catch (error) {
      stuck = context.signal.aborted
      const code = errnoOf(error)
      if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED') throw outputClosed(error)
      throw about('standard output', error)
    }
  }
  return {
    get isTerminal() {
      return (terminal ??= isTerminal(fd))
    },
    write,
    line: (text) => write(`${printableLines(text)}\n`),
  }
}

/** Standard error of the process. */
export function standardError(fd: number, context: OutputContext): ErrorOutput {
  // By no stream of Node's: that would make a pipe non-blocking for the children that share it.
  const output = new DescriptorOutput(fd, context.clock, 'pool')
  let terminal: boolean | undefined
  let waiting = ''
  let leftOut = 0
  let writing: Promise<void> | undefined
  const writeAll = async (): Promise<void> => {
    while (waiting !== '') {
      const text = waiting
      waiting = ''
      if (leftOut > 0) waiting = `trunkline: ${leftOut} further lines were left out\n`
      leftOut = 0
      // Whoever read our lines may have gone: that is no reason to end, and there is nobody to
      // tell.
      await output.write([Buffer.from(text)]).catch(() => undefined)
    }
    writing = undefined
  }
  const lastMs = (): number => (context.signal.aborted ? LAST_WORDS_MS : 0)
  return {
    get isTTY() {
      return (terminal ??= isTerminal(fd))
    },
    get columns() {
      return isTerminal(fd) ? process.stderr.columns : 80
    },
    write(text) {
      if (waiting.length + text.length > MAX_WAITING_LINES) leftOut += 1
      else waiting += text
      writing ??= writeAll()
    },
    async bytes(data) {
      await writing
      try {
        await inTime(context, output.write(data instanceof Uint8Array ? [data] : [...data]), lastMs())
      } catch (error) {
        if (errnoOf(error) === 'EPIPE') throw outputClosed(error)
        throw about('standard error', error)
      }
    },
    async flushed() {
      if (writing !== undefined) await inTime(context, writing, LAST_WORDS_MS).catch(() => undefined)
    },
  }
}

/**
 * The outcome of `work`; once the user has interrupted it has `lastMs` more, then nobody waits for
 * it.
 */
function inTime({ signal, owner, clock }: OutputContext, work: Promise<void>, lastMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let timer: Timer | undefined
    const leave = (): void => {
      owner.leave(work)
      reject(abortError(signal))
    }
    const unsubscribe = onAbort(signal, () => {
      if (lastMs === 0) leave()
      else timer = clock.after(lastMs, leave, true)
    })
    const over = (): void => {
      unsubscribe()
      timer?.cancel()
    }
    work.finally(over).then(resolve, reject)
  })
}
