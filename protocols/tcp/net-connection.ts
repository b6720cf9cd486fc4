/**
 * A connection over Node's own socket: a user's, or ours where there is no native addon.
 *
 * Promises what connection.ts says. What the socket has buffered before is told as well. Bounds:
 * {@link MAX_TURN_BYTES} and one chunk that were read and not yet told, and what Node buffers.
 */
import type { Socket } from 'node:net'
import type { Uint8ArrayList } from 'uint8arraylist'
import { notify } from '../../src/runtime/notify.ts'
import { takeUnread } from '../../src/runtime/unread.ts'
import type { Connection, ConnectionReceiver, Endpoint } from './connection.ts'
import { hiddenReset, unacknowledgedOf } from './hidden-reset.ts'
import { resetSocket } from './reset-socket.ts'
import { interceptWriteErrors } from './write-errors.ts'

/**
 * What one turn of the event loop reads: libuv reads up to 32 times in a row, 2 MiB, before anybody
 * could pause.
 */
const MAX_TURN_BYTES = 128 * 1024

/** Takes the socket over. It is connected, or was and has ended since. */
export function netConnection(socket: Socket): Connection {
  return new NetConnection(socket)
}

/**
 * What writing says of a connection that the other side has cut: reading it comes to an end of its
 * own.
 */
const WAS_CUT: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE'])

