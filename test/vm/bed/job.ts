/**
 * A command that runs somewhere: on this machine or in a guest. Its lines are kept until they are
 * asked for; whoever waits for a line or for the end waits with a limit, and a wait that fails
 * shows what the command said last.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** How one acts on a running command. */
export interface JobHandle {
  /** Puts a line on its input. */
  say(text: string): void
  /** SIGKILL to it and all that it started. */
  kill(): void
}

/** A line, and when it arrived here. */
export interface Line {
  readonly text: string
  /** Milliseconds of `performance.now()`. */
  readonly at: number
}

/** Lines that are kept for a message. */
const SHOWN_LINES = 30
/** Longest wait unless said otherwise. */
const WAIT_MS = 60_000

export class Job implements JobHandle {
  readonly name: string
  readonly #handle: JobHandle
  readonly #unread: Line[] = []
  readonly #last: string[] = []
  readonly #woken = new Set<() => void>()
  #status: number | undefined

  constructor(name: string, handle: JobHandle) {
    this.name = name
    this.#handle = handle
  }

  say(text: string): void {
    this.#handle.say(text)
  }

  kill(): void {
    this.#handle.kill()
  }

  /** Its exit status once it has ended; 128 and the signal where it was killed. */
  get status(): number | undefined {
    return this.#status
  }

  /**
   * The next line of its output or its errors. Rejects when there will be none, or none comes in
   * time.
   */
  async line(timeoutMs?: number): Promise<string> {
    return (await this.next(timeoutMs)).text
  }

  /** Likewise, with its time. */
  async next(timeoutMs: number = WAIT_MS): Promise<Line> {
    await this.#until(() => this.#unread.length > 0 || this.#status !== undefined, 'a line', timeoutMs)
    const line = this.#unread.shift()
    if (line === undefined) throw this.#failure('no further line')
    return line
  }

  /** Its lines as they come, up to its end, however long that takes. */
  async *lines(): AsyncGenerator<string, void, undefined> {
    for (;;) {
      await this.#until(() => this.#unread.length > 0 || this.#status !== undefined, 'a line')
      const line = this.#unread.shift()
      if (line === undefined) return
      yield line.text
    }
  }

  /**
   * Resolves with its status; what it said and nobody read is given with it. Null: however long
   * that takes.
   */
  async ended(timeoutMs: number | null = WAIT_MS): Promise<{ status: number; output: string }> {
    await this.#until(() => this.#status !== undefined, 'its end', timeoutMs ?? undefined)
    const lines = this.#unread.splice(0)
    return { status: this.#status ?? -1, output: lines.map(({ text }) => text).join('\n') }
  }

  /** What it said last, for a message. */
  get story(): string {
    const status = this.#status === undefined ? 'runs' : `has ended with ${this.#status}`
    return `${this.name} ${status}; it said last:\n${this.#last.map((line) => `  ${line}`).join('\n')}`
  }

  /** To be called with each line. */
  take(text: string): void {
    this.#unread.push({ text, at: performance.now() })
    this.#last.push(text)
    if (this.#last.length > SHOWN_LINES) this.#last.shift()
    this.#wake()
  }

  /** To be called at its end, after its last line. */
  over(status: number): void {
    this.#status ??= status
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#woken) wake()
  }

  async #until(check: () => boolean, what: string, timeoutMs?: number): Promise<void> {
    if (check()) return
    await new Promise<void>((resolve, reject) => {
      const done = (act: () => void) => {
        clearTimeout(timer)
        this.#woken.delete(wake)
        act()
      }
      const giveUp = () => {
        done(() => reject(this.#failure(`waited ${String(timeoutMs)} ms for ${what}`)))
      }
      const timer = timeoutMs === undefined ? undefined : setTimeout(giveUp, timeoutMs)
      const wake = () => {
        if (check()) done(resolve)
      }
      this.#woken.add(wake)
    })
  }

  #failure(why: string): Error {
    return new Error(`${why}: ${this.story}`)
  }
}

/** Something that runs commands: this machine, or a guest. */
export interface Machine {
  /** Starts a shell command in the folder of the installed package. */
  start(command: string): Job
}

/** This machine; commands run in `folder`, and are killed when this process ends. */
export function thisMachine(folder: string): Machine {
  return {
    start(command) {
      // a group of its own, to be killed as a whole; and by the kernel if we die
      const args = ['--pdeathsig', 'KILL', 'sh', '-c', `exec ${command}`]
      const child = spawn('setpriv', args, { cwd: folder, detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
      const kill = () => {
        try {
          if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
        }
      }
      const job = new Job(command, { kill, say: (text) => void child.stdin.write(`${text}\n`) })
      child.stdin.on('error', () => undefined) // a command that no longer reads: its end is told
      for (const output of [child.stdout, child.stderr]) {
        createInterface({ input: output }).on('line', (line) => {
          job.take(line)
        })
      }
      process.once('exit', kill)
      child.once('close', (status, signal) => {
        process.off('exit', kill)
        job.over(status ?? (signal === 'SIGKILL' ? 137 : 128))
      })
      child.once('error', (error) => {
        job.take(String(error))
        job.over(127)
      })
      return job
    },
  }
}

/** Runs a command to its end; rejects where its status is not 0. Gives what it said. */
export async function run(machine: Machine, command: string, timeoutMs?: number): Promise<string> {
  const { status, output } = await machine.start(command).ended(timeoutMs)
  if (status !== 0) throw new Error(`${command} ended with ${status}:\n${output}`)
  return output
}
