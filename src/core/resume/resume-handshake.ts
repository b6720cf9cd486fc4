/**
 * What the hellos and READYs of one link say of a session that outlives its links, and what comes
 * of it: the two begin a session that can go on, or
 * this link goes on with one. Decides before anything of a session is touched: the proof comes
 * first, the positions next.
 *
 * One object is one link's handshake. The connecting side proves first, as with a token.
 */
import { TrunkError, type ErrorCode } from '../../contracts/errors.ts'
import { writeU64 } from '../frame/numbers.ts'
import { RESUME_FEATURE, type Hello, type HelloResume } from '../session/hello.ts'
import { SessionSecret, type KeyPair, type Proven, type ResumeCrypto } from './secret.ts'
import type { SessionStream } from './stream.ts'

/** What READY says of a session that is to go on. */
export interface ReadyResume {
  /** What came of it, by the serving side. */
  readonly outcome?: Outcome | undefined
  readonly proof?: Uint8Array | undefined
  /**
   * Bytes that its sender has parsed; and of what it has sent: what it knows to have been parsed,
   * and all.
   */
  readonly at?: number | undefined
  readonly from?: number | undefined
  readonly to?: number | undefined
}

/** `attached`: the link goes on with the session. All else: the link begins another one. */
export type Outcome = 'attached' | 'unknown' | 'replaced' | 'mismatch'

/** A session that can go on over another link. */
export interface Resumable {
  readonly stream: SessionStream
  readonly secret: SessionSecret
  /** Links have asked for it with numbers up to this. */
  attempt: number
  /** It has a link: whoever cannot be its peer is a copy of it. */
  readonly attached: boolean
  /**
   * The proof was right and the positions fit: its present link, if it has one, carries nothing
   * from here on.
   */
  detach(): void
  /** It cannot go on. */
  giveUp(error: TrunkError): void
}

/** What a side gives its links' handshakes. */
export interface ResumeSide {
  readonly crypto: ResumeCrypto
  readonly keyPair: KeyPair
  /** The token's bytes; none where there is no token. */
  readonly token: Uint8Array
  /** The connecting side: the session that is to go on. */
  readonly going?: Resumable | undefined
  /** The serving side: the session of that id. */
  readonly find?: ((id: Uint8Array) => Resumable | undefined) | undefined
}

const UNKNOWN = 'the peer does not know the session: it was started again, or has kept it no longer'
const REPLACED = 'another link has gone on with the session: that of a copy of this machine, or a later one'
const SENTENCES: Readonly<Record<Outcome, [code: ErrorCode, sentence: string]>> = {
  attached: ['ERR_RESUME_UNKNOWN', 'the peer could not prove that it knows the session'],
  unknown: ['ERR_RESUME_UNKNOWN', UNKNOWN],
  replaced: ['ERR_RESUME_REPLACED', REPLACED],
  mismatch: ['ERR_RESUME_MISMATCH', 'the peer cannot go on where this side stands: one of the two was set back'],
}

export class ResumeHandshake {
  /** The session with which this link goes on. */
  attached: Resumable | undefined
  readonly #side: ResumeSide
  readonly #own: Hello
  #outcome: Outcome | undefined

  constructor(side: ResumeSide, own: Hello) {
    this.#side = side
    this.#own = own
  }

  /** True where our READY waits for the peer's: it has to prove what it asks for. */
  waitsFor(peer: Hello | undefined): boolean {
    return this.#own.role === 'serve' && peer !== undefined && wanted(peer) !== undefined
  }

