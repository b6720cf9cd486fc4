/**
 * From two strangers to a session: each side sends a HELLO, answers the other's with a READY that
 * repeats its epoch, and has a session when both have been seen. With a token each READY also
 * proves that its sender has it, over both hellos (so over both challenges, epochs and roles); the
 * serving side proves only after the dialling side did, so nobody collects proofs to try guesses
 * on.
 *
 * One object is one acquaintance: where the peer turns out to be another run of itself, there is a
 * new one.
 */
import * as v from 'valibot'
import { decodeCbor, encodeCbor } from '../cbor.ts'
import { TrunkError } from '../../contracts/errors.ts'
import type { ReadyResume, ResumeHandshake } from '../resume/resume-handshake.ts'
import { compareEpochs, decodeHello, encodeHello, type Hello, type Role } from './hello.ts'

/** What knows the token. Its owner has the cryptography; the core has not. */
export interface Authenticator {
  /** HMAC over the prover's role and both hellos, the prover's first. */
  proof(role: Role, prover: Uint8Array, verifier: Uint8Array): Uint8Array
  /** Compares in a time that does not depend on the contents. */
  matches(a: Uint8Array, b: Uint8Array): boolean
}

/**
 * How far its sender has come, with checked framing. `heard`: it has our READY. `stands`: it has a
 * session, and needs no answer.
 */
export type ReadyState = 'new' | 'heard' | 'stands'

/** A READY, read. */
export interface Ready {
  readonly epoch: Uint8Array
  readonly proof?: Uint8Array | undefined
  readonly state?: ReadyState | undefined
  readonly resume?: ReadyResume | undefined
}

const OFFSET = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const READY = v.object({
  epoch: v.instance(Uint8Array),
  proof: v.optional(v.instance(Uint8Array)),
  state: v.optional(v.picklist(['new', 'heard', 'stands'])),
  resume: v.optional(
    v.object({
      outcome: v.optional(v.picklist(['attached', 'unknown', 'replaced', 'mismatch'])),
      proof: v.optional(v.instance(Uint8Array)),
      at: v.optional(OFFSET),
      from: v.optional(OFFSET),
      to: v.optional(OFFSET),
    }),
  ),
})
/** Largest payload of a READY. */
export const READY_BYTES = 256

/** Reads a READY's payload. */
export function decodeReady(payload: Uint8Array): Ready {
  const ready = v.safeParse(READY, decodeCbor(payload, 'ERR_HELLO_INVALID', 'the answer to the hello'))
  if (!ready.success) throw new TrunkError('ERR_HELLO_INVALID', 'the answer to the hello is wrong in its shape')
  return ready.output
}

export class Handshake {
  readonly own: Hello
  readonly #authenticator: Authenticator | undefined
  readonly #resume: ResumeHandshake | undefined
  readonly #ownPayload: Uint8Array
  #peerPayload: Uint8Array | undefined
  #peer: Hello | undefined
  #readySent = false
  #readyReceived = false

  constructor(own: Hello, maxHelloBytes: number, authenticator: Authenticator | undefined, resume?: ResumeHandshake) {
    this.own = own
    this.#resume = resume
    this.#authenticator = authenticator
    this.#ownPayload = encodeHello(own, maxHelloBytes)
  }

  /** The payload of our HELLO. */
  get helloPayload(): Uint8Array {
    return this.#ownPayload
  }

  /** The peer's hello, once both READYs were exchanged. */
  get peer(): Hello | undefined {
    return this.#readySent && this.#readyReceived ? this.#peer : undefined
  }

  /** True once the peer's READY was right. */
  get answered(): boolean {
    return this.#readyReceived
  }

  /** True where our READY waits for the peer's proof, of the token or of a session. */
  get answersLast(): boolean {
    return (
      (this.#authenticator !== undefined && this.own.role === 'serve') || this.#resume?.waitsFor(this.#peer) === true
    )
  }

  /** Takes the peer's HELLO. */
  hello(payload: Uint8Array): void {
    if (this.#peer !== undefined) throw new TrunkError('ERR_PROTOCOL_VIOLATION', 'a second hello')
    const peer = decodeHello(payload)
    if (compareEpochs(peer.epoch, this.own.epoch) === 0) {
      throw new TrunkError(
        'ERR_SELF_CONNECTION',
        'the hello that came back is our own: the line echoes, or leads back here',
      )
    }
    this.#checkToken(peer)
    this.#peer = peer
    this.#peerPayload = new Uint8Array(payload)
  }

  /** The payload of our READY as soon as it may be sent, once; undefined before and after. */
  takeReady(): Uint8Array | undefined {
    return this.#readySent ? undefined : this.readyPayload()
  }

  /** The payload of our READY if it may be sent; it may be repeated. */
  readyPayload(state?: ReadyState): Uint8Array | undefined {
    if (this.#peer === undefined || this.#peerPayload === undefined) return undefined
    const authenticator = this.#authenticator
    if (this.answersLast && !this.#readyReceived) return undefined
    this.#readySent = true
    const proof = authenticator?.proof(this.own.role, this.#ownPayload, this.#peerPayload)
    const resume = this.#resume?.says(this.#ownPayload, this.#peerPayload)
    return encodeCbor({ epoch: this.#peer.epoch, proof, state, resume }, READY_BYTES, 'the answer to the hello')
  }

  /** Takes the peer's READY. */
  ready(payload: Uint8Array): void {
    if (this.#peer === undefined || this.#readyReceived) {
      throw new TrunkError('ERR_PROTOCOL_VIOLATION', 'an answer to the hello out of turn')
    }
    const ready = decodeReady(payload)
    if (!this.isForUs(ready)) throw new TrunkError('ERR_HELLO_INVALID', 'the answer is to somebody else’s hello')
    this.accept(ready)
  }

  /** True for an answer to our own hello, not to that of an earlier run. */
  isForUs(ready: Ready): boolean {
    return ready.epoch.byteLength === this.own.epoch.byteLength && compareEpochs(ready.epoch, this.own.epoch) === 0
  }

  /** Checks the proof of a READY that is for us, and holds it for received. */
  accept(ready: Ready): void {
    const peer = this.#peer
    if (peer === undefined || this.#peerPayload === undefined) return
    if (this.#authenticator !== undefined) {
      const expected = this.#authenticator.proof(peer.role, this.#peerPayload, this.#ownPayload)
      if (ready.proof === undefined || !this.#authenticator.matches(ready.proof, expected)) {
        throw new TrunkError('ERR_AUTH_FAILED', 'the peer does not have the same token')
      }
    }
    this.#resume?.hears(ready.resume, peer, this.#peerPayload, this.#ownPayload)
    this.#readyReceived = true
  }

  /** Payloads of both hellos, our own first. */
  get hellos(): readonly [own: Uint8Array, peer: Uint8Array] {
    return [this.#ownPayload, this.#peerPayload ?? new Uint8Array(0)]
  }

  #checkToken(peer: Hello): void {
    const required = this.#authenticator !== undefined
    if (required !== (peer.challenge !== undefined)) {
      throw new TrunkError(
        'ERR_AUTH_REQUIRED',
        required ? 'this side requires a token, the peer has none' : 'the peer requires a token',
      )
    }
    // a peer that could name our own role could send our own proof back to us
    if (required && (peer.role === 'peer' || peer.role === this.own.role)) {
      throw new TrunkError('ERR_HELLO_INVALID', 'with a token one side has to connect and the other to serve')
    }
  }
}
