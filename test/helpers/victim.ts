/** Starts test/hostile/victim.ts and speaks with it: each call of it is a method here. */
import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { VictimCalls } from '../hostile/victim.ts'
import { typeScript } from './typescript.ts'

const words = typeScript(fileURLToPath(new URL('../hostile/victim.ts', import.meta.url)))
const [options, program = ''] = [words.slice(0, -1), words.at(-1)]

/** It starts in a second, and ends at once. */
const PATIENCE_MS = 60_000

interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
}

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** A victim that runs. Calls reject when it has died. */
export class Victim {
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  #calls = 0

  constructor() {
    this.#process = fork(program, { execArgv: ['--expose-gc', ...options] })
    this.#process.on('message', ({ id, value, error }: Answer) => {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (error === undefined) waiting?.resolve(value)
      else waiting?.reject(new Error(error))
    })
    this.#process.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the victim died: ${code ?? signal}`))
      this.#waiting.clear()
    })
  }

  /**
   * Resolves when it takes calls. Rejects where it does not in time: a hook that waits for ever is
   * not ended by a test's limit.
   */
  static async start(): Promise<Victim> {
    const victim = new Victim()
    await new Promise((resolve, reject) => {
      victim.#waiting.set(0, { resolve, reject })
      victim.#inTime('start', reject)
    })
    return victim
  }

  /** Calls one of its functions. */
  call<Name extends keyof VictimCalls>(
    name: Name,
    ...args: Parameters<VictimCalls[Name]>
  ): Promise<Awaited<ReturnType<VictimCalls[Name]>>> {
    return new Promise((resolve, reject) => {
      this.#calls++
      this.#waiting.set(this.#calls, { resolve: resolve as (value: unknown) => void, reject })
      this.#process.send({ id: this.#calls, call: name, args })
    })
  }

  /** Ends the process. */
  stop(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#process.once('exit', () => resolve())
      this.#inTime('end', reject)
      this.#process.disconnect()
    })
  }

  /**
   * Kills the process and calls `reject` if it has not ended, or taken its first call, after
   * {@link PATIENCE_MS}.
   */
  #inTime(what: string, reject: (error: Error) => void): void {
    const timer = setTimeout(() => {
      this.#process.kill('SIGKILL')
      reject(new Error(`the victim did not ${what} within ${PATIENCE_MS} ms`))
    }, PATIENCE_MS)
    const cancel = (): void => {
      clearTimeout(timer)
    }
    this.#process.once('exit', cancel)
    this.#process.once('message', cancel)
  }
}
