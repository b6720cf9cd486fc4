/**
 * A double of a virtual machine monitor's hybrid vsock, host side: a unix socket that speaks
 * CONNECT and OK. The guest's side is unix sockets, too, one for each port. What goes wrong is
 * scripted: a test may answer a CONNECT by itself.
 */
import { rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'

/** What a double is made of. */
export interface HybridDeviceOptions {
  /** The monitor's socket. */
  readonly path: string
  /** Where the guest's program listens, by port. */
  readonly guestPath: (port: number) => string
  /**
   * As Firecracker, Cloud Hypervisor and vhost-device-vsock do: an end of the host's side closes
   * the connection after what was sent before it, and an end of the guest's side is not told.
   * False: ends are passed on. @default true
   */
  readonly closesBothWays?: boolean
}

/** Answers one CONNECT in place of the device. */
export type Script = (socket: Socket, port: number) => void

/** A monitor that runs. */
export class HybridDevice {
  /** What each CONNECT asked for. */
  readonly asked: number[] = []
  /** What came before the answer and is no CONNECT line. */
  readonly early: Buffer[] = []
  readonly #server: Server
  readonly #options: HybridDeviceOptions
  readonly #sockets = new Set<Socket>()
  readonly #scripts: Script[] = []
  #hangUps = 0

  private constructor(options: HybridDeviceOptions) {
    this.#options = options
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#take(socket)
    })
  }

  /** Starts one; a file that a killed one left is replaced, as the monitors do it. */
  static async start(options: HybridDeviceOptions): Promise<HybridDevice> {
    const device = new HybridDevice(options)
    rmSync(options.path, { force: true })
    device.#server.listen(options.path)
    await once(device.#server, 'listening')
    return device
  }

  /** The next CONNECTs are answered by these, one each. */
  script(...scripts: Script[]): void {
    this.#scripts.push(...scripts)
  }

  /**
   * The next `count` connections are closed before anything of them is read, as vhost-device-vsock
   * does while no guest is there.
   */
  hangUp(count: number): void {
    this.#hangUps += count
  }

  /** Takes no more connections; those that were joined go on. */
  close(): void {
    this.#server.close()
  }

  /** The machine is gone, and with it every connection. */
  async stop(): Promise<void> {
    const closing = [...this.#sockets].map((socket) => once(socket, 'close'))
    for (const socket of this.#sockets) socket.destroy()
    this.close()
    await Promise.all(closing)
  }

  #own(socket: Socket): Socket {
    this.#sockets.add(socket)
    socket.on('error', () => undefined) // 'close' follows and is what counts
    socket.once('close', () => this.#sockets.delete(socket))
    return socket
  }

  #take(host: Socket): void {
    this.#own(host)
    if (this.#hangUps > 0) {
      this.#hangUps--
      host.destroy()
      return
    }
    let line = ''
    const onData = (chunk: Buffer): void => {
      const end = chunk.indexOf('\n')
      line += chunk.subarray(0, end === -1 ? undefined : end).toString('latin1')
      if (end === -1) return
      host.off('data', onData)
      host.pause()
      if (end + 1 < chunk.byteLength) this.early.push(chunk.subarray(end + 1))
      const port = Number(/^CONNECT ([0-9]+)$/.exec(line)?.[1])
      this.asked.push(port)
      const script = this.#scripts.shift() ?? ((socket: Socket) => this.join(socket, port))
      script(host, port)
    }
    host.on('data', onData)
  }

  /** Joins a socket of the host's to the guest; hangs up where nobody accepts there. */
  join(host: Socket, port: number): void {
    const guest = this.#own(connect({ path: this.#options.guestPath(port), allowHalfOpen: true }))
    guest.once('connect', () => {
      host.write('OK 1073741824\n')
      this.#bridge(host, guest)
    })
    guest.once('close', () => host.destroySoon())
    host.once('close', () => guest.destroy())
  }

  #bridge(host: Socket, guest: Socket): void {
    const { closesBothWays = true } = this.#options
    host.pipe(guest, { end: false })
    guest.pipe(host, { end: false })
    host.once('end', () => {
      if (!closesBothWays) guest.end()
      else {
        guest.end(() => {
          guest.destroy()
          host.destroy()
        })
      }
    })
    guest.once('end', () => {
      if (!closesBothWays) host.end()
      // an empty write tells a guest that closed from one that only ended
      else {
        guest.write('', (error) => {
          if (error) guest.destroySoon()
        })
      }
    })
  }
}
