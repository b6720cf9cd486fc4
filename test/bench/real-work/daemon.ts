/**
 * Programs that serve until the run is over: started, waited for until they answer, and ended with
 * this process at the latest.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { performance } from 'node:perf_hooks'
import { childrenOf } from './meter.ts'
import { eventually } from '../../helpers/eventually.ts'

/** A running server. */
export interface Daemon {
  readonly pid: number
  /** Resolves when what it has started for a client is gone, and its times are counted. */
  settled(): Promise<void>
  stop(): Promise<void>
}

const START_MS = 10_000

/** Starts a server that listens on a port of 127.0.0.1, or at a socket's path. */
export async function daemon(argv: readonly [string, ...string[]], at: number | string): Promise<Daemon> {
  const [command, ...args] = argv
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  const ended = once(child, 'exit')
  const deadline = performance.now() + START_MS
  while (!(await answers(at))) {
    if (child.exitCode === null && performance.now() < deadline) continue
    child.kill('SIGKILL')
    throw new Error(`${argv.join(' ')} does not serve: ${said}`)
  }
  const pid = child.pid ?? 0
  return {
    pid,
    settled: () => eventually(() => childrenOf(pid).length === 0, `${command} has no client`, START_MS),
    async stop() {
      process.removeListener('exit', kill)
      child.kill('SIGTERM')
      await ended
    },
  }
}

/** True where someone listens. A moment passes before it says no. */
function answers(at: number | string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = typeof at === 'number' ? connect(at, '127.0.0.1') : connect(at)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => setTimeout(() => resolve(false), 20))
  })
}
