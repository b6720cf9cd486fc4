/**
 * A line that does not tell when the peer comes and goes, and may change bytes (docs/wire-format.md, "Lines that do not tell").
 *
 * A greeting (sync word, probe, HELLO, and READY once the peer is known) is repeated until the session stands, since nobody knows when somebody
 * listens. A side stands when it knows that the peer has its READY: by a READY that says so, or by a frame that only a standing peer can send. A
 * hello of another run ends the session. Frames are chained by their checksums, and the chain begins with both epochs: no frame of
 * another session, none that was lost, doubled or changed goes unnoticed.
 */
import { TrunkError } from '../errors.ts'
import { FrameType, SYNC_WORD } from '../frame/constants.ts'
import type { GuardTools } from '../frame/guard.ts'
import { GuardedBatch } from '../frame/guarded-batch.ts'
import { GuardedDecoder, type GuardedHandler } from '../frame/guarded-decoder.ts'
import { diagnose, isProbe, PROBE, STRIPPED_SYNC_WORD } from '../frame/probe.ts'
import { decodeReady, Handshake, type Authenticator } from './handshake.ts'
import { compareEpochs, decodeHello, EPOCH_BYTES, type Hello } from './hello.ts'
import type { LineHost, SessionLine } from './line.ts'

/** What a guarded line is made of. */
export interface GuardedLineOptions {
  readonly hello: Hello
  readonly maxHelloBytes: number
  readonly repeatMs: number
  readonly authenticator: Authenticator | undefined
  readonly tools: GuardTools
  readonly now: number
}

/** A frame that stands incomplete for this long while nothing comes: the peer is asked, and by its answer a gap shows. */
const STALL_MS = 1_000
/** After an answer that did not complete it: so much longer, and bytes are missing. */
const GAP_MS = 1_500
/** A tick this late means that we ourselves stood still. */
const SUSPENDED_MS = 1_000

/** The hello of a peer that takes the line for a plain one: a header in the probe's place. */
const PLAIN_HELLO = [FrameType.HELLO, 0]

export class GuardedLine implements SessionLine, GuardedHandler {
  readonly batch: GuardedBatch
  readonly #options: GuardedLineOptions
  readonly #host: LineHost
  readonly #decoder: GuardedDecoder
  #handshake: Handshake
  #peer: Hello | undefined
  #stands = false
  /** A greeting is to be sent; and when the next one will be, in any case. */
  #owesGreeting = true
  #repeatAt: number
  #echoes = 0
  /** What the line did to the last probe. */
  #diagnosis: string | undefined
  /** Bytes of the stripped sync word that match so far. */
  #strippedBytes = 0
  #heardAt: number
  /** Asked for a sign of life inside a frame; and something has come since. */
  #asked = false
  #answered = false

  constructor(options: GuardedLineOptions, host: LineHost) {
    this.#options = options
    this.#host = host
    this.batch = new GuardedBatch(options.tools)
    this.#decoder = new GuardedDecoder(options.tools, this)
    this.#handshake = this.#newHandshake()
    this.#repeatAt = options.now
    this.#heardAt = options.now
  }

  get midFrame(): boolean {
    return this.#decoder.midFrame
  }

  get skippedBytes(): number {
    return this.#decoder.skippedBytes
  }

