/**
 * A connection that the native addon carries: no socket of Node's, no stream, no promise. Promises
 * what connection.ts says.
 *
 * Holds what `write` was given and the system has not taken yet, and nothing that was read.
 */
import type { Uint8ArrayList } from 'uint8arraylist'
import { READABLE, WRITABLE } from '../../src/native/load.ts'
import type { Connection, ConnectionReceiver, Endpoint } from './connection.ts'
import type { ConnectionSet, Member } from './connection-set.ts'

/** What writing says of a connection that is over: reading it comes to an end of its own. */
const WAS_CUT: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ENOTCONN'])

/** What is known of a connection. */
export interface Ends {
  readonly local: Endpoint
  readonly remote: Endpoint
  /**
   * True for a unix socket, whose other side has what was written as soon as the system has it,
   * whatever becomes of ours.
   */
  readonly isUnix?: boolean
}

/** See the top of the file. */
export class NativeConnection implements Connection, Member {
  readonly fd: number
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly #set: ConnectionSet
  readonly #isUnix: boolean
  readonly #id: number
  /** What the socket is watched for; -1 where whoever had it before has said. */
  #wanted: number
  #receiver: ConnectionReceiver | undefined
  #gone: (() => void) | undefined
  #failure: unknown
  /** Why nothing can be written any more, while what the other side has sent is still read. */
  #broken: NodeJS.ErrnoException | undefined
  #unsent: Uint8ArrayList | undefined
  #readEnded = false
  #writeEnded = false
  #closed = false

  /**
   * Takes over a socket that is connected. Where this throws (a system error) it is still the
   * caller's.
   * @param id of a socket that is in the set already
   */
  constructor(set: ConnectionSet, fd: number, ends: Ends, id?: number) {
    this.#set = set
    this.fd = fd
    this.local = ends.local
    this.remote = ends.remote
    this.#isUnix = ends.isUnix ?? false
    this.#wanted = id === undefined ? 0 : -1
    this.#id = id ?? set.add(this, 0)
    if (id !== undefined) set.replace(id, this)
  }

  get unsent(): number {
    return this.#unsent?.byteLength ?? 0
  }

  get unacknowledged(): number {
    return this.#closed || this.#isUnix ? 0 : this.#set.native.unacknowledged(this.fd)
  }

  onGone(callback: () => void): void {
    this.#gone = callback
  }

  start(receiver: ConnectionReceiver): void {
    this.#receiver = receiver
    this.#gone = undefined
    if (this.#closed) {
      queueMicrotask(() => {
        if (this.#failure !== undefined) receiver.failed(this.#failure)
        receiver.closed()
      })
      return
    }
    this.#want(READABLE)
  }

  pause(): void {
    this.#want(this.#wanted & ~READABLE)
  }

  resume(): void {
    if (!this.#readEnded) this.#want(this.#wanted | READABLE)
  }

  release(chunk: Uint8Array): void {
    this.#set.release(chunk)
  }

  abandon(chunk: Uint8Array): void {
    this.#set.abandon(chunk)
  }

  write(chunks: Uint8ArrayList): boolean {
    if (this.#closed) return false
    const rest = this.#broken === undefined ? this.#send(chunks) : undefined
    if (rest === undefined) return true
    this.#unsent = rest
    if (!this.#isClosed()) this.#want(this.#wanted | WRITABLE)
    return false
  }

  end(): void {
    if (this.#readEnded) {
      // closing ends our side as well
      this.#close(false)
      return
    }
    if (this.#closed || this.#broken !== undefined) return
    this.#writeEnded = true
    try {
      this.#set.native.shutdown(this.fd)
    } catch (error) {
      this.#breaks(error)
    }
  }

  reset(): void {
    this.#close(true)
  }

  // --- from the set ------------------------------------------------------------------------------

  readable(chunk: Uint8Array): void {
    if (chunk.byteLength > 0) {
      this.#receiver?.data(chunk)
      return
    }
    this.#readEnded = true
    const broken = this.#broken
    // A reset that writing met is no longer told by the kernel: this end stands for it. EPIPE: the
    // end came before the reset.
    if (broken === undefined || broken.code === 'EPIPE') this.#receiver?.end()
    if (broken !== undefined) this.#fail(broken)
    else if (this.#writeEnded) this.#close(false)
    else if (!this.#closed) this.#want(this.#wanted & ~READABLE)
  }

  writable(): void {
    const unsent = this.#unsent
    if (unsent === undefined) return
    this.#unsent = this.#send(unsent)
    if (this.#unsent !== undefined || this.#closed || this.#broken !== undefined) return
    this.#want(this.#wanted & ~WRITABLE)
    this.#receiver?.drained()
  }

  failed(error: NodeJS.ErrnoException): void {
    this.#fail(error)
  }

  // --- its own -----------------------------------------------------------------------------------

  /**
   * What the system does not take now; undefined where it has everything, or takes nothing any
   * more, which is told.
   */
  #send(chunks: Uint8ArrayList): Uint8ArrayList | undefined {
    let sent: number
    try {
      sent = this.#set.native.send(this.fd, [...chunks])
    } catch (error) {
      this.#breaks(error)
      return undefined
    }
    return sent === chunks.byteLength ? undefined : chunks.sublist(sent)
  }

  #want(events: number): void {
    if (events === this.#wanted || this.#closed) return
    this.#wanted = events
    try {
      this.#set.want(this.#id, this.fd, events)
    } catch (error) {
      this.#fail(error)
    }
  }

  /**
   * Writing has failed. Where the other side has cut the connection, what it sent before is read
   * first.
   */
  #breaks(thrown: unknown): void {
    const error = thrown as NodeJS.ErrnoException
    if (this.#readEnded || !WAS_CUT.has(error.code ?? '')) {
      this.#fail(error)
      return
    }
    this.#broken = error
    this.#unsent = undefined
    this.#want(this.#wanted & ~WRITABLE)
    this.#receiver?.broken()
  }

  #fail(error: unknown): void {
    if (this.#closed) return
    this.#failure = error
    this.#receiver?.failed(error)
    this.#close(true)
  }

  /** A method, since it changes during a call. */
  #isClosed(): boolean {
    return this.#closed
  }

  #close(reset: boolean): void {
    if (this.#closed) return
    this.#closed = true
    this.#unsent = undefined
    this.#set.drop(this.#id, this.fd, reset)
    this.#gone?.()
    const receiver = this.#receiver
    if (receiver === undefined) return
    queueMicrotask(() => {
      receiver.closed()
    })
  }
}
