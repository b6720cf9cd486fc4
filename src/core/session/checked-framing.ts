/**
 * Checked framing, for a connectionless or lossy link (docs/reference/wire-format.md,
 * "Connectionless links").
 *
 * A hello burst (sync word, probe, HELLO, and READY once the peer is known) is repeated until the
 * session is established, since nobody knows when somebody listens. A side is established when it
 * knows that the peer has its READY: by a READY that says so, or by a frame that only an
 * established peer can send. A hello of another run ends the session. Frames are sequenced by their
 * checksums, and the running CRC begins with both epochs: no frame of another session, none that
 * was lost, doubled or changed goes unnoticed.
 */
import { TrunkError } from '../../contracts/errors.ts'
import { FrameType, SYNC_WORD } from '../frame/constants.ts'
import type { ChecksumTools } from '../checked-frame/checks.ts'
import { CheckedBatch } from '../checked-frame/checked-batch.ts'
import { CheckedDecoder, type CheckedHandler } from '../checked-frame/checked-decoder.ts'
import { diagnose, isProbe, PROBE, protocolOf, STRIPPED_SYNC_WORD } from '../checked-frame/probe.ts'
import { TokenBucket } from '../../runtime/token-bucket.ts'
import { decodeReady, Handshake, READY_BYTES, type Authenticator } from './handshake.ts'
import { decodeHello, EPOCH_BYTES, type Hello } from './hello.ts'
import type { FramingHost, Framing } from './framing.ts'

/** What a link with checked framing is made of. */
export interface CheckedFramingOptions {
  readonly hello: Hello
  /**
   * Makes another hello of the same side: another epoch, another challenge. @default the same one
   * is said for as long as nobody is known
   */
  readonly renewHello?: (() => Hello) | undefined
  readonly maxHelloBytes: number
  readonly repeatMs: number
  readonly authenticator: Authenticator | undefined
  readonly tools: ChecksumTools
  readonly now: number
}

/**
 * A frame that stands incomplete for this long while nothing comes: the peer is asked, and by its
 * answer a gap shows. Where bytes are missing both ways, each side's question is swallowed by the
 * other's frame and counts as something that came: twice this and the two gaps are 2.5 s.
 */
const STALL_MS = 500
/**
 * After an answer that did not complete it: nothing for so long, twice, and bytes are missing.
 * Between the two what waits for us is read.
 */
const GAP_MS = 750
/**
 * A terminal that nobody had open echoes what waits for it between its opening and its becoming
 * raw: several hello bursts in one burst. What is wrong with a line is wrong with the hello burst
 * after that as well.
 */
const AGAIN_MS = 500
/** Of what came first so much is kept. */
const FIRST_BYTES = 16
/**
 * Hello bursts of strangers, and mangled ones, that are looked at: so many at once, and so many a
 * second. An honest peer greets once a second.
 */
const MAX_HELLO_CHECKS = 20
const CHECKS_PER_SECOND = 5
/**
 * Hellos of our own that are remembered: said once a second, so an echo may take as many seconds.
 */
const MAX_OWN_BEFORE = 8
/** A tick this late means that we ourselves were suspended. */
const SUSPENDED_MS = 1_000

export class CheckedFraming implements Framing, CheckedHandler {
  readonly batch: CheckedBatch
  readonly #options: CheckedFramingOptions
  readonly #host: FramingHost
  readonly #decoder: CheckedDecoder
  #handshake: Handshake
  #peer: Hello | undefined
  /** Its HELLO as it travelled: the same run says the same. */
  #peerPayload: Uint8Array | undefined
  /**
   * Our HELLO was said to nobody that we know, so it may be older than this machine: one that is
   * restored twice would say it twice.
   */
  #stale = false
  /** Payloads of our HELLOs before this one: a slow echo brings them back. */
  readonly #ownBefore: Uint8Array[] = []
  #isEstablished = false
  /** The session is established and a HELLO of this peer has come; its READY has not. */
  #helloAlone = false
  /** A hello burst is to be sent; and when the next one will be, in any case. */
  #owesHelloBurst = true
  #repeatAt: number
  /** When our own hello came back first. */
  #echoedAt: number | undefined
  /** What the line did to the last probe, and when it did so first. */
  #diagnosis: string | undefined
  #diagnosedAt = 0
  /** What came before anything else: another protocol is told by it. */
  #first: Uint8Array = new Uint8Array(0)
  /** Looking at hello bursts that are new costs; a flood of them is not looked at. */
  readonly #helloChecks: TokenBucket
  /** Bytes of the stripped sync word that match so far. */
  #strippedBytes = 0
  #heardAt: number
  /**
   * Asked for a sign of life inside a frame; something has come since; and then nothing for one
   * gap.
   */
  #asked = false
  #answered = false
  #silent = false