  #newHandshake(): Handshake {
    const { hello, maxHelloBytes, authenticator } = this.#options
    return new Handshake(hello, maxHelloBytes, authenticator)
  }

  // --- bytes in ------------------------------------------------------------------------------------------------------

  receive(chunk: Uint8Array, now: number): void {
    this.#heardAt = now
    this.#answered = this.#asked
    if (this.#peer === undefined) this.#lookForStripped(chunk)
    this.#decoder.push(chunk)
    if (!this.#decoder.midFrame) this.#asked = false
  }

  handshakeFrame(): void {
    // a guarded decoder shows them as greetings, never as frames
  }

  maxPayload(type: number): number {
    return type === FrameType.HELLO || type === FrameType.READY
      ? this.#options.maxHelloBytes
      : this.#host.maxPayload(type)
  }

  /** GuardedHandler: see there. */
  probe(bytes: Uint8Array): boolean {
    if (isProbe(bytes)) return true
    if (!this.#stands) {
      if (PLAIN_HELLO.every((byte, index) => bytes[index] === byte)) {
        throw new TrunkError(
          'ERR_LINE_MISMATCH',
          'the peer does not take this line for a serial one: use a serial address on both sides, or on neither',
        )
      }
      this.#mangled(diagnose(bytes))
    }
    return false
  }

  /** Twice the same is no accident. */
  #mangled(diagnosis: string): void {
    if (this.#diagnosis === diagnosis) {
      throw new TrunkError('ERR_LINE_NOT_RAW', `the line changes bytes on their way here: ${diagnosis}`)
    }
    this.#diagnosis = diagnosis
  }

  /** A sync word without its eighth bits would be noise for ever. */
  #lookForStripped(chunk: Uint8Array): void {
    for (const byte of chunk) {
      if (byte === STRIPPED_SYNC_WORD[this.#strippedBytes]) this.#strippedBytes++
      else this.#strippedBytes = byte === STRIPPED_SYNC_WORD[0] ? 1 : 0
      if (this.#strippedBytes < STRIPPED_SYNC_WORD.byteLength) continue
      this.#strippedBytes = 0
      this.#mangled(diagnose(PROBE.map((value) => value & 0x7f)))
    }
  }

  /** GuardedHandler: see there. */
  damaged(sentence: string): void {
    if (this.#stands) throw new TrunkError('ERR_LINE_DAMAGED', `the line is damaged: ${sentence}`)
  }

  /** GuardedHandler: see there. */
  greeting(type: number, payload: Uint8Array, cut: boolean): void {
    if (type === FrameType.HELLO) this.#hello(payload, cut)
    else this.#ready(payload)
  }

  #hello(payload: Uint8Array, cut: boolean): void {
    const hello = decodeHello(payload)
    if (compareEpochs(hello.epoch, this.#options.hello.epoch) === 0) {
      this.#echo()
      return
    }
    if (this.#peer !== undefined && compareEpochs(hello.epoch, this.#peer.epoch) === 0) {
      // what it does not know yet it will be told by the next repetition: answering at once would fill a slow line
      if (cut) this.damaged('a frame was broken off by a hello of the same run')
      return
    }
    if (this.#stands) {
      throw new TrunkError('ERR_PEER_RESTARTED', 'the peer has started anew: a hello of another run arrived')
    }
    this.#handshake = this.#newHandshake()
    this.#handshake.hello(payload)
    this.#peer = hello
    this.#diagnosis = undefined
    const own = this.#options.hello.epoch
    this.batch.chain = this.#chainOf(own, hello.epoch)
    this.#decoder.chain = this.#chainOf(hello.epoch, own)
    this.#decoder.farewell = this.#chainOf(hello.epoch, NOBODY)
    this.#oweGreeting()
  }

  /** Our own hello has come back. Once may be left over from a terminal that had not been opened yet. */
  #echo(): void {
    if (this.#stands) return
    this.#echoes++
    if (this.#echoes < 2) return
    throw new TrunkError(
      'ERR_SELF_CONNECTION',
      'the line echoes: the hello that came back is our own (a terminal that is not in raw mode, or a loop)',
    )
  }

  #ready(payload: Uint8Array): void {
    const ready = decodeReady(payload)
    // an answer to another hello than ours is left over from before
    if (this.#peer === undefined || !this.#handshake.isForUs(ready)) return
    const isNew = !this.#handshake.answered
    if (isNew) this.#handshake.accept(ready)
    if (this.#stands) {
      if (ready.state !== 'stands') this.#oweGreeting()
    } else if (ready.state === 'heard' || ready.state === 'stands') this.#stand()
    else if (isNew) this.#oweGreeting()
  }

  /** GuardedHandler: see there. A peer that sends a chained frame stands, so it has our READY; only its farewell may come before that. */
  chained(type: number): boolean {
    if (this.#stands || type === FrameType.BYE) return true
    if (this.#handshake.peer !== undefined) this.#stand()
    return this.#isStanding()
  }

  #isStanding(): boolean {
    return this.#stands
  }

  #stand(): void {
    const { peer } = this.#handshake
    if (peer === undefined) {
      // it has our READY of before, which has to go out once more with this acquaintance
      this.#oweGreeting()
      return
    }
    this.#stands = true
    this.#owesGreeting = false
    this.#host.stands(peer)
  }

  #oweGreeting(): void {
    this.#owesGreeting = true
    this.#host.wake()
  }

  #chainOf(sender: Uint8Array, receiver: Uint8Array): number {
    const { tools } = this.#options
    return tools.crc32(receiver, tools.crc32(sender, 0))
  }

  // --- frames that are right: the engine's -------------------------------------------------------------------------

  header(type: number, flags: number, pipe: number, length: number): boolean {
    return this.#host.header(type, flags, pipe, length)
  }

  piece(bytes: Uint8Array, last: boolean): void {
    this.#host.piece(bytes, last)
  }

  frame(type: number, flags: number, pipe: number, payload: Uint8Array): void {
    this.#host.frame(type, flags, pipe, payload)
  }

  // --- bytes out -----------------------------------------------------------------------------------------------------

  pull(now: number): void {
    if (!this.#stands && now >= this.#repeatAt) this.#owesGreeting = true
    if (!this.#owesGreeting) return
    this.#owesGreeting = false
    this.#repeatAt = now + this.#options.repeatMs
    const { batch } = this
    batch.raw(SYNC_WORD)
    batch.raw(PROBE)
    batch.frame(FrameType.HELLO, 0, 0, this.#handshake.helloPayload)
    const state = this.#stands ? 'stands' : this.#handshake.answered ? 'heard' : 'new'
    const ready = this.#handshake.readyPayload(state)
    if (ready !== undefined) batch.frame(FrameType.READY, 0, 0, ready)
  }

  beforeFarewell(now: number): boolean {
    if (this.#stands) return true
    this.#owesGreeting = true
    if (this.#peer === undefined) this.batch.chain = this.#chainOf(this.#options.hello.epoch, NOBODY)
    this.pull(now)
    return true
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  deadline(): number {
    if (!this.#stands) return this.#repeatAt
    if (!this.#decoder.midFrame) return Infinity
    if (!this.#asked) return this.#heardAt + STALL_MS
    return this.#answered ? this.#heardAt + GAP_MS : Infinity
  }

  tick(now: number): void {
    const deadline = this.deadline()
    if (now < deadline) return
    if (!this.#stands) {
      this.#host.wake()
      return
    }
    if (now - deadline > SUSPENDED_MS) {
      this.#heardAt = now
      return
    }
    if (this.#asked) throw new TrunkError('ERR_LINE_DAMAGED', 'the line is damaged: the rest of a frame is missing')
    this.#asked = true
    this.#answered = false
    this.#host.askForLife()
  }
}

/** The epoch in place of a peer that is not known. */
const NOBODY = new Uint8Array(EPOCH_BYTES)
