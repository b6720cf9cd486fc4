/**
 * The connections of this thread that the native addon carries, by one poller: whoever is ready in
 * a turn of the event loop is read by one call and told together, so that what they bring leaves in
 * one batch. Owns the poller, which is there while there is a connection, and the memory that is
 * read into.
 *
 * Bounds: {@link MAX_READ_BUFFERS}, whatever is held of them; beyond, each read is copied into
 * memory of its own size.
 */
import { getSystemErrorName } from 'node:util'
import { loadNative, type NativeAddon, type NativePoller, type NativeWatch } from '../../src/native/load.ts'
import { notify } from '../../src/runtime/notify.ts'

/** A socket in the set. What is told to one that was dropped in the same turn is not told. */
export interface Member {
  readonly fd: number
  /**
   * Bytes of one read: a view of the set's memory, to be given back with `release`. Empty: the
   * other side's end.
   */
  readable(chunk: Uint8Array): void
  writable(): void
  failed(error: NodeJS.ErrnoException): void
}

/**
 * Reads that fit into a read buffer at least, and sockets of one round: what they bring leaves in
 * one batch. 4 cost a sixth more time, 32 a twentieth less and twice the memory
 * (docs/internals/performance.md).
 */
const READS_PER_BUFFER = 16
/** Rounds of reading in one turn of the event loop, before others have theirs. */
const MAX_ROUNDS = 4
/** Read buffers that are kept for the next read while there is a connection. */
const MAX_SPARE_BUFFERS = 4
/**
 * Read buffers at all. One byte that a stalled pipe does not take holds a whole one, and a peer may
 * have hundreds of such pipes.
 */
const MAX_READ_BUFFERS = 16
const MAX_ID = 0x7fffffff

interface ReadBuffer {
  readonly bytes: Uint8Array
  /** Views that are out. */
  held: number
  used: number
}

let shared: ConnectionSet | undefined

/** The set of this thread; undefined where there is no native addon. */
export function connectionSet(): ConnectionSet | undefined {
  const native = loadNative()
  if (native !== undefined) shared ??= new ConnectionSet(native)
  return shared
}

/** See the top of the file. */
export class ConnectionSet {
  readonly native: NativeAddon
  readonly #members = new Map<number, Member>()
  readonly #records: Int32Array
  readonly #readBuffers = new Map<ArrayBufferLike, ReadBuffer>()
  #open: { readonly poller: NativePoller; readonly watch: NativeWatch } | undefined
  #readBuffer: ReadBuffer | undefined
  #spare: ReadBuffer[] = []
  #lastId = 0

  constructor(native: NativeAddon) {
    this.native = native
    this.#records = new Int32Array(native.constants.RECORD_FIELDS * READS_PER_BUFFER)
  }

