/**
 * Starting programs by Node's own `spawn`, in a session of their own: what there is where no keeper
 * is. It passes on UTF-8 alone, becomes no other user, makes no terminal, and holds a tree together
 * as a process group.
 */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { constants as system } from 'node:os'
import { loadNative } from '../../src/native/load.ts'
import { systemClock, type Clock } from '../../src/runtime/clock.ts'
import { TrunkError } from '../../src/contracts/errors.ts'
import { launchFailure } from './failures.ts'
import type { Ended, Launched, Launcher, LaunchPlan } from './launch.ts'
import { ProcessGroup } from './process-group.ts'
import { enterable } from './search.ts'
import { pipesOf, type SpawnStreams } from './spawn-pipes.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A launcher over `spawn`. */
export function spawnLauncher(clock: Clock = systemClock): Launcher {
  return {
    tree: 'group',
    can: {
      terminal: false,
      user: false,
      limits: false,
      merge: loadNative() !== undefined,
      bytes: false,
      noNewPrivileges: false,
    },
    launch: (plan, signal) => launch(plan, signal, clock),
  }
}

async function launch(plan: LaunchPlan, signal: AbortSignal, clock: Clock): Promise<Launched> {
  await enterable(Buffer.from(plan.directory))
  await recognized(Buffer.from(plan.file))
  signal.throwIfAborted()
  const [argv0 = '', ...args] = plan.argv.map(text)
  const file = text(plan.file)
  const options = { argv0, cwd: text(plan.directory), env: environment(plan.env), detached: true }
  const pipes = pipesOf(plan)
  let child: ChildProcess
  try {
    child = await spawned(file, args, { ...options, stdio: pipes.stdio })
  } catch (error) {
    pipes.drop()
    throw error
  }
  const launched = launchedOf(child, pipes.streams(child), clock)
  if (signal.aborted) {
    launched.kill(0)
    launched.stdout?.close()
    launched.stderr?.close()
    await launched.empty()
    throw signal.reason
  }
  return launched
}

/**
 * Trees that are to end with their commands. Where this process ends before that, it ends them at
 * once.
 */
const owned = new Set<ProcessGroup>()
let isWatching = false

function own(group: ProcessGroup): void {
  owned.add(group)
  if (isWatching) return
  isWatching = true
  process.once('exit', () => {
    for (const each of owned) each.kill(0)
  })
}

function launchedOf(child: ChildProcess, streams: SpawnStreams, clock: Clock): Launched {
  const pid = child.pid ?? 0
  const group = new ProcessGroup(pid, clock)
  own(group)
  const ended = new Promise<Ended>((resolve) => {
    child.once('exit', (code, signal) => {
      group.leaderEnded()
      const name = signal === null ? null : signal.slice('SIG'.length)
      resolve({ code, signal: name, core: false, leftovers: group.count() })
    })
  })
  // a signal that could not be delivered is told here, and the exit tells what matters
  child.on('error', () => undefined)
  return {
    pid,
    tree: 'group',
    ...streams,
    ended,
    freed: Promise.all([streams.stdout?.closed, streams.stderr?.closed]),
    count: () => group.count(),
    async empty() {
      await group.empty()
      owned.delete(group)
    },
    signal(name, scope) {
      if (!Object.hasOwn(system.signals, `SIG${name}`)) return false
      return scope === 'foreground' ? false : group.signal(name, scope)
    },
    resize: () => undefined,
    kill(graceMs) {
      group.kill(graceMs)
    },
    release: () => owned.delete(group),
  }
}

/**
 * libuv executes as `execvp` does, which gives a file that the kernel does not know to /bin/sh.
 * What begins with neither an interpreter's line nor the mark of an ELF file is refused in its
 * place. One that cannot be read is left to the kernel, and so are other systems.
 */
async function recognized(file: Buffer): Promise<void> {
  if (process.platform !== 'linux') return
  let begin: Buffer
  try {
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      begin = (await handle.read(Buffer.alloc(4), 0, 4, 0)).buffer
    } finally {
      await handle.close()
    }
  } catch {
    // the launch itself says what is wrong
    return
  }
  const isScript = begin.subarray(0, 2).equals(SCRIPT)
  if (!isScript && !begin.equals(ELF)) throw launchFailure('execute', 'ENOEXEC')
}

const SCRIPT = Buffer.from('#!')
const ELF = Buffer.from('\x7fELF', 'latin1')

/** Resolves when the program has been executed: the kernel has told libuv so by then. */
function spawned(file: string, args: readonly string[], options: SpawnOptions): Promise<ChildProcess> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      reject(launchFailure('execute', (error as NodeJS.ErrnoException).code ?? '', error))
    }
    try {
      const child = spawn(file, args, options)
      child.once('error', fail)
      child.once('spawn', () => resolve(child))
    } catch (error) {
      // some errors of the kernel are thrown (E2BIG), some are told
      fail(error)
    }
  })
}

function environment(entries: readonly Uint8Array[]): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {}
  for (const entry of entries) {
    const pair = text(entry)
    const at = pair.indexOf('=')
    env[pair.slice(0, at)] = pair.slice(at + 1)
  }
  return env
}

function text(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch (error) {
    throw new TrunkError('ERR_UNSUPPORTED', 'this server passes on no arguments or environment but UTF-8', {
      cause: error,
    })
  }
}
