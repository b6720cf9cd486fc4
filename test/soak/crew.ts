/**
 * A process of the soak as its starter sees it: started, asked, stopped, killed and started again.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Holding, PartyCall, PartyConfig, PartyWord } from './party.ts'
import { typeScript } from '../helpers/typescript.ts'

const words = typeScript(fileURLToPath(new URL('party.ts', import.meta.url)))
const [execArgv, program = ''] = [words.slice(0, -1), words.at(-1)]
/** Longest time for an answer: those of a pause wait for whatever is under way. */
const ANSWER_MS = 150_000
/** Longest time that a process may take to end once nothing of it is left. */
const EXIT_MS = 5_000

/** Told of everything that happens. */
export interface Witness {
  did(name: string, outcome: string): void
  fault(text: string): void
}

export class Party {
  readonly name: string
  readonly #config: PartyConfig
  readonly #record: Witness
  #process: ChildProcess | undefined
  readonly #waiting = new Map<number, (value: Holding | null) => void>()
  #calls = 0
  #runs = 0
  /**
   * Those that were killed here or told to finish: any other end is a fault. Of each run by itself:
   * an end is told when the next run has begun.
   */
  readonly #mayEnd = new WeakSet<ChildProcess>()

  constructor(config: PartyConfig, record: Witness) {
    this.name = config.name
    this.#config = config
    this.#record = record
  }

  /** Whether it is one that does jobs. */
  get works(): boolean {
    return this.#config.connect.length > 0
  }

  /**
   * Starts it anew; resolves when it runs. Whether its lines stand is another question: see
   * `ask('ready')`.
   */
  async start(): Promise<void> {
    // another seed each time, or each run would do what the last one did
    const config = { ...this.#config, seed: this.#config.seed + this.#runs++ * 7919 }
    const child = fork(program, [JSON.stringify(config)], {
      execArgv,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#process = child
    let said = ''
    child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()))
    child.on('message', (word: PartyWord) => this.#hear(word))
    // a message to a process that was just killed
    child.on('error', () => undefined)
    child.on('close', (status, signal) => {
      if (said !== '') this.#record.fault(`${this.name} said on stderr: ${said}`)
      if (!this.#mayEnd.has(child)) this.#record.fault(`${this.name} ended by itself: ${status ?? signal ?? ''}`)
    })
    await once(child, 'spawn')
  }

  /**
   * Resolves with the answer; undefined where there is none, which is then a fault unless the
   * process was killed meanwhile.
   */
  async ask(call: PartyCall): Promise<Holding | null | undefined> {
    const id = ++this.#calls
    const child = this.#process
    if (child?.connected !== true) return undefined
    const over = new AbortController()
    try {
      return await Promise.race([
        new Promise<Holding | null>((resolve) => {
          this.#waiting.set(id, resolve)
          child.send({ id, call })
        }),
        once(child, 'exit', { signal: over.signal }).then(() => undefined),
        pause(ANSWER_MS, undefined, { signal: over.signal }).then(() => {
          this.#record.fault(`${this.name} does not answer to ${call}`)
          return undefined
        }),
      ])
    } finally {
      this.#waiting.delete(id)
      over.abort()
    }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(signal)
  }

  /** Resolves when it is dead. */
  async kill(): Promise<void> {
    const child = this.#process
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    this.#mayEnd.add(child)
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** Ends it as a user would; that it does not end then, by itself, is a fault. */
  async finish(): Promise<void> {
    const child = this.#process
    if (child === undefined) return
    this.#mayEnd.add(child)
    const exited = once(child, 'exit')
    await this.ask('finish')
    const over = new AbortController()
    const late = pause(EXIT_MS, 'late', { signal: over.signal })
    // aborted when it ended in time
    late.catch(() => undefined)
    if ((await Promise.race([exited, late])) === 'late') {
      this.#record.fault(`${this.name} has closed everything and does not end`)
      await this.kill()
    } else if (child.exitCode !== 0)
      this.#record.fault(`${this.name} ended with ${child.exitCode ?? child.signalCode ?? ''}`)
    over.abort()
  }

  #hear(word: PartyWord): void {
    if ('id' in word) this.#waiting.get(word.id)?.(word.value)
    else if ('fault' in word) this.#record.fault(word.fault)
    else this.#record.did(word.did, word.outcome)
  }
}
