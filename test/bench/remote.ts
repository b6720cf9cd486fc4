/**
 * Calls into a process of our own: one message there, one back. A process whose caller is gone ends
 * itself.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

interface Call {
  readonly id: number
  readonly name: string
  readonly argument: unknown
}

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

/** A process that answers calls. */
export interface Remote {
  /** False once the process has ended: nothing can be called any more. */
  readonly alive: boolean
  /** Rejects where the process answers with an error, ends, or takes longer than `timeoutMs`. */
  call(name: string, argument: unknown, timeoutMs: number): Promise<unknown>
  kill(): void
}

/** No answer in time. */
export class TimedOut extends Error {
  constructor(timeoutMs: number) {
    super(`did not finish within ${timeoutMs / 1000} s`)
  }
}

/**
 * Starts `file` (beside this one's build), with the collector at hand. One that `leads` is ended
 * together with the processes that it has started itself: those may be too busy to see that it is
 * gone.
 */
export function startRemote(file: string, args: readonly string[], env: NodeJS.ProcessEnv, leads = false): Remote {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    execArgv: ['--expose-gc'],
    env,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    detached: leads,
  })
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>()
  let complaint = ''
  let next = 0
  let alive = true
  child.stderr?.on('data', (text: Buffer) => {
    complaint = (complaint + text.toString()).slice(-4000)
  })
  child.on('message', ({ id, result, error }: Answer) => {
    const call = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) call?.resolve(result)
    else call?.reject(new Error(error))
  })
  const ended = (): void => {
    alive = false
    const why = complaint.split('\n').find((line) => line.includes('Error')) ?? 'without a word'
    for (const { reject } of waiting.values()) reject(new Error(`its process has ended: ${why.trim()}`))
    waiting.clear()
  }
  child.on('close', ended)
  child.on('error', ended)
  return {
    get alive() {
      return alive
    },
    call(name, argument, timeoutMs) {
      return new Promise((resolve, reject) => {
        if (!alive) {
          reject(new Error('its process has ended'))
          return
        }
        const id = next++
        const timer = setTimeout(() => {
          waiting.delete(id)
          reject(new TimedOut(timeoutMs))
        }, timeoutMs)
        const settled = <T>(settle: (value: T) => void): ((value: T) => void) => {
          return (value) => {
            clearTimeout(timer)
            settle(value)
          }
        }
        waiting.set(id, { resolve: settled(resolve), reject: settled(reject) })
        child.send({ id, name, argument } satisfies Call)
      })
    },
    kill() {
      alive = false
      if (leads && child.pid !== undefined) killGroup(child.pid)
      else child.kill('SIGKILL')
    },
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL')
  } catch (error) {
    // all of them have ended before
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Answers the caller of this process until it is gone. */
export function answerCalls(handlers: Readonly<Record<string, (argument: never) => unknown>>): void {
  process.on('disconnect', () => process.exit(0))
  process.on('message', ({ id, name, argument }: Call) => {
    const say = (answer: Answer): void => void process.send?.(answer)
    Promise.resolve(argument)
      .then((value) => handlers[name]?.(value as never))
      .then(
        (result) => say({ id, result }),
        (error: unknown) => say({ id, error: String(error) }),
      )
  })
}
