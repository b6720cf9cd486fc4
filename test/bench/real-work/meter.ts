/**
 * Wall time and processor time of a command and of the servers that work for it: user and system,
 * of every process on both sides. Linux only.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { text } from 'node:stream/consumers'

/** What a piece of work cost. */
export interface Cost {
  readonly seconds: number
  /** Of all processes together. */
  readonly cpuSeconds: number
}

/** A command line, and what it reads from its standard input. */
export interface Work {
  readonly argv: readonly string[]
  readonly input?: string
}

/** The unit of /proc's times: the kernel's USER_HZ, the same on every Linux. */
const TICKS_PER_SECOND = 100
/**
 * Where the times are in what follows the name in /proc/PID/stat: own user and system, then those
 * of children that were waited for.
 */
const TIME_FIELDS = [11, 12, 13, 14] as const
const PARENT_FIELD = 1

/**
 * Runs the work to its end. Rejects where it fails, with what it said. `servers` are the processes
 * whose trees work for it.
 */
export async function costOf({ argv, input = '' }: Work, servers: readonly number[]): Promise<Cost> {
  const before = cpuOf(servers)
  const started = performance.now()
  // The shell waits for the command, which waits for its own: `times` then tells the time of all of
  // them, without a program to be installed.
  const child = spawn('sh', ['-c', '"$@"; status=$?; times >&3; exit $status', 'sh', ...argv], {
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  })
  const { stdin, stdout, stderr } = child
  const times = child.stdio[3]
  if (times === null || times === undefined || !('read' in times)) throw new Error('no pipe for the times')
  stdin.on('error', () => undefined) // a command that reads nothing may close it
  stdin.end(input)
  const [said, shown, ended] = await Promise.all([
    Promise.all([text(stdout), text(stderr)]),
    text(times),
    once(child, 'exit') as Promise<[number | null]>,
  ])
  const seconds = (performance.now() - started) / 1000
  if (ended[0] !== 0) throw new Error(`${argv.join(' ')} ended with ${ended[0]}: ${said.join('')}`)
  return { seconds, cpuSeconds: childrenSeconds(shown) + cpuOf(servers) - before }
}

/** Processor seconds of the processes and everything below them so far. */
export function cpuOf(pids: readonly number[]): number {
  const stats = allProcesses()
  const secondsOf = (pid: number): number => {
    const own = stats.get(pid)?.seconds ?? 0
    const below = [...stats].filter(([, { parent }]) => parent === pid)
    return below.reduce((sum, [child]) => sum + secondsOf(child), own)
  }
  return pids.reduce((sum, pid) => sum + secondsOf(pid), 0)
}

/** The processes of which `pid` is the parent. */
export function childrenOf(pid: number): number[] {
  return [...allProcesses()].filter(([, { parent }]) => parent === pid).map(([child]) => child)
}

function allProcesses(): Map<number, { parent: number; seconds: number }> {
  const found = new Map<number, { parent: number; seconds: number }>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const fields = statOf(name)
    if (fields === undefined) continue
    const ticks = TIME_FIELDS.reduce((sum, at) => sum + Number(fields[at]), 0)
    found.set(Number(name), { parent: Number(fields[PARENT_FIELD]), seconds: ticks / TICKS_PER_SECOND })
  }
  return found
}

function statOf(pid: string): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined // it has ended since the folder was listed
  }
}

/** The second line of what `times` prints: `0m1.25s 0m0.40s`, user and system of the children. */
function childrenSeconds(shown: string): number {
  const parts = (shown.split('\n')[1] ?? '').split(' ')
  return parts.reduce((sum, part) => {
    const [, minutes = '', seconds = ''] = /^(\d+)m([\d.]+)s$/.exec(part) ?? []
    return sum + Number(minutes) * 60 + Number(seconds)
  }, 0)
}
