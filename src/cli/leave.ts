/**
 * The end of the process. It comes when nothing is left to do, as for any program, and soon after
 * the command in any case: whatever was not ended does not keep it. Work in the thread pool that
 * nothing can take back (a FIFO without a writer, a reader that stands still) does not, either;
 * Node's own exit would wait for it.
 */
import { rmSync } from 'node:fs'
import { loadNative } from '../native/load.ts'
import type { Context } from './context.ts'
import { toBeMadeBlocking } from './descriptor/polled.ts'
import type { ExitStatus } from './failure.ts'
import { lastWords } from './last-words.ts'

/** What a link may take to send its last bytes and close. */
const GRACE_MS = 1_000

/**
 * Removes what an unfinished command has left on this machine; a moment before the process ends, so
 * at once.
 */
export function removeTemporaries({ temporaries }: Pick<Context, 'temporaries'>): void {
  for (const path of temporaries) {
    try {
      rmSync(path, { recursive: true, force: true })
    } catch {
      // The process ends in this moment, and nobody is left to do anything about it.
    }
  }
}

/** To be called when the command is over, its owner has ended everything, and it has said all. */
export async function leave(context: Context, status: ExitStatus): Promise<void> {
  const { clock, owner, stderr } = context
  process.exitCode = status
  await stderr.flushed()
  lastWords()
  removeTemporaries(context)
  if (owner.hasLeft) exitAtOnce(status)
  clock.after(GRACE_MS, () => {
    if (owner.hasLeft) exitAtOnce(status)
    process.exit(status)
  })
}

/**
 * Without waiting for threads. Where the addon is missing that takes a signal, which the exit
 * status then tells of.
 */
function exitAtOnce(status: ExitStatus): void {
  const blocking = toBeMadeBlocking().reduce((bits, fd) => bits | (1 << fd), 0)
  loadNative()?.exit(status, blocking)
  process.removeAllListeners('SIGTERM')
  process.kill(process.pid, 'SIGTERM')
}
