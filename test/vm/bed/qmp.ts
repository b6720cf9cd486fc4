/**
 * QEMU's own word on its devices (QMP): which sockets have a client, so that a test waits for a
 * fact and not for a while.
 */
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'

interface Reply {
  readonly return?: unknown
  readonly error?: { readonly desc: string }
}

export class Qmp {
  readonly #socket: Socket
  readonly #waiting: ((reply: Reply) => void)[] = []

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => undefined) // 'close' follows
    socket.once('close', () => {
      for (const resolve of this.#waiting.splice(0)) resolve({ error: { desc: 'QEMU is gone' } })
    })
    const lines = createInterface({ input: socket })
    lines.on('error', () => undefined) // it passes the socket's on
    lines.on('line', (line) => {
      const message = JSON.parse(line) as Reply
      // its greeting and its events are none of our business
      if ('return' in message || 'error' in message) this.#waiting.shift()?.(message)
    })
  }

  /** Does what has to come first. */
  async start(): Promise<void> {
    await this.execute('qmp_capabilities')
  }

  /** True while a client is connected to the socket of a character device, as QEMU sees it. */
  async isConnected(device: string): Promise<boolean> {
    const devices = (await this.execute('query-chardev')) as { label: string; filename: string }[]
    const found = devices.find(({ label }) => label === device)
    if (found === undefined) throw new Error(`QEMU has no character device ${device}`)
    return !found.filename.startsWith('disconnected:')
  }

  close(): void {
    this.#socket.destroy()
  }

  /** Has QEMU do one thing; rejects with its own words. */
  async execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const reply = await new Promise<Reply>((resolve) => {
      this.#waiting.push(resolve)
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`)
    })
    if (reply.error !== undefined) throw new Error(`${command}: ${reply.error.desc}`)
    return reply.return
  }
}
