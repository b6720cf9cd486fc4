/** The exit status of a command of the peer's, as ours. */
import { closeSync, fstatSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import type { Exit } from '../../../protocols/exec.ts'
import { asFailure, CommandEnded, EXEC_EXIT, usageError } from '../failure.ts'

/**
 * Ends as it has ended. Tells a program apart whose status is one of ours: `{"exit":125}` is the
 * command's, `{"error":"ERR_LINK_LOST"}` is about us.
 */
export async function withStatus(fd: number | undefined, work: () => Promise<Exit>): Promise<void> {
  const tell = (status: object): void => {
    if (fd === undefined) return
    writeSync(fd, `${JSON.stringify(status)}\n`)
    closeSync(fd)
  }
  if (fd !== undefined) requireOpen(fd)
  let exit: Exit
  try {
    exit = await work()
  } catch (error) {
    const { code } = asFailure(error)
    tell({ error: code })
    throw error
  }
  const { code, signal, timedOut, leftovers } = exit
  tell({
    ...(code === null ? { signal } : { exit: code }),
    ...(timedOut && { timedOut }),
    ...(leftovers > 0 && { leftovers }),
  })
  throw new CommandEnded(statusOf(exit))
}

/** Before the command runs: its status would have nowhere to go. */
function requireOpen(fd: number): void {
  try {
    fstatSync(fd)
  } catch {
    throw usageError(`--status-fd ${fd}: no such descriptor is open`)
  }
}

function statusOf({ code, signal, timedOut }: Exit): number {
  if (timedOut) return EXEC_EXIT.timedOut
  if (code !== null) return code
  const numbers: Readonly<Record<string, number>> = constants.signals
  return EXEC_EXIT.signalled + (numbers[`SIG${signal ?? ''}`] ?? 0)
}
