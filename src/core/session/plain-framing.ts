/**
 * Plain framing, for a link that is connected and lossless: one hello each, at once; the sync word
 * is the magic number that it begins with, and nothing may come before it. See framing.ts for what
 * it promises.
 */
import { TrunkError } from '../../contracts/errors.ts'
import { FrameBatch } from '../frame/batch.ts'
import { FrameType, MAX_EDGE_BYTE, SYNC_WORD } from '../frame/constants.ts'
import { FrameDecoder } from '../frame/decoder.ts'
import type { Handshake } from './handshake.ts'
import type { FramingHost, Framing } from './framing.ts'

export class PlainFraming implements Framing {
  readonly batch: FrameBatch = new FrameBatch()
  readonly seen = ''
  readonly #handshake: Handshake
  readonly #host: FramingHost
  /** What reads the frames. */
  readonly decoder: FrameDecoder
  #syncBytes = 0
  /** The byte behind the sync word has been looked at: frames follow. */
  #begun = false
  #helloSent = false
  /** Our READY, where it had to wait for the peer's. */
  #ready: Uint8Array | undefined
  /** The peer gets our READY: never beside a goodbye that refuses it. */
  #admitted = false
  #isEstablished = false

  constructor(handshake: Handshake, host: FramingHost) {
    this.#handshake = handshake
    this.#host = host
    this.decoder = new FrameDecoder(host)
  }

  get midFrame(): boolean {
    return !this.decoder.atBoundary
  }

  receive(chunk: Uint8Array): void {
    const rest = this.#begun ? chunk : this.#begin(chunk)
    if (rest.byteLength > 0) this.decoder.push(rest)
  }

  #begin(chunk: Uint8Array): Uint8Array {
    let at = 0
    while (at < chunk.byteLength && this.#syncBytes < SYNC_WORD.byteLength) {
      if (chunk[at] !== SYNC_WORD[this.#syncBytes]) {
        throw new TrunkError(
          'ERR_NOT_TRUNKLINE',
          'the peer does not speak trunkline: its first bytes are not the sync word',
        )
      }
      at++
      this.#syncBytes++
    }
    const first = chunk[at]
    if (first === undefined) return chunk.subarray(at)
    this.#begun = true
    // no frame begins so, but a probe does
    if (first > MAX_EDGE_BYTE) {
      throw new TrunkError(
        'ERR_LINE_MISMATCH',
        'the peer takes this line for a serial one: use a serial address on both sides, or on neither',
      )
    }
    return chunk.subarray(at)
  }

  handshakeFrame(type: number, payload: Uint8Array): void {
    if (type === FrameType.HELLO) {
      this.#handshake.hello(payload)
      if (!this.#handshake.answersLast) this.#admit()
      this.#host.wake()
      return
    }
    this.#handshake.ready(payload)
    if (this.#handshake.answersLast) this.#admit()
    // ours may have been waiting for it (the serving side with a token); it goes out before
    // anything that follows
    this.#ready ??= this.#handshake.takeReady()
    this.#host.wake()
    const { peer } = this.#handshake
    if (peer === undefined || this.#isEstablished) return
    this.#isEstablished = true
    this.#host.established(peer, this.#handshake.own)
  }

  #admit(): void {
    this.#host.admit()
    this.#admitted = true
  }

  pull(): void {
    if (!this.#helloSent) {
      this.#helloSent = true
      this.batch.raw(SYNC_WORD)
      this.batch.frame(FrameType.HELLO, 0, 0, this.#handshake.helloPayload)
    }
    const ready = this.#ready ?? (this.#admitted ? this.#handshake.takeReady() : undefined)
    this.#ready = undefined
    if (ready !== undefined) this.batch.frame(FrameType.READY, 0, 0, ready)
  }

  beforeFarewell(): boolean {
    return true
  }

  deadline(): number {
    return Infinity
  }

  tick(): void {
    // nothing is repeated: what was said has arrived, or the line says that it is lost
  }
}
