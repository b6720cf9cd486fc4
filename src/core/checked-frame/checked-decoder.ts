/**
 * Bytes to checked frames. Promises upward: a frame is shown only when its checksum was right, so
 * no changed, lost, doubled or inserted byte is ever part of one; frames that are sequenced are
 * shown only in the order in which they were sent, none missing. What lies outside of frames is
 * skipped, up to the next sync word, however long it is. Assumes below: nothing. Enforces: the size
 * rules of its handler, before a payload is kept.
 */
import { FrameType, HEADER_BYTES, MAX_EDGE_BYTE } from '../frame/constants.ts'
import type { FrameHandler } from '../frame/decoder.ts'
import {
  CHECK_BYTES,
  checkMatches,
  CHECKSUM_BYTES,
  checksumMatches,
  STUFFED,
  stuffedLength,
  unstuff,
  type ChecksumTools,
} from './checks.ts'
import { readU24, readU32 } from '../frame/numbers.ts'
import { PROBE_BYTES } from './probe.ts'
import { SyncScanner } from './sync-scanner.ts'

/**
 * What a {@link CheckedDecoder} calls besides. Anything it throws ends the decoding and reaches the
 * caller of `push`.
 */
export interface CheckedHandler extends FrameHandler {
  /** Largest payload of a frame of this type. */
  maxPayload(type: number): number
  /**
   * The bytes behind a sync word, in the probe's place. True: they are as they were sent, and
   * frames follow.
   */
  probe(bytes: Uint8Array): boolean
  /** A hello as on a plain line stands in the probe's place. Throws. */
  plainHello(): never
  /**
   * A frame that belongs to no running CRC: HELLO or READY. `cut`: the sync word before it came
   * inside another frame.
   */
  helloBurst(type: number, payload: Uint8Array, cut: boolean): void
  /**
   * A sequenced frame of this type is right, and is about to be shown. False: it is not to be had.
   */
  sequenced(type: number): boolean
  /** Bytes that are no frame. Returning goes on at the next sync word. */
  damaged(sentence: string): void
}

const PREFIX_BYTES = HEADER_BYTES + CHECK_BYTES

/** What a hello on a plain line has in the probe's place: its type, and a length below 65,536. */
const PLAIN_HELLO: readonly number[] = [FrameType.HELLO, 0]

/**
 * `noise`: nothing is known; `probe`: behind a sync word; `header` and `body`: in a frame, or
 * between two.
 */
type State = 'noise' | 'probe' | 'header' | 'body'

export class CheckedDecoder {
  /** Checksum that the next sequenced frame goes on from; undefined while the peer is not known. */
  runningCrc: number | undefined
  /** The same for a BYE to whom it may concern. */
  farewell: number | undefined
  /** Bytes that were skipped. */
  skippedBytes = 0
  readonly #handler: CheckedHandler
  readonly #tools: ChecksumTools
  readonly #scanner: SyncScanner
  readonly #probe = new Uint8Array(PROBE_BYTES)
  readonly #prefix = new Uint8Array(PREFIX_BYTES)
  #state: State = 'noise'
  /** Bytes of the probe or of the prefix that have come. */
  #filled = 0
  #type = 0
  #flags = 0
  #pipe = 0
  #length = 0
  #headerSum = 0
  #cut = false
  /** Payload and checksum under assembly: only where they came in several chunks. */
  #body: Uint8Array | undefined
  #bodyBytes = 0

