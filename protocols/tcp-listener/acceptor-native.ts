/**
 * Connections from the kernel's queue through the native addon: accept runs only when asked for, so
 * what nobody asks for stays in the kernel's backlog and is felt by the network.
 */
import { isIPv6 } from 'node:net'
import type { NativeDescriptors, NativeWatch } from '../../src/native/load.ts'
import type { ConnectionSet } from '../tcp/connection-set.ts'
import type { Connection, Endpoint } from '../tcp/connection.ts'
import { NativeConnection } from '../tcp/native-connection.ts'
import type { ConnectionSource, OpenSource } from './acceptor.ts'

/**
 * A source whose connections are in `set`.
 * @param native what listens and accepts. @default the set's
 */
export function nativeSource(set: ConnectionSet, native: NativeDescriptors = set.native): OpenSource {
  return (at, backlog, onReady) =>
    // A promise only for the failure: binding a literal does not block.
    new Promise((resolve) => {
      const family = isIPv6(at.address) ? 'ipv6' : 'ipv4'
      resolve(new NativeSource(set, native, native.listen({ family, ...at }, backlog), onReady))
    })
}

/** The queue of a listening socket. */
export class NativeSource implements ConnectionSource {
  readonly local: Endpoint
  readonly #set: ConnectionSet
  readonly #native: NativeDescriptors
  readonly #fd: number
  readonly #watch: NativeWatch
  readonly #isUnix: boolean
  #closed = false

  /** Takes `fd` over; where this throws (a system error), it is closed. */
  constructor(set: ConnectionSet, native: NativeDescriptors, fd: number, onReady: () => void) {
    this.#set = set
    this.#native = native
    this.#fd = fd
    try {
      const { family, address, port } = native.localAddress(fd)
      this.local = { address, port }
      this.#isUnix = family === 'unix'
      this.#watch = native.watch(fd, onReady)
    } catch (error) {
      native.close(fd)
      throw error
    }
  }

  take(): Connection | undefined {
    const accepted = this.#native.accept(this.#fd)
    if (accepted === undefined) return undefined
    const { fd, local, remote } = accepted
    try {
      if (!this.#isUnix) this.#set.native.tune(fd, 0)
      return new NativeConnection(this.#set, fd, { local, remote, isUnix: this.#isUnix })
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
