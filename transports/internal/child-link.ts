/**
 * A link over a child process: its stdin is where we write, its stdout where we read.
 *
 * Promises: no shell; starting that fails is a coded rejection; an exit with a status other than 0,
 * or by a signal, before the end is ERR_LINK_LOST that names it; `close` ends stdin and waits for
 * the exit, `abort` kills the child (and no other process). Assumes: the child writes nothing but
 * the line to stdout. Bounds: `limits.connectTimeoutMs` to start, `limits.closeTimeoutMs` to exit,
 * then it is killed.
 */
import type { ChildProcessByStdio, SpawnOptionsWithStdioTuple, StdioPipe } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { withDeadline, within } from '../../src/runtime/deadline.ts'
import { onAbort } from '../../src/runtime/on-abort.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import type { TransportOptions } from '../../src/contracts/types.ts'
import { socketLink, type ClosingLink } from './socket-link.ts'

/** What is run. */
export interface Command {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly stderr: 'inherit' | 'ignore'
}

type Child = ChildProcessByStdio<Writable, Readable, null>

/**
 * How long an end or an error of the line waits for the exit status that explains it. The kernel
 * closes a dying process's pipes a few microseconds before its parent is told; a child that ended
 * its stdout and lives on costs its peer this long once.
 */
const STATUS_GRACE_MS = 200

/**
 * Starts the child and makes the link.
 * @param halfClose false: only `close` ends the child's stdin. @default true
 */
export async function startChild(
  what: Command,
  options: TransportOptions,
  halfClose: boolean = true,
): Promise<ClosingLink> {
  const { signal, clock, limits } = options
  signal.throwIfAborted()
  const child = run(what)
  const exited = new Promise<string | undefined>((resolve) => {
    child.once('exit', (code, killedBy) => {
      if (code === 0) resolve(undefined)
      else resolve(code === null ? `was ended by ${String(killedBy)}` : `exited with status ${String(code)}`)
    })
  })
  await started(child, what.command, options)
  return socketLink({
    readable: child.stdout,
    writable: child.stdin,
    peer: `${what.command} (pid ${String(child.pid)})`,
    clock,
    closeTimeoutMs: limits.closeTimeoutMs,
    halfClose,
    cut() {
      child.kill('SIGKILL')
    },
    over: exited.then(() => undefined),
    async explain(error) {
      const status = await within(exited, STATUS_GRACE_MS, clock)
      if (status === undefined) return undefined
      return new TrunkError('ERR_LINK_LOST', `${what.command} ${status}`, error === undefined ? {} : { cause: error })
    },
  })
}

function run({ command, args, cwd, env, stderr }: Command): Child {
  const options: SpawnOptionsWithStdioTuple<StdioPipe, StdioPipe, 'inherit' | 'ignore'> = {
    stdio: ['pipe', 'pipe', stderr],
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  }
  return spawn(command, args, options)
}

/** Waits for the child to run; where it does not, it is gone afterwards. */
async function started(child: Child, command: string, { signal, clock, limits }: TransportOptions): Promise<void> {
  const timedOut = (): TrunkError =>
    new TrunkError('ERR_CONNECT_TIMEOUT', `cannot run ${command}: it did not start in time`, { scope: 'link' })
  const spawned = (limit: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      child.once('spawn', resolve)
      // Stays for the child's life: a signal that cannot be delivered is reported here, and the
      // exit tells what matters.
      child.on('error', (error) => {
        reject(startError(error, command))
      })
      onAbort(limit, () => reject(limit.reason as Error))
    })
  try {
    await withDeadline({ clock, signal, ms: limits.connectTimeoutMs, timedOut }, spawned)
  } catch (error) {
    child.kill('SIGKILL')
    child.stdin.destroy()
    child.stdout.destroy()
    throw error
  }
}

function startError(error: NodeJS.ErrnoException, command: string): TrunkError {
  const options = { cause: error, scope: 'link' } as const
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new TrunkError('ERR_DENIED', `cannot run ${command}: permission denied`, options)
  }
  const what = error.code === 'ENOENT' ? 'there is no such command or folder' : 'it did not start'
  return new TrunkError('ERR_CONNECT_REFUSED', `cannot run ${command}: ${what}`, options)
}
