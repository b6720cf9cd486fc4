/**
 * Connections from the kernel's queue through the native addon: accept runs only when asked for, so what nobody asks for stays in the
 * kernel's backlog and is felt by the network.
 */
import { isIPv6, Socket } from 'node:net'
import type { NativeDescriptors, NativeWatch } from '../../src/native/load.ts'
import type { ConnectionSource, Endpoint, Incoming, OpenSource } from './acceptor.ts'

/** A source over `native`. */
export function nativeSource(native: NativeDescriptors): OpenSource {
  return (at, backlog, onReady) =>
    // A promise only for the failure: binding a literal does not block.
    new Promise((resolve) => {
      const family = isIPv6(at.address) ? 'ipv6' : 'ipv4'
      resolve(new NativeSource(native, native.listen({ family, ...at }, backlog), onReady))
    })
}

class NativeSource implements ConnectionSource {
  readonly local: Endpoint
  readonly #native: NativeDescriptors
  readonly #fd: number
  readonly #watch: NativeWatch
  #closed = false

  constructor(native: NativeDescriptors, fd: number, onReady: () => void) {
    this.#native = native
    this.#fd = fd
    try {
      this.local = native.localAddress(fd)
      this.#watch = native.watch(fd, onReady)
    } catch (error) {
      native.close(fd)
      throw error
    }
  }

  take(): Incoming | undefined {
    const accepted = this.#native.accept(this.#fd)
    if (accepted === undefined) return undefined
    const { fd, local, remote } = accepted
    try {
      const socket = new Socket({ fd, allowHalfOpen: true })
      socket.setNoDelay(true)
      return { socket, local, remote }
    } catch (error) {
      this.#native.close(fd)
      throw error
    }
  }

  arm(): void {
    this.#watch.start()
  }

  disarm(): void {
    this.#watch.stop()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#watch.close()
    this.#native.close(this.#fd)
  }
}
