/** One direction of a proxied connection, with what is wrong with it. */
import type { Socket } from 'node:net'
import { resetSocket } from '../../protocols/tcp/reset-socket.ts'
import type { Random } from '../sim/random.ts'

/** How a connection is cut: by an end (FIN), by a reset (RST), or by nothing at all any more. */
export type Cut = 'end' | 'reset' | 'silence'

/** What is wrong with one direction. Nothing, unless it is said. */
export interface Toxics {
  /** Each piece arrives this much later. */
  latencyMs?: number
  /** And up to this much more, in order all the same. */
  jitterMs?: number
  bytesPerSecond?: number
  /** Pieces of at most this many bytes, each in a turn of its own. */
  sliceBytes?: number
  /** Cuts the whole connection once this many bytes have been handed on. */
  limit?: { readonly bytes: number; readonly by: Cut }
  /** An end is handed on this much later. */
  slowCloseMs?: number
}

/** Bytes that are held on the way before the sender is made to wait. */
const MAX_HELD_BYTES = 256 * 1024
/** Pieces of a line with a rate: short enough for a steady flow. */
const RATE_SLICE_BYTES = 512

interface Item {
  readonly bytes: Uint8Array | undefined
  readonly dueAt: number
}

export class FaultyWay {
  /** Bytes handed on. */
  carried = 0
  isCut = false
  readonly #from: Socket
  readonly #to: Socket
  readonly #toxics: Toxics
  readonly #random: Random
  readonly #atLimit: (by: Cut) => void
  readonly #items: Item[] = []
  #held = 0
  #lastDue = 0
  #running = false
  #silent = false
  #stopped = false
  /** Ends the wait that is under way. */
  #hurry: (() => void) | undefined

  /** `atLimit` is called once, when the limit's bytes have been handed on. */
  constructor(from: Socket, to: Socket, toxics: Toxics, random: Random, atLimit: (by: Cut) => void) {
    this.#atLimit = atLimit
    this.#from = from
    this.#to = to
    this.#toxics = toxics
    this.#random = random
    from.on('data', (chunk: Buffer) => {
      this.#add(chunk)
    })
    from.on('end', () => {
      this.#add(undefined)
    })
    // a reset, or no connection at all: the other side sees the same
    from.on('error', () => {
      if (!this.#silent && !this.#stopped) cutSocket(to, 'reset')
    })
  }

  /** A limit of nothing lets nothing pass, not even the first byte. */
  start(): void {
    if (this.#toxics.limit?.bytes === 0) this.#cutAt(this.#toxics.limit.by)
  }

  /** Nothing passes any more. */
  silence(how: 'read' | 'stuck'): void {
    this.#silent = true
    this.#items.length = 0
    if (how === 'stuck') this.#from.pause()
    else this.#from.resume()
  }

  stop(): void {
    this.#stopped = true
    this.#items.length = 0
    this.#hurry?.()
  }

  #add(bytes: Uint8Array | undefined): void {
    if (this.#silent) return
    const { latencyMs = 0, jitterMs = 0, slowCloseMs = 0 } = this.#toxics
    const late = latencyMs + jitterMs * this.#random.next() + (bytes === undefined ? slowCloseMs : 0)
    this.#lastDue = Math.max(this.#lastDue, performance.now() + late)
    this.#items.push({ bytes, dueAt: this.#lastDue })
    this.#held += bytes?.byteLength ?? 0
    if (this.#held > MAX_HELD_BYTES) this.#from.pause()
    if (!this.#running) void this.#run()
  }

  async #run(): Promise<void> {
    this.#running = true
    for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) {
      await this.#wait(item.dueAt - performance.now())
      if (item.bytes !== undefined) {
        await this.#handOn(item.bytes)
        this.#held -= item.bytes.byteLength
        if (this.#held <= MAX_HELD_BYTES && !this.#silent) this.#from.resume()
      } else if (!this.#silent && !this.#stopped) this.#to.end()
    }
    this.#running = false
  }

  async #handOn(bytes: Uint8Array): Promise<void> {
    const { bytesPerSecond, limit } = this.#toxics
    const slice = this.#toxics.sliceBytes ?? (bytesPerSecond === undefined ? bytes.byteLength : RATE_SLICE_BYTES)
    for (let at = 0; at < bytes.byteLength; at += slice) {
      if (this.#silent || this.#stopped || this.#to.destroyed) return
      const left = limit === undefined ? Infinity : limit.bytes - this.carried
      const piece = bytes.subarray(at, Math.min(at + slice, at + left))
      this.carried += piece.byteLength
      const taken = this.#to.write(piece)
      if (limit !== undefined && this.carried >= limit.bytes) {
        this.#cutAt(limit.by)
        return
      }
      if (bytesPerSecond !== undefined) await this.#wait((piece.byteLength / bytesPerSecond) * 1000)
      else if (slice < bytes.byteLength) await new Promise((resolve) => setImmediate(resolve))
      if (!taken) await this.#drained()
    }
  }

  #cutAt(by: Cut): void {
    this.isCut = true
    this.#silent = true
    // a reset would overtake what was just written
    if (by === 'reset' && this.carried > 0) this.#to.write('', () => this.#atLimit(by))
    else this.#atLimit(by)
  }

  async #drained(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#to.once('drain', resolve)
      this.#to.once('close', resolve)
    })
  }

  async #wait(ms: number): Promise<void> {
    if (ms <= 0 || this.#stopped) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#hurry = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#hurry = undefined
  }
}

/** Ends a socket's writing, or resets it. */
export function cutSocket(socket: Socket, how: 'end' | 'reset'): void {
  if (socket.destroyed) return
  if (how === 'end') socket.end()
  else resetSocket(socket)
}