  /** What our READY says. */
  says(prover: Uint8Array, verifier: Uint8Array): ReadyResume | undefined {
    if (this.#own.role === 'serve') {
      if (this.#outcome === undefined) return undefined
      const { attached } = this
      if (attached === undefined) return { outcome: this.#outcome }
      const ready = this.#ready(attached, prover, verifier, 'attached')
      attached.secret.advance([verifier, prover], false)
      return ready
    }
    const { going } = this.#side
    return going === undefined ? undefined : this.#ready(going, prover, verifier)
  }

  #ready(session: Resumable, prover: Uint8Array, verifier: Uint8Array, outcome?: Outcome): ReadyResume {
    const { log, received } = session.stream
    const positions = { at: received, from: log.acknowledged, to: log.end }
    const proven = { role: this.#own.role, prover, verifier, positions: encoded(positions, outcome) }
    return { ...positions, outcome, proof: session.secret.prove(proven) }
  }

  /** Takes what the peer's READY says; `prover` is the peer's hello. */
  hears(ready: ReadyResume | undefined, peer: Hello, prover: Uint8Array, verifier: Uint8Array): void {
    if (this.#own.role === 'serve') {
      const hello = wanted(peer)
      if (hello !== undefined) this.#outcome = this.#judge(ready, hello, prover, verifier)
      return
    }
    const { going } = this.#side
    if (going !== undefined) this.#hearsOutcome(going, ready, prover, verifier)
  }

  /** The serving side: what comes of the peer's wish. */
  #judge(ready: ReadyResume | undefined, hello: HelloResume, prover: Uint8Array, verifier: Uint8Array): Outcome {
    const { crypto, token } = this.#side
    const found = this.#side.find?.(hello.session ?? NOTHING)
    const positions = encoded(ready ?? {}, undefined)
    const proven: Proven = { role: 'connect', prover, verifier, positions }
    // an id that is not known has its proof judged, too: the answer is that to a wrong proof
    const { secret } = found ?? { secret: new SessionSecret(crypto, token, NOTHING, []) }
    const verdict = secret.judge(ready?.proof ?? NOTHING, proven)
    if (found === undefined || verdict === 'wrong') return 'unknown'
    const { attempt = 0 } = hello
    if (verdict === 'replaced' || attempt <= found.attempt) return 'replaced'
    if (!fits(found, ready)) {
      // with a link that stands it is a copy that was set back, and nothing else happens
      if (found.attached) return 'replaced'
      found.giveUp(mismatch(found, ready))
      return 'mismatch'
    }
    found.attempt = attempt
    if (verdict === 'before') found.secret.stepBack()
    found.detach()
    this.#goOn(found, ready)
    return 'attached'
  }

  /** The connecting side: what the serving one has made of our wish. */
  #hearsOutcome(going: Resumable, ready: ReadyResume | undefined, prover: Uint8Array, verifier: Uint8Array): void {
    const outcome = ready?.outcome ?? 'unknown'
    if (outcome === 'attached') {
      const proven: Proven = { role: 'serve', prover, verifier, positions: encoded(ready ?? {}, outcome) }
      if (going.secret.judge(ready?.proof ?? NOTHING, proven) === 'current') {
        if (fits(going, ready)) {
          going.secret.advance([verifier, prover], true)
          this.#goOn(going, ready)
        } else going.giveUp(mismatch(going, ready))
        return
      }
    }
    const [code, sentence] = SENTENCES[outcome]
    going.giveUp(new TrunkError(code, sentence))
  }

  #goOn(session: Resumable, ready: ReadyResume | undefined): void {
    session.stream.log.rewind(ready?.at ?? 0)
    this.attached = session
  }

  /**
   * The secret of a session that begins with these two hellos; undefined where the peer's key is
   * none.
   */
  begin(peer: Hello, own: Uint8Array, other: Uint8Array): SessionSecret | undefined {
    const key = peer.resume?.key
    const opposite = this.#own.role === 'connect' ? 'serve' : 'connect'
    if (key === undefined || peer.role !== opposite) return undefined
    const { keyPair, crypto, token } = this.#side
    const shared = keyPair.shared(key)
    if (shared === undefined) throw new TrunkError('ERR_HELLO_INVALID', 'the key in the hello is none')
    return new SessionSecret(crypto, token, shared, this.#own.role === 'connect' ? [own, other] : [other, own])
  }
}

/** Both can go on: what each has parsed is within what the other still has. */
function fits({ stream }: Resumable, ready: ReadyResume | undefined): boolean {
  const { at = -1, from = 0, to = -1 } = ready ?? {}
  return stream.log.has(at) && stream.received >= from && stream.received <= to
}

function mismatch({ stream }: Resumable, ready: ReadyResume | undefined): TrunkError {
  const { at = 0, from = 0, to = 0 } = ready ?? {}
  const { log, received } = stream
  const sentence = log.has(at)
    ? `this side has parsed ${received} bytes, and the peer has those from ${from} to ${to}`
    : `the peer has parsed ${at} bytes, and this side has those from ${log.acknowledged} to ${log.end}`
  return new TrunkError('ERR_RESUME_MISMATCH', `one side was set back: ${sentence}`)
}

/** What a hello asks to go on with. */
function wanted({ resume, features }: Hello): HelloResume | undefined {
  return features.includes(RESUME_FEATURE) && resume?.session !== undefined ? resume : undefined
}

const NOTHING = new Uint8Array(0)

/** What a proof covers of a READY. */
function encoded({ at = 0, from = 0, to = 0 }: ReadyResume, outcome: Outcome | undefined): Uint8Array {
  const bytes = new Uint8Array(25)
  writeU64(bytes, 0, at)
  writeU64(bytes, 8, from)
  writeU64(bytes, 16, to)
  bytes[24] = outcome === 'attached' ? 1 : 0
  return bytes
}
