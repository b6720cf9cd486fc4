/**
 * The host's side of guest/control.c: runs commands in a guest over a unix socket that QEMU has
 * joined to a virtio port of it. The guest powers off when this is closed.
 */
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { Job, type Machine } from './job.ts'

/** As many as guest/control.c has room for. */
const MAX_JOBS = 16
const MESSAGE = /^(hello|out|exit)(?: (\d+) (.*))?$/s

export class Control implements Machine {
  /** Resolves when the guest takes commands. */
  readonly ready: Promise<void>
  readonly #socket: Socket
  readonly #jobs = new Map<number, Job>()
  #resolve!: () => void
  #reject!: (error: Error) => void

  constructor(socket: Socket) {
    this.#socket = socket
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.ready.catch(() => undefined) // whoever waits for it is told
    const lines = createInterface({ input: socket, crlfDelay: Infinity })
    lines.on('error', () => undefined) // it passes the socket's on
    lines.on('line', (line) => {
      this.#take(line)
    })
    socket.on('error', () => undefined) // 'close' follows
    socket.once('close', () => {
      this.lost('the guest is gone')
    })
  }

  /** There is no guest any more: what runs in it has ended. */
  lost(why: string): void {
    this.#reject(new Error(why))
    for (const job of this.#jobs.values()) {
      job.take(`(${why})`)
      job.over(-1)
    }
    this.#jobs.clear()
  }

  start(command: string): Job {
    let id = 0
    while (this.#jobs.has(id)) id++
    if (id >= MAX_JOBS) throw new Error(`the guest runs ${MAX_JOBS} commands already`)
    const tell = (text: string) => void this.#socket.write(`${text}\n`)
    const job = new Job(command, {
      say: (text) => {
        tell(`say ${id} ${text}`)
      },
      kill: () => {
        tell(`kill ${id}`)
      },
    })
    this.#jobs.set(id, job)
    tell(`run ${id} ${command}`)
    return job
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(line: string): void {
    const [, verb, id, text = ''] = MESSAGE.exec(line) ?? []
    if (verb === 'hello') this.#resolve()
    const job = this.#jobs.get(Number(id))
    if (verb === 'out') job?.take(text)
    else if (verb === 'exit') {
      this.#jobs.delete(Number(id))
      job?.over(Number(text))
    }
  }
}
