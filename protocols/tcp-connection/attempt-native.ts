/** Attempts by the native addon. */
import { isIPv6 } from 'node:net'
import { WRITABLE } from '../../src/native/load.ts'
import type { ConnectionSet, Member } from '../tcp/connection-set.ts'
import { NativeConnection } from '../tcp/native-connection.ts'
import { KEEPALIVE_MS, type Attempt, type AttemptOutcome, type Attempts } from './attempt.ts'

/** Attempts whose connections are in `set`. */
export function nativeAttempts(set: ConnectionSet): Attempts {
  return (address, port, outcome) => {
    const attempt = new NativeAttempt(set, { address, port }, outcome)
    attempt.start()
    return attempt
  }
}

/**
 * The kernel's own patience, of which only vsock has one that can be set: whoever dials gives up
 * earlier.
 */
const NO_TIMEOUT_MS = 1

class NativeAttempt implements Attempt, Member {
  fd = -1
  readonly #set: ConnectionSet
  readonly #to: { address: string; port: number }
  readonly #outcome: AttemptOutcome
  #id = -1
  #over = false

  constructor(set: ConnectionSet, to: { address: string; port: number }, outcome: AttemptOutcome) {
    this.#set = set
    this.#to = to
    this.#outcome = outcome
  }

  start(): void {
    try {
      this.#connect()
    } catch (error) {
      // nothing is told before the attempt was made
      queueMicrotask(() => {
        if (!this.#over) this.#outcome.failed(error)
      })
    }
  }

  #connect(): void {
    const { native } = this.#set
    const family = isIPv6(this.#to.address) ? 'ipv6' : 'ipv4'
    this.fd = native.connect({ family, ...this.#to }, NO_TIMEOUT_MS)
    try {
      native.tune(this.fd, KEEPALIVE_MS / 1000)
      this.#id = this.#set.add(this, WRITABLE)
    } catch (error) {
      native.close(this.fd)
      throw error
    }
  }

  drop(): void {
    this.#over = true
    if (this.#id >= 0) this.#set.drop(this.#id, this.fd, true)
  }

  // --- from the set ------------------------------------------------------------------------------

  readable(chunk: Uint8Array): void {
    // not asked for: nobody reads before it is connected
    if (chunk.byteLength > 0) this.#set.release(chunk)
  }

  writable(): void {
    if (this.#over) return
    this.#over = true
    let connection
    try {
      const local = this.#set.native.localAddress(this.fd)
      connection = new NativeConnection(this.#set, this.fd, { local, remote: this.#to }, this.#id)
    } catch (error) {
      this.#set.drop(this.#id, this.fd, true)
      this.#outcome.failed(error)
      return
    }
    this.#outcome.connected(connection)
  }

  failed(error: NodeJS.ErrnoException): void {
    if (this.#over) return
    this.#over = true
    this.#set.drop(this.#id, this.fd, true)
    this.#outcome.failed(error)
  }
}