  constructor(options: CheckedFramingOptions, host: FramingHost) {
    this.#options = options
    this.#host = host
    this.batch = new CheckedBatch(options.tools)
    this.#decoder = new CheckedDecoder(options.tools, this)
    this.#handshake = this.#newHandshake(options.hello)
    this.#helloChecks = new TokenBucket(MAX_HELLO_CHECKS, CHECKS_PER_SECOND, options.now)
    this.#repeatAt = options.now
    this.#heardAt = options.now
  }

  get midFrame(): boolean {
    return this.#decoder.midFrame
  }

  get seen(): string {
    if (this.#peer !== undefined) return ': a hello came, but no answer to ours'
    if (this.#diagnosis !== undefined) return `: the line changes bytes on their way here: ${this.#diagnosis}`
    const { skippedBytes } = this.#decoder
    if (skippedBytes === 0) return ': nothing came'
    const other = protocolOf(this.#first)
    return `: ${skippedBytes} bytes came that are not trunkline's${other === undefined ? '' : `, ${other}`}`
  }

  #newHandshake(hello: Hello): Handshake {
    const { maxHelloBytes, authenticator } = this.#options
    return new Handshake(hello, maxHelloBytes, authenticator)
  }

  // --- bytes in ----------------------------------------------------------------------------------

  receive(chunk: Uint8Array, now: number): void {
    this.#heardAt = now
    this.#answered = this.#asked
    this.#silent = false
    if (this.#peer === undefined) this.#lookForStripped(chunk)
    if (this.#first.byteLength < FIRST_BYTES) this.#first = firstOf(this.#first, chunk)
    this.#decoder.push(chunk)
  }

  handshakeFrame(): void {
    // a checked decoder shows them as hello bursts, never as frames
  }

  maxPayload(type: number): number {
    if (type === FrameType.HELLO) return this.#options.maxHelloBytes
    return type === FrameType.READY ? READY_BYTES : this.#host.maxPayload(type)
  }

  /** CheckedHandler: see there. */
  probe(bytes: Uint8Array): boolean {
    if (isProbe(bytes)) return true
    if (!this.#isEstablished) this.#mangled(bytes)
    return false
  }

  /** CheckedHandler: see there. */
  plainHello(): never {
    throw new TrunkError(
      'ERR_LINE_MISMATCH',
      'the peer does not take this line for a serial one: use a serial address on both sides, or on neither',
    )
  }

  /** Twice the same, not in one burst, is no accident. */
  #mangled(bytes: Uint8Array): void {
    if (!this.#helloChecks.take(this.#heardAt)) return
    const diagnosis = diagnose(bytes)
    if (this.#diagnosis !== diagnosis) {
      this.#diagnosis = diagnosis
      this.#diagnosedAt = this.#heardAt
    } else if (this.#heardAt - this.#diagnosedAt >= AGAIN_MS)
      throw new TrunkError('ERR_LINE_NOT_RAW', `the line changes bytes on their way here: ${diagnosis}`)
  }

  /** A sync word without its eighth bits would be noise for ever. */
  #lookForStripped(chunk: Uint8Array): void {
    for (const byte of chunk) {
      if (byte === STRIPPED_SYNC_WORD[this.#strippedBytes]) this.#strippedBytes++
      else this.#strippedBytes = byte === STRIPPED_SYNC_WORD[0] ? 1 : 0
      if (this.#strippedBytes < STRIPPED_SYNC_WORD.byteLength) continue
      this.#strippedBytes = 0
      this.#mangled(PROBE.map((value) => value & 0x7f))
    }
  }

  /** CheckedHandler: see there. */
  damaged(sentence: string): void {
    if (this.#isEstablished) throw new TrunkError('ERR_LINE_DAMAGED', `the line is damaged: ${sentence}`)
  }

  /** CheckedHandler: see there. */
  helloBurst(type: number, payload: Uint8Array, cut: boolean): void {
    this.#asked = false
    if (type === FrameType.HELLO) this.#hello(payload, cut)
    else this.#ready(payload)
  }

  #hello(payload: Uint8Array, cut: boolean): void {
    if (this.#isOwn(payload)) this.#echo()
    else if (this.#peerPayload !== undefined && sameBytes(payload, this.#peerPayload)) this.#helloAgain(cut)
    else if (this.#isEstablished) throw restarted('a hello of another run arrived')
    else this.#meet(payload)
  }

  #helloAgain(cut: boolean): void {
    // what it does not know yet it will be told by the next repetition: answering at once would
    // fill a slow line
    if (cut) this.damaged('a frame was broken off by a hello of the same run')
    if (!this.#isEstablished) return
    if (this.#helloAlone) throw restarted('it says hello as before the session, like a machine that was set back')
    this.#helloAlone = true
  }

  /** A run that is not known yet. */
  #meet(payload: Uint8Array): void {
    // whoever was there before is gone: where this hello is wrong, or not looked at, nobody is
    // known
    this.#peerPayload = undefined
    this.#peer = undefined
    this.#decoder.runningCrc = undefined
    this.#decoder.farewell = undefined
    if (!this.#helloChecks.take(this.#heardAt)) return
    this.#acquaint(this.#handshake.own, payload)
    this.#diagnosis = undefined
    this.#oweHelloBurst()
  }

  /** From here on the peer is whoever said `payload`, and we are who says `own`. */
  #acquaint(own: Hello, payload: Uint8Array): void {
    this.#handshake = this.#newHandshake(own)
    this.#handshake.hello(payload)
    const hello = decodeHello(payload)
    this.#peer = hello
    this.#peerPayload = new Uint8Array(payload)
    this.batch.runningCrc = this.#startOfCrc(own.epoch, hello.epoch)
    this.#decoder.runningCrc = this.#startOfCrc(hello.epoch, own.epoch)
    this.#decoder.farewell = this.#startOfCrc(hello.epoch, NOBODY)
  }

  /**
   * Before a hello burst: another hello in place of a stale one, unless the peer has answered that
   * already.
   */
  #renew(): void {
    const { renewHello } = this.#options
    if (!this.#stale || renewHello === undefined || this.#handshake.answered) return
    this.#stale = false
    this.#ownBefore.push(this.#handshake.helloPayload)
    if (this.#ownBefore.length > MAX_OWN_BEFORE) this.#ownBefore.shift()
    if (this.#peerPayload === undefined) this.#handshake = this.#newHandshake(renewHello())
    else this.#acquaint(renewHello(), this.#peerPayload)
  }

  #isOwn(payload: Uint8Array): boolean {
    return (
      sameBytes(payload, this.#handshake.helloPayload) || this.#ownBefore.some((before) => sameBytes(payload, before))
    )
  }

  /**
   * Our own hello has come back. Once, in one burst, may be left over from a terminal that was not
   * raw yet.
   */
  #echo(): void {
    if (this.#isEstablished) return
    this.#echoedAt ??= this.#heardAt
    if (this.#heardAt - this.#echoedAt < AGAIN_MS) return
    throw new TrunkError(
      'ERR_SELF_CONNECTION',
      'the line echoes: the hello that came back is our own (a terminal that is not in raw mode, or a loop)',
    )
  }

  #ready(payload: Uint8Array): void {
    const ready = decodeReady(payload)
    // an answer to another hello than ours is left over from before
    if (this.#peer === undefined || !this.#handshake.isForUs(ready)) return
    this.#helloAlone = false
    const isNew = !this.#handshake.answered
    if (isNew) this.#handshake.accept(ready)
    if (this.#isEstablished) {
      // whoever has had our answer never says again that it has not
      if (ready.state !== 'heard' && ready.state !== 'stands') throw restarted('it has forgotten our answer')
      if (ready.state === 'heard') this.#oweHelloBurst()
    } else if (ready.state === 'heard' || ready.state === 'stands') this.#establish()
    else if (isNew) this.#oweHelloBurst()
  }

  /**
   * CheckedHandler: see there. A peer that sends a sequenced frame is established, so it has our
   * READY; only its farewell may come before that.
   */
  sequenced(type: number): boolean {
    this.#asked = false
    if (this.#isEstablished || type === FrameType.BYE) return true
    if (this.#handshake.peer !== undefined) this.#establish()
    return this.#isStanding()
  }

  #isStanding(): boolean {
    return this.#isEstablished
  }

  #establish(): void {
    const { peer } = this.#handshake
    if (peer === undefined) {
      // it has our READY of before, which has to go out once more with this acquaintance
      this.#oweHelloBurst()
      return
    }
    this.#isEstablished = true
    this.#owesHelloBurst = false
    this.#host.established(peer, this.#handshake.own)
  }

  #oweHelloBurst(): void {
    this.#owesHelloBurst = true
    this.#host.wake()
  }

  #startOfCrc(sender: Uint8Array, receiver: Uint8Array): number {
    const { tools } = this.#options
    return tools.crc32(receiver, tools.crc32(sender, 0))
  }

  // --- frames that are right: the engine's -------------------------------------------------------

  header(type: number, flags: number, pipe: number, length: number): boolean {
    return this.#host.header(type, flags, pipe, length)
  }

  piece(bytes: Uint8Array, last: boolean): void {
    this.#host.piece(bytes, last)
  }

  frame(type: number, flags: number, pipe: number, payload: Uint8Array): void {
    this.#host.frame(type, flags, pipe, payload)
  }

  // --- bytes out ---------------------------------------------------------------------------------

  pull(now: number): void {
    if (!this.#isEstablished && now >= this.#repeatAt) this.#owesHelloBurst = true
    if (!this.#owesHelloBurst) return
    this.#owesHelloBurst = false
    this.#repeatAt = now + this.#options.repeatMs
    this.#renew()
    this.#stale = this.#peer === undefined
    const { batch } = this
    batch.raw(SYNC_WORD)
    batch.raw(PROBE)
    batch.frame(FrameType.HELLO, 0, 0, this.#handshake.helloPayload)
    const state = this.#isEstablished ? 'stands' : this.#handshake.answered ? 'heard' : 'new'
    const ready = this.#peer === undefined ? undefined : this.#handshake.readyPayload(state)
    if (ready !== undefined) batch.frame(FrameType.READY, 0, 0, ready)
  }

  beforeFarewell(now: number): boolean {
    if (this.#isEstablished) return true
    this.#owesHelloBurst = true
    this.pull(now)
    if (this.#peer === undefined) this.batch.runningCrc = this.#startOfCrc(this.#handshake.own.epoch, NOBODY)
    return true
  }

  // --- time --------------------------------------------------------------------------------------

  deadline(): number {
    if (!this.#isEstablished) return this.#repeatAt
    if (!this.#decoder.midFrame) return Infinity
    if (!this.#asked) return this.#heardAt + STALL_MS
    return this.#answered ? this.#heardAt + GAP_MS : Infinity
  }

  tick(now: number): void {
    const deadline = this.deadline()
    if (now < deadline) return
    if (!this.#isEstablished) {
      this.#repeatAt = now + this.#options.repeatMs
      this.#oweHelloBurst()
      return
    }
    if (now - deadline > SUSPENDED_MS) {
      this.#silent = false
      this.#heardAt = now
    } else if (!this.#asked) {
      this.#asked = true
      this.#answered = false
      this.#host.askForLife()
    } else if (!this.#silent) {
      this.#silent = true
      this.#heardAt = now
    } else throw new TrunkError('ERR_LINE_DAMAGED', 'the line is damaged: the rest of a frame is missing')
  }
}

function firstOf(before: Uint8Array, chunk: Uint8Array): Uint8Array {
  return Uint8Array.of(...before, ...chunk.subarray(0, FIRST_BYTES - before.byteLength))
}

function restarted(how: string): TrunkError {
  return new TrunkError('ERR_PEER_RESTARTED', `the peer has started again: ${how}`)
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, index) => byte === b[index])
}

/** The epoch in place of a peer that is not known. */
const NOBODY = new Uint8Array(EPOCH_BYTES)
