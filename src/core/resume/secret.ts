/**
 * What only the two sides of one session know, so that nobody else goes on with it: made of both
 * hellos' keys, and of the token where there is one. A link proves it over its own two hellos and
 * all positions. Each attach makes the next key out of the last, so a copy of one side that comes
 * later, as from a snapshot, has a key that is no longer good.
 */
import type { Role } from '../session/hello.ts'

/** The cryptography: its owner has it, the core has not. */
export interface ResumeCrypto {
  /** Another key pair of X25519. */
  keyPair(): KeyPair
  /** HMAC-SHA-256 over the lengths of the parts and the parts. */
  hmac(key: Uint8Array, label: string, parts: readonly Uint8Array[]): Uint8Array
  /** Compares in a time that does not depend on the contents. */
  matches(a: Uint8Array, b: Uint8Array): boolean
}

export interface KeyPair {
  readonly publicKey: Uint8Array
  /** What the owner of `publicKey` gets with ours; undefined for a key of small order. */
  shared(publicKey: Uint8Array): Uint8Array | undefined
}

/** Bytes of a session's name. */
const ID_BYTES = 16

/**
 * How good a proof is. `current`: by the key that the next link is to prove. `before`: by the last
 * one, which the peer may still have. `replaced`: by the last one, which the peer has left.
 */
export type Verdict = 'current' | 'before' | 'replaced' | 'wrong'

/** What a proof covers, besides its prover's role: the prover's hello first. */
export interface Proven {
  readonly role: Role
  readonly prover: Uint8Array
  readonly verifier: Uint8Array
  readonly positions: Uint8Array
}

export class SessionSecret {
  /** What the session is called on the wire. */
  readonly id: Uint8Array
  readonly #crypto: ResumeCrypto
  #key: Uint8Array
  /** The key before: good as long as nothing says that the peer has the next one. */
  #before: Uint8Array | undefined
  #confirmed = true

  /** @param hellos payloads of the first link's, the connecting side's first */
  constructor(crypto: ResumeCrypto, token: Uint8Array, shared: Uint8Array, hellos: readonly Uint8Array[]) {
    this.#crypto = crypto
    this.#key = crypto.hmac(token, 'session', [shared, ...hellos])
    this.id = crypto.hmac(this.#key, 'id', []).slice(0, ID_BYTES)
  }

  prove(proven: Proven): Uint8Array {
    return this.#proof(this.#key, proven)
  }

  /** Changes nothing: a link that proves a key may still be refused. */
  judge(proof: Uint8Array, proven: Proven): Verdict {
    const crypto = this.#crypto
    if (crypto.matches(proof, this.#proof(this.#key, proven))) return 'current'
    if (this.#before === undefined || !crypto.matches(proof, this.#proof(this.#before, proven))) return 'wrong'
    return this.#confirmed ? 'replaced' : 'before'
  }

  /** A link that has proved the key before is accepted: the peer has never got our answer to it. */
  stepBack(): void {
    if (this.#before === undefined || this.#confirmed) throw new RangeError('the key before is not good any more')
    this.#key = this.#before
  }

  /** A link goes on with the session. `confirmed`: the peer is known to have made the same step. */
  advance(hellos: readonly Uint8Array[], confirmed: boolean): void {
    this.#before = this.#key
    this.#key = this.#crypto.hmac(this.#key, 'next', hellos)
    this.#confirmed = confirmed
  }

  /** The peer has shown that it has the key. */
  confirm(): void {
    this.#confirmed = true
  }

  #proof(key: Uint8Array, { role, prover, verifier, positions }: Proven): Uint8Array {
    return this.#crypto.hmac(key, `proof ${role}`, [prover, verifier, positions])
  }
}
