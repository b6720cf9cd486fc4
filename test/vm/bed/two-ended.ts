/**
 * A device with both its ends in a test's hands: the guest's by single system calls
 * (guest/probe.c), the host's by a client of QEMU's socket. What the other end is to notice is
 * waited for, never slept for.
 */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { dial } from './dial.ts'
import type { Guest } from './guest.ts'
import type { Job } from './job.ts'

/** Longest time for bytes to pass: a UART takes its time. */
const PASSING_MS = 20_000
const PAUSE_MS = 2

export class TwoEndedDevice {
  readonly #guest: Guest
  /** QEMU's name of the device, and that of its socket. */
  readonly #name: string
  readonly #probe: Job
  readonly #clients = new Set<HostClient>()

  constructor(guest: Guest, name: string, device: string) {
    this.#guest = guest
    this.#name = name
    this.#probe = guest.control.start(`vmtool probe ${device}`)
  }

  /**
   * One step of the guest's end; resolves with its outcome (guest/probe.c says which there are).
   */
  async ask(step: string): Promise<string> {
    this.#probe.say(step)
    return await this.#probe.line()
  }

  /** Asks again and again, until the outcome is as wanted. */
  async askUntil(step: string, isWanted: (outcome: string) => boolean): Promise<string> {
    let outcome = ''
    await until(
      async () => isWanted((outcome = await this.ask(step))),
      () => `the guest's ${step} to give something else than ${outcome}`,
    )
    return outcome
  }

  /**
   * What the guest reads until it has `count` characters; a read that gives none, for whatever
   * reason, but that there are none yet ends it.
   */
  async read(count: number): Promise<string> {
    let text = ''
    while (text.length < count) {
      const outcome = await this.askUntil(`read ${count - text.length}`, (given) => given !== 'EAGAIN')
      const [, bytes] = /^\d+ (.*)$/.exec(outcome) ?? []
      if (bytes === undefined) break
      text += bytes
    }
    return text
  }

  /**
   * A client of the host's end, and QEMU knows it. For one that has to wait for its turn see
   * {@link queueClient}.
   */
  async connect(): Promise<HostClient> {
    const client = await this.queueClient()
    await this.untilConnected(true)
    return client
  }

  /** A client whose connection the system has taken; QEMU takes one at a time. */
  async queueClient(): Promise<HostClient> {
    const client = new HostClient(await dial(this.#guest.socket(this.#name), () => undefined))
    this.#clients.add(client)
    return client
  }

  /** Resolves when QEMU has noticed that a client is there, or that none is. */
  async untilConnected(wanted: boolean): Promise<void> {
    await until(
      async () => (await this.#guest.qmp.isConnected(this.#name)) === wanted,
      () => `QEMU to see that a client of ${this.#name} is ${wanted ? 'there' : 'gone'}`,
    )
  }

  /** Takes a client away; resolves when QEMU has noticed. */
  async leave(client: HostClient): Promise<void> {
    client.leave()
    await this.untilConnected(false)
  }

  /**
   * As it was before anybody came: no client, the guest's end open without blocking, nothing
   * unread.
   */
  async reset(): Promise<void> {
    for (const client of this.#clients) client.leave()
    this.#clients.clear()
    await this.untilConnected(false)
    await this.ask('close')
    await this.ask('open nb')
    await this.ask('drain')
  }
}

/** One client of QEMU's socket: what it got, and how it ended. */
export class HostClient {
  readonly #socket: Socket
  #received = ''
  #hasEnded = false

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.#received += text
    })
    socket.on('error', () => undefined) // 'close' follows
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#hasEnded = true
      })
    }
  }

  /** True once QEMU has ended the connection. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Everything that has come so far. */
  get received(): string {
    return this.#received
  }

  write(text: string): void {
    this.#socket.write(text, 'latin1')
  }

  /** Bytes that were given to {@link write} and that the system has not taken. */
  get held(): number {
    return this.#socket.writableLength
  }

  /** Resolves when the system has taken everything that was written. */
  async flushed(): Promise<void> {
    if (this.#socket.writableLength > 0) await once(this.#socket, 'drain')
  }

  endWriting(): void {
    this.#socket.end()
  }

  stopReading(): void {
    this.#socket.pause()
  }

  readOn(): void {
    this.#socket.resume()
  }

  /** Everything that has come, once that is as wanted. */
  async receivedUntil(isWanted: (received: string) => boolean): Promise<string> {
    await until(
      async () => isWanted(this.#received),
      () => `the host to get something else than ${this.#received.length} bytes: ${this.#received.slice(-80)}`,
    )
    return this.#received
  }

  async untilEnded(): Promise<void> {
    await until(
      async () => this.#hasEnded,
      () => 'QEMU to end the connection',
    )
  }

  leave(): void {
    this.#socket.destroy()
  }
}

async function until(check: () => Promise<boolean>, what: () => string): Promise<void> {
  const deadline = performance.now() + PASSING_MS
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`waited for ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
}
