/**
 * A peer that speaks frames by hand over any link: good manners where a test does not say otherwise
 * (it answers the hello, ends its side when the other did), and every kind of bad ones on request.
 * Uses the naive codec, so nothing here shares code with what it tests.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Bytes, Link } from '../../src/contracts/types.ts'
import { cbor, fromCbor, type CborValue } from './naive-cbor.ts'
import {
  bigEndian,
  concat,
  decodeFrames,
  decodeStatus,
  encodeFrame,
  encodeStatus,
  frame,
  SYNC,
  TYPE,
  utf8,
  type TypeName,
  type WireFrame,
} from './naive-codec.ts'

/** Fields of a hello. */
export type HelloFields = Record<string, CborValue | undefined>

/** A hello that a peer with the default limits would send. */
export function helloFields(overrides: HelloFields = {}): HelloFields {
  return {
    versions: [1, 1],
    epoch: new Uint8Array(randomBytes(8)),
    name: 'raw',
    role: 'peer',
    limits: {
      frame: 262_144,
      window: 65_536,
      inFlight: 1_048_576,
      open: 4096,
      pipes: 1024,
      waiting: 64,
      resetBurst: 1000,
      resetRate: 33,
    },
    protocols: [],
    features: [],
    ...overrides,
  }
}

/** The largest and the smallest epoch: with one of them a test knows who takes the odd ids. */
export const HIGHEST_EPOCH: Uint8Array = new Uint8Array(8).fill(0xff)
export const LOWEST_EPOCH: Uint8Array = new Uint8Array(8)

const PATIENCE_MS = 10_000

interface Waiter {
  readonly wants: (frame: WireFrame) => boolean
  readonly resolve: (frame: WireFrame) => void
  readonly reject: (error: Error) => void
}

export class RawPeer {
  /** Every frame that came, in order. */
  readonly received: WireFrame[] = []
  /** Bytes that came, the sync word included. */
  bytesReceived = 0
  /** Settles when the other side has ended the line, or it failed. */
  readonly ended: Promise<void>
  /** The payloads of both hellos, once {@link exchangeHellos} is through. */
  ownHello: Uint8Array = new Uint8Array(0)
  theirHello: Uint8Array = new Uint8Array(0)
  /** False: whoever wants a PONG to go out sends it. */
  answersPings = true
  readonly #link: Link
  readonly #unclaimed: WireFrame[] = []
  readonly #waiters: Waiter[] = []
  readonly #output: { bytes: Uint8Array; sent: () => void }[] = []
  #sending: (() => void) | undefined
  #rest: Uint8Array = new Uint8Array(0)
  #synced = false
  #over = false
  #wakeOutput: (() => void) | undefined
  #outputOver = false
  #reading: Promise<void> | undefined
  #resumeReading: (() => void) | undefined