  /**
   * Puts a socket in and gives its id; from here on it is the set's to close. Throws a system
   * error, and has not taken it then.
   */
  add(member: Member, events: number): number {
    const { poller } = (this.#open ??= this.#start())
    do this.#lastId = (this.#lastId + 1) & MAX_ID
    while (this.#members.has(this.#lastId))
    try {
      poller.want(member.fd, this.#lastId, events)
    } catch (error) {
      this.#rest()
      throw error
    }
    this.#members.set(this.#lastId, member)
    return this.#lastId
  }

  /** From now on `member` is told what whoever was added as `id` was; the socket is the same. */
  replace(id: number, member: Member): void {
    this.#members.set(id, member)
  }

  /** What the socket is watched for from now on, besides its failure. Throws a system error. */
  want(id: number, fd: number, events: number): void {
    this.#open?.poller.want(fd, id, events)
  }

  /** Closes a socket. Harmless when repeated. */
  drop(id: number, fd: number, reset: boolean): void {
    if (!this.#members.delete(id)) return
    this.#open?.poller.drop(fd, reset)
    this.#rest()
  }

  /** A view that `readable` gave is no longer looked at. */
  release(chunk: Uint8Array): void {
    const readBuffer = this.#readBuffers.get(chunk.buffer)
    if (readBuffer === undefined) return
    readBuffer.held -= 1
    // the one in use is begun again before the next read
    if (readBuffer.held > 0 || readBuffer === this.#readBuffer) return
    if (this.#spare.length < MAX_SPARE_BUFFERS && this.#open !== undefined) this.#spare.push(readBuffer)
    else this.#readBuffers.delete(readBuffer.bytes.buffer)
  }

  /**
   * The same of one that somebody may still look at: what it is a part of is read into no more, and
   * nobody's here.
   */
  abandon(chunk: Uint8Array): void {
    if (this.#readBuffer?.bytes.buffer === chunk.buffer) this.#readBuffer = undefined
    this.#readBuffers.delete(chunk.buffer)
  }

  #start(): { poller: NativePoller; watch: NativeWatch } {
    const poller = this.native.poller()
    try {
      const watch = this.native.watch(poller.fd, () => {
        this.#onReady()
      })
      watch.start()
      return { poller, watch }
    } catch (error) {
      poller.close()
      throw error
    }
  }

  /** Without a connection there is nothing of the set but what is still held. */
  #rest(): void {
    if (this.#members.size > 0 || this.#open === undefined) return
    this.#open.watch.close()
    this.#open.poller.close()
    this.#open = undefined
    for (const readBuffer of this.#spare) this.#readBuffers.delete(readBuffer.bytes.buffer)
    this.#spare = []
  }

  #onReady(): void {
    const { RECORD_FIELDS } = this.native.constants
    for (let round = 0; round < MAX_ROUNDS && this.#open !== undefined; round++) {
      const readBuffer = this.#roomy()
      const count = this.#open.poller.read(readBuffer.bytes, readBuffer.used, this.#records)
      // what was read of the others is in the records and nowhere else: one that throws must not
      // keep it from them
      for (let index = 0; index < count; index++) notify((at) => this.#notify(at, readBuffer), index * RECORD_FIELDS)
      if (count < READS_PER_BUFFER) return
    }
  }

  #notify(at: number, readBuffer: ReadBuffer): void {
    const { WAS_READ, WAS_WRITABLE, HAS_FAILED } = this.native.constants
    const id = this.#records[at] ?? -1
    const member = this.#members.get(id)
    const what = this.#records[at + 1] ?? 0
    const value = this.#records[at + 2] ?? 0
    if ((what & WAS_READ) !== 0) {
      const chunk = readBuffer.bytes.subarray(readBuffer.used, readBuffer.used + value)
      readBuffer.used += value
      if (member === undefined) return
      if (this.#readBuffers.size > MAX_READ_BUFFERS) {
        member.readable(chunk.slice())
      } else {
        if (value > 0) readBuffer.held += 1
        member.readable(chunk)
      }
    }
    if (member === undefined) return
    if ((what & HAS_FAILED) !== 0) member.failed(systemError(value))
    else if ((what & WAS_WRITABLE) !== 0 && this.#members.has(id)) member.writable()
  }

  /** A read buffer with room for one read at least. */
  #roomy(): ReadBuffer {
    const readBuffer = this.#readBuffer
    if (readBuffer !== undefined) {
      if (readBuffer.held === 0) readBuffer.used = 0
      if (readBuffer.bytes.byteLength - readBuffer.used >= this.native.constants.POLLER_READ_BYTES) return readBuffer
    }
    const next = this.#spare.pop() ?? this.#fresh()
    next.used = 0
    this.#readBuffer = next
    return next
  }

  #fresh(): ReadBuffer {
    const readBuffer = {
      bytes: new Uint8Array(READS_PER_BUFFER * this.native.constants.POLLER_READ_BYTES),
      held: 0,
      used: 0,
    }
    this.#readBuffers.set(readBuffer.bytes.buffer, readBuffer)
    return readBuffer
  }
}

/** An error as Node makes them, of libuv's number, which is below 0. */
function systemError(errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(errno)
  return Object.assign(new Error(code), { code, errno })
}
