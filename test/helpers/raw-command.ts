/**
 * The real `trunkline` command on descriptors that the test gives it, and how to know that it
 * stands still.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { BINARY } from './command-line.ts'
import { steady } from './eventually.ts'
import { endWithTests } from './left-children.ts'
import { temporaryFolder } from './temporary-folder.ts'

/** What the three standard descriptors are; `pipe` gives the test a stream. */
export type Descriptors = readonly ('pipe' | 'ignore' | number)[]

/** A command on given descriptors. */
export interface RawCommand {
  readonly child: ChildProcess
  /** Status and signal. */
  readonly ended: Promise<readonly [number | null, NodeJS.Signals | null]>
  /** Resolves when it does nothing any more: it waits, or has ended. */
  still(): Promise<void>
}

/** Starts a command; it is killed with the test process at the latest. */
export function startRaw(args: readonly string[], stdio: Descriptors, to?: string): RawCommand {
  const { TRUNKLINE_TO: _to, TRUNKLINE_TOKEN_FILE: _token, ...env } = process.env
  const child = spawn(process.execPath, [BINARY, ...args], {
    stdio: [...stdio],
    env: { ...env, ...(to === undefined ? {} : { TRUNKLINE_TO: to }) },
  })
  endWithTests(child)
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  return {
    child,
    ended,
    async still() {
      await steady(() => ticksOf(child.pid), 500)
    },
  }
}

/**
 * Processor time of all threads; another value each time while one of them could run, but for a
 * busy machine.
 */
let busy = 0
function ticksOf(pid: number | undefined): number {
  let ticks = 0
  for (const thread of threadsOf(pid)) {
    const fields = factsOf(pid, `task/${thread}/stat`).split(') ')[1]?.split(' ') ?? []
    if (fields[0] === 'R' || fields[0] === 'D') return (busy -= 1)
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
  }
  return ticks
}

function threadsOf(pid: number | undefined): string[] {
  try {
    return readdirSync(`/proc/${pid ?? 0}/task`)
  } catch {
    return [] // it has ended
  }
}

function factsOf(pid: number | undefined, name: string): string {
  try {
    return readFileSync(`/proc/${pid ?? 0}/${name}`, 'utf8')
  } catch {
    return '' // it has ended
  }
}

/** Makes a FIFO in a folder of its own. */
export function makeFifo(): string {
  const path = join(temporaryFolder(), 'fifo')
  const { status } = spawnSync('mkfifo', [path])
  if (status !== 0) throw new Error('mkfifo failed')
  return path
}

/** A pipe that blocks, as a shell makes them. */
export interface Pipe {
  readonly read: number
  readonly write: number
  close(): void
}

/** Makes a pipe; with `full`, one that takes no further byte. */
export function makePipe({ full = false }: { full?: boolean } = {}): Pipe {
  const path = makeFifo()
  const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  if (full) {
    const filling = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
    try {
      for (;;) writeSync(filling, Buffer.alloc(4096))
    } catch {
      closeSync(filling) // EAGAIN: it is full
    }
  }
  const write = openSync(path, constants.O_WRONLY)
  let open = true
  return {
    read,
    write,
    close() {
      if (!open) return
      open = false
      closeSync(read)
      closeSync(write)
    },
  }
}