  constructor(link: Link) {
    this.#link = link
    // a line that was cut under us is seen by `ended`
    void link.sink(this.#outgoing()).catch(() => undefined)
    this.ended = this.#read()
  }

  // --- sending -----------------------------------------------------------------------------------

  /** Sends bytes and frames as one chunk; resolves when the line has taken it, or is over. */
  send(...parts: readonly (Uint8Array | WireFrame)[]): Promise<void> {
    const bytes = concat(...parts.map((part) => (part instanceof Uint8Array ? part : encodeFrame(part))))
    if (this.#over) return Promise.resolve()
    return new Promise((resolve) => {
      this.#output.push({ bytes, sent: resolve })
      this.#wakeOutput?.()
    })
  }

  /** An OPEN of `protocol`. */
  open(pipe: number, protocol: string, params?: CborValue): Promise<void> {
    return this.send(frame(TYPE.OPEN, pipe, cbor({ protocol, params })))
  }

  /** A DATA frame. */
  data(pipe: number, payload: Uint8Array | string): Promise<void> {
    return this.send(frame(TYPE.DATA, pipe, typeof payload === 'string' ? utf8(payload) : payload))
  }

  /** A frame whose payload is one u64: CREDIT, END, PARSED. */
  offset(type: number, pipe: number, offset: number | bigint): Promise<void> {
    return this.send(frame(type, pipe, bigEndian(offset, 8)))
  }

  /** A frame whose payload is a status. */
  status(type: number, pipe: number, number: number, sentence = '', flags = 0): Promise<void> {
    return this.send(frame(type, pipe, encodeStatus({ number, name: '', sentence }), flags))
  }

  /** Ends our side of the line. */
  end(): void {
    this.#outputOver = true
    this.#wakeOutput?.()
  }

  /** Drops the line at once. */
  cut(): void {
    this.#link.abort(new Error('cut by the test'))
  }

  // --- receiving ---------------------------------------------------------------------------------

  /** The next frame of this type (and pipe) that nothing has claimed; others stay unclaimed. */
  expect(name: TypeName, pipe?: number): Promise<WireFrame> {
    const wants = (candidate: WireFrame): boolean =>
      candidate.type === TYPE[name] && (pipe === undefined || candidate.pipe === pipe)
    const at = this.#unclaimed.findIndex(wants)
    if (at >= 0) return Promise.resolve(this.#unclaimed.splice(at, 1)[0]!)
    if (this.#over) return Promise.reject(new Error(`the line is over and no ${name} came: ${this.#summary()}`))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`no ${name} within ${PATIENCE_MS} ms: ${this.#summary()}`))
      }, PATIENCE_MS)
      const settle = (then: () => void): void => {
        clearTimeout(timer)
        then()
      }
      this.#waiters.push({
        wants,
        resolve: (found) => settle(() => resolve(found)),
        reject: (error) => settle(() => reject(error)),
      })
    })
  }

  /** The number in the status of the next frame of this type. */
  async expectStatus(name: 'BYE' | 'REFUSE' | 'DONE' | 'STOP' | 'RESET', pipe?: number): Promise<number> {
    return decodeStatus((await this.expect(name, pipe)).payload).number
  }

  /** How many frames of a type (and pipe) have come. */
  count(name: TypeName, pipe?: number): number {
    return this.received.filter((one) => one.type === TYPE[name] && (pipe === undefined || one.pipe === pipe)).length
  }

  /**
   * Everything sent so far has been handled by the other side, and its answers to it are here: a
   * ping there and back.
   */
  async sync(): Promise<void> {
    const id = bigEndian(randomBytes(6).readUIntBE(0, 6), 8)
    await this.send(frame(TYPE.PING, 0, concat(id, new Uint8Array(8))))
    for (;;) {
      const pong = await this.expect('PONG')
      if (Buffer.compare(pong.payload.subarray(0, 8), id) === 0) return
    }
  }

  /** Stops taking bytes from the line until {@link resume}. */
  stall(): void {
    this.#reading ??= new Promise((resolve) => {
      this.#resumeReading = resolve
    })
  }

  resume(): void {
    this.#resumeReading?.()
    this.#reading = undefined
  }

  // --- the hello ---------------------------------------------------------------------------------

  /** Sends a hello and takes the other side's; no READY yet. */
  async exchangeHellos(overrides: HelloFields = {}): Promise<HelloFields> {
    this.ownHello = cbor(helloFields(overrides))
    await this.send(SYNC, frame(TYPE.HELLO, 0, this.ownHello))
    const theirs = await this.expect('HELLO')
    this.theirHello = theirs.payload
    return fromCbor(theirs.payload) as HelloFields
  }

  /** Sends READY. */
  async ready(fields: HelloFields = {}): Promise<void> {
    const theirs = fromCbor(this.theirHello) as HelloFields
    await this.send(frame(TYPE.READY, 0, cbor({ epoch: theirs.epoch, ...fields })))
  }

  /** The whole hello, without a token. */
  async hello(overrides: HelloFields = {}): Promise<HelloFields> {
    const theirs = await this.exchangeHellos(overrides)
    await this.ready()
    const ready = fromCbor((await this.expect('READY')).payload) as HelloFields
    assert.deepEqual(ready.epoch, (fromCbor(this.ownHello) as HelloFields).epoch)
    return theirs
  }

  // --- inside ------------------------------------------------------------------------------------

  async *#outgoing(): AsyncGenerator<Bytes> {
    for (;;) {
      const next = this.#output.shift()
      if (next !== undefined) {
        this.#sending = next.sent
        yield next.bytes
        next.sent()
      } else if (this.#outputOver) {
        return
      } else {
        await new Promise<void>((resolve) => {
          this.#wakeOutput = resolve
        })
      }
    }
  }

  async #read(): Promise<void> {
    try {
      for await (const chunk of this.#link.source) {
        this.#take(new Uint8Array(chunk instanceof Uint8Array ? chunk : chunk.subarray()))
        if (this.#reading !== undefined) await this.#reading
      }
    } catch {
      // A reset is an end, too: what a test wants to know is which frames came before it.
    }
    this.#over = true
    this.end()
    this.#sending?.()
    for (const { sent } of this.#output.splice(0)) sent()
    for (const waiter of this.#waiters.splice(0)) waiter.reject(new Error(`the line ended: ${this.#summary()}`))
  }

  #take(chunk: Uint8Array): void {
    this.bytesReceived += chunk.byteLength
    this.#rest = this.#rest.byteLength === 0 ? chunk : concat(this.#rest, chunk)
    if (!this.#synced) {
      if (this.#rest.byteLength < SYNC.byteLength) return
      assert.deepEqual(Buffer.from(this.#rest.subarray(0, 8)), Buffer.from(SYNC))
      this.#rest = this.#rest.subarray(SYNC.byteLength)
      this.#synced = true
    }
    const { frames, rest } = decodeFrames(this.#rest)
    this.#rest = rest
    for (const one of frames) this.#arrived(one)
  }

  #arrived(one: WireFrame): void {
    this.received.push(one)
    if (one.type === TYPE.PING && this.answersPings && !this.#over) {
      void this.send(frame(TYPE.PONG, 0, concat(one.payload, new Uint8Array(8))))
    }
    const at = this.#waiters.findIndex((waiter) => waiter.wants(one))
    if (at >= 0) this.#waiters.splice(at, 1)[0]!.resolve(one)
    else this.#unclaimed.push(one)
  }

  #summary(): string {
    const names = this.received.slice(-20).map((one) => {
      const name = Object.entries(TYPE).find(([, type]) => type === one.type)?.[0] ?? `0x${one.type.toString(16)}`
      return one.type === TYPE.BYE ? `${name} ${JSON.stringify(decodeStatus(one.payload))}` : `${name}/${one.pipe}`
    })
    return `came: ${names.join(' ') || 'nothing'}`
  }
}