class NetConnection implements Connection {
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly #socket: Socket
  /**
   * A unix socket: its other side has what was written as soon as the system has it, and a write of
   * nothing fails once that side is closed.
   */
  readonly #isUnix: boolean
  #receiver: ConnectionReceiver | undefined
  #gone: (() => void) | undefined
  /** What was read in this turn of the event loop; see {@link afterReads}. */
  #arrived: Uint8Array[] = []
  #arrivedBytes = 0
  #paused = false
  /** An end that was told, and of which it is being found out whether it is one. */
  #checking: Promise<void> | undefined
  #ended = false
  /** Our end is on its way to the system, behind everything that was written. */
  #ending = false
  #reset = false
  #failed = false
  /** Why nothing can be written any more, while what the other side has sent is still read. */
  #broken: NodeJS.ErrnoException | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    this.#isUnix = isUnixSocket(socket)
    this.local = { address: socket.localAddress ?? '', port: socket.localPort ?? 0 }
    this.remote = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 }
    interceptWriteErrors(socket, (error) => this.#breaks(error))
    // This one stays: an error that comes after the end must not end the process.
    socket.on('error', (error) => {
      if (!this.#reset) this.#arrived.push(...takeUnread(socket))
      this.#fail(error)
    })
    socket.once('close', () => {
      this.#onClose()
    })
  }

  get unsent(): number {
    const { destroyed, writableLength } = this.#socket
    return destroyed || this.#broken !== undefined ? 0 : writableLength
  }

  get unacknowledged(): number | undefined {
    const socket = this.#socket
    if (socket.destroyed || this.#broken !== undefined || socket.bytesWritten === 0) return 0
    // our end is on its way to the system
    if (this.#ending || (socket.writableEnded && !socket.writableFinished)) return 1
    if (this.#isUnix) return 0
    return unacknowledgedOf(socket)
  }

  onGone(callback: () => void): void {
    this.#gone = callback
  }

  start(receiver: ConnectionReceiver): void {
    const socket = this.#socket
    this.#receiver = receiver
    this.#gone = undefined
    socket.allowHalfOpen = true
    if (socket.closed) {
      // its events are over, and the receiver is told of nothing before this returns
      queueMicrotask(() => {
        this.#onClose()
      })
      return
    }
    if (socket.readableEnded) queueMicrotask(this.#onEnd)
    socket.on('data', this.#onData).once('end', this.#onEnd)
    socket.resume()
  }

  pause(): void {
    this.#paused = true
    this.#socket.pause()
  }

  resume(): void {
    this.#paused = false
    this.#socket.resume()
  }

  release(): void {
    // Node reads each chunk into memory of its own.
  }

  abandon(): void {
    // the same
  }

  /** One writev for all chunks. */
  write(chunks: Uint8ArrayList): boolean {
    if (this.#broken !== undefined) return true
    const socket = this.#socket
    socket.cork()
    for (const chunk of chunks) socket.write(chunk)
    socket.uncork()
    if (socket.writableLength === 0) return true
    // the callback's error is also the socket's 'error' event, where it is handled
    socket.write('', () => this.#receiver?.drained())
    return false
  }

  end(): void {
    if (this.#isUnix) {
      this.#socket.end()
      return
    }
    const socket = this.#socket
    this.#ending = true
    // an empty write finds out about a reset that nobody was told of; a shutdown would not
    socket.write('', () => {
      this.#ending = false
      if (socket.destroyed) return
      socket.end()
      if (this.#reset) resetSocket(socket)
    })
  }

  reset(): void {
    this.#reset = true
    this.#arrived = []
    // An end that the system takes in the next turn goes first: a reset in its place takes the last
    // bytes along.
    if (!this.#ending || this.#socket.writableLength > 0) resetSocket(this.#socket)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#arrivedBytes += chunk.byteLength
    if (this.#arrivedBytes >= MAX_TURN_BYTES) this.#socket.pause()
    if (this.#arrived.push(chunk) > 1) return
    afterReads(() => {
      this.#deliver()
    })
  }

  /** Hands over what has arrived. */
  #deliver(): void {
    const chunks = this.#arrived
    if (chunks.length === 0) return
    this.#arrived = []
    this.#arrivedBytes = 0
    for (const chunk of chunks) this.#receiver?.data(chunk)
    if (!this.#paused) this.#socket.resume()
  }

  readonly #onEnd = (): void => {
    if (this.#checking !== undefined) return
    const broken = this.#broken
    if (broken !== undefined) {
      this.#deliver()
      // A reset that writing met is no longer told by the kernel: this end stands for it. EPIPE:
      // the end came before the reset.
      if (broken.code === 'EPIPE') this.#receiver?.end()
      this.#fail(broken)
      resetSocket(this.#socket)
      return
    }
    // Asked while the event is being told: right after it, a socket that has ended both ways is
    // closed.
    this.#checking = hiddenReset(this.#socket, this.#isUnix).then((code) => {
      if (code !== undefined) {
        this.#fail(Object.assign(new Error(code), { code }))
        // the kernel has told it once: nothing else closes the socket
        resetSocket(this.#socket)
        return
      }
      this.#deliver()
      this.#ended = true
      this.#receiver?.end()
    })
  }

  /**
   * Writing has failed. Where the other side has cut the connection, what it sent before is read
   * first.
   */
  #breaks(error: NodeJS.ErrnoException): boolean {
    const { destroyed, readableEnded } = this.#socket
    if (this.#receiver === undefined || this.#reset || destroyed || readableEnded || !WAS_CUT.has(error.code ?? ''))
      return false
    this.#broken = error
    this.#receiver.broken()
    return true
  }

  #fail(error: unknown): void {
    this.#deliver()
    if (this.#reset || this.#failed) return
    this.#failed = true
    this.#receiver?.failed(error)
  }

  #onClose(): void {
    const socket = this.#socket
    socket.off('data', this.#onData).off('end', this.#onEnd)
    this.#gone?.()
    void this.#conclude()
  }

  async #conclude(): Promise<void> {
    // an end that is being looked at comes first
    await this.#checking
    const { writableFinished, errored } = this.#socket
    this.#deliver()
    if (!this.#ended || !writableFinished) this.#fail(errored)
    this.#receiver?.closed()
    this.#receiver = undefined
  }
}

/** True for the socket of a pipe or a unix socket, which is connected and has no address. */
function isUnixSocket(socket: Socket): boolean {
  return !socket.destroyed && socket.remoteAddress === undefined && Object.keys(socket.address()).length === 0
}

let deliveries: (() => void)[] = []

/**
 * Calls `deliver` after the sockets that are readable in this turn of the event loop have been
 * read. Between two of them Node runs what is due, so that each chunk would go to the line alone,
 * by a system call of its own: with many connections that is most of what a forward costs. Nobody
 * waits longer for it, since until then this process does nothing but read. One that throws keeps
 * the others from nothing.
 */
function afterReads(deliver: () => void): void {
  if (deliveries.push(deliver) > 1) return
  setImmediate(() => {
    const due = deliveries
    deliveries = []
    for (const each of due) notify(each, undefined)
  })
}