  constructor(tools: ChecksumTools, handler: CheckedHandler) {
    this.#handler = handler
    this.#tools = tools
    this.#scanner = new SyncScanner(tools, {
      between: (bytes) => {
        this.#between(bytes)
      },
      sync: () => {
        this.#sync()
      },
    })
  }

  /** True inside a frame or a hello burst: something is to follow. */
  get midFrame(): boolean {
    return this.#state === 'probe' || this.#state === 'body' || (this.#state === 'header' && this.#filled > 0)
  }

  /** Decodes `chunk`; what it ends with may go on in the next one. */
  push(chunk: Uint8Array): void {
    this.#scanner.push(chunk)
  }

  #sync(): void {
    this.#cut = this.#state === 'body' || (this.#state === 'header' && this.#filled > 0)
    this.#state = 'probe'
    this.#filled = 0
    this.#body = undefined
  }

  #between(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.byteLength) {
      if (this.#state === 'body') at = this.#readBody(bytes, at)
      else if (this.#state === 'header') at = this.#readPrefix(bytes, at)
      else if (this.#state === 'probe') at = this.#readProbe(bytes, at)
      else {
        this.skippedBytes += bytes.byteLength - at
        return
      }
    }
  }

  #damaged(sentence: string): void {
    this.#state = 'noise'
    this.#body = undefined
    this.#handler.damaged(sentence)
  }

  #readProbe(bytes: Uint8Array, at: number): number {
    const taken = Math.min(PROBE_BYTES - this.#filled, bytes.byteLength - at)
    this.#probe.set(bytes.subarray(at, at + taken), this.#filled)
    const before = this.#filled
    this.#filled += taken
    // looked at as soon as it is there: a plain hello may be shorter than a probe, and nothing
    // would follow it
    if (before < PLAIN_HELLO.length && this.#filled >= PLAIN_HELLO.length && this.#isPlainHello()) {
      this.#handler.plainHello()
    }
    if (this.#filled === PROBE_BYTES) {
      this.#filled = 0
      if (this.#handler.probe(this.#probe)) this.#state = 'header'
      else this.#damaged('the bytes behind a sync word are not those that were sent')
    }
    return at + taken
  }

  #isPlainHello(): boolean {
    return PLAIN_HELLO.every((byte, index) => this.#probe[index] === byte)
  }

  #readPrefix(bytes: Uint8Array, at: number): number {
    if (this.#filled === 0 && bytes.byteLength - at >= PREFIX_BYTES) {
      this.#begin(bytes.subarray(at, at + PREFIX_BYTES))
      return at + PREFIX_BYTES
    }
    const taken = Math.min(PREFIX_BYTES - this.#filled, bytes.byteLength - at)
    this.#prefix.set(bytes.subarray(at, at + taken), this.#filled)
    this.#filled += taken
    if (this.#filled === PREFIX_BYTES) this.#begin(this.#prefix)
    return at + taken
  }

  /** A header with its check. */
  #begin(prefix: Uint8Array): void {
    this.#filled = 0
    const type = prefix[0] ?? 0
    const flags = prefix[HEADER_BYTES - 1] ?? 0
    const sum = this.#sumOfHeader(type, prefix)
    if (sum === undefined || type > MAX_EDGE_BYTE || flags > MAX_EDGE_BYTE) {
      this.#damaged('bytes that are no frame of this session')
      return
    }
    const length = readU24(prefix, 1)
    const most = this.#handler.maxPayload(type)
    if (length > ((flags & STUFFED) === 0 ? most : stuffedLength(most))) {
      // a header that is right by chance (one in 16,384) may say anything: that is damage, and not
      // the peer's doing
      this.#damaged(`a frame of ${length} bytes, above the limit of ${most}`)
      return
    }
    this.#type = type
    this.#flags = flags
    this.#length = length
    this.#pipe = readU32(prefix, 4)
    this.#headerSum = sum
    this.#state = 'body'
  }

  /**
   * The checksum of a header whose check is right under one of the running CRCs that it may be of.
   */
  #sumOfHeader(type: number, prefix: Uint8Array): number | undefined {
    const header = prefix.subarray(0, HEADER_BYTES)
    const runningCrcs =
      type === FrameType.HELLO || type === FrameType.READY
        ? [0]
        : type === FrameType.BYE
          ? [this.runningCrc, this.farewell]
          : [this.runningCrc]
    for (const runningCrc of runningCrcs) {
      if (runningCrc === undefined) continue
      const sum = this.#tools.crc32(header, runningCrc)
      if (checkMatches(prefix, HEADER_BYTES, sum)) return sum
    }
    return undefined
  }

  #readBody(bytes: Uint8Array, at: number): number {
    const whole = this.#length + CHECKSUM_BYTES
    if (this.#body === undefined && bytes.byteLength - at >= whole) {
      this.#complete(bytes.subarray(at, at + whole))
      return at + whole
    }
    if (this.#body === undefined) {
      // the length was held against a limit before: this allocates at most that
      this.#body = new Uint8Array(whole)
      this.#bodyBytes = 0
    }
    const taken = Math.min(whole - this.#bodyBytes, bytes.byteLength - at)
    this.#body.set(bytes.subarray(at, at + taken), this.#bodyBytes)
    this.#bodyBytes += taken
    if (this.#bodyBytes === whole) this.#complete(this.#body)
    return at + taken
  }

  #complete(body: Uint8Array): void {
    this.#body = undefined
    this.#state = 'header'
    const wire = body.subarray(0, this.#length)
    const sum = this.#tools.crc32(wire, this.#headerSum)
    if (!checksumMatches(body, this.#length, sum)) {
      this.#damaged('a frame whose checksum is wrong')
      return
    }
    const payload = (this.#flags & STUFFED) === 0 ? wire : unstuff(wire, this.#tools)
    if (payload === undefined || payload.byteLength > this.#handler.maxPayload(this.#type)) {
      this.#damaged('a frame that is not stuffed as it says')
      return
    }
    const type = this.#type
    if (type === FrameType.HELLO || type === FrameType.READY) {
      if (this.#pipe !== 0 || (this.#flags & ~STUFFED) !== 0 || payload.byteLength === 0) {
        this.#damaged('a hello that is none')
        return
      }
      const cut = this.#cut
      this.#cut = false
      this.#handler.helloBurst(type, payload, cut)
      return
    }
    if (!this.#handler.sequenced(type)) {
      this.#state = 'noise'
      return
    }
    this.runningCrc = sum
    this.#show(type, this.#flags & ~STUFFED, payload)
  }

  #show(type: number, flags: number, payload: Uint8Array): void {
    if (!this.#handler.header(type, flags, this.#pipe, payload.byteLength)) {
      this.#handler.frame(type, flags, this.#pipe, payload)
    } else if (payload.byteLength > 0) this.#handler.piece(payload, true)
  }
}
