/** One running side of the program (../program.mjs): what it says, when it said so, and its end. */
import type { Job, Machine } from './job.ts'

/** Where a side runs, and with what. */
export interface Place {
  readonly machine: Machine
  readonly address: string
  /** Its files. */
  readonly folder: string
}

/** What it does there, as program.mjs says. */
export type Task = 'serve' | 'measure' | 'hold' | 'both' | 'answer' | 'bare'

/** A line of the program's. */
export interface Said {
  readonly event: string
  /** When it arrived here, in milliseconds. */
  readonly at: number
  readonly [field: string]: unknown
}

/** Longest wait for something to be said, unless told otherwise. */
const NEXT_MS = 60_000

export class Side {
  readonly #job: Job

  /** @param bytes the size of the files, @param streamed of what is streamed */
  constructor({ machine, address, folder }: Place, task: Task, bytes = 0, streamed = 0) {
    this.#job = machine.start(`env TRUNKLINE_TO='${address}' node program.mjs ${task} ${folder} ${bytes} ${streamed}`)
  }

  /**
   * The next thing of that name that it says; what it says before is skipped. A wrong byte,
   * wherever it was seen, is an error.
   */
  async next(event: string, timeoutMs: number = NEXT_MS): Promise<Said> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const { text, at } = await this.#job.next(Math.max(1, deadline - performance.now()))
      const said = parse(text)
      if (said?.['event'] === 'wrong') throw new Error(this.story)
      if (said?.['event'] === event) return { ...said, event, at }
      if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${event}: ${this.story}`)
    }
  }

  /** What it said last, for a message. */
  get story(): string {
    return this.#job.story
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#job.kill()
    await this.#job.ended()
  }

  /** Resolves when it has ended by itself; rejects where its status is not 0. */
  async ended(timeoutMs?: number): Promise<void> {
    const { status, output } = await this.#job.ended(timeoutMs)
    if (status !== 0) throw new Error(`${this.#job.name} ended with ${status}:\n${output}`)
  }
}

/** What is not JSON is a message for people, shown if something fails. */
function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  return JSON.parse(line) as Record<string, unknown>
}
