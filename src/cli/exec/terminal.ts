/**
 * A command of the peer's on its own terminal, shown on ours. Ours is raw meanwhile, where there is
 * one; what the program has left set in it is put back where the end was not its own.
 */
import type { Timer } from '../../index.ts'
import type { Exit, RunningCommand } from '../../../protocols/exec.ts'
import type { Context } from '../context.ts'
import { readDescriptor } from '../descriptor/input.ts'
import { isTerminal, standsForClosed } from '../descriptor/polled.ts'
import { asFailure } from '../failure.ts'
import { EscapeKeys, type Wish } from './escape.ts'
import { PrivateModes } from './private-modes.ts'
import { RawTerminal } from './raw-terminal.ts'
import { Leaving } from './leaving.ts'
import { printed } from './streams.ts'
import { TypedAhead } from './typed-ahead.ts'

/** A size changes with each pixel of a window that is drawn larger. */
const RESIZE_MS = 16

/** The size of our terminal; that of none is the usual one. */
export function localSize(): { columns: number; rows: number } {
  const { columns, rows } = process.stdout as Partial<NodeJS.WriteStream>
  // a terminal that does not know its size says 0
  return { columns: columns || 80, rows: rows || 24 }
}

/** How a session on a terminal is held. */
export interface TerminalSession {
  /** undefined: there is no such character. */
  readonly escape: number | undefined
  /** It only looks on. */
  readonly watches: boolean
}

/** Shows the command until it ends, or we leave it. */
export async function onTerminal(context: Context, command: RunningCommand, session: TerminalSession): Promise<Exit> {
  const modes = new PrivateModes()
  let isItsOwnEnd = false
  const raw =
    isTerminal(context.stdin) && !session.watches
      ? new RawTerminal(context.stdin, () => (isItsOwnEnd ? '' : modes.undo()))
      : undefined
  const sizes = raw && followSize(context, command)
  const leaving = new Leaving(context, command, { watches: session.watches, interrupts: 'foreground' })
  const typing = session.watches ? undefined : typed(context, command, raw, session, leaving)
  try {
    const shown = printed(command.stdout, async (bytes) => {
      for (const chunk of bytes instanceof Uint8Array ? [bytes] : bytes) modes.push(chunk)
      await context.stdout.write(bytes)
    })
    const [exit] = await Promise.race([Promise.all([command.exit, shown]), leaving.promise])
    // one that was ended by a signal has put nothing back
    isItsOwnEnd = exit.signal === null
    return exit
  } catch (error) {
    if (leaving.outcome !== undefined) throw await leaving.outcome
    if (command.name === undefined) command.kill(asFailure(error))
    throw error
  } finally {
    leaving.over()
    sizes?.()
    typing?.()
    raw?.close()
  }
}

/** Tells each new size of our terminal: not too often, and the last one always. */
function followSize({ clock }: Context, command: RunningCommand): () => void {
  let timer: Timer | undefined
  const tell = (): void => {
    timer = undefined
    const { columns, rows } = localSize()
    // a command that has ended has no size
    command.resize(columns, rows).catch(() => undefined)
  }
  const changed = (): void => {
    timer ??= clock.after(RESIZE_MS, tell, true)
  }
  process.stdout.on('resize', changed)
  // it may have changed since the start was asked for, and an attached one has another's
  tell()
  return () => {
    process.stdout.off('resize', changed)
    timer?.cancel()
  }
}

/** Passes on what is typed. The result ends that. */
function typed(
  context: Context,
  command: RunningCommand,
  raw: RawTerminal | undefined,
  session: TerminalSession,
  leaving: Leaving,
): () => void {
  if (raw === undefined) {
    if (standsForClosed(context.stdin)) return () => undefined
    const source = readDescriptor(context, { fd: context.stdin, name: 'standard input' })
    // what it says is the command's own affair: it need not read
    command.stdin?.sink(source).catch(() => undefined)
    return () => void source.return?.()
  }
  const keys = new EscapeKeys(session.escape)
  const { input } = raw
  let isOver = false
  const obey = (wish: Wish): void => {
    if (leaving.canStay && (wish === 'leave' || wish === 'detach')) leaving.detach()
    else if (wish === 'leave') leaving.kill()
    else if (wish === 'suspend') suspend(raw, command)
    // a terminal that is raw wants both
    else context.stderr.write(`\r\n${helpOf(leaving.canStay)}\r\n`)
  }
  const ahead = new TypedAhead(
    async (typed) => await command.stdin?.write(typed),
    () => {
      if (!isOver) input.resume()
    },
  )
  input.on('data', (bytes) => {
    for (const part of keys.push(bytes)) {
      if ('wish' in part) obey(part.wish)
      else ahead.push(part.keys)
    }
    if (ahead.isFull) input.pause()
  })
  input.on('end', () => leaving.byHangUp())
  return () => {
    isOver = true
    input.pause()
  }
}

/** Stops us, as Ctrl-Z does: the next line runs when we go on. */
function suspend(raw: RawTerminal, command: RunningCommand): void {
  raw.restore()
  process.kill(process.pid, 'SIGSTOP')
  raw.enter()
  const { columns, rows } = localSize()
  command.resize(columns, rows).catch(() => undefined)
}

function helpOf(canStay: boolean): string {
  const leave = canStay ? '~. or ~d leaves it, and it goes on' : '~. ends it'
  return `at the start of a line: ${leave}; ~^Z suspends us; ~~ is a ~`
}
