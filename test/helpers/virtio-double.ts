/**
 * A guest's virtio port without a guest: the device as `DeviceDuplex` sees it, with a host's end
 * that comes and goes. It behaves as the kernel's does (Linux 6.1, seen in a virtual machine): with
 * no host a read gives 0 at once, a write takes nothing, and polling says "ready" again and again;
 * what the guest has written is thrown away when the host leaves; what the host has sent stays
 * readable.
 */
import { Duplex } from 'node:stream'
import { READABLE, WRITABLE } from '../../src/native/load.ts'
import type { Device, Ready } from '../../transports/serial/device-duplex.ts'

/**
 * What the driver queues at most for a host that does not read, and this double for a guest that
 * does not.
 */
const QUEUE_BYTES = 4 * 1024 * 1024
/** One read of the driver. */
const READ_BYTES = 4096
/** One write of the driver. */
const WRITE_BYTES = 32_768

export class VirtioDouble {
  /** Calls of `read` and `write`: what spins is seen here. */
  calls = 0
  /** Whether it was closed, and whether what was written was to be dropped. */
  closed: { readonly drop: boolean } | undefined
  readonly #toGuest: Buffer[] = []
  #toGuestBytes = 0
  #toHost: Buffer[] = []
  #toHostBytes = 0
  #host: HostEnd | undefined
  #wanted = 0
  #ready: Ready = () => undefined
  #polling = false
  #unplugged = false
  readonly #queueBytes: number

  /** @param queueBytes what is queued each way */
  constructor(queueBytes: number = QUEUE_BYTES) {
    this.#queueBytes = queueBytes
  }

  /** Takes the place of opening a device. */
  readonly open = (ready: Ready): Device => {
    this.#ready = ready
    return {
      read: (into) => this.#read(into),
      write: (chunks) => this.#write(chunks),
      want: (events) => {
        this.#wanted = events
        this.#poll()
      },
      close: (drop) => {
        this.#wanted = 0
        this.closed = { drop }
        return Promise.resolve()
      },
    }
  }

  /** The host connects; destroying its end is its leaving. */
  connectHost(): Duplex {
    const host = new HostEnd({
      write: (chunk, taken) => {
        this.#toGuest.push(Buffer.from(chunk))
        this.#toGuestBytes += chunk.byteLength
        this.#poll()
        if (this.#toGuestBytes <= this.#queueBytes) taken()
        else host.whenTaken = taken
      },
      read: () => {
        this.#feedHost()
      },
      leave: () => {
        if (this.#host !== host) return
        this.#host = undefined
        this.#toHost = []
        this.#toHostBytes = 0
        this.#poll()
      },
    })
    this.#host = host
    this.#poll()
    return host
  }

  /** The device is taken out of the machine. */
  unplug(): void {
    this.#unplugged = true
    this.#poll()
  }

  #read(into: Uint8Array): number | undefined {
    this.calls++
    this.#requirePlugged()
    let length = 0
    for (let [chunk] = this.#toGuest; chunk !== undefined && length < into.byteLength; [chunk] = this.#toGuest) {
      const part = chunk.subarray(0, Math.min(READ_BYTES, into.byteLength - length))
      into.set(part, length)
      length += part.byteLength
      if (part.byteLength === chunk.byteLength) this.#toGuest.shift()
      else this.#toGuest[0] = chunk.subarray(part.byteLength)
    }
    this.#toGuestBytes -= length
    if (this.#toGuestBytes <= this.#queueBytes) this.#host?.taken()
    if (length > 0) return length
    return this.#host === undefined ? 0 : undefined
  }

  #write(chunks: readonly Uint8Array[]): number {
    this.calls++
    this.#requirePlugged()
    if (this.#host === undefined) return 0
    let taken = 0
    for (const chunk of chunks) {
      const part = chunk.subarray(0, Math.max(0, Math.min(WRITE_BYTES, this.#queueBytes - this.#toHostBytes)))
      if (part.byteLength > 0) this.#toHost.push(Buffer.from(part))
      this.#toHostBytes += part.byteLength
      taken += part.byteLength
      if (part.byteLength < chunk.byteLength) break
    }
    this.#feedHost()
    return taken
  }

  #feedHost(): void {
    while (this.#host?.hungry === true) {
      const chunk = this.#toHost.shift()
      if (chunk === undefined) break
      this.#toHostBytes -= chunk.byteLength
      this.#host.feed(chunk)
    }
    this.#poll()
  }

  #requirePlugged(): void {
    if (this.#unplugged) throw Object.assign(new Error('ENODEV: no such device, read'), { code: 'ENODEV' })
  }

  /** What poll(2) would say: a hang-up counts as both. */
  get #readyFor(): number {
    if (this.#host === undefined || this.#unplugged) return READABLE | WRITABLE
    return (this.#toGuestBytes > 0 ? READABLE : 0) | (this.#toHostBytes < this.#queueBytes ? WRITABLE : 0)
  }

  /** Tells of readiness once a turn of the event loop until it was dealt with. */
  #poll(): void {
    if (this.#polling || (this.#wanted & this.#readyFor) === 0) return
    this.#polling = true
    setImmediate(() => {
      this.#polling = false
      const events = this.#wanted & this.#readyFor
      if (events !== 0) this.#ready(undefined, events)
      this.#poll()
    })
  }
}

/** The host's end: what it writes is taken by the port, what it reads is fed by it. */
class HostEnd extends Duplex {
  hungry = false
  whenTaken: (() => void) | undefined
  readonly #port: {
    write(chunk: Uint8Array, taken: () => void): void
    read(): void
    leave(): void
  }

  constructor(port: { write(chunk: Uint8Array, taken: () => void): void; read(): void; leave(): void }) {
    super()
    this.#port = port
  }

  feed(chunk: Uint8Array): void {
    this.hungry = this.push(chunk)
  }

  taken(): void {
    const { whenTaken } = this
    this.whenTaken = undefined
    whenTaken?.()
  }

  override _read(): void {
    this.hungry = true
    this.#port.read()
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: () => void): void {
    this.#port.write(chunk, callback)
  }

  override _final(callback: () => void): void {
    callback()
    this.push(null)
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#port.leave()
    callback(error)
  }
}
